"""EXIF: what describes the picture is carried on, what describes the old pixels is left behind.

EXIF is a TIFF structure, so the same reading serves a TIFF file's own directory, and what is kept of either can be written as the other.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # bytes of a value of each TIFF type
Directory = dict[int, tuple[int, bytes]]  # tag -> type, values in the file's byte order

CAMERA, GPS, INTEROP = 34665, 34853, 40965  # tags that point to further directories
ORIENTATION = 274
_WIDTH, _HEIGHT = 40962, 40963
# Of the main directory only what tells of the picture: names, device, dates, rights, rating, exposure (TIFF/EP), place on earth.
# The rest is the layout of the pixels, or points to pixels: thumbnails, layers, raw data.
_MAIN = {
    269, 270, 271, 272, 282, 283, 285, 296, 305, 306, 315, 316, 18246, 18249, 33432, 33434, 33437, 33550, 33922, 34264, 34735, 34736, 34737,
    34850, 34855, 36867, 36868, *range(37377, 37387), 40091, 40092, 40093, 40094, 40095, 42112, 42113, *range(42016, 42038),
}  # fmt: skip
_OF_THE_CODING = {37121, 37122}  # of the old file's compression
_POSITIONS = {37396, 41492}  # where the subject is, in pixels of the picture as it lay
_MAKER_NOTE = 37500
RESOLUTION = {282, 283, 296}
# What programs write into the description to find their own pixels again.
_MADE_BY_PROGRAMS = (b"ImageJ=", b'{"shape"', b"<?xml", b"SCIFIO=")


@dataclass(frozen=True)
class Exif:
    """Metadata of a picture in four directories, in one byte order.

    Attributes
    ----------
    order : "<" or ">"
    main, camera, gps, interop : by tag
    """

    order: str
    main: Directory = field(default_factory=dict)
    camera: Directory = field(default_factory=dict)
    gps: Directory = field(default_factory=dict)
    interop: Directory = field(default_factory=dict)

    @property
    def orientation(self) -> int:
        kind, value = self.main.get(ORIENTATION, (0, b""))
        return struct.unpack(f"{self.order}H", value[:2])[0] if kind == 3 and len(value) >= 2 else 1

    @property
    def is_adobe_rgb(self) -> bool:
        """Whether it says so, as cameras do that embed no profile."""
        return self.interop.get(1, (0, b""))[1].startswith(b"R03")

    def of(self, width: int, height: int, turned: bool) -> Exif:
        """What is true of new, upright pixels of that size."""
        main = {
            tag: entry for tag, entry in self.main.items() if tag in _MAIN and not (tag == 270 and entry[1].startswith(_MADE_BY_PROGRAMS))
        }
        left = _OF_THE_CODING | (_POSITIONS if turned else set())
        camera = {tag: entry for tag, entry in self.camera.items() if tag not in left}
        # Some cameras keep a preview in their private notes: the old picture again.
        if b"\xff\xd8\xff" in camera.get(_MAKER_NOTE, (0, b""))[1]:
            del camera[_MAKER_NOTE]
        for tag, size in ((_WIDTH, width), (_HEIGHT, height)):
            if tag in camera:
                camera[tag] = (4, struct.pack(f"{self.order}I", size))
        return Exif(self.order, main, camera, self.gps, self.interop)

    def packed(self) -> bytes:
        """As the bytes that follow `Exif\\0\\0` in a JPEG; empty where there is nothing."""
        if not (self.main or self.camera or self.gps):
            return b""
        pointers = dict.fromkeys(self.tail(0)[1], (4, bytes(4)))
        size = len(laid_out(self.main | pointers, 8, self.order))
        tail, found = self.tail(8 + size)
        head = (b"II" if self.order == "<" else b"MM") + struct.pack(f"{self.order}HI", 42, 8)
        return head + laid_out(self.main | found, 8, self.order) + tail

    def without_maker_note(self) -> Exif:
        return Exif(self.order, self.main, {t: e for t, e in self.camera.items() if t != _MAKER_NOTE}, self.gps, self.interop)

    def tail(self, at: int) -> tuple[bytes, Directory]:
        """The directories other than the main one as they lie `at` bytes from the file's start, and the main one's pointers to them."""
        out, pointers, camera = b"", {}, self.camera
        pointer = lambda: (4, struct.pack(f"{self.order}I", at + len(out)))
        if self.interop:
            camera = camera | {INTEROP: pointer()}
            out += laid_out(self.interop, at, self.order)
        if camera:
            pointers[CAMERA] = pointer()
            out += laid_out(camera, at + len(out), self.order)
        if self.gps:
            pointers[GPS] = pointer()
            out += laid_out(self.gps, at + len(out), self.order)
        return out, pointers


def read(data: bytes) -> Exif | None:
    """The metadata of a block of EXIF or of a whole TIFF file; None where there is none that can be read."""
    data = data.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 16:
        return None
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    start = struct.unpack_from(f"{order}Q", data, 8)[0] if big else struct.unpack_from(f"{order}I", data, 4)[0]
    follow = lambda folder, tag: _directory(data, _pointer(folder, tag, order), order, big)
    main = _directory(data, start, order, big)
    camera = follow(main, CAMERA)
    gps, interop = follow(main, GPS), follow(camera, INTEROP)
    camera.pop(INTEROP, None)
    return Exif(order, main, camera, gps, interop)


def _pointer(folder: Directory, tag: int, order: str) -> int:
    value = folder.get(tag, (4, b""))[1]
    return struct.unpack(f"{order}{'Q' if len(value) == 8 else 'I'}", value)[0] if len(value) in (4, 8) else 0


def _directory(data: bytes, at: int, order: str, big: bool) -> Directory:
    """A directory as far as it is sound: cameras and editors leave all kinds of damage, and each entry stands by itself."""
    head, size, inline, word = (8, 20, 8, "Q") if big else (2, 12, 4, "I")
    if at <= 0 or at + head > len(data):
        return {}
    found: Directory = {}
    for k in range(min(struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, at)[0], 1000)):
        entry = at + head + k * size
        if entry + size > len(data):
            break
        tag, kind, count = struct.unpack_from(f"{order}HH{word}", data, entry)
        length = SIZES.get(kind, 8 if tag in (CAMERA, GPS, INTEROP) else 0) * count
        begin = entry + size - inline
        if length > inline:
            begin = struct.unpack_from(f"{order}{word}", data, begin)[0]
        if length and begin + length <= len(data):
            found[tag] = (kind, data[begin : begin + length])
    return found


def laid_out(folder: Directory, at: int, order: str) -> bytes:
    """A directory as it lies at an offset, its longer values behind it."""
    table, values = struct.pack(f"{order}H", len(folder)), b""
    behind = at + 2 + 12 * len(folder) + 4
    for tag, (kind, value) in sorted(folder.items()):
        table += struct.pack(f"{order}HHI", tag, kind, len(value) // SIZES[kind])
        if len(value) <= 4:
            table += value.ljust(4, b"\0")
        else:
            table += struct.pack(f"{order}I", behind + len(values))
            values += value + b"\0" * (len(value) % 2)
    return table + bytes(4) + values
