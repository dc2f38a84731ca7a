"""Brushwork: what is matched, what is painted, and how much."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data
from test_lbfgs import Reads
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from blend_daemon.engine import device as devices
from blend_daemon.engine.methods.deep import resized
from blend_daemon.engine.optimise.lbfgs import LBFGS
from blend_daemon.engine.painting import recolour
from blend_daemon.engine.painting.matching import GRID, Field
from blend_daemon.engine.painting.objective import COARSE, FINE, Painting, Scene, Weights
from blend_daemon.engine.painting.strength import _painted, _strokes, covers_its_like, scale_of_kinds, strength
from blend_daemon.engine.raster.axes import to_axes
from blend_daemon.engine.raster.problem import Problem
from blend_daemon.engine.raster.surroundings import Surroundings

WEIGHTS = Weights(content=0.4, style=1.0, histogram=1.0, chroma=100.0, tone=20.0)


@pytest.fixture(scope="module")
def features():
    return devices.features(torch.device("cpu"), torch.float32)[0]


def strokes(height: int, width: int, seed: int = 0, level: float = 0.15) -> torch.Tensor:
    """Short strokes of many colours, (1, 3, height, width)."""
    noise = np.random.default_rng(seed).normal(size=(3, height, width))
    noise = ndimage.gaussian_filter(noise, (0, 0.8, 3))
    picture = 0.5 + level * noise / noise.std()
    return torch.from_numpy(picture.clip(0, 1).astype(np.float32))[None]


def scene(start: torch.Tensor, target: torch.Tensor, mask: torch.Tensor, bank: torch.Tensor) -> Scene:
    return Scene(target, start, mask, bank, torch.ones_like(bank[:, :1]))


def disc(height: int, width: int, radius: float) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((y - height / 2) ** 2 + (x - width / 2) ** 2 < radius**2).float()[None, None]


def test_a_blotch_costs_far_more_than_strokes(features):
    grey = torch.full((1, 3, 64, 64), 0.5)
    painting = Painting(features, scene(grey, grey, disc(64, 64, 20), strokes(64, 64)), FINE, WEIGHTS, grey)
    tone = [float(painting.losses(painting.compose(grey + change))["tone"]) for change in (0.02, 0.2)]
    assert tone[1] > 5 * 100 * tone[0], "by its square alone it would be 100 times"


def test_a_piece_of_the_target_finds_its_own_place(features):
    bank = strokes(96, 128)
    piece = bank[..., 32:80, 16:80]
    layers = ("conv2_2", "conv3_1")
    own, of_bank = (features(image, layers) for image in (piece, bank))
    means = {name: f.mean(dim=(0, 2, 3)) for name, f in of_bank.items()}
    h, w = own[GRID].shape[-2:]
    field = Field(own, of_bank, layers, means, (piece, bank), torch.arange(h * w), torch.arange(of_bank[GRID][0, 0].numel()))
    # Beyond the piece's edge the network sees nothing, so only the middle can find itself.
    for stride, of in ((4, (12, 16)), (2, (24, 32)), (1, (48, 64))):
        found = field.positions(of, (96 // stride, 128 // stride)).view(of)
        y, x = torch.meshgrid(torch.arange(of[0]) + 32 // stride, torch.arange(of[1]) + 16 // stride, indexing="ij")
        middle = np.s_[12 // stride : -12 // stride, 12 // stride : -12 // stride]
        assert (found == y * (128 // stride) + x)[middle].float().mean() > 0.95


class Large(TorchDispatchMode):
    """Counts the arrays of a million numbers or more that are made."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        given = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        for t in tree_leaves(made):
            self.count += isinstance(t, torch.Tensor) and t.numel() >= 1e6 and t.untyped_storage().data_ptr() not in given
        return made


def test_the_pieces_of_a_match_share_their_memory():
    size, layers = (64, 64), (GRID,)
    own, bank = ({GRID: torch.rand(1, 32, *size)} for _ in range(2))
    picture, cells = torch.rand(1, 3, *size), torch.arange(size[0] * size[1])
    with Large() as large:
        torch.ones(1000, 1000).mul_(2)
        assert large.count == 1, "it does not count"
        Field(own, bank, layers, {GRID: torch.zeros(32)}, (picture, picture), cells, cells)
    assert large.count == 1 + 2, "of nine pieces, products and scores"


@pytest.mark.parametrize("layers", [COARSE, FINE])
def test_the_object_is_painted_and_stays_itself(features, layers, cat):
    target, bank = strokes(64, 80, 1), strokes(96, 128, 2)
    start = torch.from_numpy(cat[:64, :80].transpose(2, 0, 1) / np.float32(255))[None]
    mask = disc(64, 80, 24)
    painting = Painting(features, scene(start, target, mask, bank), layers, WEIGHTS, start)
    optimiser = LBFGS(painting, start.flatten())
    before = dict(painting.last)
    for _ in range(12):
        optimiser.iterate()
    assert float(painting.last["style"]) < 0.9 * float(before["style"])
    blend = painting.compose(optimiser.x.view_as(start))
    assert torch.equal(blend[mask.expand_as(blend) == 0], target[mask.expand_as(blend) == 0])
    low = lambda image: torch.nn.functional.avg_pool2d(to_axes(image)[:, :1] * mask, 8)
    correlation = torch.corrcoef(torch.stack((low(blend).flatten(), low(start).flatten())))[0, 1]
    assert float(correlation) > 0.9


@pytest.mark.parametrize("channels", [1, 3])
def test_an_evaluation_never_waits_for_the_device(features, channels):
    start, target, bank = (strokes(48, 64, seed)[:, :channels] for seed in (0, 1, 2))
    painting = Painting(features, scene(start, target, disc(48, 64, 16), bank), COARSE, WEIGHTS, start)
    x = start.flatten().clone()
    Reads.count = 0
    with Reads():
        painting(x)
    assert Reads.count == 0


@pytest.mark.parametrize("place", [(8, 16), (24, 8), (40, 40)])
def test_an_object_of_one_position_is_painted_too(features, place):
    start, target, bank = strokes(64, 64), strokes(64, 64, 1), strokes(64, 64, 2)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., place[0] : place[0] + 3, place[1] : place[1] + 3] = 1
    value, gradient = Painting(features, scene(start, target, mask, bank), COARSE, WEIGHTS, start)((start + 0.1).flatten())
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0


def test_where_the_target_is_seen_nowhere_something_is_matched_all_the_same(features):
    start, target = strokes(48, 48), strokes(48, 48, 1)
    covered = Scene(target, start, disc(48, 48, 16), target, torch.zeros(1, 1, 48, 48))
    value, _ = Painting(features, covered, COARSE, WEIGHTS, start)(start.flatten())
    assert torch.isfinite(value)


def around(target: torch.Tensor) -> Surroundings:
    """A target, 128 px wide and high, with a small mask in its middle."""
    picture = np.ascontiguousarray(target[0].permute(1, 2, 0).numpy())
    mask = np.zeros(picture.shape[:2], np.float32)
    mask[60:68, 60:68] = 1
    return Surroundings.of(Problem.from_arrays(picture, picture, mask), (0, 0, 128, 128))


def painted(target: torch.Tensor) -> float:
    return _painted(*_strokes(around(target)))


def test_a_target_of_strokes_is_painted_and_a_photograph_is_not():
    assert painted(strokes(128, 128, level=0.08)) > 0.9
    assert painted(torch.full((1, 3, 128, 128), 0.5)) == 0
    half = strokes(128, 128, level=0.08)
    half[..., 50:] = 0.5  # sharp and unsharp parts
    assert painted(half) == 0
    gravel = torch.from_numpy(np.random.default_rng(0).normal(0.5, 0.25, (1, 1, 128, 128)).astype(np.float32)).expand(1, 3, -1, -1)
    assert painted(gravel) == 0


def test_colours_are_trusted_where_the_target_shows_the_objects_like(features):
    bank, plain = strokes(128, 128, 2), torch.full((1, 3, 128, 128), 0.5)
    start = bank[..., :64, :80]
    measured = lambda target: strength(features, scene(start, start, disc(64, 80, 24), target), around(target)).palette
    assert measured(bank) == 1
    assert measured(plain) == 0
    grey = Scene(*(image[:, :1] for image in vars(scene(start, start, disc(64, 80, 24), bank)).values()))
    assert strength(features, grey, around(bank)).palette == 0


def test_a_cat_on_a_cat_is_told_from_a_cat_on_a_cup(features):
    cat, cup = data.chelsea()[:296, :440], data.coffee()[:296, :440]
    y, x = np.mgrid[:296, :440]
    radius = np.hypot(y - 140, x - 220)
    another = np.where(radius[..., None] < 130, cat[:, ::-1] * (0.5, 0.7, 1.0), cup).astype(np.uint8)
    for target, wanted in ((cup, False), (another, True)):
        window = Surroundings.of(Problem.from_arrays(cat, target, (radius < 110).astype(np.float32)), (0, 0, 440, 296))
        factor = scale_of_kinds(window.mask)
        parts = window.target, window.source, window.mask[None], window.target, window.known[None].float()
        small = [resized(part[None], factor) for part in parts]
        assert covers_its_like(features, Scene(*small)) == wanted


def test_an_objects_colour_gets_one_new_colour_wherever_it_stands():
    """Found as spots of two colours on each half, the new palette is even on each."""
    before = torch.zeros(1, 3, 32, 48)
    before[..., :24], before[..., 24:] = 0.2, 0.8
    found = before.clone()
    found[:, 0, ::2] += 0.2
    found[:, 2, 1::2] += 0.2
    big = torch.nn.functional.interpolate(before, (64, 96), mode="nearest")[0]
    change = recolour.shift(big, torch.ones(64, 96, dtype=torch.bool), before, torch.ones(1, 1, 32, 48), found)
    assert to_axes(change)[0].abs().max() < 1e-5
    for half in (np.s_[..., :40], np.s_[..., 56:]):
        # Between red and blue, evenly but for the places' own say.
        assert change[half].std(dim=(1, 2)).max() < 0.03
        assert to_axes(change)[half][2].mean() < 0
