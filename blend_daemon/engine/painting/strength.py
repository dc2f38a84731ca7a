"""How much of a painting the target is, and how well its matter can show the object: how much there is to be painted, and with what."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from blend_daemon.engine.network.features import Features
from blend_daemon.engine.network.losses import positions
from blend_daemon.engine.painting.matching import rows
from blend_daemon.engine.painting.objective import Scene, covered
from blend_daemon.engine.raster.axes import to_axes
from blend_daemon.engine.raster.filters import blur
from blend_daemon.engine.raster.surroundings import Surroundings

STROKE = 1.0, 2.0  # px: the band of a stroke's edges
PLACE = 8.0  # px over which a place's energy is averaged
SAMPLES = 50_000
# Levels of 255 of the calmest tenth of the places: a photograph has places without any texture, a painting has none. Gravel or grass have
# far more of it than paint.
CALM, PAINTED, BOLD, GRAVEL, WILD = 0.6, 2.2, 4.0, 5.0, 8.0
# The calmest tenth over the median: strokes lie everywhere; a photograph has sharp and unsharp parts.
UNEVEN, EVEN = 0.2, 0.4
DULL, BRIGHT = 0.35, 0.6  # half painted is neither a photograph nor a painting: to the eye it is a veil
FEWEST = 8  # positions of the target, below which nothing can be said
LAYERS = ("conv2_2", "conv3_3")
# Sum over the layers of the mean cosine of the object's features to the most similar ones of the target: 1.1 is a portrait among
# faces, 0.7 a cup among leaves. Where nothing of the target is like the object, what is painted is not the object.
STRANGE, ALIKE = 0.95, 1.1
CONSPICUOUS = 0.15  # by how much less alike an object may be among the boldest strokes, where a photograph catches the eye
DOUBTED, TRUSTED = 0.9, 1.0  # the same for the colours that are found for the object

KIND = "conv4_3"  # knows an eye from a hand
ACROSS = 80.0  # px, the object's size for it: a position then sees most of the object
SMALLEST = 64  # positions of the object, below which it has no parts that could lie on their like
NEARBY = 0.12  # of the object's size, within which what it covers is in its place


@dataclass(frozen=True)
class Strength:
    """How much of the target the object takes on.

    Attributes
    ----------
    paint : 0..1, how much of it is painted
    palette : 0..1, how far the colours are to be trusted that the most similar places of the target have
    """

    paint: float
    palette: float


def strength(features: Features, scene: Scene, bank: Surroundings) -> Strength:
    """Measure it.

    Parameters
    ----------
    scene : the start at a quarter of the working scale
    bank : the target around the object at full scale
    """
    likeness = _likeness(features, scene)
    calm, usual = _strokes(bank)
    alike = _between(likeness + CONSPICUOUS * _between(calm, BOLD, GRAVEL), STRANGE, ALIKE)
    coloured = scene.start.shape[1] == 3
    return Strength(_between(_painted(calm, usual) * alike, DULL, BRIGHT), _between(likeness, DOUBTED, TRUSTED) if coloured else 0.0)


def scale_of_kinds(cover: Tensor) -> float:
    """The factor at which `covers_its_like` looks at an object of which (h, w) tells how much of each pixel it covers."""
    return min(ACROSS / max(float(cover.sum()), 1.0) ** 0.5, 1.0)


@torch.no_grad()
def covers_its_like(features: Features, scene: Scene) -> bool:
    """Whether the object lies on the same kind of thing, a face on a face: place by place, nothing that the bank shows is as much like it
    as what it covers.

    Parameters
    ----------
    scene : the start at `scale_of_kinds`
    """
    own, bank, under = (features(image.expand(-1, 3, -1, -1), (KIND,))[KIND] for image in (scene.start, scene.bank, scene.target))
    free = positions(scene.free, bank).flatten() > 0.95
    inside = covered(positions(scene.mask, own))
    if free.sum() < FEWEST or len(inside) < SMALLEST:
        return False
    offered = rows(bank)[free].float()
    mean = offered.mean(dim=0)
    shown, offered, hidden = (F.normalize(f.float() - mean, dim=1) for f in (rows(own)[inside], offered, rows(under)[inside]))
    y, x = inside // own.shape[-1], inside % own.shape[-1]
    reach = NEARBY * len(inside) ** 0.5
    in_place = ((y[:, None] - y).abs() <= reach) & ((x[:, None] - x).abs() <= reach)
    most = lambda cosine: float(cosine.amax(dim=1).mean())
    return most((shown @ hidden.T).masked_fill(~in_place, -1.0)) > most(shown @ offered.T)


def _painted(calm: float, usual: float) -> float:
    """How surely a target with such strokes is a painting, 0..1."""
    return _between(calm, CALM, PAINTED) * (1 - _between(calm, GRAVEL, WILD)) * _between(calm / max(usual, 1e-6), UNEVEN, EVEN)


def _strokes(bank: Surroundings) -> tuple[float, float]:
    """Energy of strokes, in levels of 255: that of the calmest tenth of the places, and the median."""
    luma = to_axes(bank.target)[:1].clamp(0, 1)
    stroke = blur(luma, STROKE[0]) - blur(luma, STROKE[1])
    energy = 255 * blur(stroke.square(), PLACE).clamp(min=0).sqrt()[0][bank.known]
    if not len(energy):
        return 0.0, 0.0
    calm, usual = torch.quantile(energy[:: max(1, len(energy) // SAMPLES)], torch.tensor([0.1, 0.5], device=energy.device)).tolist()
    return calm, usual


@torch.no_grad()
def _likeness(features: Features, scene: Scene) -> float:
    own, bank = (features(image.expand(-1, 3, -1, -1), LAYERS) for image in (scene.start, scene.bank))
    total = 0.0
    for name in LAYERS:
        free = positions(scene.free, bank[name]).flatten() > 0.95
        if free.sum() < FEWEST:
            return 0.0
        offered = rows(bank[name])[free].float()
        asked = rows(own[name])[covered(positions(scene.mask, own[name]))].float()
        mean = offered.mean(dim=0)
        total += float((F.normalize(asked - mean, dim=1) @ F.normalize(offered - mean, dim=1).T).amax(dim=1).mean())
    return total


def _between(value: float, low: float, high: float) -> float:
    return min(max((value - low) / (high - low), 0.0), 1.0)
