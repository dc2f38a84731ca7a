"""`blend-daemon batch`: many cases, some of them broken, in one run or in several."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from daemons import eventually
from installed import started
from pictures import load, save

from blend_daemon.batch import _all, _Tally, find
from blend_protocol.client import Client

COMMAND = [sys.executable, "-m", "blend_daemon.cli", "batch"]


@pytest.fixture
def table(tmp_path, cat, coffee, disc):
    """Writes a table of cases: rows of values by column, where source, mask and target are there unless named otherwise."""
    save(tmp_path / "cat.png", cat)
    save(tmp_path / "disc.png", disc)
    save(tmp_path / "coffee.png", coffee)

    def write(*rows: dict[str, str]) -> Path:
        usual = {"source": "cat.png", "mask": "disc.png", "target": "coffee.png", "offset": "20,10", "method": "poisson"}
        whole = [{**usual, **row} for row in rows]
        path = tmp_path / "table.csv"
        with path.open("w", newline="") as file:
            lines = csv.DictWriter(file, sorted({column for row in whole for column in row}), restval="")
            lines.writeheader()
            lines.writerows(whole)
        return path

    return write


def batch(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True, timeout=300)


def failures(folder: Path) -> list[dict[str, str]]:
    with (folder / "failures.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_the_queue_does_not_take_is_sent_again(table, tmp_path, fresh_daemon):
    cases = find(table(*({"name": str(n)} for n in range(14))))
    fresh_daemon.start()  # with one worker, which loads while more arrive than may wait
    tally = _Tally(tmp_path / "failures.csv", len(cases), 0, quiet=True)
    with tally, Client(fresh_daemon.address) as client:
        _all(client, iter(cases), tmp_path, 11, tally)
    assert tally.failed == 0
    assert all((tmp_path / f"{n}.png").is_file() for n in range(14))


def test_good_cases_are_blended_as_by_themselves_and_bad_ones_are_listed(table, tmp_path):
    (tmp_path / "broken.png").write_bytes((tmp_path / "cat.png").read_bytes()[:2000])
    wrong = {"name": "cut", "source": "broken.png"}, {"name": "off", "offset": "500,500"}
    cases = table({"name": "one"}, *wrong, {"name": "paste.tif", "method": "copy-paste"})
    done = batch(cases, "--output", tmp_path / "out", "--jobs", "2")
    assert done.returncode == 1, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["failures.csv", "one.png", "paste.tif"]
    told = {row["name"]: row for row in failures(tmp_path / "out")}
    assert told.keys() == {"cut", "off"}
    assert told["off"]["code"] == "mask-off-target"
    assert all(row["message"] and row["hint"] for row in told.values())
    alone = [sys.executable, "-m", "blend_daemon.cli", "blend", "--offset", "20,10", "--method", "poisson", "--quiet"]
    alone += ["--source", "cat.png", "--mask", "disc.png", "--target", "coffee.png", "--output", "alone.png"]
    subprocess.run(alone, cwd=tmp_path, check=True)
    assert np.array_equal(load(tmp_path / "alone.png"), load(tmp_path / "out/one.png"))


def test_what_is_done_is_not_done_again_and_what_failed_is(table, tmp_path):
    out = tmp_path / "out"
    assert batch(table({"name": "one"}, {"name": "two", "offset": "500,500"}), "--output", out).returncode == 1
    before = (out / "one.png").stat()
    done = batch(table({"name": "one"}, {"name": "two"}), "--output", out)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 done, 0 failed" in done.stderr
    assert (out / "one.png").stat() == before
    assert sorted(path.name for path in out.iterdir()) == ["one.png", "two.png"]
    for words, told in (((), "blend-daemon: 2 of 2 done, 0 failed.\n"), (("--quiet",), "")):
        again = batch(table({"name": "one"}, {"name": "two"}), "--output", out, *words)
        assert (again.returncode, again.stderr) == (0, told)


def test_a_run_that_was_killed_goes_on(table, tmp_path):
    out, names = tmp_path / "out", [f"{number:02d}" for number in range(40)]
    words = [*COMMAND, str(table(*({"name": name} for name in names))), "--output", str(out)]
    killed = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(out.glob("*.png"))) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    there = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert 3 <= len(there) < 40
    for path in out.iterdir():
        assert load(path).shape == (96, 128, 3), "half a file"
    assert subprocess.run(words, capture_output=True, timeout=300).returncode == 0
    assert sorted(path.name for path in out.iterdir()) == [f"{name}.png" for name in names]
    assert {name: (out / name).stat().st_mtime_ns for name in there} == there


def test_an_interrupt_says_how_to_go_on(table, tmp_path):
    cases, out = table(*({"name": str(number), "method": "deep", "preset": "paper"} for number in range(3))), tmp_path / "out"
    with started("batch", cases, "--output", out, stderr=subprocess.PIPE, text=True, start_new_session=True) as run:
        eventually(out.exists)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
    # To a shell both are 130. CPython ends itself by the signal, though it was caught, if it came while an import made a dataclass.
    assert run.returncode in (130, -signal.SIGINT)
    assert "goes on where it was" in said


def test_a_folder_of_cases(tmp_path, cat, coffee, disc):
    for name in ("a", "b"):
        (tmp_path / "cases" / name).mkdir(parents=True)
        for file, picture in (("source.png", cat), ("mask.png", disc), ("target.png", coffee)):
            save(tmp_path / "cases" / name / file, picture)
    (tmp_path / "cases/b/mask.png").unlink()
    done = batch(tmp_path / "cases", "--output", tmp_path / "out")
    assert done.returncode == 2
    assert "has no mask.png" in done.stderr
    assert not (tmp_path / "out").exists()
    save(tmp_path / "cases/b/mask.png", disc)
    assert batch(tmp_path / "cases", "--output", tmp_path / "out").returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"source": "nowhere.png"}, "row 3, column source: there is no file nowhere.png."),
        ({"target": ""}, "row 3, column target: it is empty."),
        ({"offset": "12"}, "row 3, column offset: it is not two whole numbers."),
        ({"preset": "quick"}, "row 3, column preset: there is no preset 'quick'."),
        ({"style": "much"}, "row 3, column style: 'much' is no number."),
        ({"style": "101"}, "row 3, column style:"),
        ({"colors": "5"}, "row 1: there is no column 'colors'."),
        ({"name": "../x"}, "row 3, column name: '../x' is no name for a file."),
        ({"name": "ONE"}, "row 3, column name: its output has the name of row 2's."),
    ],
)
def test_a_table_that_is_wrong_is_told_by_row_and_column_before_anything_starts(table, tmp_path, row, words):
    done = batch(table({"name": "one"}, row), "--output", tmp_path / "out")
    assert done.returncode == 2
    assert words in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"source,target\n", b"\xff\xfe\n", b"source,target\na.png\n", b'source,target\n"a,b\n'])
def test_what_is_no_table_is_told(tmp_path, content):
    (tmp_path / "table.csv").write_bytes(content)
    done = batch(tmp_path / "table.csv", "--output", tmp_path / "out")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "table.csv") in done.stderr


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_made_is_told(table, tmp_path):
    tmp_path.joinpath("closed").mkdir(mode=0o500)
    done = batch(table({}), "--output", tmp_path / "closed/out")
    assert done.returncode == 2
    assert "closed/out" in done.stderr
