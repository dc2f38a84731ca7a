"""The real command on real photographs."""

from __future__ import annotations

import os
import signal
import subprocess
import threading

import numpy as np
import pytest
from command import run
from daemons import eventually
from installed import started
from pictures import load, save

from blend_daemon import scores
from blend_daemon.comparison import cases as finder
from blend_daemon.comparison import files, sheet
from blend_daemon.comparison.measure import Measurer, Trial
from blend_daemon.comparison.pictures import aligned, insets

QUICK = ["copy-paste", "alpha", "poisson"]


def tree(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_method_leaves_a_picture_with_the_targets_pixels_outside_the_mask(compared, cases):
    for case in finder.find([cases]):
        problem, _, target, _ = case.read()
        outside = aligned(problem).mask == 0
        pictures = {path.stem: load(path) for path in (compared / case.name).iterdir()}
        assert sorted(pictures) == sorted(QUICK)
        for picture in pictures.values():
            assert picture.dtype == target.raster.dtype
            assert np.array_equal(picture[outside], target.raster[outside])
        assert not np.array_equal(pictures["poisson"], pictures["alpha"])


def test_the_table_has_the_figures_of_the_pictures(compared, cases):
    trials = files.read_table(compared)
    assert [(t.case, t.method) for t in trials] == [(c, m) for c in ("cat & coffee", "grey") for m in ("deep", *QUICK)]
    case = finder.find([cases])[0]
    view = aligned(case.read().problem)
    for trial in trials[1:4]:
        figures = scores.score(load(compared / case.name / f"{trial.method}.png"), view.target, view.source, view.mask)
        assert trial.figures == pytest.approx(figures, rel=1e-5)
        assert 0 < trial.seconds < 30
        assert 50 < trial.peak_mb < 4000


def test_a_failed_method_is_told_with_its_reason_and_the_others_go_on(compared):
    failed = [trial for trial in files.read_table(compared) if trial.failure]
    assert [trial.method for trial in failed] == ["deep", "deep"]
    assert all("blend-daemon weights" in trial.failure for trial in failed)
    told = (compared.parent / "stderr").read_text()
    assert told.count("deep failed on") == 2
    assert "blend-daemon weights" in told
    assert (compared.parent / "stdout").read_text().splitlines()[-1] == str(compared / "report.html")


def test_a_model_of_the_users_own_is_compared_like_any(cases, tmp_path, model_folder):
    done = run(cases / "grey", "--methods", "copy-paste,model:tint", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    pasted, tinted = files.read_table(tmp_path / "out")
    assert tinted.method == "model:tint"
    assert tinted.figures["background"] == 1
    assert tinted.figures["content"] > 0.9 * pasted.figures["content"]
    assert (tmp_path / "out/grey/model-tint.png").exists()
    assert "Model tint" in (tmp_path / "out/report.html").read_text()


def test_the_sheet_shows_every_result_and_the_seam_from_near(compared, cases):
    whole = load(compared / "sheet.png")
    assert whole.shape[1] == 12 + 4 * (288 + 12)
    view = aligned(finder.find([cases])[0].read().problem)
    for x, y, side, _ in insets(view):
        window = view.mask[y : y + side, x : x + side]
        assert 0.1 < window.mean() < 0.9, "an inset looks at the seam"
        close = np.repeat(np.repeat(view.pasted[y : y + side, x : x + side], 3, axis=0), 3, axis=1)
        assert close.shape[0] == 3 * side
    assert len(insets(view)) == 2
    colours = whole.reshape(-1, 3)
    for frame in ((224, 122, 16), (20, 130, 180)):
        # Two frames for each of three pictures in two rows: on the picture and around the inset.
        assert (colours == frame).all(axis=1).sum() > 12 * 4 * 40


def test_a_sheet_of_many_methods_has_several_lines_and_long_names_are_cut(cases):
    view = aligned(finder.find([cases])[0].read().problem)
    names = ["model:" + "long/" * 20, *"abcdefg"]
    trials = [Trial("case", name, dict.fromkeys(scores.FIGURES, float("nan")), 1, 1) for name in names[:-1]]
    row = sheet.row("case", view, [*trials, Trial("case", "g", failure="word " * 100)], dict.fromkeys(names[:-1], view.pasted))
    one = sheet.row("case", view, trials[:3], dict.fromkeys(names, view.pasted))
    assert row.shape[1] == 5 * (288 + 12)
    assert 1.5 * one.shape[0] < row.shape[0] < 2 * one.shape[0]


def test_the_report_is_one_file_that_names_nothing_outside_itself(compared):
    text = (compared / "report.html").read_text()
    assert "http" not in text.replace("http-equiv", "")
    assert "cat & coffee" in text
    assert text.count("data:image/webp") == 2 * 4


@pytest.mark.parametrize(
    ("spoil", "words", "named"),
    [
        (lambda case: (case / "mask.png").unlink(), [], "mask.png"),
        (lambda case: (case / "offset").write_text("3;4"), [], "offset"),
        (lambda case: None, ["--methods", "poisson,magic"], "magic"),
        (lambda case: None, ["--methods", "poisson,model:nobody"], "nobody"),
        (lambda case: None, ["--jobs", "-1"], "--jobs"),
        (lambda case: (case.parent / "out").mkdir() or (case.parent / "out/mine.txt").write_text("x"), [], "--force"),
        (lambda case: (case.parent / "out").write_text("x"), [], "is a file"),
        (lambda case: [path.unlink() for path in case.iterdir()], [], "holds no case"),
    ],
)
def test_what_cannot_be_compared_is_named_and_nothing_is_written(spoil, words, named, tmp_path, cat, disc, coffee):
    case = tmp_path / "a case"
    case.mkdir()
    for name, array in (("source", cat), ("mask", disc), ("target", coffee)):
        save(case / f"{name}.png", array)
    spoil(case)
    before = tree(tmp_path)
    done = run(case, "--output", tmp_path / "out", *words)
    assert done.returncode == 2
    assert done.stderr.startswith("blend-daemon: ")
    assert done.stderr.count("\n") == 1
    assert named in done.stderr
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "words", [[], ["x", "--blind", "y"], ["x"], ["--tally", "key"], ["--blind", "x", "--output", "y"], ["--blind", "x"]]
)
def test_arguments_that_make_no_sense_are_refused(words, tmp_path):
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert not list(tmp_path.iterdir())


def test_a_damaged_picture_fails_alone(cases, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("source", "mask", "target"):
        (broken / f"{name}.png").write_bytes((cases / "grey" / f"{name}.png").read_bytes())
    (broken / "target.png").write_bytes((broken / "target.png").read_bytes()[:900])
    done = run(broken, cases / "grey", "--methods", "copy-paste", "--output", tmp_path / "out", "--quiet")
    assert (done.returncode, done.stdout) == (0, "")
    assert f"copy-paste failed on broken: The target {broken}/target.png" in done.stderr
    assert [bool(trial.failure) for trial in files.read_table(tmp_path / "out")] == [True, False]
    assert f"{broken}/target.png" in (tmp_path / "out/report.html").read_text()


def spoilt(folder, cases, kind):
    """A copy of a case, spoilt in one way."""
    copy = folder / kind
    copy.mkdir()
    for name in ("source", "mask", "target"):
        (copy / f"{name}.png").write_bytes((cases / "grey" / f"{name}.png").read_bytes())
    match kind:
        case "off the target":
            (copy / "offset").write_text("99999999999999999999,0")
        case "no numbers":
            (copy / "offset").write_text("here,there")
        case "no mask":
            (copy / "mask.png").unlink()
        case "a circle":
            (copy / "mask.png").unlink()
            (copy / "mask.png").symlink_to("mask.png")
        case "labels":
            save(copy / "mask.png", (load(copy / "mask.png") > 0).astype(np.uint8))
    return copy


def test_bad_cases_are_named_and_the_good_ones_shown(cases, tmp_path):
    folder = tmp_path / "cases"
    folder.mkdir()
    bad = ("off the target", "no numbers", "no mask", "a circle")
    for kind in (*bad, "labels"):
        spoilt(folder, cases, kind)
    one = spoilt(folder, cases, "one pixel")
    save(one / "source.png", np.full((1, 1), 200, np.uint8))
    save(one / "mask.png", np.full((1, 1), 255, np.uint8))
    one.rename(folder / "caf\udce9")
    done = run(folder, "--methods", "copy-paste", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "labels: " in done.stderr
    failed = {trial.case for trial in files.read_table(tmp_path / "out") if trial.failure}
    assert failed == set(bad)
    assert all(f"failed on {kind}: " in done.stderr for kind in bad)
    assert (tmp_path / "out/sheet.png").exists()
    assert "labels" in (tmp_path / "out/report.html").read_text(errors="surrogateescape")
    assert run(folder / "no mask", folder / "no numbers", "--output", tmp_path / "none").returncode == 2
    assert not (tmp_path / "none").exists()


def processes(word) -> list[str]:
    """The command lines with that in them."""
    lines = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if str(word) in line]


def test_ctrl_c_leaves_what_was_finished(cases, tmp_path):
    output = tmp_path / "out"
    words = ["compare", cases, "--methods", "copy-paste,deep", "--preset", "paper", "--output", output, "--jobs", "1"]
    with started(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert "copy-paste" in process.stdout.readline()
        eventually(lambda: any('"method": "deep"' in line for line in processes(output)))
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert str(output) in said
    assert [(t.case, t.method) for t in files.read_table(output) if not t.failure] == [("cat & coffee", "copy-paste")]
    assert {path.name for path in output.iterdir()} == {"cat & coffee", "grey", "report.html", "results.csv", "sheet.png"}
    assert not processes(output)


def test_a_process_that_is_killed_is_told_so(cases, tmp_path):
    measurer = Measurer({"preset": "paper", "device": "cpu", "seed": 0}, 1)
    case, found = finder.find([cases / "grey"])[0], []
    thread = threading.Thread(target=lambda: found.append(measurer.measure(case, "deep", tmp_path / "out.png")))
    thread.start()
    (process,) = eventually(lambda: list(measurer._running))
    os.kill(process.pid, signal.SIGKILL)
    thread.join(60)
    assert "killed" in found[0].failure
    assert not (tmp_path / "out.png").exists()
