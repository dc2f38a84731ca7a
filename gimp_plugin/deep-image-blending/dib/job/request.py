"""What a daemon is asked to blend: plain rasters, wherever they were read."""

from __future__ import annotations

from dataclasses import dataclass

from blend_protocol.client import Part
from blend_protocol.framing import Raster
from dib.geometry import Rect


@dataclass(frozen=True)
class Request:
    """A blend.

    Attributes
    ----------
    offset : (x, y) of the source on the canvas
    part : what of the canvas the target is; None: all
    pixels : of the object with its surroundings, what the time that a blend takes goes by; 0: unknown
    """

    source: Raster
    target: Raster
    mask: Raster | None
    offset: tuple[int, int]
    part: Part | None = None
    pixels: int = 0


@dataclass(frozen=True)
class View:
    """A part of the canvas on a smaller scale, for a sketch. All rasters are RGBA or mask over that part, of one size.

    Attributes
    ----------
    part : (x, y, width, height) in pixels of the canvas
    """

    source: Raster
    target: Raster
    mask: Raster | None
    part: Rect
