"""PNG's chunks: what libvips does not carry, the meaning of the numbers and the texts."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR = (b"cICP", b"sRGB", b"gAMA", b"cHRM", b"mDCV", b"cLLI")
TEXT = (b"tEXt", b"zTXt", b"iTXt")
_XMP = b"XML:com.adobe.xmp\0"
_RAW = b"Raw profile type "

Chunk = tuple[bytes, bytes]  # name, content


def chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks before and after the pixels, without them."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name = data[at + 4 : at + 8]
        if name != b"IDAT":
            yield name, data[at + 8 : at + 8 + length]
        at += 12 + length


def with_chunks(data: bytes, more: Iterable[Chunk]) -> bytes:
    """The file with chunks put before its pixels."""
    end = len(SIGNATURE) + 25  # of the header chunk, whose length is fixed
    packed = [
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content)) for name, content in more
    ]  # fmt: skip
    return data[:end] + b"".join(packed) + data[end:]


def is_own_text(chunk: Chunk) -> bool:
    """Whether it is a text of its own, and no wrapping of EXIF, XMP, IPTC or a profile, which are carried by themselves."""
    name, content = chunk
    return name in TEXT and not content.startswith((_XMP, _RAW))


def raw_profile(found: Iterable[Chunk], kind: str) -> bytes | None:
    """Metadata as ImageMagick wraps it: hexadecimal, in a text chunk."""
    for name, content in found:
        title, _, rest = content.partition(b"\0")
        if name in (b"zTXt", b"tEXt") and title == _RAW + kind.encode():
            try:
                text = zlib.decompress(rest[1:]) if name == b"zTXt" else rest
                return bytes.fromhex(b"".join(text.split()[2:]).decode("ascii"))
            except (zlib.error, ValueError):  # damaged, like any metadata that cannot be read: left out
                return None
    return None


def xmp_chunk(packet: bytes) -> Chunk:
    return b"iTXt", _XMP + b"\0\0\0\0" + packet


def profile_chunk(profile: bytes) -> Chunk:
    return b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)


def resolution_chunk(per_inch: tuple[float, float]) -> Chunk:
    return b"pHYs", struct.pack(">IIB", *(round(n / 0.0254) for n in per_inch), 1)
