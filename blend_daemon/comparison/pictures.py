"""What a comparison shows of a case: aligned 8-bit pictures, and where to look closely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from blend_daemon.engine.raster.pixels import Box, Raster, from_float, to_float
from blend_daemon.engine.raster.problem import Problem

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class View:
    """A case on the target's canvas.

    Attributes
    ----------
    target, source, pasted : (height, width, 3) uint8; the source is the target where it does not reach
    mask : (height, width) float32 in 0..1
    """

    target: Bytes
    source: Bytes
    pasted: Bytes
    mask: npt.NDArray[np.float32]


def aligned(problem: Problem) -> View:
    """The problem's pictures on the target's canvas."""
    height, width = problem.target.shape[:2]
    canvas = (0, 0, width, height)
    colours, exists = problem.source_on(canvas)
    target = bytes_of(problem.target)
    source = np.where(exists[:, :, None], bytes_of(colours), target)
    mask = problem.mask_on(canvas)
    pasted = np.rint(target + mask[:, :, None] * (source.astype(np.float32) - target)).astype(np.uint8)
    return View(target, source, pasted, mask)


def bytes_of(raster: Raster) -> Bytes:
    """A raster's colours as (height, width, 3) uint8, without its alpha."""
    colours = raster[:, :, : 1 if raster.shape[2] < 3 else 3]
    if colours.dtype != np.uint8:
        colours = from_float(to_float(colours), np.dtype(np.uint8))
    return np.repeat(colours, 3, axis=2) if colours.shape[2] == 1 else np.ascontiguousarray(colours)


def insets(view: View, count: int = 2) -> list[Box]:
    """Squares (x, y, side, side) on the mask's edge: where pasting shows the strongest step, then the strongest step away from there."""
    height, width = view.mask.shape
    inside = view.mask > 0.5
    rows, columns = np.nonzero(inside)
    if not len(rows):
        return []
    extent = max(np.ptp(rows), np.ptp(columns)) + 1
    side = int(np.clip(extent // 4, 24, min(96, height, width)))
    edge = inside & ~ndimage.binary_erosion(inside, border_value=1)
    step = ndimage.gaussian_gradient_magnitude(view.pasted.mean(axis=2), 1.5)
    # Averaged along the edge, so that a long visible seam counts for more than one speck.
    length = ndimage.uniform_filter(edge.astype(float), side // 2)
    strength = np.where(edge, ndimage.uniform_filter(step * edge, side // 2) / np.maximum(length, 1e-9), -1)
    found: list[Box] = []
    y, x = np.mgrid[:height, :width]
    for _ in range(count):
        at = np.unravel_index(strength.argmax(), strength.shape)
        if strength[at] < 0:
            break
        top, left = (int(np.clip(centre - side // 2, 0, size - side)) for centre, size in zip(at, (height, width), strict=True))
        found.append((left, top, side, side))
        strength[(y - at[0]) ** 2 + (x - at[1]) ** 2 < (1.5 * side) ** 2] = -1
    return found


def crop(picture: Bytes, box: Box) -> Bytes:
    """The part of a picture under a box."""
    x, y, width, height = box
    return picture[y : y + height, x : x + width]
