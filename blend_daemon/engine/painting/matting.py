"""The object within a coarse selection: what of it is the object, and what the backdrop that it was photographed before.

A layer that is left whole shows what lies around the selection. GrabCut (Rother, Kolmogorov, Blake, SIGGRAPH 2004) learns the backdrop's
colours there; of what has them, or the colours of backdrop found nearby, backdrop is what one can walk to from the selection's edge without
a step; and a guided filter (He, Sun, Tang, ECCV 2010) makes the hard cut follow the source's edges. What cannot be told apart stays: a
hole in an object is worse than a seam. The object's own colours at its edge are found by Forte's estimate (Approximate Fast Foreground
Colour Estimation, ICIP 2021).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from blend_daemon.engine.raster.filters import blur, guided

Bools = npt.NDArray[np.bool_]

LARGEST = 90_000  # pixels that GrabCut works on; the filter then works on all
ITERATIONS = 3
AROUND = 0.15  # of the object's side: how far around it the source is looked at
LEAST_PIXELS = 64  # of a mask: what is smaller is selected as it is meant
LEAST_AROUND = 0.1  # of the object's pixels: with fewer of them around it there is nothing to learn the backdrop from
CORE = 0.6  # of the largest depth in the mask: what lies deeper is the object's core
MOST_EXACT = 0.5  # of the mask's edge may be exact where GrabCut alone is believed
LEAST_LEFT = 0.1  # of the mask
LEAST_BACKDROP = 0.01  # of the mask: with less the selection is exact
LEAST_PART = 0.02  # of what is kept: what is smaller and lies alone is a crumb
LEAST_HOLE = 0.002  # of what is kept: what is smaller and lies in it is a glint
LEAST_UNUSUAL = 0.01  # of the mask: what is smaller may be backdrop of any colour, such as the rim of another thing
OUTLINE = 1.0  # px
SMOOTH = 0.1  # change of colour over 3 px up to which a backdrop goes on
STEP = 0.12  # change of colour across the mask's edge from which on the selection is exact there
BINS, USUAL = 16, 0.5  # of a histogram of colours for each channel; share of what a colour has in the mask, that it has around it at least
NEARBY = 0.1  # of the mask's side: how far around a pixel the backdrop's colours are averaged
ALIKE = 0.045  # difference of colour up to which a pixel is taken for more of it
BAND = 4.0  # px to both sides of the cut, within which a pixel may be object in part
SPREAD, FEW = 2.5, 1e-3  # px over which colours are carried over the object's edge; weight below which there are none to carry
GUIDE = 4, 1e-4  # radius in px, and regularisation, of the guided filter


class _Rule(NamedTuple):
    """What a cut must be like: this share of the core at most is lost, and at this quantile the colour changes by this step at least."""

    most_core_lost: float
    quantile: float
    step: float


# A patterned backdrop is full of steps, and next to nothing can be walked to: there GrabCut's own cut is believed if it is clear nearly
# everywhere.
ON_WALK, ALONE, LESS_CLEAR = _Rule(0.3, 0.5, 0.14), _Rule(0.01, 0.2, 0.14), _Rule(0.3, 0.5, 0.12)


def matte(source: Tensor, sourced: Tensor, unknown: Tensor) -> Tensor | None:
    """How much of each pixel of the mask is the object: (h, w) in 0..1. None if nothing shows that there is any backdrop, or where it ends.

    Parameters
    ----------
    source : (channels, h, w) in 0..1
    sourced, unknown : (h, w) bool, where the source exists, and the mask's support
    """
    inside, exists = (x.cpu().numpy() for x in (unknown, sourced))
    if np.count_nonzero(inside) < LEAST_PIXELS:
        return None
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    margin = max(16, int(AROUND * max(np.ptp(rows), np.ptp(columns))))
    cut = tuple(slice(max(int(x[0]) - margin, 0), int(x[-1]) + margin + 1) for x in (rows, columns))
    inside, exists = inside[cut], exists[cut]
    if np.count_nonzero(exists & ~inside) < LEAST_AROUND * np.count_nonzero(inside):
        return None
    part = source[:, *cut].expand(3, -1, -1).clamp(0, 1)
    colours = part.permute(1, 2, 0).cpu().numpy()
    if not exists.all():
        # What is not there is no sample of the backdrop: it shows the nearest colour that is.
        y, x = ndimage.distance_transform_edt(~exists, return_distances=False, return_indices=True)
        colours = colours[y, x]
    kept = _object(colours, inside, exists)
    if kept is None:
        return None
    hard = torch.from_numpy(kept).to(part)
    guide = torch.from_numpy(np.ascontiguousarray(colours.transpose(2, 0, 1))).to(part)
    soft = guided(hard[None], guide, *GUIDE)[0]
    depth = torch.from_numpy(ndimage.distance_transform_edt(kept) + ndimage.distance_transform_edt(~kept)).to(part)
    # Elsewhere the filter leaves a veil of some per cent, and a hole where the object has the backdrop's colours.
    at_cut = (BAND + 1 - depth).clamp(0, 1)
    out = torch.zeros_like(source[0])
    out[cut] = torch.lerp(hard, ((soft - 0.15) / 0.7).clamp(0, 1), at_cut) * torch.from_numpy(inside).to(part)
    return out


def foreground(source: Tensor, matte: Tensor) -> Tensor:
    """The source without the old backdrop that shines through at the object's edge: (channels, h, w). With F and B, the averages of
    object and backdrop nearby, it is F + a (I - a F - (1 - a) B), where I is the source and a the matte."""
    weights = torch.stack((matte, 1 - matte)) ** 3  # what is mixed tells less
    near = blur(weights, SPREAD)
    own, behind = (blur(source * weight, SPREAD) / total.clamp(min=1e-4) for weight, total in zip(weights, near, strict=True))
    unmixed = own + matte * (source - matte * own - (1 - matte) * torch.where(near[1] > FEW, behind, source))
    return torch.where(near[0] > FEW, unmixed.clamp(0, 1), source)


def _object(colours: npt.NDArray[np.float32], inside: Bools, exists: Bools) -> Bools | None:
    height, width = inside.shape
    scale = min(1.0, (LARGEST / inside.size) ** 0.5)
    size = max(round(width * scale), 8), max(round(height * scale), 8)
    small = cv2.resize(np.rint(colours[..., ::-1] * 255).astype(np.uint8), size, interpolation=cv2.INTER_AREA)
    within, there = (cv2.resize(x.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0 for x in (inside, exists))
    if not within.any() or within.all():
        return None
    kept = _kept(small.tobytes(), within.tobytes(), there.tobytes(), within.shape)
    if kept is None:
        return None
    if np.array_equal(kept, within):
        return inside
    return inside & (cv2.resize(kept.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) > 0.5)


# Each slider's sketch asks for it again, of the same pixels, and it takes most of a sketch's time.
@lru_cache(maxsize=4)
def _kept(image: bytes, mask: bytes, exists: bytes, size: tuple[int, int]) -> Bools | None:
    """What of the mask is the object, (h, w), of `size`: all of it where the selection is exact, None where it cannot be told.

    Parameters
    ----------
    image : (h, w, 3) uint8, the source
    mask, exists : (h, w) bool, the mask and where the source exists
    """
    small = np.frombuffer(image, np.uint8).reshape(*size, 3)
    within, there = (np.frombuffer(x, bool).reshape(size) for x in (mask, exists))
    labels = _grab_cut(small, within)
    depth = ndimage.distance_transform_edt(within)
    rim = within & (depth <= 1.5)
    values = np.asarray(small, np.float32) / 255
    exact = _changes(values, within, there)
    y, x = ndimage.distance_transform_edt(~rim, return_distances=False, return_indices=True)
    open_to = within & (labels == cv2.GC_PR_BGD) & ~exact[y, x]
    usual = _usual(values, within, there)
    core = depth > CORE * depth.max()
    walked: list[Bools] = []
    otherwise = None
    # Where GrabCut takes the object's core for backdrop, once more without the colours that are rare around the mask.
    for allowed, further in product((open_to, open_to & usual), (True, False)):
        backdrop = _backdrop(values, within, allowed, rim, usual)
        if backdrop.sum() < LEAST_BACKDROP * within.sum():
            otherwise = within
            break
        if further:
            backdrop |= _more_of_it(values, within, backdrop, rim & ~exact, core)
        walked.append(within & _whole(within & ~backdrop))
    alone = [within & _whole(labels == cv2.GC_PR_FGD)] if (exact & rim).sum() < MOST_EXACT * rim.sum() else []
    cuts = [*product(walked, [ON_WALK]), *product(alone, [ALONE]), *product(walked, [LESS_CLEAR])]
    return next((kept for kept, rule in cuts if _is_clear(values, within, kept, core, rule)), otherwise)


def _is_clear(colours: npt.NDArray[np.floating], within: Bools, kept: Bools, core: Bools, rule: _Rule) -> bool:
    """Whether a cut is to be believed: the object's core is whole, and the colour changes along the cut. An object that itself goes on
    beyond the selection, or that looks like its surroundings, loses a cheek here and a chin there: the cut runs where nothing changes."""
    if (core & ~kept).sum() > rule.most_core_lost * core.sum() or kept.sum() < LEAST_LEFT * within.sum():
        return False
    cut = kept & ndimage.binary_dilation(within & ~kept)
    jump = _jump(colours, kept & _near(~kept), within & ~kept & _near(kept))[cut]
    return bool(jump.size) and float(np.quantile(jump, rule.quantile)) >= rule.step


def _grab_cut(image: npt.NDArray[np.uint8], within: Bools) -> npt.NDArray[np.uint8]:
    """GrabCut's label of each pixel, (h, w)."""
    labels = np.where(within, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    cv2.setRNGSeed(0)
    cv2.grabCut(image, labels, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return labels


def _backdrop(colours: npt.NDArray[np.floating], within: Bools, open_to: Bools, rim: Bools, usual: Bools) -> Bools:
    """What can be walked to without a step, through `open_to`, from where the rim's colours are usual around the mask: (h, w).

    A wheel or a small balloon that has the backdrop's colours is not reached, and stays; so does what of the object goes on beyond the
    selection, whose colours GrabCut has learned as the backdrop's.
    """
    parts, count = ndimage.label(open_to & _smooth(colours))
    at_rim, begun = (np.isin(np.arange(count + 1), parts[region]) for region in (rim, rim & usual))
    small = np.bincount(parts.ravel(), minlength=count + 1) < LEAST_UNUSUAL * within.sum()
    reached = (begun | at_rim & small)[parts] & (parts > 0)
    return ndimage.binary_dilation(reached, iterations=2) & open_to


def _more_of_it(colours: npt.NDArray[np.floating], within: Bools, backdrop: Bools, rim: Bools, core: Bools) -> Bools:
    """What has about the colours that the backdrop has nearby, and can be walked to without a step from it or from the rim, but does not
    reach the object's core, (h, w): a patch between two legs, which GrabCut takes for the object."""
    sigma = NEARBY * within.sum() ** 0.5
    spread = lambda x: ndimage.gaussian_filter(x.astype(np.float32), sigma)
    there = spread(backdrop)
    mean = np.stack([spread(colours[..., k] * backdrop) for k in range(3)], -1) / np.maximum(there, FEW)[..., None]
    alike = within & (there > FEW) & (np.abs(colours - mean).max(axis=-1) < ALIKE) & _smooth(colours)
    parts, count = ndimage.label(alike)
    begun, deep = (np.isin(np.arange(count + 1), parts[region]) for region in (rim | ndimage.binary_dilation(backdrop), core))
    return ndimage.binary_dilation((begun & ~deep)[parts] & alike) & within


def _smooth(colours: npt.NDArray[np.floating]) -> Bools:
    """Where no step of colour is, (h, w)."""
    return (ndimage.maximum_filter(colours, (3, 3, 1)) - ndimage.minimum_filter(colours, (3, 3, 1))).max(axis=-1) < SMOOTH


def _usual(colours: npt.NDArray[np.floating], within: Bools, there: Bools) -> Bools:
    """Where the colour is about as usual around the mask as in it, (h, w)."""
    cells = np.clip(colours * BINS, 0, BINS - 1).astype(int)
    share = lambda region: ndimage.gaussian_filter(
        np.histogramdd(cells[region], BINS, [(0, BINS)] * 3)[0] / max(np.count_nonzero(region), 1), 0.7
    )[*np.moveaxis(cells, -1, 0)]
    return share(~within & there) > USUAL * share(within)


def _whole(kept: Bools) -> Bools:
    """The kept part with a smooth outline, without crumbs and small holes."""
    smooth = ndimage.gaussian_filter(ndimage.binary_closing(kept, iterations=2).astype(np.float32), OUTLINE) > 0.5
    parts = _large(smooth, LEAST_PART * smooth.sum())
    return ~_large(~parts, LEAST_HOLE * parts.sum())


def _large(region: Bools, least: float) -> Bools:
    """The parts of a region of at least so many pixels."""
    parts, count = ndimage.label(region)
    return region & (np.bincount(parts.ravel(), minlength=count + 1) >= least)[parts]


def _near(region: Bools) -> Bools:
    """Within 3 px of a region."""
    return ndimage.distance_transform_edt(~region) <= 3


def _changes(colours: npt.NDArray[np.floating], within: Bools, there: Bools) -> Bools:
    """Where the colour just inside the mask's edge is another than some px outside, and than a pattern there has, so that the selection is
    exact there: (h, w)."""
    distance = ndimage.distance_transform_edt(~within)
    outside = (distance >= 2) & (distance <= 8) & there
    variance = _mean(colours**2, outside) - _mean(colours, outside) ** 2
    return _jump(colours, within & _near(~within), outside) > STEP + np.sqrt(np.maximum(variance, 0).max(axis=-1))


def _jump(colours: npt.NDArray[np.floating], one: npt.NDArray, other: npt.NDArray) -> npt.NDArray[np.floating]:
    """By how much the colours of two regions differ where they are near each other, the largest of the channels: (h, w); inf where there
    is none of the second."""
    apart = np.abs(_mean(colours, one) - _mean(colours, other)).max(axis=-1)
    return np.where(ndimage.gaussian_filter(other.astype(np.float32), 2) <= 1e-3, np.inf, apart)


def _mean(colours: npt.NDArray[np.floating], region: npt.NDArray) -> npt.NDArray[np.floating]:
    """The colours of a region, averaged nearby, (h, w, 3)."""
    smooth = lambda x: ndimage.gaussian_filter(x.astype(np.float32), 2)
    return np.stack([smooth(colours[..., k] * region) for k in range(3)], -1) / np.maximum(smooth(region), 1e-6)[..., None]
