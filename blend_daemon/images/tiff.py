"""TIFF files, by tifffile and its codecs: all that it can hold of grey and RGB, and nothing that is not decoded whole."""

from __future__ import annotations

import io
import logging
import struct
from typing import Any, NamedTuple

import numpy as np
import tifffile

from blend_daemon.engine.raster.pixels import Raster
from blend_daemon.images.exif import RESOLUTION, SIZES, Exif
from blend_daemon.images.iptc import unwrapped
from blend_daemon.images.picture import premultiplied, straight

logging.getLogger("tifffile").setLevel(logging.CRITICAL)

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_XMP, _IPTC, _PHOTOSHOP = 700, 33723, 34377
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _MASK, _YCBCR = 0, 1, 2, 3, 4, 6
_OTHERS = {
    5: "CMYK",
    8: "CIE L*a*b*",
    9: "ICC L*a*b*",
    10: "ITU L*a*b*",
    32803: "raw camera",
    34892: "raw camera",
    32844: "LogL",
    32845: "LogLuv",
}
_JPEGS = (6, 7, 34892)  # compressions whose decoder turns YCbCr into RGB
_ASSOCIATED, _UNASSOCIATED = 1, 2


class Unfit(Exception):
    """A sound file of a kind that cannot be blended; says which."""


class Page(NamedTuple):
    """A TIFF's first picture as it lies in the file."""

    raster: Raster
    premultiplied: Raster | None
    further: Raster | None
    xmp: bytes | None
    iptc: bytes | None
    profile: bytes | None
    resolution: tuple[float, float] | None
    pages: int
    bits: int


def read(data: bytes, most: int) -> Page:
    """Decode the first page, at most so many pixels of it.

    Raises
    ------
    Unfit
        where it is of another kind than grey and RGB of 1 to 16 bits or 32-bit floats
    OverflowError
        where it has more pixels; its arguments are width and height
    Exception
        of many kinds from the codecs, where the file is damaged
    """
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        if page.imagewidth * page.imagelength > most:
            raise OverflowError(page.imagewidth, page.imagelength)
        _check(page)
        if any(begin + size > len(data) or not size for begin, size in zip(page.dataoffsets, page.databytecounts, strict=True)):
            raise ValueError("a part of the pixels is missing")
        values = page.asarray()
        if page.planarconfig == 2 and page.samplesperpixel > 1:
            values = np.moveaxis(values, 0, -1)
        values = values.reshape(page.imagelength, page.imagewidth, -1)
        raster, own, further = _channels(page, _colours(page, values))
        tags = {code: page.tags.valueof(code) for code in (_XMP, _IPTC, _PHOTOSHOP)}
        whole = [other for other in file.pages if not getattr(other, "subfiletype", 0) & 5]
        return Page(
            raster, own, further, _bytes(tags[_XMP]), unwrapped(_bytes(tags[_IPTC]) or _bytes(tags[_PHOTOSHOP]) or b""), page.iccprofile,
            _resolution(page), max(len(whole), (file.imagej_metadata or {}).get("images", 1)), _bits(page),
        )  # fmt: skip


def _check(page: tifffile.TiffPage) -> None:
    if page.photometric in _OTHERS:
        raise Unfit(f"a {_OTHERS[page.photometric]} image")
    if page.compression not in tifffile.TIFF.DECOMPRESSORS:
        raise Unfit(f"compressed in a way that cannot be read ({getattr(page.compression, 'name', page.compression)})")
    if page.imagedepth > 1:
        raise Unfit("a volume, not a picture")
    if page.dtype not in (np.bool_, np.uint8, np.uint16, np.float32):
        raise Unfit(f"an image of numbers of type {page.dtype or 'unknown'}")
    if page.photometric == _YCBCR and page.compression not in _JPEGS and tuple(page.subsampling or (1, 1)) != (1, 1):
        raise Unfit("an uncompressed YCbCr image with subsampled colours")


def _bits(page: tifffile.TiffPage) -> int:
    return page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)


def _resolution(page: tifffile.TiffPage) -> tuple[float, float] | None:
    """In pixels per inch, where the unit is known."""
    per_inch = {2: 1.0, 3: 2.54}.get(page.tags.valueof(296) or 2)
    found = [page.tags.valueof(code) for code in (282, 283)]
    if not per_inch or not all(isinstance(value, tuple) and len(value) == 2 and value[1] for value in found):
        return None
    return found[0][0] / found[0][1] * per_inch, found[1][0] / found[1][1] * per_inch


def _colours(page: tifffile.TiffPage, values: np.ndarray) -> np.ndarray:
    """The page's numbers as grey or RGB over the full range of their type, further channels behind."""
    bits = _bits(page)
    if page.photometric == _PALETTE:
        assert page.colormap is not None
        # Some writers put 8-bit colours where TIFF has 16 bits.
        shift = 8 if page.colormap.max() > 255 else 0
        return (page.colormap[:, values[:, :, 0]] >> shift).astype(np.uint8).transpose(1, 2, 0)
    if values.dtype == bool:
        values = values.astype(np.uint8) * np.uint8(255)
    elif values.dtype.kind == "u" and bits < 8 * values.dtype.itemsize:
        top = np.iinfo(values.dtype).max
        values = ((values.astype(np.uint32) * top + (2**bits - 1) // 2) // (2**bits - 1)).astype(values.dtype)
    if page.photometric == _WHITE_IS_ZERO:
        flipped = values.copy()
        flipped[:, :, 0] = (1.0 if values.dtype.kind == "f" else np.iinfo(values.dtype).max) - values[:, :, 0]
        return flipped
    if page.photometric == _YCBCR and page.compression not in _JPEGS:
        return _from_ycbcr(page, values)
    return values


def _from_ycbcr(page: tifffile.TiffPage, values: np.ndarray) -> np.ndarray:
    """RGB as TIFF 6.0, section 21, has it."""
    if values.dtype.kind != "u":
        raise Unfit("a YCbCr image of floats")
    top = np.iinfo(values.dtype).max
    rationals = lambda code, usual: np.divide(*np.array(page.tags.valueof(code) or usual, float).reshape(-1, 2).T)
    red, green, blue = rationals(529, (299, 1000, 587, 1000, 114, 1000))
    middle = (top + 1) // 2
    black, white = rationals(532, (0, 1, top, 1, middle, 1, top, 1, middle, 1, top, 1)).reshape(3, 2).T
    y, cb, cr = np.moveaxis((values[:, :, :3] - black) * ((top, top // 2, top // 2) / (white - black)), -1, 0)
    r, b = y + cr * (2 - 2 * red), y + cb * (2 - 2 * blue)
    g = (y - red * r - blue * b) / green
    rgb = np.clip(np.rint(np.stack([r, g, b], axis=2)), 0, top).astype(values.dtype)
    return np.concatenate([rgb, values[:, :, 3:]], axis=2)


def _channels(page: tifffile.TiffPage, values: np.ndarray) -> tuple[Raster, Raster | None, Raster | None]:
    """Colours with straight alpha, the file's own numbers where that is associated, and the channels that are neither."""
    colours = 1 if page.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _MASK) else 3
    count = values.shape[2]
    if count < colours:
        raise Unfit(f"an image of {count} channels")
    said = list(page.extrasamples)[: count - colours]
    # A single channel of which nothing is said is alpha to all that write such files.
    said += [_UNASSOCIATED if count == colours + 1 else 0] * (count - colours - len(said))
    alpha = next((k for k, kind in enumerate(said) if kind in (_ASSOCIATED, _UNASSOCIATED)), None)
    chosen = [*range(colours), *([] if alpha is None else [colours + alpha])]
    others = [k for k in range(count) if k not in chosen]
    raster = np.ascontiguousarray(values[:, :, chosen])
    further = np.ascontiguousarray(values[:, :, others]) if others else None
    if alpha is not None and said[alpha] == _ASSOCIATED:
        return straight(raster), raster, further
    return raster, None, further


def _bytes(value: Any) -> bytes | None:
    """A tag's value as the bytes it had: IPTC is often declared as words."""
    if isinstance(value, tuple):
        return np.array(value, "<u4" if max(value, default=0) > 255 else "u1").tobytes()
    return value.encode() if isinstance(value, str) else value


def written(
    raster: Raster, like: Raster, own: Raster | None, further: Raster | None, profile: bytes | None, exif: Exif | None, xmp: bytes | None,
    iptc: bytes | None, resolution: tuple[float, float] | None,
) -> bytes:  # fmt: skip
    """A raster as a TIFF file.

    Parameters
    ----------
    like, own : a straight raster and the associated one it was read from, whose numbers are written where `raster` equals `like`;
        without the second, alpha is written as it is
    further : channels of no stated meaning, written behind
    """
    kinds = [] if raster.shape[2] % 2 else [_UNASSOCIATED]
    if own is not None and kinds and like.shape == raster.shape:
        kinds = [_ASSOCIATED]
        same = (raster == like).all(axis=2, keepdims=True)
        raster = np.where(same, own, premultiplied(raster))
    photometric = _RGB if raster.shape[2] > 2 else _BLACK_IS_ZERO
    if further is not None:
        raster = np.concatenate([raster, further], axis=2)
        kinds += [0] * further.shape[2]
    exif = exif or Exif("<")
    extra: list[tuple[int, int, int, Any, bool]] = [
        (tag, kind, len(value) // SIZES[kind], value, True) for tag, (kind, value) in exif.main.items() if tag not in RESOLUTION
    ]
    extra += [(tag, 7, len(value), value, True) for tag, value in ((_XMP, xmp), (_IPTC, iptc)) if value]
    several = raster.shape[2] > 1
    file = io.BytesIO()
    tifffile.imwrite(
        file, raster if several else raster[:, :, 0], byteorder="<" if exif.order == "<" else ">", photometric=photometric,
        planarconfig=1 if several else None, extrasamples=kinds or None, compression="deflate", predictor=raster.dtype != np.float32,
        metadata=None, software=False, iccprofile=profile, resolution=resolution, resolutionunit=2 if resolution else None,
        extratags=extra,
    )  # fmt: skip
    return with_directories(file.getvalue(), exif)


def with_directories(data: bytes, exif: Exif) -> bytes:
    """The file with EXIF's further directories behind its end, and its own anew behind those, with pointers to them."""
    data += b"\0" * (len(data) % 2)
    tail, pointers = exif.tail(len(data))
    if not pointers:
        return data
    word = lambda number: struct.pack(f"{exif.order}I", number)
    (own,) = struct.unpack_from(f"{exif.order}I", data, 4)
    (count,) = struct.unpack_from(f"{exif.order}H", data, own)
    entries = [data[own + 2 + 12 * k : own + 14 + 12 * k] for k in range(count)]
    entries += [struct.pack(f"{exif.order}HHI", tag, kind, 1) + value for tag, (kind, value) in pointers.items()]
    entries.sort(key=lambda entry: struct.unpack_from(f"{exif.order}H", entry))
    anew = struct.pack(f"{exif.order}H", len(entries)) + b"".join(entries) + word(0)
    return data[:4] + word(len(data) + len(tail)) + data[8:] + tail + anew
