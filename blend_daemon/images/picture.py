"""A decoded image file, and what its file tells of it beside the pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from blend_daemon.engine.raster.pixels import Raster
from blend_daemon.images.exif import Exif
from blend_daemon.images.png import Chunk


@dataclass(frozen=True)
class About:
    """What describes a picture, for another file of it.

    Attributes
    ----------
    exif, xmp : as they were read
    iptc : the records alone
    resolution : pixels per inch across and down, where the file tells
    chunks : a PNG's, which give its numbers their meaning and hold its texts
    """

    exif: Exif | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    resolution: tuple[float, float] | None = None
    chunks: tuple[Chunk, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A decoded image file, upright.

    Attributes
    ----------
    path : the file
    raster : (height, width, channels) uint8, uint16 or float32
    profile : the ICC profile that its numbers are in, embedded or said in other words; None: sRGB, or sRGB's curve for grey
    about : its metadata
    turned : whether the file's pixels lay otherwise
    premultiplied : the file's own numbers where its alpha is associated, (height, width, channels)
    further : channels that are neither colour nor alpha, such as saved selections, (height, width, n)
    notes : what the user should know of how the file was understood
    """

    path: Path
    raster: Raster
    profile: bytes | None = None
    about: About = field(default_factory=About)
    turned: bool = False
    premultiplied: Raster | None = None
    further: Raster | None = None
    notes: tuple[str, ...] = ()


def premultiplied(raster: Raster) -> Raster:
    """Straight alpha as associated, rounded to the nearest."""
    share = raster[:, :, -1:].astype(np.float64) / (1 if raster.dtype == np.float32 else np.iinfo(raster.dtype).max)
    colours = raster[:, :, :-1] * share
    colours = colours if raster.dtype == np.float32 else np.rint(colours)
    return np.concatenate([colours.astype(raster.dtype), raster[:, :, -1:]], axis=2)


def straight(raster: Raster) -> Raster:
    """Associated alpha as straight, rounded to the nearest; where alpha is 0, black."""
    top = 1 if raster.dtype == np.float32 else np.iinfo(raster.dtype).max
    alpha = raster[:, :, -1:].astype(np.float64)
    colours = np.divide(raster[:, :, :-1] * float(top), alpha, out=np.zeros(raster[:, :, :-1].shape), where=alpha > 0)
    colours = colours if raster.dtype == np.float32 else np.clip(np.rint(colours), 0, top)
    return np.concatenate([colours.astype(raster.dtype), raster[:, :, -1:]], axis=2)
