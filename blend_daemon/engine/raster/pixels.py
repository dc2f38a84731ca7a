"""Rasters to working floats and back, and the one composition of a layer over a target.

A raster is an array of shape (height, width, channels), dtype uint8, uint16 or float32, with 1 (grey), 2 (grey + alpha),
3 (RGB) or 4 (RGB + alpha) channels; integers span 0..max, floats 0..1 nominally.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Raster = npt.NDArray[Any]  # uint8, uint16 or float32
Floats = npt.NDArray[np.float32]
Box = tuple[int, int, int, int]

DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def to_float(raster: Raster) -> Floats:
    """Values of a raster as float32, integers scaled to 0..1."""
    if raster.dtype == np.float32:
        return raster
    return raster.astype(np.float32) / np.float32(np.iinfo(raster.dtype).max)


def from_float(values: Floats, dtype: np.dtype) -> Raster:
    """Floats as a raster of `dtype`; integers are clipped and rounded to the nearest."""
    if dtype == np.float32:
        return values.astype(np.float32, copy=False)
    top = np.iinfo(dtype).max
    scaled = np.clip(values, 0, 1)
    scaled *= np.float32(top)
    return np.rint(scaled, out=scaled).astype(dtype)


def split_alpha(raster: Raster) -> tuple[Raster, Raster | None]:
    """The colour channels (1 or 3) and the alpha channel of shape (height, width), or None."""
    if raster.shape[2] % 2:
        return raster, None
    return raster[:, :, :-1], raster[:, :, -1]


def grey(colours: Floats) -> Floats:
    """Rec. 601 luma of (height, width, 3), as (height, width, 1)."""
    return (colours @ LUMA)[:, :, None]


def composite(target: Raster, layer: Raster, box: Box) -> Raster:
    """The layer laid over the target: `I_B = I_Z * M + I_T * (1 - M)` in perceptual space.

    Parameters
    ----------
    target : (height, width, channels) raster
    layer : (box height, box width, colour channels of the target + 1) raster of the target's dtype
    box : (x, y, width, height) of the layer on the target

    Returns
    -------
    A new raster like the target. Where the layer's alpha is 0 it equals the target bit for bit, alpha included.
    """
    x, y, width, height = box
    out = target.copy()
    under = out[y : y + height, x : x + width]
    over_colour, over_alpha = split_alpha(layer)
    assert over_alpha is not None
    colour, alpha = split_alpha(under)
    top = 1 if layer.dtype == np.float32 else np.iinfo(layer.dtype).max
    opaque = over_alpha == top
    np.copyto(colour, over_colour, where=opaque[:, :, None])
    soft = (over_alpha > 0) & ~opaque
    m = to_float(over_alpha[soft])[:, None]
    t = np.ones_like(m) if alpha is None else to_float(alpha[soft])[:, None]
    total = m + t * (1 - m)
    mixed = (to_float(over_colour[soft]) * m + to_float(colour[soft]) * (t * (1 - m))) / np.maximum(total, 1e-12)
    colour[soft] = from_float(mixed.astype(np.float32), target.dtype)
    if alpha is not None:
        alpha[opaque] = top
        alpha[soft] = from_float(total[:, 0], target.dtype)
    return out
