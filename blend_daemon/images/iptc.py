"""IPTC: the same records, in the wrapping that each format has for them."""

from __future__ import annotations

import struct
import zlib

_HEAD, _BLOCK, _RECORDS = b"Photoshop 3.0\0", b"8BIM", 0x0404


def unwrapped(data: bytes) -> bytes | None:
    """The records, from Photoshop's blocks or as they are. What else is in the blocks, thumbnails among it, is left behind."""
    data = data.removeprefix(_HEAD)
    if data[:1] == b"\x1c":
        return data
    at = 0
    while data[at : at + 4] == _BLOCK and at + 12 <= len(data):
        (kind,) = struct.unpack_from(">H", data, at + 4)
        name = data[at + 6] + 1
        at += 6 + name + name % 2
        if at + 4 > len(data):
            return None
        (length,) = struct.unpack_from(">I", data, at)
        if kind == _RECORDS:
            return data[at + 4 : at + 4 + length]
        at += 4 + length + length % 2
    return None


def block(records: bytes) -> bytes:
    """As one of Photoshop's blocks."""
    return _BLOCK + struct.pack(">HHI", _RECORDS, 0, len(records)) + records + b"\0" * (len(records) % 2)


def jpeg_segment(records: bytes) -> bytes:
    """As a JPEG's APP13 segment."""
    body = _HEAD + block(records)
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body


def png_text(records: bytes) -> bytes:
    """As the text chunk in which ImageMagick and ExifTool keep it."""
    data = block(records)
    lines = "\n".join(data.hex()[k : k + 72] for k in range(0, 2 * len(data), 72))
    return b"Raw profile type iptc\0\0" + zlib.compress(f"\niptc\n{len(data):8}\n{lines}\n".encode())
