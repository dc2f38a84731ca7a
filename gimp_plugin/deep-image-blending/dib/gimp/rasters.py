"""Drawables' pixels to rasters and back, and babl's names for their formats."""

from __future__ import annotations

from array import array

from gi.repository import Gegl, Gimp

from blend_protocol.framing import Raster
from dib.geometry import Rect, scaled

TYPE_CODE = {"uint8": "B", "uint16": "H", "float32": "f"}
BABL = {"uint8": "u8", "uint16": "u16", "float32": "float"}


def depth(image: Gimp.Image) -> str:
    """The dtype in which the image's values are stored, or float32."""
    kinds = {Gimp.Precision.U8_NON_LINEAR: "uint8", Gimp.Precision.U16_NON_LINEAR: "uint16"}
    return kinds.get(image.get_precision(), "float32")


def depth_of_colours(image: Gimp.Image) -> str:
    """The dtype in which the image's colours survive the way there and back."""
    # A format named by a string means sRGB; on an image with another profile only floats survive.
    return "float32" if image.get_color_profile() is not None else depth(image)


def perceptual(channels: int, dtype: str) -> str:
    """The format of colours: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha."""
    model = {1: "Y'", 2: "Y'A", 3: "R'G'B'", 4: "R'G'B'A"}[channels]
    return f"{model} {BABL[dtype]}"


def linear(dtype: str) -> str:
    """The format of selections and layer masks."""
    return f"Y {BABL[dtype]}"


def colours(drawable: Gimp.Drawable, rect: Rect, dtype: str, scale: float = 1.0, always_rgb: bool = False) -> Raster:
    """A rectangle of the drawable, with alpha; `always_rgb`: also if it is grey."""
    channels = 2 if drawable.is_gray() and not always_rgb else 4
    return _read(drawable, rect, scale, perceptual(channels, dtype), dtype, channels)


def mask(drawable: Gimp.Drawable, rect: Rect, dtype: str, scale: float = 1.0) -> Raster:
    """A rectangle of a selection."""
    return _read(drawable, rect, scale, linear(dtype), dtype, 1)


def visible(drawable: Gimp.Drawable) -> tuple[bool, Rect]:
    """Whether no pixel of the drawable is transparent to any degree, whether or not it has an alpha channel, and the bounding box of
    those that are not wholly transparent; all of it where there are none. To eight bits."""
    width, height = drawable.get_width(), drawable.get_height()
    whole = (0, 0, width, height)
    if not drawable.has_alpha():
        return True, whole
    data = _read(drawable, whole, 1.0, "A u8", "uint8", 1).data
    above = len(data) - len(data.lstrip(b"\0"))
    if above == len(data):
        return False, whole
    top, bottom = above // width, -(-len(data.rstrip(b"\0")) // width)
    rows = [data[width * row : width * (row + 1)] for row in range(top, bottom)]
    left, right = min(width - len(row.lstrip(b"\0")) for row in rows), max(len(row.rstrip(b"\0")) for row in rows)
    return data.count(255) == len(data), (left, top, right - left, bottom - top)


def write(drawable: Gimp.Drawable, raster: Raster, form: str, at: tuple[int, int] = (0, 0)) -> None:
    """Write the raster into the drawable at `at`, (x, y)."""
    height, width, channels = raster.shape
    data = bytes(raster.data)
    assert len(data) == height * width * channels * array(TYPE_CODE[raster.dtype]).itemsize  # GEGL ignores a wrong length silently
    buffer = drawable.get_buffer()
    buffer.set(Gegl.Rectangle.new(*at, width, height), form, data)
    buffer.flush()
    del buffer
    drawable.update(*at, width, height)


def shown(raster: Raster) -> Raster:
    """A layer raster of any dtype as uint8 RGBA, to look at."""
    height, width, channels = raster.shape
    form, rect = perceptual(channels, raster.dtype), Gegl.Rectangle.new(0, 0, width, height)
    buffer = Gegl.Buffer.new(form, 0, 0, width, height)
    buffer.set(rect, form, bytes(raster.data))
    return Raster("uint8", (height, width, 4), buffer.get(rect, 1.0, perceptual(4, "uint8"), Gegl.AbyssPolicy.NONE))


def _read(drawable: Gimp.Drawable, rect: Rect, scale: float, form: str, dtype: str, channels: int) -> Raster:
    x, y, width, height = scaled(rect, scale)
    buffer = drawable.get_buffer()
    data = buffer.get(Gegl.Rectangle.new(x, y, width, height), scale, form, Gegl.AbyssPolicy.NONE)
    del buffer
    assert len(data) == width * height * channels * array(TYPE_CODE[dtype]).itemsize
    return Raster(dtype, (height, width, channels), data)
