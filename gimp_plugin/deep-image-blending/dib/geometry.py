"""Rectangles as (x, y, width, height). Pure arithmetic, tested without GIMP."""

from __future__ import annotations

from collections.abc import Sequence

Rect = tuple[int, int, int, int]


def intersection(a: Rect, b: Rect) -> Rect | None:
    """What two rectangles share, or None."""
    x, y = max(a[0], b[0]), max(a[1], b[1])
    right, bottom = min(a[0] + a[2], b[0] + b[2]), min(a[1] + a[3], b[1] + b[3])
    return (x, y, right - x, bottom - y) if right > x and bottom > y else None


def union(rects: Sequence[Rect]) -> Rect:
    """The smallest rectangle that holds them all; there must be one."""
    x, y = min(rect[0] for rect in rects), min(rect[1] for rect in rects)
    return x, y, max(rect[0] + rect[2] for rect in rects) - x, max(rect[1] + rect[3] for rect in rects) - y


def grown(rect: Rect, margin: int, inside: Rect) -> Rect:
    """The rectangle grown by `margin` on each side, as far as `inside` goes. `rect` must overlap `inside`."""
    x, y, w, h = rect
    found = intersection((x - margin, y - margin, w + 2 * margin, h + 2 * margin), inside)
    assert found is not None
    return found


def scaled(rect: Rect, scale: float) -> Rect:
    """The rectangle on another scale; its size depends on its own size alone, so that rectangles of one size stay of one size."""
    x, y, width, height = rect
    return round(x * scale), round(y * scale), max(round(width * scale), 1), max(round(height * scale), 1)


def fitting(size: tuple[int, int], room: tuple[int, int]) -> float:
    """The scale at which `size` fits into `room`; a whole number if it is over 1."""
    scale = min(room[0] / size[0], room[1] / size[1])
    return float(int(scale)) if scale > 1 else scale


def around(centre: tuple[float, float], size: tuple[int, int], inside: Rect) -> Rect:
    """A rectangle of `size` about `centre`, moved and cut so as to lie inside."""
    width, height = min(size[0], inside[2]), min(size[1], inside[3])
    x = min(max(round(centre[0] - width / 2), inside[0]), inside[0] + inside[2] - width)
    y = min(max(round(centre[1] - height / 2), inside[1]), inside[1] + inside[3] - height)
    return x, y, width, height


def unscaled(box: Rect, part: Rect, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """A box of a picture of `size` that shows `part` of the canvas, in pixels of the canvas."""
    along, down = part[2] / size[0], part[3] / size[1]
    return part[0] + box[0] * along, part[1] + box[1] * down, box[2] * along, box[3] * down
