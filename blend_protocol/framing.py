"""Messages to ZeroMQ frames and back.

A message is `[magic + version, JSON header, raster, raster, ...]`; the header's `frames` list describes the rasters. Nothing is
unpickled, nothing names a file, and every size is checked against the header before a byte of pixels is touched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from blend_protocol.errors import BlendError
from blend_protocol.limits import MAX_PIXELS, MAX_SIDE

VERSION = 5
MAGIC = b"DIB"
HEADER_LIMIT = 64 * 1024
ITEM_SIZE = {"uint8": 1, "uint16": 2, "float32": 4}
FRAME_LIMIT = MAX_PIXELS * 4 * 4  # bytes: float32, four channels; a larger frame is refused before it is allocated


@dataclass(frozen=True)
class Raster:
    """Pixels on the wire.

    Attributes
    ----------
    dtype : "uint8", "uint16" or "float32", in the machine's byte order
    shape : (height, width, channels), 1 to 4 channels
    data : bytes-like, rows from the top
    """

    dtype: str
    shape: tuple[int, int, int]
    data: Any


@dataclass(frozen=True)
class Message:
    """A decoded message: its type, its fields and its rasters by name."""

    type: str
    header: Mapping[str, Any] = field(default_factory=dict)
    rasters: Mapping[str, Raster] = field(default_factory=dict)


def invalid(what: str) -> BlendError:
    """The error for a message that breaks the protocol."""
    return BlendError("message-invalid", f"The message is not valid: {what}.", "Install the plug-in and the daemon from the same version.")


def encode(message: Message) -> list[Any]:
    """Frames of a message; the rasters' memory is not copied."""
    frames = [{"name": name, "dtype": r.dtype, "shape": list(r.shape)} for name, r in message.rasters.items()]
    header = {"type": message.type, **message.header, "frames": frames}
    text = json.dumps(header, separators=(",", ":"), sort_keys=True, allow_nan=False)
    return [preamble(), text.encode(), *(r.data for r in message.rasters.values())]


def preamble() -> bytes:
    """The first frame of every message."""
    return MAGIC + bytes([VERSION])


def version_of(frames: Sequence[Any]) -> int | None:
    """The protocol version of a message, None if it is not of this protocol at all."""
    first = bytes(frames[0][:5]) if frames else b""
    return first[3] if len(first) == 4 and first[:3] == MAGIC else None


def decode(frames: Sequence[Any]) -> Message:
    """The message in frames (bytes-like each). Raises BlendError `message-invalid` or `protocol-mismatch`."""
    version = version_of(frames)
    if version is None:
        raise invalid("it does not begin with the protocol's magic")
    if version != VERSION:
        raise BlendError(
            "protocol-mismatch",
            f"The other side speaks protocol version {version}, this side version {VERSION}.",
            "Run `blend-daemon stop` and install the plug-in and the daemon from the same version.",
        )
    if len(frames) < 2 or len(frames[1]) > HEADER_LIMIT:
        raise invalid("it has no header, or one that is too long")
    try:
        header = json.loads(bytes(frames[1]))
    except (ValueError, RecursionError):
        raise invalid("its header is not JSON") from None
    if not isinstance(header, dict) or not isinstance(header.get("type"), str) or not isinstance(header.get("frames"), list):
        raise invalid("its header lacks a type or a list of frames")
    described = header.pop("frames")
    if len(described) != len(frames) - 2:
        raise invalid("the number of frames is not what its header says")
    rasters = {}
    for about, data in zip(described, frames[2:], strict=True):
        name, raster = _raster(about, data)
        if name in rasters:
            raise invalid(f"two frames are named {name}")
        rasters[name] = raster
    return Message(header.pop("type"), header, rasters)


def _raster(about: Any, data: Any) -> tuple[str, Raster]:
    if not isinstance(about, dict) or set(about) != {"name", "dtype", "shape"}:
        raise invalid("a frame is not described by name, dtype and shape")
    name, dtype, shape = about["name"], about["dtype"], about["shape"]
    if not isinstance(name, str) or not isinstance(dtype, str) or dtype not in ITEM_SIZE:
        raise invalid("a frame has no name or an unknown dtype")
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(n) is int and n > 0 for n in shape):
        raise invalid(f"the shape of {name} is not three positive whole numbers")
    height, width, channels = shape
    if channels > 4 or max(height, width) > MAX_SIDE or height * width > MAX_PIXELS:
        raise BlendError(
            "image-too-large",
            f"The {name} is {width}x{height} pixels with {channels} channels.",
            f"At most {MAX_PIXELS // 1_000_000} megapixels and 4 channels are accepted.",
        )
    size = height * width * channels * ITEM_SIZE[dtype]
    if len(data) != size:
        raise invalid(f"the frame of {name} has {len(data)} bytes where its shape needs {size}")
    return name, Raster(dtype, (height, width, channels), data)
