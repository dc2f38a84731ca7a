"""What is written, and what is left alone."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest
from installed import COMMAND, here
from pictures import load, save
from PIL import Image


def quick(case, **changes):
    return case.run(method="copy-paste", **changes)


@pytest.mark.parametrize("what", ["output", "layer", "metadata"])
def test_a_pipe_is_written_and_stays_a_pipe(what, case):
    pipe = case.folder / ("pipe.json" if what == "metadata" else "pipe.png")
    os.mkfifo(pipe)
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    assert quick(case, **{what: pipe}).returncode == 0
    reader.join(10)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert json.loads(got[0]) if what == "metadata" else Image.open(io.BytesIO(got[0])).size == (128, 96)


def test_a_pipe_that_nobody_reads_is_refused_and_nothing_is_written(case, monkeypatch):
    monkeypatch.setattr("blend_daemon.files.READER", 0.2)
    os.mkfifo(case.folder / "pipe")
    done = quick(case, metadata=case.folder / "pipe")
    assert (done.returncode, case.out.exists()) == (2, False)
    assert "nobody reads from it. Start what is to read it first." in done.stderr


@pytest.mark.parametrize("what", ["output", "layer", "metadata"])
def test_a_device_is_written_and_stays_a_device(what, case):
    device = case.folder / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only the superuser makes devices, and only the superuser could lose one")
    assert quick(case, **{what: device}).returncode == 0
    assert stat.S_ISCHR(device.stat().st_mode)


def test_standard_input_and_output(case):
    words = [COMMAND, *case.words(method="copy-paste", source="-", output="-", metadata="/dev/stderr")]
    done = subprocess.run(words, input=case.source.read_bytes(), capture_output=True, timeout=300)
    assert done.returncode == 0
    assert quick(case).returncode == 0
    assert np.array_equal(np.array(Image.open(io.BytesIO(done.stdout))), load(case.out))
    assert json.loads(done.stderr)["source"] == "-"


def test_a_link_is_followed_and_stays_a_link(case):
    (case.folder / "elsewhere").mkdir()
    link, aim = case.folder / "link.png", case.folder / "elsewhere/o.png"
    link.symlink_to("elsewhere/o.png")
    for _ in range(2):  # to nothing yet, then to a file
        assert quick(case, output=link).returncode == 0
        assert link.is_symlink()
        assert load(aim).shape == (96, 128, 3)
    assert [path.name for path in aim.parent.iterdir()] == ["o.png"]
    link.unlink()
    link.symlink_to(case.target)
    assert "one of the inputs" in quick(case, output=link).stderr


@pytest.mark.parametrize("what", ["output", "layer", "metadata"])
def test_a_file_that_nobody_may_write_is_kept(what, case):
    kept = case.folder / ("kept.json" if what == "metadata" else "kept.png")
    kept.write_bytes(b"old")
    kept.chmod(0o444)
    before = sorted(case.folder.iterdir())
    done = quick(case, **{what: kept})
    assert (done.returncode, kept.read_bytes()) == (2, b"old")
    assert str(kept) in done.stderr
    assert sorted(case.folder.iterdir()) == before


@pytest.mark.parametrize(("suffix", "wide", "what"), [(".webp", 16_384, "output"), (".webp", 16_384, "layer"), (".jpg", 65_501, "output")])
def test_a_limit_of_the_format_is_told_before_the_work(suffix, wide, what, case, monkeypatch):
    save(case.target, np.zeros((40, wide, 3), np.uint8))
    monkeypatch.setattr("blend_daemon.engine.blend", lambda *_: pytest.fail("it was computed first"))
    before = sorted(case.folder.iterdir())
    done = quick(case, **{what: case.folder / f"o{suffix}"})
    assert done.returncode == 2
    assert str(wide) in done.stderr
    assert ".png" in done.stderr
    assert sorted(case.folder.iterdir()) == before


def test_what_exists_keeps_its_permissions_and_new_files_have_the_usual(case):
    case.out.write_bytes(b"")
    case.out.chmod(0o640)
    old = os.umask(0o027)
    try:
        assert quick(case, metadata=case.folder / "m.json").returncode == 0
    finally:
        os.umask(old)
    assert case.out.stat().st_mode & 0o777 == 0o640
    assert (case.folder / "m.json").stat().st_mode & 0o777 == 0o640


def test_quiet_is_quiet(case):
    assert "does not use" in quick(case, feather=20).stderr
    assert quick(case, feather=20, quiet=True).stderr == ""
    assert quick(case, offset="900,0", quiet=True).stderr != ""


@pytest.mark.parametrize(
    "words", [["--off", "-5,3"], ["--offset", "9,9", "--offset", "-5,3"], ["--offset", "-9,9", "--offset", "-5,3"], ["--of", "-5,3"]]
)
def test_an_offset_abbreviated_or_given_twice(words, case):
    assert quick(case, offset="-5,3").returncode == 0
    wanted = load(case.out)
    assert here([*case.words(method="copy-paste", offset=None), *words]).returncode == 0
    assert np.array_equal(load(case.out), wanted)


def test_a_broken_pipe_is_one_line(case):
    words = [COMMAND, *case.words(method="copy-paste", output="-")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 2
    assert said.count("\n") == 1
    assert said.endswith("Broken pipe. Let what reads it read to the end.\n")


def test_a_process_that_is_killed_while_it_writes_leaves_nothing(tmp_path):
    try:
        os.close(os.open(tmp_path, os.O_TMPFILE | os.O_WRONLY))
    except OSError:
        pytest.skip("a file system whose files have names from the start")
    (tmp_path / "b.png").write_bytes(b"old")
    words = (
        "import os, pathlib, signal, sys; from blend_daemon import files; os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL);"
        "files.write({pathlib.Path(sys.argv[1]): b'new'})"
    )
    assert subprocess.run([sys.executable, "-c", words, str(tmp_path / "b.png")]).returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["b.png"]
    assert (tmp_path / "b.png").read_bytes() == b"old"
