"""A blend of a part of the target is the blend of all of it, and the part covers what the engine looks at."""

from __future__ import annotations

import random

import numpy as np
import pytest

from blend_daemon.engine import Parameters, Problem, blend
from blend_daemon.engine.methods.deep import working_scale
from blend_protocol import scope
from blend_protocol.errors import BlendError
from blend_protocol.methods import METHODS

ALL = [*METHODS, "model:tint"]


@pytest.fixture
def canvas(coffee):
    """(500, 700, 3): larger than what any method looks at."""
    return np.ascontiguousarray(np.tile(coffee, (6, 6, 1))[:500, :700])


def wanted(method, **given):
    return Parameters.from_mapping({"preset": "draft", "device": "cpu", "method": method, "iterations": 4, **given})


@pytest.mark.parametrize("kind", ["8 bit", "float, half transparent, at the edge"])
@pytest.mark.parametrize("method", ALL)
def test_a_part_of_the_target_gives_what_all_of_it_gives(method, kind, cat, canvas, disc, model_folder):
    target, offset = canvas, (300, 210)
    if kind != "8 bit":
        alpha = np.ones((*canvas.shape[:2], 1), np.float32)
        alpha[:, 30:] = 0
        target, offset = np.concatenate([canvas.astype(np.float32) / 200, alpha], axis=2), (-20, -15)
    parameters = wanted(method)
    whole = Problem.from_arrays(cat, target, disc, offset)
    part = whole.cut(parameters)
    assert part.target.size < 0.35 * target.size
    sent = Problem.from_arrays(
        cat, part.target.copy(), disc, offset, part.corner, part.canvas, None if part.samples is None else part.samples.copy()
    )
    ours, theirs = blend(sent, parameters), blend(whole, parameters)
    assert ours.box == theirs.box == whole.box
    assert ours.layer.tobytes() == theirs.layer.tobytes()


def test_the_samples_are_of_the_whole_target_and_leave_the_object_out(cat, canvas, disc):
    canvas[:, 350:] = 7
    whole = Problem.from_arrays(cat, canvas, disc, (100, 210))
    part = whole.cut(wanted("deep"))
    assert (part.palette(50_000) == np.float32(7 / 255)).all(axis=1).mean() > 0.4
    step = scope.stride((700, 500), 50_000)
    assert part.samples.shape == (500 // step, 700 // step, 3)
    inside = part.mask_on((0, 0, 700, 500))[step // 2 :: step, step // 2 :: step][: 500 // step, : 700 // step] > 0
    assert inside.any()
    assert len(part.palette(50_000)) == inside.size - inside.sum()


def test_what_lies_far_from_the_object_is_not_sent_and_changes_nothing(cat, canvas, disc):
    parameters = wanted("poisson")
    there = Problem.from_arrays(cat, canvas, disc, (300, 210)).cut(parameters)
    canvas[:100] = 0
    assert np.array_equal(there.target, Problem.from_arrays(cat, canvas, disc, (300, 210)).cut(parameters).target)


def test_too_small_a_part_is_refused(cat, canvas, disc):
    part = Problem.from_arrays(cat, canvas, disc, (300, 210)).cut(wanted("poisson"))
    for method in ("deep", "color-transfer"):
        with pytest.raises(BlendError) as error:
            blend(part, wanted(method))
        assert error.value.code == "target-cut-off"
    whole = wanted("deep", preset="paper")
    assert Problem.from_arrays(cat, canvas, disc, (300, 210)).cut(whole).target.shape == canvas.shape
    with pytest.raises(BlendError) as error:
        blend(part, whole)
    assert error.value.code == "target-cut-off"


@pytest.mark.parametrize(
    ("corner", "canvas_size"), [((-1, 0), (900, 900)), ((0, 401), (900, 900)), ((300, 0), (999, 900)), ((0, 0), (1, 1))]
)
def test_a_part_that_is_not_on_the_canvas_is_refused(corner, canvas_size, cat, canvas, disc):
    with pytest.raises(BlendError) as error:
        Problem.from_arrays(cat, canvas, disc, (0, 0), corner, canvas_size)
    assert error.value.code == "target-misplaced"


def test_samples_of_another_kind_are_refused(cat, canvas, disc):
    with pytest.raises(BlendError) as error:
        Problem.from_arrays(cat, canvas, disc, (0, 0), samples=canvas.astype(np.float32))
    assert error.value.code == "raster-invalid"


def within(inner, outer):
    return (
        inner[0] >= outer[0]
        and inner[1] >= outer[1]
        and inner[0] + inner[2] <= outer[0] + outer[2]
        and inner[1] + inner[3] <= outer[1] + outer[3]
    )


def some(dice, most):
    """A side, small ones as often as large ones."""
    return min(int(2 ** dice.uniform(0, 13)), most)


def test_the_part_covers_the_bank_of_every_object_inside_the_box():
    dice = random.Random(1)
    for _ in range(40_000):
        canvas = some(dice, 8000), some(dice, 8000)
        width, height = some(dice, canvas[0]), some(dice, canvas[1])
        box = dice.randrange(canvas[0] - width + 1), dice.randrange(canvas[1] - height + 1), width, height
        w, h = dice.choice((width, some(dice, width))), dice.choice((height, some(dice, height)))
        inside = box[0] + dice.randrange(width - w + 1), box[1] + dice.randrange(height - h + 1), w, h
        size = dice.choice((0, 0, 64, 1024, 4096))
        parameters = Parameters.from_mapping({"working_size": size})
        window = scope.grown(inside, 32, canvas)
        working = working_scale(window[3], window[2], parameters.plan().working_pixels)
        part = scope.part(parameters, box, canvas)
        assert within(scope.bank(inside, canvas, working), part), (canvas, box, inside, size)
        assert within(window, part)


def test_of_a_large_canvas_little_is_looked_at():
    for side, most in ((300, 1.0), (600, 2.0), (1500, 5.5)):
        part = scope.part(Parameters(), (2000, 1000, side, side), (6000, 4000))
        assert part[2] * part[3] < most * 1e6
    assert scope.sampled((6000, 4000), 50_000) == (272, 181)


def test_what_the_paint_lies_on_comes_with_the_result_where_something_was_painted(cat, coffee, disc):
    problem = Problem.from_arrays(cat, coffee, disc, (20, 10))
    painted = blend(problem, wanted("deep", style=100))
    assert painted.start is not None
    assert (painted.start.shape, painted.start.dtype) == (painted.layer.shape, painted.layer.dtype)
    assert np.array_equal(painted.start[..., 3], painted.layer[..., 3])
    assert (painted.start[..., :3] != painted.layer[..., :3]).any()
    pasted = blend(problem, wanted("painterly")).start
    inside = painted.layer[..., 3] > 0
    assert np.allclose(pasted[inside][:, :3], problem.source_on(problem.box)[0][inside] * 255, atol=0.51)
    assert blend(problem, wanted("deep", style=0)).start is None
    assert blend(problem, wanted("poisson")).start is None
