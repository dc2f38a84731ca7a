"""Pictures to image files, with the metadata that is still true of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
from PIL import Image

from blend_daemon.engine.raster.pixels import Raster
from blend_daemon.files import is_stream
from blend_daemon.images import colour, iptc, png, tiff, xmp
from blend_daemon.images.exif import Exif
from blend_daemon.images.picture import Picture
from blend_protocol.errors import BlendError


class Kept(NamedTuple):
    """What a file of the new pixels says beside them."""

    profile: bytes | None
    exif: Exif | None
    xmp: bytes | None
    iptc: bytes | None


class Format(NamedTuple):
    """What a format can hold, and what writes it."""

    dtypes: tuple[type, ...]
    channels: tuple[int, ...]
    largest: int  # width and height, px
    write: Callable[[Raster, Picture, Kept], bytes]


_SEGMENT = 65_500  # bytes that fit a JPEG's segment of metadata
STREAMED = (".png", ".tif")  # of what has no ending to tell by, a pipe for one: the first that fits


def format_of(path: Path, dtype: np.dtype) -> str:
    """The ending of the format to write there."""
    suffix = path.suffix.lower()
    if suffix in FORMATS or not is_stream(path):
        return suffix
    return next(ending for ending in STREAMED if dtype in FORMATS[ending].dtypes)


def check_format(path: Path, dtype: np.dtype, channels: int, width: int, height: int) -> None:
    """Find out before the long run whether the format holds such a raster.

    Raises
    ------
    BlendError
        `format-unknown` or `format-unfit`
    """
    suffix = format_of(path, dtype)
    if suffix not in FORMATS:
        raise BlendError("format-unknown", f"The format of {path} is not known by its ending.", f"Use one of {', '.join(FORMATS)}.")
    fits = lambda form: dtype in form.dtypes and channels in form.channels
    # JPEG and WebP hold no more pixels a side than these; what is wider but else fits is told of its size alone.
    if not fits(FORMATS[suffix]):
        fit = [ending for ending, form in FORMATS.items() if fits(form)]
        what = f"{channels} channels of {np.dtype(dtype).name}"
        raise BlendError("format-unfit", f"{path} cannot hold the target's {what}.", f"Use one of {', '.join(fit)}.")
    if max(width, height) > (largest := FORMATS[suffix].largest):
        fit = [ending for ending, form in FORMATS.items() if fits(form) and form.largest >= max(width, height)]
        raise BlendError(
            "format-unfit", f"{path} cannot hold {width}x{height} pixels: {suffix} ends at {largest}.", f"Use one of {', '.join(fit)}."
        )


def losses(path: Path, like: Picture) -> list[str]:
    """What that file will not hold of what the target's file does, in sentences."""
    suffix, about = format_of(path, like.raster.dtype), like.about
    lost = []
    if suffix in LOSSY:
        lost.append(f"{path} is lossy; write a PNG or TIFF to keep the target bit for bit.")
    if like.further is not None and suffix not in (".tif", ".tiff"):
        lost.append(f"{path} does not hold the target's further channels, such as saved selections; a TIFF does.")
    if about.xmp and xmp.renewed(about.xmp) is None:
        lost.append(f"The target's XMP data is damaged, and not in {path}.")
    if suffix in LOSSY and any(data and len(data) > _SEGMENT for data in (about.xmp, about.iptc)):
        lost.append(f"{path} does not hold the target's XMP or IPTC data of more than {_SEGMENT // 1000} kB; a PNG or TIFF does.")
    if about.iptc and suffix == ".webp":
        lost.append(f"{path} does not hold the target's IPTC data; the other formats do.")
    if any(map(png.is_own_text, about.chunks)) and suffix != ".png":
        lost.append(f"{path} does not hold the target's PNG texts; a PNG does.")
    if like.profile and not colour.is_icc(like.profile) and suffix != ".png":
        lost.append(f"{path} cannot say what the target's numbers mean, as its cICP chunk does; a PNG can.")
    return lost


def encoded(path: Path, raster: Raster, like: Picture) -> bytes:
    """A raster as a file of the format that the path tells, with the profile and metadata of `like`."""
    height, width = raster.shape[:2]
    about = like.about
    kept = Kept(
        like.profile if colour.is_icc(like.profile) else None,
        about.exif.of(width, height, like.turned) if about.exif else None,
        xmp.renewed(about.xmp) if about.xmp else None,
        about.iptc,
    )
    return FORMATS[format_of(path, raster.dtype)].write(np.ascontiguousarray(raster), like, kept)


def _png(raster: Raster, like: Picture, kept: Kept) -> bytes:
    carried = [chunk for chunk in like.about.chunks if chunk[0] in png.COLOUR]
    # Where chunks say what the numbers mean, a profile made from them would only say it again.
    if kept.profile and not carried:
        carried.append(png.profile_chunk(kept.profile))
    elif kept.profile and any(name == b"iCCP" for name, _ in like.about.chunks):
        carried = [(name, content) for name, content in carried if name != b"sRGB"] + [png.profile_chunk(kept.profile)]
    if like.about.resolution:
        carried.append(png.resolution_chunk(like.about.resolution))
    if kept.exif and (packed := kept.exif.packed()):
        carried.append((b"eXIf", packed))
    carried += [chunk for chunk in like.about.chunks if png.is_own_text(chunk)]
    if kept.xmp:
        carried.append(png.xmp_chunk(kept.xmp))
    if kept.iptc:
        carried.append((b"zTXt", iptc.png_text(kept.iptc)))
    return png.with_chunks(bytes(imagecodecs.png_encode(raster[:, :, 0] if raster.shape[2] == 1 else raster)), carried)


def _tiff(raster: Raster, like: Picture, kept: Kept) -> bytes:
    further = like.further if like.raster.shape == raster.shape else None
    return tiff.written(
        raster, like.raster, like.premultiplied, further, kept.profile, kept.exif, kept.xmp, kept.iptc, like.about.resolution
    )  # fmt: skip


def _webp(raster: Raster, like: Picture, kept: Kept) -> bytes:
    return _by_pillow(raster, kept, "WEBP", lossless=True, exact=True)


def _jpeg(raster: Raster, like: Picture, kept: Kept) -> bytes:
    extra = iptc.jpeg_segment(kept.iptc) if kept.iptc and len(kept.iptc) < _SEGMENT else b""
    if kept.exif and len(kept.exif.packed()) > _SEGMENT:
        kept = kept._replace(exif=kept.exif.without_maker_note())
    if kept.xmp and len(kept.xmp) > _SEGMENT:
        kept = kept._replace(xmp=None)
    more = {"dpi": tuple(round(n) for n in like.about.resolution)} if like.about.resolution else {}
    return _by_pillow(raster, kept, "JPEG", quality=95, subsampling=0, extra=extra, **more)


def _by_pillow(raster: Raster, kept: Kept, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    told = {
        "icc_profile": kept.profile,
        "exif": b"Exif\0\0" + packed if kept.exif and (packed := kept.exif.packed()) else None,
        "xmp": kept.xmp,
    }
    image = Image.fromarray(raster[:, :, 0] if raster.shape[2] == 1 else raster)
    image.save(file, form, **options, **{name: value for name, value in told.items() if value})
    return file.getvalue()


_EVERY = (1, 2, 3, 4)
_INTEGERS: tuple[type, ...] = (np.uint8, np.uint16)
_PNG, _TIFF = Format(_INTEGERS, _EVERY, 2**31 - 1, _png), Format((*_INTEGERS, np.float32), _EVERY, 2**31 - 1, _tiff)
_JPEG = Format((np.uint8,), (1, 3), 65_500, _jpeg)
FORMATS = {
    ".png": _PNG, ".tif": _TIFF, ".tiff": _TIFF, ".webp": Format((np.uint8,), (3, 4), 16_383, _webp), ".jpg": _JPEG, ".jpeg": _JPEG,
}  # fmt: skip
LOSSY = (".jpg", ".jpeg")
