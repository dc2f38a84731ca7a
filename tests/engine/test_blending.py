"""Whole blends with the real network on small photographs."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from blend_daemon import scores
from blend_daemon.engine import Cancelled, Directive, Parameters, Problem, blend, composite
from blend_daemon.engine.blending import _attempts
from blend_daemon.engine.painting import objective
from blend_protocol.errors import BlendError
from blend_protocol.presets import PRESETS


def run(problem, observe=None, **given):
    return blend(problem, Parameters.from_mapping({"preset": "draft", "style": 100, "device": "cpu", **given}), observe)


def outside_is_untouched(problem, result) -> np.ndarray:
    out = composite(problem.target, result.layer, result.box)
    height, width = problem.target.shape[:2]
    mask = problem.mask_on((0, 0, width, height))
    assert np.array_equal(out[mask == 0], problem.target[mask == 0])
    assert np.isfinite(out.astype(np.float64)).all()
    changed = (out != problem.target).any(axis=2)[mask > 0.9]
    assert changed.mean() > 0.5
    return out


@pytest.fixture
def short_paper(monkeypatch):
    # A thousand evaluations are for benchmarks; the way through both algorithms is the same with few.
    monkeypatch.setitem(PRESETS, "paper", replace(PRESETS["paper"], evaluations=(6, 4)))


@pytest.mark.parametrize("preset", ["draft", "standard", "paper"])
def test_outside_the_mask_the_target_stays_bit_for_bit(preset, cat, coffee, disc, short_paper):
    problem = Problem.from_arrays(cat, coffee, disc, (20, 10))
    outside_is_untouched(problem, run(problem, preset=preset))


@pytest.mark.parametrize("preset", ["draft", "paper"])
def test_the_same_seed_gives_the_same_bytes(preset, cat, coffee, disc, short_paper):
    problem = Problem.from_arrays(cat, coffee, disc, (20, 10))
    first, again, other = (run(problem, preset=preset, seed=seed).layer.tobytes() for seed in (1, 1, 2))
    assert first == again
    assert (first == other) == (preset == "draft"), "only the paper's algorithm starts from noise"


@pytest.mark.parametrize("preset", ["draft", "paper"])
def test_the_optimiser_lowers_the_objective(preset, cat, coffee, disc, short_paper):
    seen = {}

    def watch(progress):
        seen.setdefault(progress.stage, []).append(progress.loss)

    run(Problem.from_arrays(cat, coffee, disc, (20, 10)), watch, preset=preset)
    assert set(seen) == ({"stage 1"} if preset == "draft" else {"stage 1", "stage 2"})
    assert seen["stage 1"][5] < seen["stage 1"][0]


@pytest.mark.parametrize("target", ["grey", "grey alpha", "rgb alpha", "16 bit", "float"])
def test_every_kind_of_target(target, cat, coffee, disc):
    alpha = np.full((96, 128, 1), 255, np.uint8)
    alpha[:, 100:] = 0
    rasters = {
        "grey": coffee[:, :, :1],
        "grey alpha": np.concatenate([coffee[:, :, :1], alpha], axis=2),
        "rgb alpha": np.concatenate([coffee, alpha], axis=2),
        "16 bit": coffee.astype(np.uint16) * 257 + 3,
        "float": coffee.astype(np.float32) / 200,
    }
    problem = Problem.from_arrays(cat, np.ascontiguousarray(rasters[target]), disc, (20, 10))
    result = run(problem)
    outside_is_untouched(problem, result)
    assert result.layer.dtype == problem.target.dtype
    assert result.layer.shape[2] == problem.channels + 1


def test_a_grey_picture_in_rgb_stays_grey(cat, coffee, disc):
    grey = [np.repeat(picture[:, :, 1:2], 3, axis=2) for picture in (cat, coffee)]
    layer = run(Problem.from_arrays(*grey, disc, (20, 10))).layer
    assert (layer[:, :, 0] == layer[:, :, 1]).all()
    assert (layer[:, :, 0] == layer[:, :, 2]).all()


def shapes():
    y, x = np.mgrid[:64, :80]
    return {
        "a line of three pixels": (abs(y - 32) < 2) & (x > 5) & (x < 75),
        "holes and islands": ((x // 10) % 2 == 0) & ((y // 8) % 2 == 0),
        "twenty pixels": (x > 30) & (x < 36) & (y > 30) & (y < 35),
        "one pixel": (x == 30) & (y == 30),
        "nine tenths of the canvas": (x > 4) & (y > 2),
    }


@pytest.mark.parametrize("name", shapes())
def test_every_shape_of_mask(name, cat, coffee):
    target = np.ascontiguousarray(coffee[:64, :80])
    problem = Problem.from_arrays(cat, target, shapes()[name].astype(np.uint8) * 255)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # numbers that are none, cast to a colour
        outside_is_untouched(problem, run(problem))


def test_a_soft_mask_gives_a_soft_layer(cat, coffee):
    y, x = np.mgrid[:64, :80]
    soft = np.clip(40 - np.hypot(y - 32, x - 40), 0, 20) / 20
    problem = Problem.from_arrays(cat, coffee, soft.astype(np.float32), (20, 10))
    result = run(problem)
    outside_is_untouched(problem, result)
    assert np.abs(result.layer[:, :, 3] / 255 - problem.mask_on(result.box)).max() < 0.003


def test_a_mask_cut_by_the_canvas_gets_no_dark_border(cat, coffee):
    bright_cat, bright = 128 + cat // 2, 128 + coffee // 2
    problem = Problem.from_arrays(bright_cat, bright, np.full((64, 80), 255, np.uint8), (-30, 50))
    out = outside_is_untouched(problem, run(problem)).astype(float)
    border = np.concatenate([out[50:, 0], out[-1, :50]])
    beside = np.concatenate([out[50:, 3], out[-4, :50]])
    assert border.mean() - beside.mean() > -6


def test_cancel_ends_the_run_at_once(cat, coffee, disc):
    seen = []

    def observe(progress):
        seen.append(progress.evaluation)
        return Directive.CANCEL if progress.evaluation == 3 else None

    with pytest.raises(Cancelled):
        run(Problem.from_arrays(cat, coffee, disc), observe)
    assert seen == [1, 2, 3]


def test_finish_keeps_the_best_so_far(cat, coffee, disc):
    problem = Problem.from_arrays(cat, coffee, disc)
    result = run(problem, lambda progress: Directive.FINISH)
    assert result.report["evaluations"] == 1
    outside_is_untouched(problem, result)


@pytest.mark.parametrize(("evaluation", "style", "share"), [(3, 70, 0.6), (22, 10, 0.2)])
def test_sliders_moved_on_the_way_re_aim_the_run(evaluation, style, share, cat, coffee, disc):
    """The result nears that of the new sliders, without a second start; the report has the new values."""
    problem = Problem.from_arrays(cat, coffee, disc, (20, 10))
    totals = []

    def observe(progress):
        totals.append(progress.evaluations)
        return {"colour": 0, "style": style} if progress.evaluation == evaluation else None

    steered = run(problem, observe)
    plain, wanted = run(problem), run(problem, colour=0, style=style)
    inside = plain.layer[..., 3] > 200
    distance = lambda other: np.abs(steered.layer.astype(float) - other.layer)[inside].mean()
    assert distance(wanted) < share * distance(plain)
    assert (steered.report["colour"], steered.report["style"]) == (0, style)
    # Where nothing is to be painted any more, nothing is left to be done.
    assert totals[-1] == totals[0] + (evaluation if style == 70 else 0)
    outside_is_untouched(problem, steered)


def test_progress_counts_up_and_previews_the_layer(cat, coffee, disc):
    seen = []

    def observe(progress):
        seen.append(progress)
        layer = progress.preview()
        assert layer.shape == (progress.box[3], progress.box[2], 4)
        assert layer.dtype == np.uint8

    run(Problem.from_arrays(cat, coffee, disc), observe)
    assert [p.evaluation for p in seen] == list(range(1, seen[-1].evaluations + 1))
    assert seen[-1].seconds_left == 0
    assert all(np.isfinite(p.loss) for p in seen)


@pytest.mark.parametrize(("name", "code"), [("quantum", "device-unknown"), ("cuda:99", "device-missing")])
def test_a_device_that_is_not_there_is_named(name, code, cat, coffee, disc):
    with pytest.raises(BlendError) as error:
        run(Problem.from_arrays(cat, coffee, disc), device=name)
    assert error.value.code == code
    assert name in str(error.value)


def test_bfloat16_is_left_alone_where_it_would_be_emulated():
    """Fails where the processor has AVX-512 BF16 or AMX and only its flags are asked: emulated, a blend takes ten times as long."""
    ask = "import torch; from blend_daemon.engine.device import precision; print(precision(torch.device('cpu')))"
    told = subprocess.check_output([sys.executable, "-c", ask], env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}, text=True)
    assert told.strip() == "torch.float32"


@pytest.fixture
def small_memory(monkeypatch):
    """Stands for a device whose memory suffices for so many pixels: the machine's own would have to be filled to see the error."""

    def limit(pixels: int) -> None:
        evaluate = objective.Painting.__call__

        def fake(self, x):
            if x.numel() > 3 * pixels:
                raise torch.OutOfMemoryError("out of memory (as the test wants it)")
            return evaluate(self, x)

        monkeypatch.setattr(objective.Painting, "__call__", fake)

    return limit


def test_when_memory_runs_out_a_smaller_working_size_is_taken_and_told(cat, coffee, disc, small_memory):
    small_memory(2000)
    problem = Problem.from_arrays(cat, coffee, disc, (20, 10))
    result = run(problem)
    outside_is_untouched(problem, result)
    assert len(result.report["notes"]) == 1
    assert "Memory ran out" in result.report["notes"][0]


def test_when_no_size_fits_the_error_says_so(cat, coffee, disc, small_memory):
    small_memory(1)
    with pytest.raises(BlendError) as error:
        run(Problem.from_arrays(cat, coffee, disc))
    assert error.value.code == "out-of-memory"


def test_an_accelerator_steps_down_to_the_cpu():
    tried = list(_attempts(torch.device("cuda"), PRESETS["standard"], 40_000))
    assert [(a.device.type, a.preset.working_pixels) for a in tried][:5] == [
        ("cuda", 512**2), ("cuda", 20_000), ("cuda", 10_000), ("cuda", 5_000), ("cpu", 512**2),
    ]  # fmt: skip
    assert [bool(a.notes) for a in tried] == [False, *[True] * 7]


def test_other_errors_are_not_taken_for_a_lack_of_memory(cat, coffee, disc, monkeypatch):
    def broken(self, x):
        raise RuntimeError("a fault")

    monkeypatch.setattr(objective.Painting, "__call__", broken)
    with pytest.raises(RuntimeError, match="a fault"):
        run(Problem.from_arrays(cat, coffee, disc))


@pytest.mark.parametrize("slider", ["style", "content", "colour", "seam"])
def test_a_slider_moves_one_way(slider, cat, coffee, disc):
    """From 0 over 50 to 100: style nears the target's roughness, content leaves the object, colour its own colours, seam goes deeper."""
    problem = Problem.from_arrays(cat, coffee, disc, (20, 10))
    inside = disc > 200
    own = cat[inside].astype(float)

    def measure(value: float) -> float:
        # How deep the seam reaches shows where nothing is painted; how much content is kept only with the time to leave it.
        setting = {"seam": {"style": 0}, "content": {"preset": "standard"}}.get(slider, {})
        layer = run(problem, **setting, **{slider: value}).layer
        x, y = problem.box[0] - 20, problem.box[1] - 10
        h, w = layer.shape[:2]
        blended, source = layer[..., :3].astype(float), cat[y : y + h, x : x + w].astype(float)
        centre = disc[y : y + h, x : x + w] > 200
        if slider == "colour":
            return float(np.abs(blended[centre].mean(axis=0) - own.mean(axis=0)).sum())
        if slider == "seam":
            core = np.s_[h // 2 - 6 : h // 2 + 6, w // 2 - 6 : w // 2 + 6]
            shallow = run(problem, style=0, seam=0).layer[..., :3].astype(float)
            return float(np.abs(blended[core].mean(axis=(0, 1)) - shallow[core].mean(axis=(0, 1))).sum())
        if slider == "content":
            return scores.content(layer[..., :3], cat[y : y + h, x : x + w], centre)
        high = lambda a: a[1:-1, 1:-1] * 4 - a[:-2, 1:-1] - a[2:, 1:-1] - a[1:-1, :-2] - a[1:-1, 2:]
        return float(np.abs(high(blended) - high(source))[centre[1:-1, 1:-1]].mean())

    # In the middle as much is painted as the target asks for: before a photograph like this one nothing.
    low, middle, top = (measure(value) for value in ((50, 75, 100) if slider == "style" else (0, 50, 100)))
    assert low < middle < top


@pytest.mark.parametrize("preset", ["draft", "standard", "paper"])
@pytest.mark.parametrize("iterations", [1, 7])
def test_iterations_and_working_size_are_the_users(preset, iterations, cat, coffee, disc):
    problem = Problem.from_arrays(cat, coffee, disc, (20, 10))
    sizes = []
    report = run(problem, lambda progress: sizes.append(progress.evaluations), preset=preset, iterations=iterations, working_size=64).report
    assert (report["evaluations"], report["iterations"], report["working_size"]) == (iterations, iterations, 64)
    assert set(sizes) == {iterations}
    assert Parameters(preset, working_size=64).plan().working_pixels == 64 * 64


def test_a_loss_that_is_not_finite_is_told_and_a_part_that_is_not_is_left_out(cat, coffee, disc, monkeypatch):
    problem = Problem.from_arrays(cat, coffee, disc, (20, 10))
    whole = objective.Painting.__call__
    monkeypatch.setattr(objective.Painting, "__call__", lambda self, x: tuple(part * torch.nan for part in whole(self, x)))
    with pytest.raises(BlendError, match="its loss is nan") as error:
        run(problem)
    assert error.value.code == "loss-not-finite"
    assert error.value.hint

    def refused(self, x):
        answer = whole(self, x)
        self.last = {**self.last, "style": torch.tensor(torch.inf)}
        return answer

    monkeypatch.setattr(objective.Painting, "__call__", refused)
    seen = []
    report = run(problem, lambda progress: seen.append(progress.losses)).report
    assert seen
    assert not any("style" in losses for losses in [*seen, *report["losses"].values()])
