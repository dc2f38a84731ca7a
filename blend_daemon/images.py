"""Image files to rasters and back, with depth, colour profile, orientation and metadata. The only file that knows file formats."""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from blend_daemon.engine.pixels import Raster
from blend_daemon.errors import BlendError
from blend_daemon.protocol.limits import MAX_PIXELS

logging.getLogger("pyvips").setLevel(logging.ERROR)

DTYPES = {"uchar": np.uint8, "ushort": np.uint16, "float": np.float32}
# What each format can hold: dtypes, numbers of channels, and the options it is written with.
_EVERY = (1, 2, 3, 4)
FORMATS: dict[str, tuple[tuple[str, ...], tuple[int, ...], dict[str, Any]]] = {
    ".png": (("uchar", "ushort"), _EVERY, {}),
    ".tif": (("uchar", "ushort", "float"), _EVERY, {"compression": "deflate"}),
    ".tiff": (("uchar", "ushort", "float"), _EVERY, {"compression": "deflate"}),
    ".webp": (("uchar",), (3, 4), {"lossless": True}),
    ".jpg": (("uchar",), (1, 3), {"Q": 95, "subsample_mode": "off"}),
    ".jpeg": (("uchar",), (1, 3), {"Q": 95, "subsample_mode": "off"}),
}
LOSSY = (".jpg", ".jpeg")
_CARRIED = ("exif", "xmp-data", "iptc-data", "icc-profile-data", "resolution-unit", "png-comment")


@dataclass(frozen=True)
class Picture:
    """A decoded image file, upright.

    Attributes
    ----------
    path : the file
    raster : (height, width, channels) uint8, uint16 or float32
    image : libvips' image, for its profile and metadata
    """

    path: Path
    raster: Raster
    image: pyvips.Image

    @property
    def profile(self) -> bytes | None:
        """The embedded ICC profile."""
        name = "icc-profile-data"
        return self.image.get(name) if self.image.get_typeof(name) else None


def read(path: Path, role: str) -> Picture:
    """Decode a file.

    Parameters
    ----------
    role : "source", "mask" or "target", for messages

    Raises
    ------
    BlendError
        `file-missing`, `file-unreadable`, `image-invalid`, `image-too-large` or `image-unsupported`
    """
    if not path.exists():
        raise BlendError("file-missing", f"The {role} {path} does not exist.", "Check the name.")
    if path.is_dir():
        raise BlendError("image-invalid", f"The {role} {path} is a folder, not an image.", "Name an image file.")
    if not os.access(path, os.R_OK):
        raise BlendError("file-unreadable", f"The {role} {path} may not be read.", "Change its permissions.")
    try:
        image = pyvips.Image.new_from_file(str(path), fail_on="truncated")
    except pyvips.Error as error:
        raise _invalid(path, role) from error
    if image.width * image.height > MAX_PIXELS:
        raise BlendError(
            "image-too-large",
            f"The {role} {path} has {image.width}x{image.height} pixels; at most {MAX_PIXELS // 1_000_000} megapixels are accepted.",
            "Scale it down or crop it.",
        )
    if image.interpretation == "cmyk" or image.bands > 4 or image.format not in DTYPES:
        what = "a CMYK image" if image.interpretation == "cmyk" else f"an image of {image.bands} channels of type {image.format}"
        raise BlendError(
            "image-unsupported",
            f"The {role} {path} is {what}.",
            "Convert it to grey or RGB with 8 or 16 bits, or to a float TIFF.",
        )
    try:
        image = image.autorot()
        raster = np.ascontiguousarray(image.numpy())
    except pyvips.Error as error:
        raise _invalid(path, role) from error
    return Picture(path, raster[:, :, None] if raster.ndim == 2 else raster, image)


def _invalid(path: Path, role: str) -> BlendError:
    return BlendError(
        "image-invalid", f"The {role} {path} is not an image that can be read, or it is damaged.", "Give a PNG, TIFF, JPEG or WebP."
    )


def grey_mask(picture: Picture) -> Raster:
    """The mask's values, (height, width, 1): the grey channel, times alpha where there is one."""
    raster = picture.raster
    if raster.shape[2] in (1, 2) or (raster[:, :, :1] == raster[:, :, 1:3]).all():
        grey = raster[:, :, :1]
    else:
        raise BlendError(
            "mask-coloured", f"The mask {picture.path} is a colour picture.", "A mask is grey: white where the object is, black elsewhere."
        )
    if raster.shape[2] in (1, 3):
        return np.ascontiguousarray(grey)
    top = 1.0 if raster.dtype == np.float32 else float(np.iinfo(raster.dtype).max)
    return (grey.astype(np.float32) / top) * (raster[:, :, -1:].astype(np.float32) / top)


def in_colours_of(picture: Picture, target: Picture) -> Raster:
    """The picture's raster in the target's colour profile; without an embedded profile, sRGB is assumed."""
    own, other = picture.profile, target.profile
    if own == other or picture.raster.shape[2] < 3 or target.raster.shape[2] < 3 or picture.raster.dtype == np.float32:
        return picture.raster
    try:
        with tempfile.NamedTemporaryFile(suffix=".icc") as file:
            file.write(other or b"")
            file.flush()
            converted = picture.image.icc_transform(
                file.name if other else "srgb", input_profile="srgb", embedded=own is not None,
                depth=16 if picture.raster.dtype == np.uint16 else 8, intent="relative", black_point_compensation=True,
            )  # fmt: skip
            return np.ascontiguousarray(converted.numpy())
    except pyvips.Error as error:
        raise BlendError(
            "profile-invalid",
            f"The colours of {picture.path} cannot be converted to the profile of {target.path}.",
            "Assign a standard RGB profile to both.",
        ) from error


def check_writable(path: Path, dtype: np.dtype, channels: int) -> None:
    """Find out before the long run whether a raster can be written there.

    Raises
    ------
    BlendError
        `format-unknown`, `format-unfit` or `output-unwritable`
    """
    suffix = path.suffix.lower()
    name = next(key for key, value in DTYPES.items() if value == dtype)
    if suffix not in FORMATS:
        raise BlendError("format-unknown", f"The format of {path} is not known by its ending.", f"Use one of {', '.join(FORMATS)}.")
    dtypes, counts, _ = FORMATS[suffix]
    if name not in dtypes or channels not in counts:
        fit = [ending for ending, (d, c, _) in FORMATS.items() if name in d and channels in c]
        what = f"{channels} channels of {np.dtype(dtype).name}"
        raise BlendError("format-unfit", f"{path} cannot hold the target's {what}.", f"Use one of {', '.join(fit)}.")
    if path.is_dir():
        raise BlendError("output-unwritable", f"{path} is a folder.", "Name a file.")
    if not path.parent.is_dir():
        raise BlendError("output-unwritable", f"The folder {path.parent} does not exist.", "Make it first.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise BlendError(
            "output-unwritable", f"{path} cannot be written: {error.strerror}.", "Choose another place or change its permissions."
        ) from error


def write(path: Path, raster: Raster, like: Picture) -> None:
    """Write a raster with the profile and metadata of `like`; the file appears whole or not at all.

    Raises
    ------
    BlendError
        `output-unwritable`
    """
    colours = raster.shape[2] - (raster.shape[2] + 1) % 2
    names = {np.dtype(np.uint8): ("b-w", "srgb"), np.dtype(np.uint16): ("grey16", "rgb16"), np.dtype(np.float32): ("b-w", "srgb")}
    image = pyvips.Image.new_from_array(np.ascontiguousarray(raster), interpretation=names[raster.dtype][colours > 1])
    if raster.dtype == np.float32:
        image = image.copy(interpretation=like.image.interpretation)
    image = image.copy(xres=like.image.xres, yres=like.image.yres)

    for name in like.image.get_fields():
        if name.startswith(_CARRIED) and not name.endswith("Orientation"):
            image.set_type(like.image.get_typeof(name), name, like.image.get(name))
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=path.suffix.lower(), prefix=".blend-")
    os.close(handle)
    try:
        image.write_to_file(temporary, **FORMATS[path.suffix.lower()][2])
        with Path(temporary).open("rb") as file:
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~mask)
        Path(temporary).replace(path)
    except (pyvips.Error, OSError) as error:
        Path(temporary).unlink(missing_ok=True)
        raise BlendError(
            "output-unwritable", f"{path} could not be written: {error}.".replace("\n", " "), "Free some space or choose another place."
        ) from error
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
