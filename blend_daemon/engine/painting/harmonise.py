"""The start of the optimiser: the object in the target's light, solid, with an edge that closes.

Three closed-form steps, each an answer to something that a Laplacian and features do badly (docs/engine.md):

1. What of the selection is the object is told from the backdrop (`matting`): of the backdrop nothing is kept. The rim of a cut-out, where
   its old backdrop shines through, takes the colours of what lies deeper.
2. The object's colours move some of the way to the target's, by one map for the whole object: a curve takes its luma nearer, and black
   stays black unless the target has none; its chroma nears the target's. What is not painted is given the target's light besides: dark
   parts near the chroma of its dark tones, bright ones that of its bright tones, and each side the colours of what lies on that side. Where
   the object covers its like, a face on a face, the colours and the exposure to take are those of what it covers.
3. Where no backdrop can be told apart but the source goes on around the selection, a screened, edge-aware membrane closes the seam.
   Poisson's membrane carries the colours of the boundary across the whole object; this one runs freely through smooth surroundings
   and is held back by the object's own edges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from blend_daemon.engine.painting.matting import foreground, matte
from blend_daemon.engine.poisson.equation import residual
from blend_daemon.engine.poisson.multigrid import PoissonSolver
from blend_daemon.engine.raster.axes import from_axes, to_axes
from blend_daemon.engine.raster.filters import blur
from blend_daemon.engine.raster.problem import Problem
from blend_daemon.engine.raster.surroundings import Surroundings
from blend_protocol.methods import PALETTE

TONES, TONE_WIDTH = 33, 0.1  # lumas at which the target's chroma is known, and the width of what counts as one of them
LEAST_TONE = 0.3  # weight of all of the target's tones in each of them, so that a rare one does not decide alone
AMBIENT_LUMA, AMBIENT_CHROMA = 0.25, 0.6  # share of the surroundings' own differences that falls on the object
AMBIENT_WIDTH = 0.08  # of the object's size, over which the surroundings are averaged; at least AMBIENT_LEAST px
AMBIENT_LEAST = 6.0
SAMPLES = 50_000  # pixels at most whose tones count
LUMA_SHIFT, CHROMA_SHIFT = 0.4, 0.4  # share of the way that the means move, with the slider in the middle
BEND = 0.6  # of the luma's curve at most: its slope stays within 1 - BEND and 1 + BEND
LUMA_RANGE = 0.35  # share of the way back into the target's range, of tones that are darker or brighter than any of its own
LIKE = 1.8  # times further colours move where the object covers its like: what they should be is known then
GROWS_IN = 0.06  # of the object's thickness, added to its edge's softness where it covers its like: skin goes over into skin
BRIGHT, EXPOSED, MOST_EXPOSURE = 0.8, 0.8, 1.8  # there: the quantile of luma that shows the light, share of the way, and at most
LEAST_LUMA, MOST_LUMA = 0.88, 1.15  # of its own contrast that the object keeps: one that has lost its light and shade is fog
LEAST_CHROMA, MOST_CHROMA = 0.75, 1.2  # of its own spread of chroma
NEAR = 0.5  # weight of the surroundings in the mean to move to; the rest is the whole target's
TINT = 0.02  # spread of chroma that every picture is given, so that a grey one takes no object's colours
EDGE = 0.04  # a source step of ten 8-bit levels halves and more the membrane's conductance
RING = 4  # px along the mask where the membrane always conducts, so that an edge of the source there cannot keep the seam open
DETAIL_SIGMA = 2.5  # px: what is finer goes on in the backdrop as it is in the target
PAST = 0.02  # by which the membrane may go past the target's colours
BACKDROP_REACH = 3.0  # how far a smooth backdrop is followed, as a multiple of the width
CUT = 2  # px around a pixel of the mask's edge within which the source must be smooth for the edge to cut through a backdrop
THIN, NEARBY = 3.5, 3  # depth in px of what is thin, and how far around a pixel its depth is looked at: what is thin keeps its middle
RIM = 1.5  # px along the edge of a cut-out, in which its old backdrop often shows: they take the colours of what lies deeper
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
    light : (channels, h, w), what the target's light changes in them; the palette of what is painted is found by matching instead
    cover : (h, w) in 0..1, how much of each pixel of the mask is the object; the rest is the target's
    """

    colours: Tensor
    light: Tensor
    cover: Tensor


def palette(problem: Problem) -> Tensor:
    """Colours of the target's visible pixels outside the mask, evenly taken, (channels, n)."""
    return torch.from_numpy(np.ascontiguousarray(problem.palette(PALETTE).T))


def harmonise(around: Surroundings, whole: Tensor, harmony: Harmony, margin: int, on_its_like: bool = False) -> Start:
    """The start over the window.

    Parameters
    ----------
    around : the window, at least 1 px larger than the mask on each side where the canvas allows
    whole : the target's `palette`, (channels, n)
    harmony : amounts
    margin : px around the mask whose target pixels are the object's surroundings
    on_its_like : whether it covers its like (`strength.covers_its_like`), whose colours then are the ones to take
    """
    inner = _distance(~around.known) * around.unknown  # beyond the canvas, and where the target is transparent, is no edge
    near = around.known & (_distance(~around.unknown) <= margin)
    if on_its_like:
        near = around.unknown & around.visible
        whole = around.target[:, near]
    thickness = float(inner.max())
    own = around.unknown & around.sourced
    deepest = F.max_pool2d(inner[None], 2 * NEARBY + 1, 1, NEARBY)[0]
    softness = harmony.softness * (1 + GROWS_IN * thickness if on_its_like else 1)
    cover = _edge(around, inner, deepest, softness)
    source = around.source
    found = matte(source, around.sourced, around.unknown)
    if found is not None and not torch.minimum(cover, found).any():
        found = None  # of a pixel or two all may look like backdrop; but something was selected
    goes_on = found is None and int((around.sourced & ~around.unknown).sum()) > LEAST_AROUND * int(around.unknown.sum())
    if found is not None:
        source, cover = foreground(source, found), torch.minimum(cover, found)
        own &= found > 0.5
    elif not goes_on:
        source = foreground(source, ((inner >= deepest.clamp(max=RIM)) & own).to(source))
    light = torch.zeros_like(source)
    if own.sum() >= 16 and near.sum() >= 16:
        of_target = around.target[:, near], whole.to(source) if whole.numel() else around.target[:, near]
        amount, exposure = harmony.colour, 1.0
        if on_its_like:
            exposure, amount = _exposure(source[:, own], whole, amount), min(LIKE * amount, 2.0)
        source = move_colours(exposure * source, exposure * source[:, own], *of_target, amount, exposed=exposure > 1)
        light = toned(source, *of_target, amount)
        if not goes_on:  # else the membrane carries it
            light += _ambient(around, source, own, amount)
    if goes_on:
        source = source + _closing(around, source + light, inner, max(harmony.width * thickness, 1.5))
    shown = around.unknown & around.sourced
    return Start(torch.where(shown, source, around.target), light * shown, cover)


def _distance(region: Tensor) -> Tensor:
    """Distance in px from each pixel of a region, (h, w) bool, to what lies outside it; 0 outside. Large if all is region."""
    if bool(region.all()):
        return torch.full(region.shape, float(sum(region.shape)), device=region.device)
    return torch.from_numpy(ndimage.distance_transform_edt(region.cpu().numpy())).float().to(region.device)


def _exposure(own: Tensor, like: Tensor, amount: float) -> float:
    """The factor that takes the bright of the object's colours (c, n) up towards the bright of its like (c, m): a face in another's light.
    Never down: that is left to the curve of luma, which keeps what is dark."""
    bright, wanted = (float(torch.quantile(_sampled(colours)[0], BRIGHT).clamp(min=1e-3)) for colours in (own, like))
    return min(max((wanted / bright) ** min(EXPOSED * amount, 1.0), 1.0), MOST_EXPOSURE)


def move_colours(image: Tensor, own: Tensor, near: Tensor, whole: Tensor, amount: float, exposed: bool = False) -> Tensor:
    """Move (c, h, w) by one map, luma and each axis of chroma apart, that takes the object's colours `own` (c, n) towards the
    surroundings' `near` and the whole target's `whole`. If it is `exposed` rightly the luma's mean stays."""
    x, a, b, g = to_axes(image), *(_sampled(colours) for colours in (own, near, whole))
    wanted = NEAR * b.mean(dim=1) + (1 - NEAR) * g.mean(dim=1)
    out = _curve(a[0], a[0].mean() if exposed else wanted[0], g[0], amount)(x[0])[None]
    if len(x) == 3:
        mean = a[1:].mean(dim=1)
        least = 1 - (1 - LEAST_CHROMA) * amount
        scale = ((g[1:].std(dim=1) + TINT) / (a[1:].std(dim=1) + TINT)).clamp(least, 1 + (MOST_CHROMA - 1) * amount)
        shift = mean + min(CHROMA_SHIFT * amount, 1.0) * (wanted[1:] - mean) - scale * mean
        out = torch.cat((out, x[1:] * scale[:, None, None] + shift[:, None, None]))
    return from_axes(out)


def _sampled(colours: Tensor) -> Tensor:
    """Some of (c, n) colours, on the axes."""
    return to_axes(colours[:, :: max(1, colours.shape[1] // SAMPLES), None])[..., 0]


def _curve(own: Tensor, wanted: Tensor, whole: Tensor, amount: float) -> Callable[[Tensor], Tensor]:
    """The map of luma, of the object's `own` (n) towards a mean and the range of the whole target's (m)."""
    ends = torch.tensor([0.02, 0.98], device=own.device)
    low, high = torch.quantile(own, ends)
    darkest, brightest = torch.quantile(whole, ends)
    back = min(LUMA_RANGE * amount, 1.0)
    bottom, top = low + back * (darkest - low).clamp(min=0), high - back * (high - brightest).clamp(min=0)
    least = max(1 - (1 - LEAST_LUMA) * amount, 0.5)
    scale = ((top - bottom) / (high - low).clamp(min=1e-3)).clamp(least, 1 + (MOST_LUMA - 1) * amount)
    middle, half = (bottom + top) / 2, (high - low).clamp(min=1e-3) / 2 * scale
    # Nothing is burnt out or drowned that was not so before.
    limit = torch.maximum(brightest, high).clamp(min=1)
    middle = torch.minimum(torch.maximum(middle, torch.minimum(half, low + half)), limit - half)
    straight = lambda luma: (luma - (low + high) / 2) * scale + middle

    def bulge(luma: Tensor) -> Tensor:
        share = ((luma - middle + half) / (2 * half)).clamp(0, 1)
        return 2 * half * share * (1 - share)

    moved = straight(own)
    # A shift would lift a dark object's black to grey; a curve takes the mean along and leaves the ends.
    bend = LUMA_SHIFT * amount * (wanted - moved.mean()) / bulge(moved).mean().clamp(min=1e-3)
    bend = bend.clamp(-BEND, BEND)
    return lambda luma: straight(luma) + bend * bulge(straight(luma))


def toned(image: Tensor, near: Tensor, whole: Tensor, amount: float) -> Tensor:
    """How the target's light differs from tone to tone: the change of chroma, (c, h, w), that takes each luma of the object some of the
    way from the mean of the target's colours to the mean of those of about the same luma."""
    luma = to_axes(image)[:1]
    if len(image) == 1:
        return torch.zeros_like(image)
    at = torch.linspace(0, 1, TONES, device=image.device)
    table = torch.zeros(TONES, 2, device=image.device)
    for share, colours in ((NEAR, _sampled(near)), (1 - NEAR, _sampled(whole))):
        weight = torch.exp(-0.5 * ((colours[0] - at[:, None]) / TONE_WIDTH).square())
        weight = weight + LEAST_TONE * weight.mean() + 1e-6
        table += share * ((weight @ colours[1:].T) / weight.sum(dim=1, keepdim=True) - colours[1:].mean(dim=1))
    place = luma[0].clamp(0, 1) * (TONES - 1)
    below = place.long().clamp(max=TONES - 2)
    change = torch.lerp(table[below], table[below + 1], (place - below)[..., None]).permute(2, 0, 1)
    return from_axes(torch.cat((torch.zeros_like(luma), min(CHROMA_SHIFT * amount, 1.0) * change)))


def _carried_in(around: Surroundings, width: float) -> Tensor:
    """The target's colours around the mask, averaged over `width` px and carried into it by a membrane: (c, h, w)."""
    there = around.known.to(around.target)
    smooth = blur(around.target * there, width) / blur(there[None], width).clamp(min=1e-3)
    flat = replace(around, target=smooth * there, source=torch.zeros_like(smooth))
    return PoissonSolver(around.unknown, around.known).solve(residual(flat, flat.source), ITERATIONS)


def _ambient(around: Surroundings, image: Tensor, own: Tensor, amount: float) -> Tensor:
    """How the target's light differs from side to side: the surroundings' colours, averaged, carried into the mask by a membrane and
    taken from their mean, on what of the object is bright more than on what is dark; (c, h, w)."""
    width = max(AMBIENT_WIDTH * float(own.sum()) ** 0.5, AMBIENT_LEAST)
    field = to_axes(_carried_in(around, width))
    field = field - field[:, own].mean(dim=1)[:, None, None]
    luma = to_axes(image)[0]
    lit = 0.5 + 0.5 * (luma / luma[own].mean().clamp(min=0.05)).clamp(0, 1.5)
    share = torch.tensor([AMBIENT_LUMA, AMBIENT_CHROMA, AMBIENT_CHROMA][: len(field)], device=image.device)
    return from_axes(amount * share[:, None, None] * lit * field)


def _edge(around: Surroundings, inner: Tensor, deepest: Tensor, softness: float) -> Tensor:
    """How far a pixel of the mask is inside it, (h, w) in 0..1: a jagged edge becomes a painted one. What is thin keeps its middle, and
    such an edge of its own as an antialiased mask gives it. `deepest`: the largest depth nearby."""
    smooth = blur((~around.known).to(inner)[None], max(softness, 0.3))[0]
    rounded = ((smooth - 0.545) / 0.42).clamp(0, 1)
    middle = 2 * inner / deepest.clamp(min=1) - 1  # half way to the edge 0, so that the tips of a jagged edge do not show as dots
    soft = F.max_pool2d((around.unknown & (around.mask < 1)).to(inner)[None], 3, 1, 1)[0]
    return torch.where(deepest < THIN, torch.maximum(rounded, torch.maximum(middle, soft)), rounded) * around.unknown


def _closing(around: Surroundings, source: Tensor, inner: Tensor, width: float) -> Tensor:
    """What closes the seam of a selection that the source goes on around: (c, h, w)."""
    right, down = (_conductance(around.source, inner, axis) for axis in (2, 1))
    backdrop = _backdrop(around, right, down, width)
    correction = _membrane(around, residual(around, source, right, down), right, down, width, backdrop)
    correction = _held(around, source, correction, (1 - inner / RING).clamp(min=0))
    # A smooth patch beside strokes or stones is a seam too.
    return correction + backdrop * (_fine(around.target) - _fine(source)) * around.visible


def _held(around: Surroundings, source: Tensor, correction: Tensor, free: Tensor) -> Tensor:
    """The correction as far as it leads to the target's colours and not past them, (c, h, w): what makes a dark backdrop light burns out a
    bright patch beside it, and what makes a red one green makes white turquoise. Where it is `free`, (h, w), by that much more: at the
    edge it joins the target's strokes, of which the colours carried in show nothing."""
    way = to_axes(_carried_in(around, DETAIL_SIGMA) - blur(source, DETAIL_SIGMA))
    low, high = way.clamp(max=0) - PAST - free, way.clamp(min=0) + PAST + free
    return from_axes(torch.minimum(torch.maximum(to_axes(correction), low), high))


def _membrane(around: Surroundings, r: Tensor, right: Tensor, down: Tensor, width: float, backdrop: Tensor) -> Tensor:
    """The correction that closes the seam, (c, h, w).

    In the luma the backdrop that a coarse selection includes follows the target wholly: a rim of other brightness is what shows
    most. In the chroma it fades as it does in the object, since a hue that changes within the object shows more.
    """
    luma_screening = (1 - backdrop) * width**-2
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
