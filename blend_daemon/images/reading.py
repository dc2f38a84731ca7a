"""Image files to pictures: what cannot be decoded whole is refused, and what is understood in one way of several is said."""

from __future__ import annotations

import io
import logging
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyvips
from PIL import Image

from blend_daemon.engine.raster.pixels import split_alpha
from blend_daemon.images import colour, exif, iptc, png, tiff
from blend_daemon.images.picture import About, Picture
from blend_protocol.errors import BlendError
from blend_protocol.limits import MAX_PIXELS

logging.getLogger("pyvips").setLevel(logging.ERROR)

Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # checked here, in the project's own words

DTYPES = {"uchar": np.uint8, "ushort": np.uint16, "float": np.float32}
STDIN = Path("-")
_MOST_BYTES = 20 * MAX_PIXELS  # more than any picture that is accepted takes, uncompressed
_JPEG = b"\xff\xd8\xff"
# What libjpeg warns of and yet decodes whole: bytes too many between header segments, and a header that Samsung's cameras wrote.
_HARMLESS = re.compile(r"extraneous bytes before marker 0x(e.|db|c.|da|fe|dd)|Invalid SOS parameters")
_REMEDY = "Give a PNG, TIFF, JPEG or WebP."
_CONVERT = "Convert it to grey or RGB with 8 or 16 bits, or to a TIFF of 32-bit floats."


def read(path: Path, role: str) -> Picture:
    """Decode a file, or what comes through a pipe or, for `-`, the standard input.

    Parameters
    ----------
    role : "source", "mask" or "target", for messages

    Raises
    ------
    BlendError
        `file-missing`, `file-unreadable`, `image-invalid`, `image-too-large`, `image-unsupported`, `image-range` or `memory-short`
    """
    data = _bytes_of(path, role)
    try:
        picture = _tiff(path, role, data) if data[:4] in tiff.MAGIC else _other(path, role, data)
    except MemoryError:
        raise _short_of_memory(path, role) from None
    _check_range(picture, role)
    return picture


def _bytes_of(path: Path, role: str) -> bytes:
    try:
        if path == STDIN:
            data = _all_of(sys.stdin.buffer)
        elif path.is_dir():
            raise BlendError("image-invalid", f"The {role} {path} is a folder, not an image.", "Name an image file.")
        else:
            with path.open("rb") as file:
                data = _all_of(file)
    except FileNotFoundError:
        raise BlendError("file-missing", f"The {role} {path} does not exist.", "Check the name.") from None
    except PermissionError:
        raise BlendError("file-unreadable", f"The {role} {path} may not be read.", "Change its permissions.") from None
    except OSError as error:
        raise BlendError("file-unreadable", f"The {role} {path} cannot be read: {error.strerror}.", "Name another file.") from error
    except MemoryError:
        raise _short_of_memory(path, role) from None
    if len(data) > _MOST_BYTES:
        raise BlendError("image-too-large", f"The {role} {path} has more than {_MOST_BYTES // 10**9} GB.", "Scale it down or crop it.")
    if not data:
        raise BlendError("image-invalid", f"The {role} {path} is empty.", _REMEDY)
    return data


def _all_of(file: BinaryIO) -> bytes:
    """What a file or pipe holds, or as much as shows that it is too much; a device may be endless."""
    data = io.BytesIO()
    while data.tell() <= _MOST_BYTES and (part := file.read(1 << 24)):
        data.write(part)
    return data.getvalue()


def _other(path: Path, role: str, data: bytes) -> Picture:
    image = _decoded(path, role, data)
    shape = (image.height, image.width, image.bands)
    try:
        raster = np.frombuffer(image.write_to_memory(), DTYPES[image.format]).reshape(shape)
    except pyvips.Error as error:
        raise _damaged(path, role, error) from error
    value = lambda name: image.get(name) if image.get_typeof(name) else None
    chunks = tuple(png.chunks(data)) if data.startswith(png.SIGNATURE) else ()
    own = value("exif-data") or png.raw_profile(chunks, "exif") or png.raw_profile(chunks, "APP1")
    about = About(
        exif=exif.read(own) if own else None,
        xmp=value("xmp-data"),
        iptc=iptc.unwrapped(value("iptc-data") or png.raw_profile(chunks, "iptc") or png.raw_profile(chunks, "8bim") or b""),
        resolution=(image.xres * 25.4, image.yres * 25.4) if (image.xres, image.yres) != (1, 1) else None,
        chunks=chunks,
    )
    # PNG's third edition ranks a cICP chunk before a profile.
    coded = colour.of_png(chunks, image.bands < 3) if any(name == b"cICP" for name, _ in chunks) else None
    profile = coded or value("icc-profile-data") or colour.of_png(chunks, image.bands < 3) or colour.of_exif(about.exif)
    picture = Picture(path, raster, profile, about, notes=tuple(_pages(path, role, _frames(data, chunks, value("n-pages") or 1))))
    return _upright(picture, value("orientation") or 1)


def _decoded(path: Path, role: str, data: bytes) -> pyvips.Image:
    try:
        try:
            image = pyvips.Image.new_from_buffer(data, "", fail_on="warning" if data.startswith(_JPEG) else "error")
            _check_kind(path, role, image)
            return image.copy_memory()
        except pyvips.Error as error:
            said = [line for line in error.detail.splitlines() if "load error" not in line]
            if not data.startswith(_JPEG) or not said or not all(_HARMLESS.search(line) for line in said):
                raise
            return pyvips.Image.new_from_buffer(data, "", fail_on="error").copy_memory()
    except pyvips.Error as error:
        raise _damaged(path, role, error) from error


def _check_kind(path: Path, role: str, image: pyvips.Image) -> None:
    _check_size(path, role, image.width, image.height)
    kinds = {"cmyk": "a CMYK image", "lab": "a CIE L*a*b* image", "labs": "a CIE L*a*b* image", "xyz": "a CIE XYZ image"}
    what = kinds.get(image.interpretation)
    if not what and (image.bands > 4 or image.format not in DTYPES):
        what = f"an image of {image.bands} channels of type {image.format}"
    if what:
        raise _unsupported(path, role, what)


def _tiff(path: Path, role: str, data: bytes) -> Picture:
    try:
        page = tiff.read(data, MAX_PIXELS)
    except tiff.Unfit as error:
        raise _unsupported(path, role, str(error)) from error
    except OverflowError as error:
        if len(error.args) != 2:
            raise _damaged(path, role, error) from error
        _check_size(path, role, *error.args)
        raise
    except MemoryError:
        raise
    except Exception as error:  # each codec has errors of its own, and all of them mean the same here
        raise _damaged(path, role, error) from error
    own = exif.read(data)
    notes = _pages(path, role, page.pages)
    if page.bits not in (1, 2, 4, 8, 16, 32):
        notes.append(f"The {role} {path} has {page.bits} bits a channel; it is taken as {8 * page.raster.dtype.itemsize} bits.")
    about = About(exif=own, xmp=page.xmp, iptc=page.iptc, resolution=page.resolution)
    picture = Picture(path, page.raster, page.profile, about, False, page.premultiplied, page.further, tuple(notes))
    return _upright(picture, own.orientation if own else 1)


def _upright(picture: Picture, orientation: int) -> Picture:
    """The picture as EXIF's orientation means it to be seen."""
    if orientation not in range(2, 9):
        return picture
    turn = lambda raster: np.ascontiguousarray(_TURNS[orientation](raster))
    own, further = (None if raster is None else turn(raster) for raster in (picture.premultiplied, picture.further))
    return replace(picture, raster=turn(picture.raster), premultiplied=own, further=further, turned=True)


_TURNS = {
    2: np.fliplr,
    3: lambda raster: np.rot90(raster, 2),
    4: np.flipud,
    5: lambda raster: np.swapaxes(raster, 0, 1),
    6: lambda raster: np.rot90(raster, 3),
    7: lambda raster: np.rot90(np.swapaxes(raster, 0, 1), 2),
    8: lambda raster: np.rot90(raster),
}


def _frames(data: bytes, chunks: tuple[png.Chunk, ...], pages: int) -> int:
    """How many pictures the file holds, where libvips sees one: animated PNG, and the second pictures of phones."""
    for name, content in chunks:
        if name == b"acTL":
            return int.from_bytes(content[:4], "big")
    if data.startswith(_JPEG) and b"MPF\0" in data[:100_000]:
        with Image.open(io.BytesIO(data)) as image:
            return getattr(image, "n_frames", 1)
    return pages


def _pages(path: Path, role: str, count: int) -> list[str]:
    return [f"The {role} {path} holds {count} pictures (pages, frames or layers); only the first is used."] if count > 1 else []


def _check_size(path: Path, role: str, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise BlendError(
            "image-too-large",
            f"The {role} {path} has {width}x{height} pixels; at most {MAX_PIXELS // 1_000_000} megapixels are accepted.",
            "Scale it down or crop it.",
        )


def _check_range(picture: Picture, role: str) -> None:
    """Floats are taken as 0..1 with some light beyond; an integer's range in floats, or one around 0, is not that."""
    if picture.raster.dtype != np.float32:
        return
    if not np.isfinite(picture.raster).all():
        raise BlendError(
            "image-range", f"The {role} {picture.path} holds values that are not finite numbers.", "Save it again without NaN or infinity."
        )
    if role == "mask":  # which is scaled as its values need it
        return
    colours, alpha = split_alpha(picture.raster)
    low, high = float(colours.min()), float(colours.max())
    whole = high > 2 and np.array_equal(colours, np.rint(colours))
    if whole or colours.mean() > 2 or low < -0.5:
        raise BlendError(
            "image-range",
            f"The {role} {picture.path} holds floats from {low:.4g} to {high:.4g}.",
            "Black is 0 and white is 1 in a picture of floats: scale it, or save it as integers.",
        )
    if alpha is not None and role == "target" and alpha.max() > 1.1:
        raise BlendError(
            "image-range", f"The alpha of the {role} {picture.path} goes up to {alpha.max():.4g}.", "Opaque is 1 in a picture of floats."
        )


def _unsupported(path: Path, role: str, what: str) -> BlendError:
    return BlendError("image-unsupported", f"The {role} {path} is {what}.", _CONVERT)


def _damaged(path: Path, role: str, error: Exception) -> BlendError:
    detail = " ".join(str(getattr(error, "detail", error)).split())
    if "out of memory" in detail.lower():
        return _short_of_memory(path, role)
    if "not in a known format" in detail:
        return BlendError("image-invalid", f"The {role} {path} is not an image in a format that is known here.", _REMEDY)
    return BlendError(
        "image-invalid", f"The {role} {path} cannot be decoded whole; it is damaged ({detail[:120]}).", "Get it again, or save it anew."
    )


def _short_of_memory(path: Path, role: str) -> BlendError:
    return BlendError("memory-short", f"There is too little memory for the {role} {path}.", "Close other programs, or scale it down.")
