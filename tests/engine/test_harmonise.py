"""The start of the optimiser: what is the object and what its old backdrop, and how solid it stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from blend_daemon.engine import Problem
from blend_daemon.engine.painting import matting
from blend_daemon.engine.painting.harmonise import LEAST_LUMA, Harmony, Start, harmonise, move_colours, palette
from blend_daemon.engine.raster.surroundings import Surroundings

SIDE = 160
Y, X = np.mgrid[:SIDE, :SIDE] - SIDE / 2
RADIUS = np.hypot(Y, X)
LUMA = torch.tensor([0.299, 0.587, 0.114])


def flat(value: float) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), value, np.float32)


def start(source: np.ndarray, target: np.ndarray, mask: np.ndarray, on_its_like: bool = False) -> Start:
    problem = Problem.from_arrays(source, target, mask.astype(np.float32))
    around = Surroundings.of(problem, (0, 0, SIDE, SIDE))
    return harmonise(around, palette(problem), Harmony(1.0, 0.25, 1.0), 48, on_its_like)


def detail(image: np.ndarray, where: np.ndarray) -> float:
    """The deviation of pixel noise that would make such steps between neighbours."""
    return float((image[:, 1:] - image[:, :-1])[where[:, 1:] & where[:, :-1]].std() / 2**0.5)


@pytest.fixture(scope="module")
def gravel() -> np.ndarray:
    """Mid grey with detail of 24 levels' deviation."""
    noise = np.random.default_rng(0).normal(0, 24 / 255, (SIDE, SIDE, 1)).astype(np.float32)
    return flat(0.5) + noise


@pytest.fixture
def coarse() -> np.ndarray:
    """A dark disc of radius 25 before a light, faintly uneven wall."""
    source = flat(0.7) + np.random.default_rng(1).normal(0, 1 / 255, (SIDE, SIDE, 3)).astype(np.float32)
    source[RADIUS < 25] = (0.2, 0.25, 0.15)
    return source


def test_the_backdrop_of_a_coarse_selection_is_the_targets(coarse, gravel):
    cover = start(coarse, gravel, RADIUS < 50).cover.numpy()
    assert cover[(RADIUS > 31) & (RADIUS < 48)].max() < 0.02
    assert cover[RADIUS < 20].min() > 0.98


def test_the_same_pixels_are_told_apart_once(coarse, gravel):
    """Telling takes most of a sketch's time, and a slider asks for one after another."""
    first = start(coarse, gravel, RADIUS < 50).cover
    asked = matting._kept.cache_info()
    again = start(coarse.copy(), gravel * 0.9, RADIUS < 50).cover
    assert matting._kept.cache_info().misses == asked.misses
    assert torch.equal(first, again)


def test_what_cannot_be_walked_to_stays_the_objects(coarse, gravel):
    coarse[RADIUS < 10] = 0.7  # a hole in the colour of the wall
    cover = start(coarse, gravel, RADIUS < 50).cover.numpy()
    assert cover[RADIUS < 20].min() > 0.98


def test_a_glint_in_the_colour_of_the_wall_is_no_hole(coarse, gravel):
    glint = np.hypot(Y, X - 17) < 2.5  # so near the edge that a guided filter looks across both
    coarse[glint] = 0.7
    begun = start(coarse, gravel, RADIUS < 50)
    assert begun.cover.numpy()[glint].min() > 0.99
    assert begun.colours.numpy()[:, np.hypot(Y, X - 17) < 1.5].min() > 0.6


def test_a_patch_of_backdrop_behind_a_leg_is_found_by_the_colours_nearby(coarse):
    """GrabCut may take it for the object, whose colours it learns from all that is selected."""
    within, wall = RADIUS < 50, RADIUS > 25
    coarse[(abs(X) < 2) & wall] = 0.2
    found = within & wall & (X < -3)  # left of the leg
    depth = 50 - RADIUS
    more = matting._more_of_it(coarse, within, found, within & (depth < 2), depth > 30)
    assert more[within & (RADIUS > 28) & (X > 5) & (X < 15)].all()
    assert not more[(RADIUS < 24) | ((abs(X) < 1) & (RADIUS < 47))].any()


def test_what_is_black_and_far_from_any_backdrop_is_not_taken_for_it(coarse):
    within, depth = RADIUS < 50, 50 - RADIUS
    coarse[X > 30] = 0
    more = matting._more_of_it(coarse, within, within & (RADIUS > 30) & (X < -30), within & (depth < 2), depth > 30)
    assert not more[X > 30].any()


def test_a_patterned_backdrop_is_cut_away_too(coarse, gravel):
    """It is full of steps: nothing can be walked to."""
    wall = RADIUS >= 25
    coarse[wall & ((X // 3 + Y // 3) % 2 == 0)] = (0.9, 0.5, 0.3)
    cover = start(coarse, gravel, RADIUS < 50).cover.numpy()
    assert cover[(RADIUS > 31) & (RADIUS < 48)].max() < 0.02
    assert cover[RADIUS < 20].min() > 0.98


def test_what_reaches_the_objects_core_is_no_backdrop(coarse):
    within, depth = RADIUS < 50, 50 - RADIUS
    coarse[(RADIUS < 25) & (abs(X) < 10)] = 0.7  # a stripe of the wall's colours through the object
    more = matting._more_of_it(coarse, within, within & (RADIUS > 30) & (X < -15), within & (depth < 2), depth > 30)
    assert not more[RADIUS < 20].any()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.9])
def test_the_old_backdrop_is_taken_out_of_what_is_mixed_and_detail_is_not(share):
    noise = 0.1 * torch.randn(40, 20, generator=torch.Generator().manual_seed(0))
    own, wall = torch.tensor([0.7, 0.3, 0.5])[:, None, None] + noise, torch.tensor([0.1, 0.9, 0.9])[:, None, None]
    matte = torch.zeros(40, 20)
    matte[:, :10], matte[:, 10] = 1, share
    off = (matting.foreground(wall + matte * (own - wall), matte) - own)[:, :, 10]
    assert float(off.mean(dim=1).abs().max()) < 0.05
    assert float(off.std()) < 0.1 * (1.15 - share**2)


def test_what_of_the_object_goes_on_beyond_the_selection_stays(coarse, gravel):
    bar = (abs(X) < 9) & (Y < 0)
    coarse[bar] = (0.55, 0.35, 0.1)  # out at the top, where it teaches its colour as the backdrop's
    cover = start(coarse, gravel, RADIUS < 50).cover.numpy()
    assert cover[bar & (abs(X) < 6) & (RADIUS < 44)].min() > 0.9
    assert cover[(RADIUS > 31) & (RADIUS < 48) & (abs(X) > 14)].max() < 0.02


def test_an_exact_selection_stays_whole(coarse, gravel):
    cover = start(coarse, gravel, RADIUS < 25).cover.numpy()
    assert cover[RADIUS < 21].min() > 0.98


def test_what_was_cut_out_stays_whole_and_the_target_does_not_shine_through(coarse, gravel):
    alpha = (RADIUS < 50).astype(np.float32)[:, :, None]
    begun = start(np.concatenate([coarse, alpha], axis=2), gravel, RADIUS < 50)
    assert begun.cover.numpy()[RADIUS < 46].min() > 0.98
    assert detail(begun.colours.numpy().transpose(1, 2, 0), RADIUS < 20) < 4 / 255


def test_of_a_cut_out_the_rim_shows_nothing_of_its_old_backdrop(coarse, gravel):
    rim = (RADIUS >= 24) & (RADIUS < 25)
    coarse[rim] = (0.6, 0.62, 0.6)
    alpha = (RADIUS < 25).astype(np.float32)[:, :, None]
    colours = start(np.concatenate([coarse, alpha], axis=2), gravel, RADIUS < 25).colours.numpy()
    inside = colours[:, (RADIUS > 10) & (RADIUS < 20)].mean(axis=1)
    assert abs(colours[:, rim].mean(axis=1) - inside).max() < 0.02


def test_a_jagged_edge_becomes_a_soft_one_inside_the_mask(coarse, gravel):
    alpha = (RADIUS < 50).astype(np.float32)[:, :, None]
    cover = start(np.concatenate([coarse, alpha], axis=2), gravel, RADIUS < 50).cover.numpy()
    assert cover[RADIUS >= 50].max() == 0
    rim = (RADIUS > 48.5) & (RADIUS < 49.5)
    assert 0.05 < cover[rim].mean() < 0.8


@pytest.mark.parametrize("width", [1, 3])
def test_a_line_has_no_edge_to_lose(width, gravel):
    line = (abs(Y) < width / 2) & (abs(X) < 40)
    source = np.concatenate([flat(0.1), line.astype(np.float32)[:, :, None]], axis=2)
    assert start(source, gravel, line).cover.numpy()[line & (abs(Y) < 0.6) & (abs(X) < 38)].min() > 0.98


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_a_leg_of_something_thick_is_as_solid_and_keeps_its_own_colour(width, gravel):
    leg = (abs(X) < width / 2) & (Y > 0) & (Y < 50)
    mask = leg | (X**2 + (Y + 20) ** 2 < 30**2)
    source = np.concatenate([np.where(leg[..., None], flat(0.1), flat(0.9)), mask.astype(np.float32)[:, :, None]], axis=2)
    found = start(source, gravel, mask)
    middle = leg & (abs(X) < 0.6) & (Y > 16) & (Y < 48)
    assert found.cover.numpy()[middle].min() > 0.98
    assert found.colours.numpy()[:, middle].max() < 0.5


def test_a_thin_part_of_an_antialiased_mask_keeps_that_edge(gravel):
    leg = np.clip(1.7 - abs(X - 0.3 * Y), 0, 1) * ((Y > 0) & (Y < 50))
    mask = np.maximum(leg, X**2 + (Y + 20) ** 2 < 30**2).astype(np.float32)
    found = start(np.concatenate([flat(0.1), mask[:, :, None]], axis=2), gravel, mask)
    assert found.cover.numpy()[(leg > 0.01) & (Y > 16) & (Y < 46)].min() > 0.98


def test_a_selection_inside_something_larger_is_not_taken_for_backdrop(cat, coffee, disc):
    """The cat's fur goes on beyond the selection: what has its colours is not therefore backdrop."""
    problem = Problem.from_arrays(cat, coffee, disc, (20, 10))
    window = problem.window(10)
    begun = harmonise(Surroundings.of(problem, window), palette(problem), Harmony(1.0, 0.25, 1.0), 48)
    y, x = np.mgrid[: window[3], : window[2]]
    centre = np.hypot(y - window[3] / 2, x - window[2] / 2) < 16
    assert begun.cover.numpy()[centre].min() > 0.95


def test_on_its_like_an_object_takes_the_colours_of_what_it_covers(gravel):
    """A grey disc over an orange one before grey gravel takes the orange, which without the word it does not even see."""
    disc = RADIUS < 50
    target = gravel.copy()
    target[disc] *= (1.3, 1.0, 0.5)
    redder = lambda colours: float((colours[0] - colours[2]).numpy()[RADIUS < 40].mean())
    assert abs(redder(start(flat(0.5), target, disc).colours)) < 0.02
    assert 0.2 < redder(start(flat(0.5), target, disc, on_its_like=True).colours) < 0.4


def test_on_its_like_an_object_grows_in_over_a_wide_edge(gravel):
    disc = RADIUS < 50
    source = np.concatenate([flat(0.1), disc.astype(np.float32)[:, :, None]], axis=2)
    rim = (RADIUS > 45.5) & (RADIUS < 46.5)
    of_another, of_its_like = (start(source, gravel, disc, on_its_like).cover.numpy() for on_its_like in (False, True))
    assert of_another[rim].min() > 0.98
    assert 0.2 < of_its_like[rim].mean() < 0.8
    assert of_its_like[RADIUS < 40].min() > 0.98


def test_on_its_like_a_dark_object_comes_into_the_light(cat):
    """A dark cat on a bright one comes near its brightness, keeps its contrast, and its black stays black."""
    like = np.kron(cat, np.ones((3, 2, 1)))[:SIDE, :SIDE].astype(np.float32) / 255
    own = 0.5 * like
    disc = RADIUS < 50
    luma = lambda colours: torch.einsum("c,chw->hw", LUMA, torch.as_tensor(colours).float()).numpy()[RADIUS < 40]
    dark, bright = (luma(picture.transpose(2, 0, 1)) for picture in (own, like))
    lit = luma(start(own, like, disc, on_its_like=True).colours)
    assert abs(lit.mean() - bright.mean()) < 0.35 * abs(dark.mean() - bright.mean())
    assert lit.std() > 1.3 * dark.std()
    assert np.quantile(lit, 0.01) < 0.15, "a shift by the same would make it 0.25"


def test_what_closes_the_seam_burns_nothing_out():
    """A dark wall goes on around a selection, with a white patch in it near its edge; the target is bright. The wall becomes as bright, the
    patch, which is so already, no brighter."""
    source = flat(0.2) + np.random.default_rng(2).normal(0, 1 / 255, (SIDE, SIDE, 3)).astype(np.float32)
    patch = (abs(Y) < 12) & (X > 26) & (X < 36)
    source[patch] = 0.75
    colours = start(source, flat(0.8), RADIUS < 40).colours.numpy()
    assert colours[:, (RADIUS > 30) & (RADIUS < 38) & (X < 0)].mean() > 0.7
    assert colours[:, patch & (X < 34)].mean() < 0.9, "by the wall's change it would be above 1"


@pytest.mark.parametrize("level", [10, 245])
def test_what_closes_the_seam_leaves_the_middle_its_light(cat, disc, level):
    """Else what is dark turns to fog before a bright target."""
    problem = Problem.from_arrays(cat, np.full_like(cat, level), disc)
    begun = harmonise(Surroundings.of(problem, (0, 0, 80, 64)), palette(problem), Harmony(0.0, 0.25, 1.0), 48)
    change = abs(begun.colours.numpy() - cat.transpose(2, 0, 1) / 255)
    y, x = np.mgrid[:64, :80]
    depth = 24 - np.hypot(y - 32, x - 40)
    assert change[:, depth > 16].mean() < 0.1 * change[:, (depth > 1) & (depth < 4)].mean()


@pytest.mark.parametrize("surroundings", [0.1, 0.5, 0.9])
def test_before_a_flat_target_an_object_keeps_its_light_and_shade(cat, surroundings):
    own = torch.from_numpy(cat.transpose(2, 0, 1) / 255).float()
    flat = torch.full((3, 100), surroundings)
    moved = move_colours(own, own.flatten(1), flat, flat, 1.0)
    deviation = lambda image: float(torch.einsum("c,chw->hw", LUMA, image).std())
    assert deviation(moved.clamp(0, 1)) > (LEAST_LUMA - 0.05) * deviation(own)


def test_colours_move_with_the_slider_and_not_without(cat):
    own = torch.from_numpy(cat.transpose(2, 0, 1) / 255).float()
    blue = torch.tensor([0.1, 0.2, 0.8])[:, None].expand(3, 100)
    means = [move_colours(own, own.flatten(1), blue, blue, amount).mean(dim=(1, 2)) for amount in (0.0, 1.0, 2.0)]
    assert torch.allclose(means[0], own.mean(dim=(1, 2)), atol=1e-3)
    distance = [float((mean - blue[:, 0]).norm()) for mean in means]
    assert distance[0] > distance[1] > distance[2]
