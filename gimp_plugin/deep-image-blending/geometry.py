"""Rectangles as (x, y, width, height). Pure arithmetic, tested without GIMP."""

from __future__ import annotations

Rect = tuple[int, int, int, int]


def intersection(a: Rect, b: Rect) -> Rect | None:
    """What two rectangles share, or None."""
    x, y = max(a[0], b[0]), max(a[1], b[1])
    right, bottom = min(a[0] + a[2], b[0] + b[2]), min(a[1] + a[3], b[1] + b[3])
    return (x, y, right - x, bottom - y) if right > x and bottom > y else None


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
