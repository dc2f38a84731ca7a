from __future__ import annotations

import re

import numpy as np
import pytest

from blend_daemon.engine.raster.pixels import composite, from_float, to_float
from blend_daemon.engine.raster.problem import Problem
from blend_protocol.errors import BlendError
from blend_protocol.presets import Parameters

SOURCE = np.full((10, 12, 3), 100, np.uint8)
TARGET = np.full((20, 30, 3), 200, np.uint8)
MASK = np.zeros((10, 12), np.uint8)
MASK[2:8, 3:9] = 255


def code(*arguments) -> str:
    with pytest.raises(BlendError) as error:
        Problem.from_arrays(*arguments)
    assert str(error.value)
    return error.value.code


def test_the_box_is_the_mask_on_the_canvas():
    assert Problem.from_arrays(SOURCE, TARGET, MASK, (5, 4)).box == (8, 6, 6, 6)


def test_a_source_partly_off_the_canvas_is_cut():
    problem = Problem.from_arrays(SOURCE, TARGET, MASK, (-5, -4))
    assert problem.box == (0, 0, 4, 4)
    assert problem.mask_on((0, 0, 6, 6)).sum() == 16
    exists = problem.source_on((0, 0, 8, 7))[1]
    assert exists[:6, :7].all()
    assert not exists[6:].any()
    assert not exists[:, 7:].any()


def test_alpha_and_mask_multiply():
    alpha = np.full((10, 12, 1), 128, np.uint8)
    problem = Problem.from_arrays(np.concatenate([SOURCE, alpha], axis=2), TARGET, MASK)
    assert problem.mask.max() == pytest.approx(128 / 255)


def test_without_a_mask_the_alpha_is_the_mask():
    problem = Problem.from_arrays(np.concatenate([SOURCE, MASK[:, :, None]], axis=2), TARGET)
    assert problem.box == (3, 2, 6, 6)


def test_a_grey_target_gets_a_grey_source_and_a_coloured_one_a_coloured():
    grey = Problem.from_arrays(SOURCE, TARGET[:, :, :1], MASK)
    assert grey.source_on(grey.box)[0].shape == (6, 6, 1)
    coloured = Problem.from_arrays(SOURCE[:, :, :1], TARGET, MASK)
    assert coloured.source_on(coloured.box)[0].shape == (6, 6, 3)


def test_float_values_that_no_picture_has_are_refused_and_named():
    for value in (1e20, -1e6):
        huge = SOURCE.astype(np.float32)
        huge[3, 4, 1] = value
        for arguments in ((huge, TARGET, MASK), (SOURCE, np.full(TARGET.shape, value, np.float32), MASK)):
            with pytest.raises(BlendError, match=re.escape(f"holds a value of {abs(value):.3g}; at most 65504")) as error:
                Problem.from_arrays(*arguments)
            assert error.value.code == "raster-invalid"
    Problem.from_arrays(np.full(SOURCE.shape, 65504, np.float32), TARGET, MASK)  # the sun in a high dynamic range picture


def test_refusals():
    assert code(SOURCE, TARGET) == "mask-missing"
    assert code(SOURCE, TARGET, MASK[:5]) == "size-mismatch"
    assert code(SOURCE, TARGET, MASK * 0) == "mask-empty"
    assert code(SOURCE, TARGET, MASK, (40, 0)) == "mask-off-target"
    assert code(SOURCE, TARGET, MASK, (0, -9)) == "mask-off-target"
    assert code(SOURCE, SOURCE, np.full((10, 12), 255, np.uint8)) == "mask-covers-target"
    assert code(SOURCE.astype(np.int64), TARGET, MASK) == "raster-invalid"
    assert code(SOURCE[:, :, 0], TARGET, MASK) == "raster-invalid"
    assert code(np.full((10, 12, 3), np.nan, np.float32), TARGET, MASK) == "raster-invalid"


def test_a_mask_over_all_that_is_not_transparent_is_refused():
    target = np.concatenate([SOURCE, np.zeros((10, 12, 1), np.uint8)], axis=2)
    target[2:8, 3:9, 3] = 255
    assert code(SOURCE, target, MASK) == "target-transparent"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_every_level_survives_the_way_to_floats_and_back(dtype):
    levels = np.linspace(-1, 2, 1000, dtype=np.float32) if dtype == np.float32 else np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    assert np.array_equal(from_float(to_float(levels), np.dtype(dtype)), levels)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_composition_keeps_the_target_where_alpha_is_0_and_takes_the_layer_where_it_is_full(dtype, channels):
    random = np.random.default_rng(0)
    draw = lambda *shape: from_float(random.random(shape, np.float32), np.dtype(dtype))
    target, layer = draw(20, 30, channels), draw(6, 7, channels // 3 * 2 + 2)
    alpha = np.repeat(np.array([0, 0, 0.5, 0.5, 1, 1, 1], np.float32)[None], 6, axis=0)
    layer[:, :, -1] = from_float(alpha, np.dtype(dtype))
    out = composite(target, layer, (4, 3, 7, 6))
    untouched = np.ones((20, 30), bool)
    untouched[3:9, 6:11] = False
    assert np.array_equal(out[untouched], target[untouched])
    colours = layer.shape[2] - 1
    assert np.array_equal(out[3:9, 8:11, :colours], layer[:, 4:, :colours])
    if channels in (1, 3):
        mixed = (to_float(target[3:9, 6:8]) + to_float(layer[:, 2:4, :colours])) / 2
        assert np.abs(to_float(out[3:9, 6:8]) - mixed).max() < 1 / 250


@pytest.mark.parametrize(
    "wrong",
    [
        {"preset": "none"}, {"seed": -1}, {"seed": 1.5}, {"seed": True}, {"working_size": -1}, {"iterations": 0.5}, {"device": 3},
        {"style": 101}, {"content": -1}, {"colour": "50"},
        {"seam": float("nan")}, {"unknown": 1},
    ],
)  # fmt: skip
def test_wrong_parameters_are_named(wrong):
    with pytest.raises(BlendError) as error:
        Parameters.from_mapping(wrong)
    assert error.value.code == "parameter-invalid"
    assert next(iter(wrong)) in str(error.value)
