"""The start of the optimiser: the object in the target's light, solid, with an edge that closes.

Three closed-form steps, each an answer to something that a Laplacian and features do badly (docs/engine.md):

1. What of the selection is the object is told from the backdrop (`matting`): of the backdrop nothing is kept.
2. The object's colours move some of the way to the target's, by one map for the whole object: its luma keeps its own contrast, as far as
   the target's darkest and brightest tones allow; its chroma nears the target's.
3. Where no backdrop can be told apart but the source goes on around the selection, a screened, edge-aware membrane closes the seam.
   Poisson's membrane carries the colours of the boundary across the whole object; this one runs freely through smooth surroundings
   and is held back by the object's own edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from blend_daemon.engine.axes import from_axes, to_axes
from blend_daemon.engine.filters import blur
from blend_daemon.engine.matting import foreground, matte
from blend_daemon.engine.pixels import split_alpha, to_float
from blend_daemon.engine.poisson import PoissonSolver, Surroundings, residual
from blend_daemon.engine.problem import Problem

SAMPLES = 50_000  # pixels of the target that stand for its palette
LUMA_SHIFT, CHROMA_SHIFT = 0.4, 0.4  # share of the way that the means move, with the slider in the middle
LUMA_RANGE = 0.5  # share of the way back into the target's range, of tones that are darker or brighter than any of its own
LEAST_LUMA, MOST_LUMA = 0.88, 1.15  # of its own contrast that the object keeps: one that has lost its light and shade is fog
LEAST_CHROMA, MOST_CHROMA = 0.75, 1.2  # of its own spread of chroma
NEAR = 0.5  # weight of the surroundings in the mean to move to; the rest is the whole target's
TINT = 0.02  # spread of chroma that every picture is given, so that a grey one takes no object's colours
EDGE = 0.04  # a source step of ten 8-bit levels halves and more the membrane's conductance
RING = 4  # px along the mask where the membrane always conducts, so that an edge of the source there cannot keep the seam open
DETAIL_SIGMA = 2.5  # px: what is finer goes on in the backdrop as it is in the target
LUMA_REACH = 2.0  # the membrane's width for luma, as a multiple of that for chroma
BACKDROP_REACH = 3.0  # how far a smooth backdrop is followed, as a multiple of the width
CUT = 2  # px around a pixel of the mask's edge within which the source must be smooth for the edge to cut through a backdrop
THIN = 6.0  # px: what is not thicker keeps its middle whole
LEAST_AROUND = 0.1  # of the mask's pixels: a layer that shows less than this outside the selection was cut out
ITERATIONS = 9


@dataclass(frozen=True)
class Harmony:
    """What `harmonise` is asked for.

    Attributes
    ----------
    colour : 0 (the object's own colours) over 1 (as far as people like it) to 2
    width : depth within which the membrane's correction fades, as a share of the object's thickness
    softness : px over which the object's edge goes over into the target
    """

    colour: float
    width: float
    softness: float


@dataclass(frozen=True)
class Start:
    """The harmonised object over a window.

    Attributes
    ----------
    colours : (channels, h, w), the object where the mask is above 0, the target elsewhere
    cover : (h, w) in 0..1, how much of each pixel of the mask is the object; the rest is the target's
    """

    colours: Tensor
    cover: Tensor


def reach(pixels: int) -> int:
    """How far around the mask, in px, the target's pixels count as the object's surroundings."""
    return int(min(max(0.25 * pixels**0.5, 24), 200))


def palette(problem: Problem) -> Tensor:
    """Colours of the target's visible pixels outside the mask, evenly taken, (channels, n)."""
    height, width = problem.target.shape[:2]
    stride = max(1, round((height * width / SAMPLES) ** 0.5))
    colours, opacity = split_alpha(problem.target[::stride, ::stride])
    seen = problem.mask_on((0, 0, width, height))[::stride, ::stride] == 0
    if opacity is not None:
        seen &= opacity > 0
    return torch.from_numpy(np.ascontiguousarray(to_float(colours)[seen].T))


def harmonise(around: Surroundings, whole: Tensor, harmony: Harmony, margin: int) -> Start:
    """The start over the window.

    Parameters
    ----------
    around : the window, at least 1 px larger than the mask on each side where the canvas allows
    whole : the target's `palette`, (channels, n)
    harmony : amounts
    margin : px around the mask whose target pixels are the object's surroundings
    """
    inner = _distance(~around.known) * around.unknown  # beyond the canvas, and where the target is transparent, is no edge
    near = around.known & (_distance(~around.unknown) <= margin)
    thickness = float(inner.max())
    own = around.unknown & around.sourced
    cover = _edge(around, inner, thickness, harmony.softness)
    source = around.source
    found = matte(source, around.sourced, around.unknown)
    if found is not None and not torch.minimum(cover, found).any():
        found = None  # of a pixel or two all may look like backdrop; but something was selected
    if found is not None:
        source, cover = foreground(source, found), torch.minimum(cover, found)
        own &= found > 0.5
    if own.sum() >= 16 and near.sum() >= 16:
        source = move_colours(source, source[:, own], around.target[:, near], whole.to(source), harmony.colour)
    surroundings = int((around.sourced & ~around.unknown).sum())
    if found is None and surroundings > LEAST_AROUND * int(around.unknown.sum()):
        source = source + _closing(around, source, inner, max(harmony.width * thickness, 1.5))
    return Start(torch.where(around.unknown & around.sourced, source, around.target), cover)


def _distance(region: Tensor) -> Tensor:
    """Distance in px from each pixel of a region, (h, w) bool, to what lies outside it; 0 outside. Large if all is region."""
    if bool(region.all()):
        return torch.full(region.shape, float(sum(region.shape)), device=region.device)
    return torch.from_numpy(ndimage.distance_transform_edt(region.cpu().numpy())).float().to(region.device)


def move_colours(image: Tensor, own: Tensor, near: Tensor, whole: Tensor, amount: float) -> Tensor:
    """Move (c, h, w) by the affine map, luma and each axis of chroma apart, that takes the object's colours `own` (c, n) towards the
    surroundings' `near` and the whole target's `whole`."""
    some = lambda x: to_axes(x[:, :: max(1, x.shape[1] // SAMPLES), None])[..., 0]
    x, a, b, g = to_axes(image), some(own), some(near), some(whole if whole.numel() else near)
    wanted = NEAR * b.mean(dim=1) + (1 - NEAR) * g.mean(dim=1)
    out = _move_luma(x[0], a[0], wanted[0], g[0], amount)[None]
    if len(x) == 3:
        mean = a[1:].mean(dim=1)
        least = 1 - (1 - LEAST_CHROMA) * amount
        scale = ((g[1:].std(dim=1) + TINT) / (a[1:].std(dim=1) + TINT)).clamp(least, 1 + (MOST_CHROMA - 1) * amount)
        shift = mean + min(CHROMA_SHIFT * amount, 1.0) * (wanted[1:] - mean) - scale * mean
        out = torch.cat((out, x[1:] * scale[:, None, None] + shift[:, None, None]))
    return from_axes(out)


def _move_luma(luma: Tensor, own: Tensor, wanted: Tensor, whole: Tensor, amount: float) -> Tensor:
    ends = torch.tensor([0.02, 0.98], device=own.device)
    low, high = torch.quantile(own, ends)
    darkest, brightest = torch.quantile(whole, ends)
    shift, back = LUMA_SHIFT * amount * (wanted - own.mean()), min(LUMA_RANGE * amount, 1.0)
    bottom, top = low + shift, high + shift
    bottom, top = bottom + back * (darkest - bottom).clamp(min=0), top - back * (top - brightest).clamp(min=0)
    least = max(1 - (1 - LEAST_LUMA) * amount, 0.5)
    scale = ((top - bottom) / (high - low).clamp(min=1e-3)).clamp(least, 1 + (MOST_LUMA - 1) * amount)
    middle, half = (bottom + top) / 2, (high - low) / 2 * scale
    # Nothing is burnt out or drowned that was not so before.
    limit = torch.maximum(brightest, high).clamp(min=1)
    middle = torch.minimum(torch.maximum(middle, torch.minimum(half, low + half)), limit - half)
    return (luma - (low + high) / 2) * scale + middle


def _edge(around: Surroundings, inner: Tensor, thickness: float, softness: float) -> Tensor:
    """How far a pixel of the mask is inside it, (h, w) in 0..1: a jagged edge becomes a painted one, and the rim of a rough cut-out,
    which is half old backdrop, goes."""
    smooth = blur((~around.known).to(inner)[None], max(softness, 0.3))[0]
    rounded = ((smooth - 0.55) / 0.44).clamp(0, 1)
    # A line of a pixel or two has no inside, and stays.
    if thickness < THIN:
        rounded = torch.maximum(rounded, inner / thickness)
    return rounded * around.unknown


def _closing(around: Surroundings, source: Tensor, inner: Tensor, width: float) -> Tensor:
    """What closes the seam of a selection that the source goes on around: (c, h, w)."""
    right, down = (_conductance(around.source, inner, axis) for axis in (2, 1))
    backdrop = _backdrop(around, right, down, width)
    correction = _membrane(around, residual(around, source, right, down), right, down, width, backdrop)
    # A smooth patch beside strokes or stones is a seam too.
    return correction + backdrop * (_fine(around.target) - _fine(source)) * around.visible


def _membrane(around: Surroundings, r: Tensor, right: Tensor, down: Tensor, width: float, backdrop: Tensor) -> Tensor:
    """The correction that closes the seam, (c, h, w).

    In the luma the backdrop that a coarse selection includes follows the target wholly: a rim of other brightness is what shows
    most. In the chroma it fades as it does in the object, since a hue that changes within the object shows more.
    """
    luma_screening = (1 - backdrop) * (LUMA_REACH * width) ** -2
    luma = PoissonSolver(around.unknown, around.known, right, down, luma_screening)
    if len(r) == 1:
        return luma.solve(r, ITERATIONS)
    chroma = PoissonSolver(around.unknown, around.known, right, down, width**-2)
    r = to_axes(r)
    return from_axes(torch.cat((luma.solve(r[:1], ITERATIONS), chroma.solve(r[1:], ITERATIONS))))


def _backdrop(around: Surroundings, right: Tensor, down: Tensor, width: float) -> Tensor:
    """How surely a pixel of the mask belongs to the source's backdrop, not to the object: (h, w) in 0..1.

    A membrane of value 1 where the mask's edge cuts through smooth source stays near 1 as far as no edge of the source stops it. Where the
    source has an edge along the mask's, or ends there, the selection is exact, and what lies within is the object.
    """
    one = (around.known * _goes_on(around))[None]
    flat = Surroundings(one, torch.zeros_like(one), around.mask, around.unknown, around.known, around.sourced, around.visible)
    solver = PoissonSolver(around.unknown, around.known, right, down, (BACKDROP_REACH * width) ** -2)
    influence = solver.solve(residual(flat, flat.source, right, down), ITERATIONS)[0]
    return ((influence - 0.5) / 0.4).clamp(0, 1)


def _goes_on(around: Surroundings) -> Tensor:
    """How smoothly the source goes on across each pixel: (h, w), 1 for a flat neighbourhood, 0 where a neighbour does not exist."""
    size = 2 * CUT + 1
    highest, lowest = (F.max_pool2d(sign * around.source, size, 1, CUT) * sign for sign in (1, -1))
    ends = F.max_pool2d((~around.sourced).float()[None], 3, 1, 1)[0]
    return (1 - ends) / (1 + ((highest - lowest).amax(dim=0) / (CUT * EDGE)).square())


def _conductance(source: Tensor, inner: Tensor, axis: int) -> Tensor:
    n = source.shape[axis]
    step = (source.narrow(axis, 1, n - 1) - source.narrow(axis, 0, n - 1)).abs().amax(dim=0)
    depth = torch.minimum(inner.narrow(axis - 1, 1, n - 1), inner.narrow(axis - 1, 0, n - 1))
    return torch.maximum(1 / (1 + (step / EDGE).square()), (1 - depth / RING).clamp(min=0))


def _fine(image: Tensor) -> Tensor:
    luma = to_axes(image)[:1]
    return luma - blur(luma, DETAIL_SIGMA)
