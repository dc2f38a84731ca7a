"""The start of the optimiser: what of the target goes on under the mask, and what of the object stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from blend_daemon.engine import Problem
from blend_daemon.engine.harmonise import LEAST_LUMA, Harmony, harmonise, transfer_colours
from blend_daemon.engine.poisson import Surroundings

SIDE = 160
Y, X = np.mgrid[:SIDE, :SIDE] - SIDE / 2
RADIUS = np.hypot(Y, X)


def flat(value: float) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), value, np.float32)


def start(source: np.ndarray, target: np.ndarray, radius: float = 50) -> np.ndarray:
    problem = Problem.from_arrays(source, target, (radius > RADIUS).astype(np.float32))
    around = Surroundings.of(problem, (0, 0, SIDE, SIDE))
    return harmonise(around, Harmony(0.7, 0.25, 1.0), 30).numpy().transpose(1, 2, 0)


def detail(image: np.ndarray, where: np.ndarray) -> float:
    """The deviation of pixel noise that would make such steps between neighbours."""
    return float((image[:, 1:] - image[:, :-1])[where[:, 1:] & where[:, :-1]].std() / 2**0.5)


@pytest.fixture(scope="module")
def gravel() -> np.ndarray:
    """Mid grey with detail of 24 levels' deviation, far beyond any grain."""
    noise = np.random.default_rng(0).normal(0, 24 / 255, (SIDE, SIDE, 1)).astype(np.float32)
    return flat(0.5) + noise


def test_what_is_drawn_in_the_target_is_not_drawn_over_the_object(gravel):
    source = flat(0.2)
    source[RADIUS < 50] = 0.6
    assert detail(start(source, gravel), RADIUS < 30) < 4 / 255


def test_in_the_backdrop_that_a_coarse_selection_includes_the_target_goes_on(gravel):
    source = flat(0.6)
    source[RADIUS < 25] = 0.2
    out = start(source, gravel)
    backdrop = (RADIUS > 32) & (RADIUS < 42)
    assert np.corrcoef(out[backdrop].ravel(), gravel[backdrop].ravel())[0, 1] > 0.9
    assert detail(out, backdrop) > 0.7 * detail(gravel, backdrop)
    assert detail(out, RADIUS < 18) < 4 / 255


def test_an_object_that_was_cut_out_has_no_backdrop(gravel):
    alpha = (RADIUS < 50).astype(np.float32)[:, :, None]
    assert detail(start(np.concatenate([flat(0.6), alpha], axis=2), gravel), RADIUS < 30) < 4 / 255


def test_fine_grain_goes_on_over_a_smooth_object():
    grain = np.random.default_rng(1).normal(0, 3 / 255, (SIDE, SIDE, 1)).astype(np.float32)
    source = flat(0.2)
    source[RADIUS < 50] = 0.6
    assert 2 / 255 < detail(start(source, flat(0.5) + grain), RADIUS < 30) < 3.5 / 255


def test_before_a_flat_target_an_object_keeps_its_light_and_shade(cat):
    own = torch.from_numpy(cat.transpose(2, 0, 1) / 255).float()
    moved = transfer_colours(own, own.flatten(1), torch.full((3, 100), 0.5), 1.0)
    luma = torch.tensor([0.299, 0.587, 0.114])
    spread = torch.einsum("c,chw->hw", luma, moved).std() / torch.einsum("c,chw->hw", luma, own).std()
    assert float(spread) == pytest.approx(LEAST_LUMA, abs=0.01)
