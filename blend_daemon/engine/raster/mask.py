"""What a mask's values mean, decided by their histogram: which are the object, which a soft edge, and which the noise of some format.

A soft edge that was blurred has as many pixels at each level as a Gaussian's slope there lets through: few in the middle, more at both
ends. What exceeds that by far at the dark end is no edge: a floor that some editor left, or the ripples of a JPEG around a hard edge.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from scipy import ndimage

from blend_daemon.engine.raster.pixels import Raster, to_float
from blend_protocol.errors import BlendError

_FAINT = 16  # of 255: a mask with nothing brighter holds labels or noise, not opacities
_NOISE = 32  # of 255: no level above is taken for noise
_GAP = 3  # levels that noise may leave out
_EXCESS = 3  # times as many pixels as a blurred edge has
_LEVELS = np.arange(1, _NOISE + 1)
# How many more pixels a blurred edge has at each dark level than at one in the middle.
_NORMAL = NormalDist()
_EDGE = np.array([_NORMAL.pdf(0) / _NORMAL.pdf(_NORMAL.inv_cdf(level / 255)) for level in _LEVELS.tolist()])


def understood(values: Raster, what: str) -> tuple[Raster, list[str]]:
    """Values (height, width) as a mask (height, width, 1) of the same type; black is 0 and white the type's largest.

    Raises
    ------
    BlendError
        `mask-faint` where nothing tells object from noise
    """
    notes: list[str] = []
    if values.dtype == np.float32:
        values, notes = _within_one(values, what)
    white, most = top(values), float(values.max())
    present = np.unique(values)
    if not most or (most == white and len(present) == 2 and not present[0]):
        return values[:, :, None], notes
    if len(present) == 2 and most * 255 < _FAINT * white:
        notes.append(f"{what} holds {_number(present[0])} and {_number(present[1])} alone; {_number(present[1])} is taken as white.")
        return np.where(values == present[1], white, 0).astype(values.dtype)[:, :, None], notes
    if values.dtype == np.uint16 and 1 < most <= 255:
        notes.append(f"{what} holds 0 to {most:.0f} of 65535; that is taken as 8 bits.")
        values, most = values * np.uint16(257), most * 257
    if most * 255 < _FAINT * white:
        raise BlendError(
            "mask-faint",
            f"{what} holds nothing brighter than {_number(most)} of {_number(white)}.",
            "White is the object; a mask of labels must be made one of black and white first.",
        )
    values, noise = _without_noise(values)
    if noise:
        notes.append(f"{what} has noise up to {noise} of 255, which is taken as black.")
    if most < white / 2:
        notes.append(f"{what} holds nothing brighter than {_number(most)} of {_number(white)}, so the object shows through at most so far.")
    return values[:, :, None], notes


def understood_in(source: Raster, mask: Raster | None) -> tuple[Raster, Raster | None, list[str]]:
    """A source (height, width, channels) and its mask (height, width, 1), with the mask, or without one the source's alpha, as it is
    understood; and what was changed in it."""
    values = mask if mask is not None else source[:, :, -1:] if source.shape[2] in (2, 4) else None
    if values is None:
        return source, mask, []
    found, notes = understood(values[:, :, 0], "The selection" if mask is not None else "The layer's transparency")
    if np.array_equal(found, values):
        return source, mask, []
    return (source, found, notes) if mask is not None else (np.dstack([source[:, :, :-1], found]), None, notes)


def _within_one(values: Raster, what: str) -> tuple[Raster, list[str]]:
    """Floats in 0..1, scaled where they are plainly an integer's."""
    most = float(values.max())
    for white in (255, 65535):
        if 2 < most <= white:
            return np.clip(values / np.float32(white), 0, 1), [f"{what} holds values up to {most:g}; {white} is taken as white."]
    if most > 2:
        raise BlendError("mask-range", f"{what} holds values up to {most:g}.", "White is 1 in a picture of floats.")
    notes = [f"{what} holds values up to {most:g}; those above 1 are taken as 1."] if most > 1 + 1 / 255 else []
    return np.clip(values, 0, 1), notes


def _without_noise(values: Raster) -> tuple[Raster, int]:
    """The mask without what only looks like selection, and up to which of 255 levels that reached."""
    levels = np.rint(to_float(values) * 255).astype(np.uint8)
    counts = np.bincount(levels.ravel(), minlength=256)
    noise = _reach(counts)
    if not noise:
        return values, 0
    kept = levels > noise
    # Stronger ripples stand alone: nothing of the object is in their patch.
    patches, count = ndimage.label(kept, np.ones((3, 3)))
    brightest = np.asarray(ndimage.maximum(levels, patches, np.arange(count + 1)))
    kept &= (brightest >= min(128, levels.max() // 2))[patches]
    cleaned = np.where(kept, values, values.dtype.type(0))
    # What ripples in the dark does so in the light.
    white = 255 - _reach(counts[::-1]) if counts[255] else 256
    return np.where(levels >= white, values.dtype.type(top(values)), cleaned), noise


def _reach(counts: np.ndarray) -> int:
    """Up to which level noise goes, seen from the end of a histogram where it begins; 0 where there is none."""
    middle = max(counts[_NOISE + 1 : 255 - _NOISE].mean(), 1)
    reached, lowest = 0, int(np.flatnonzero(counts)[0])
    for level in _LEVELS[counts[1 : _NOISE + 1] > _EXCESS * _EDGE * middle]:
        # It begins at once, or is the darkest there is; a level by itself further up is somebody's wish.
        if level - reached <= _GAP or level == lowest:
            reached = int(level)
    return reached


def top(values: Raster) -> float:
    """White in values of this type."""
    return 1.0 if values.dtype == np.float32 else float(np.iinfo(values.dtype).max)


def _number(value: float) -> str:
    return f"{float(value):g}"
