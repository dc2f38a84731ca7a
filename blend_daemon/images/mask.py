"""Pictures as masks: which of their channels draws the shape."""

from __future__ import annotations

import numpy as np

from blend_daemon.engine.raster.mask import top, understood
from blend_daemon.engine.raster.pixels import Raster, split_alpha, to_float
from blend_daemon.images.picture import Picture
from blend_protocol.errors import BlendError

_COLOUR_NOISE = 16 / 255  # how far the channels of a grey mask may differ: JPEG's colours


def mask_of(picture: Picture) -> tuple[Raster, list[str]]:
    """The mask that a picture is, (height, width, 1), and how it was understood where that is not plain.

    Raises
    ------
    BlendError
        `mask-coloured`, `mask-faint`
    """
    colours, alpha = split_alpha(picture.raster)
    if alpha is not None and _flat(colours, alpha):
        return understood(alpha, f"The alpha of {picture.path}")
    low, high = colours.min(axis=2), colours.max(axis=2)
    if (high.astype(np.float32) - low > _COLOUR_NOISE * top(colours)).any():
        raise BlendError(
            "mask-coloured", f"The mask {picture.path} is a colour picture.", "A mask is grey: white where the object is, black elsewhere."
        )
    grey, notes = understood(colours[:, :, colours.shape[2] // 2], f"The mask {picture.path}")
    return (grey if alpha is None else to_float(grey) * to_float(alpha)[:, :, None]), notes


def with_alpha_understood(picture: Picture) -> tuple[Raster, list[str]]:
    """The picture's raster, its alpha as a mask is understood."""
    colours, alpha = split_alpha(picture.raster)
    if alpha is None:
        return picture.raster, []
    mask, notes = understood(alpha, f"The alpha of {picture.path}")
    return np.dstack([colours, mask.astype(picture.raster.dtype)]), notes


def _flat(colours: Raster, alpha: Raster) -> bool:
    """Whether the alpha alone draws the shape."""
    seen = colours[alpha > 0]
    return len(seen) > 0 and alpha.min() < alpha.max() and np.ptp(seen, axis=0).max() <= _COLOUR_NOISE * top(colours)
