"""The six figures: known answers, and the same values as the scorecard beside the project where that is present."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from blend_daemon import scores

SCORECARD = Path(__file__).resolve().parents[3] / "shared/scorecard.py"


@pytest.fixture
def mask():
    mask = np.zeros((96, 128), bool)
    mask[24:72, 32:96] = True
    return mask


@pytest.fixture
def source(cat):
    return np.pad(cat, ((16, 16), (24, 24), (0, 0)), mode="reflect")


def test_the_target_itself_has_no_seam_and_the_source_is_all_content(coffee, source, mask):
    kept = scores.score(coffee, coffee, source, mask)
    assert kept["background"] == 1
    assert kept["seam"] < 0.25
    assert kept["style"] < 0.8
    pasted = scores.score(np.where(mask[..., None], source, coffee), coffee, source, mask)
    assert pasted["style"] == pytest.approx(1, abs=1e-9)
    assert pasted["content"] > 0.85, "less than 1, because windows at the edge see the target"
    assert scores.content(source, source, mask) == pytest.approx(1, abs=1e-4)
    assert pasted["stain"] == pytest.approx(0, abs=1e-9)
    assert pasted["seam"] > 0.5


def test_background_counts_pixels_not_channels(coffee, mask):
    touched = coffee.copy()
    touched[0, :12, 0] ^= 1
    assert scores.background(touched, coffee, mask) == pytest.approx(1 - 12 / (~mask).sum())
    touched[mask] = 0
    assert scores.background(touched, coffee, mask) == pytest.approx(1 - 12 / (~mask).sum())


def test_a_soft_edge_is_not_background(coffee, source, mask):
    soft = ndimage.gaussian_filter(mask.astype(float), 3)
    soft[soft < 0.01] = 0
    changed = np.where(soft[..., None] > 0, source, coffee)
    assert scores.score(changed, coffee, source, soft)["background"] == 1


def test_seam_of_a_ramp_with_a_known_step(mask):
    ramp = np.add.outer(np.arange(96), np.arange(128)).astype(np.float64)
    picture = lambda step: np.repeat((ramp + step * mask)[..., None], 3, axis=2).astype(np.uint8)
    assert scores.seam(picture(0), mask) == pytest.approx(0, abs=1e-9)
    # Each edge's step is |1 + s| on two sides of the square and |1 - s| on the other two: s on average, against 1 beside it.
    assert scores.seam(picture(9), mask) == pytest.approx(math.log(9))


def test_content_does_not_mind_brightness_and_falls_with_blur(source, mask):
    grey = (source // 2 + 40).astype(np.uint8)
    assert scores.content(grey, grey + 20, mask) == pytest.approx(1, abs=1e-3)
    inverted = 255 - grey
    assert scores.content(inverted, grey, mask) < 0
    blurred = [scores.content(ndimage.gaussian_filter(grey, (s, s, 0)), grey, mask) for s in (1, 2, 4)]
    assert 1 > blurred[0] > blurred[1] > blurred[2]


def test_stain_is_zero_for_a_uniform_shift_and_sees_clouds(mask):
    grey = np.full((96, 128, 3), 128, np.uint8)
    assert scores.stain(grey + np.uint8([20, 0, 0]), grey, mask) == pytest.approx(0, abs=1e-9)
    clouds = grey.copy()
    clouds[:, :64, 1] += 40
    assert scores.stain(clouds, grey, mask) > 5


def test_chroma_of_the_primaries():
    colours = np.uint8([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0]]])
    known = [[80.1, 67.2], [-86.2, 83.2], [79.2, -107.9], [0, 0], [0, 0]]
    assert np.abs(scores.chroma(colours)[0] - known).max() < 0.1


def test_style_is_the_distance_between_constants():
    """Between two flat colours a distance d apart, every projection differs by d times the direction's sum."""
    mask = np.zeros((128, 128), bool)
    mask[32:96, 32:96] = True
    flat = np.full((128, 128, 3), 100, np.uint8)
    expected = []
    for level in range(3):
        directions = np.random.default_rng(level).normal(size=(64, 147))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        expected.append(np.abs(directions.sum(axis=1)).mean() * 51 / 255)
    assert scores.style(flat, flat, mask) == pytest.approx(0, abs=1e-12)
    assert scores.style(flat + np.uint8(51), flat, mask) == pytest.approx(np.mean(expected), rel=1e-5)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [0, 1, 4])
def test_a_mask_too_small_for_a_figure_gives_nan_and_no_error(size, coffee, source):
    mask = np.zeros((96, 128), bool)
    mask[40 : 40 + size, 50 : 50 + size] = True
    figures = scores.score(coffee, coffee, source, mask)
    assert figures["background"] == 1
    assert math.isnan(figures["style"])
    assert math.isnan(figures["content"]) == (size < 5)


@pytest.mark.skipif(not SCORECARD.is_file(), reason="no scorecard beside the project")
@pytest.mark.parametrize("shape", ["square", "disc", "at the border", "ragged size"])
def test_the_scorecard_gives_the_same_values(shape, coffee, source, mask):
    spec = importlib.util.spec_from_file_location("scorecard", SCORECARD)
    scorecard = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scorecard)
    y, x = np.mgrid[:96, :128]
    mask = {
        "square": mask, "disc": (y - 50) ** 2 + (x - 60) ** 2 < 900, "at the border": x < 40, "ragged size": mask,
    }[shape]  # fmt: skip
    rows, columns = (95, 127) if shape == "ragged size" else (96, 128)
    noise = np.random.default_rng(3).integers(-20, 20, coffee.shape)
    result = np.clip(np.where(mask[..., None], (source * 0.7 + coffee * 0.3 + noise), coffee), 0, 255).astype(np.uint8)
    given = [array[:rows, :columns] for array in (result, coffee, source, mask)]
    ours, theirs = scores.score(*given), scorecard.score(*given)
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_presence_sees_the_fog_that_a_correlation_does_not(cat):
    mask = np.zeros(cat.shape[:2], bool)
    mask[8:-8, 8:-8] = True
    fog = np.rint(128 + 0.5 * (cat.astype(float) - 128)).astype(np.uint8)
    assert scores.presence(cat, cat, mask) == pytest.approx(1)
    assert scores.presence(fog, cat, mask) == pytest.approx(0.5, abs=0.02)
    assert scores.content(fog, cat, mask) > 0.9
    assert scores.presence(np.full_like(cat, 90), cat, mask) < 0.01
    assert np.isnan(scores.presence(cat, cat, np.zeros_like(mask)))
