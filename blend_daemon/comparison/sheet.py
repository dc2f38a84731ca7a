"""The contact sheet: the methods side by side for each case, and the seam enlarged below each picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyvips

from blend_daemon.comparison.measure import Trial
from blend_daemon.comparison.pictures import Bytes, View, crop, insets
from blend_daemon.engine.raster.pixels import Box

WIDTH, TALLEST, GAP = 288, 384, 12  # px of a picture, and between them
PER_LINE = 5  # pictures
PAPER, INK, FAINT = (250, 249, 247), (28, 27, 26), (120, 116, 112)
FRAMES = ((224, 122, 16), (20, 130, 180))  # the two insets' colours
FONT = "sans"


def row(case: str, view: View, trials: Sequence[Trial], results: Mapping[str, Bytes]) -> Bytes:
    """One case's methods, in lines of `PER_LINE`, (height, width, 3). Without copy-paste among them, the object as pasted comes first."""
    looked_at = insets(view)
    cells = [] if "copy-paste" in results else [_cell("pasted, not blended", [], view.pasted, looked_at)]
    for trial in trials:
        if trial.method in results:
            cells.append(_cell(trial.method, _captions(trial), results[trial.method], looked_at))
        else:
            cells.append(_failed(trial.method, trial.failure))
    lines = [_line(cells[k : k + PER_LINE]) for k in range(0, len(cells), PER_LINE)]
    return _stack([_text(case, 15, INK, bold=True), *lines], GAP)


def sheet(rows: Sequence[Bytes]) -> Bytes:
    """The rows one below the other, with a margin."""
    return np.ascontiguousarray(_framed(_stack(rows, 2 * GAP)))


def _line(cells: Sequence[Bytes]) -> Bytes:
    """Cells side by side, each with a gap to its right."""
    out = _paper(max(cell.shape[0] for cell in cells), len(cells) * (WIDTH + GAP))
    for k, cell in enumerate(cells):
        cell = cell[:, :WIDTH]  # a long name is cut
        left = k * (WIDTH + GAP)
        out[: cell.shape[0], left : left + cell.shape[1]] = cell
    return out


def _framed(picture: Bytes) -> Bytes:
    out = _paper(picture.shape[0] + 2 * GAP, picture.shape[1] + GAP)
    out[GAP : GAP + picture.shape[0], GAP:] = picture
    return out


def _captions(trial: Trial) -> list[str]:
    told = lambda name, digits: f"{name} {trial.figures[name]:.{digits}f}".replace("nan", "-")
    last = [told("stain", 1)]
    last += [
        f"{number:.{digits}f} {unit}" for number, digits, unit in ((trial.seconds, 2, "s"), (trial.peak_mb, 0, "MB")) if number == number
    ]
    if trial.figures["background"] < 1:
        last.append(told("background", 4))
    return ["  ".join(told(name, 2) for name in ("seam", "style", "content")), "  ".join(last)]


def _cell(name: str, captions: Sequence[str], picture: Bytes, looked_at: Sequence[Box]) -> Bytes:
    height, width = picture.shape[:2]
    scale = min(WIDTH / width, TALLEST / height)
    small = _resized(picture, scale, "lanczos3")
    for box, colour in zip(looked_at, FRAMES, strict=False):
        _frame(small, tuple(round(n * scale) for n in box), colour)
    side = (WIDTH - GAP // 2) // 2
    parts = [_text(name, 11, INK, bold=True), small]
    if looked_at:
        strip = _paper(side, WIDTH)
        for k, (box, colour) in enumerate(zip(looked_at, FRAMES, strict=False)):
            close = _resized(crop(picture, box), side / box[2], "nearest")[:side, :side]
            left = k * (side + GAP // 2)
            strip[: close.shape[0], left : left + close.shape[1]] = close
            _frame(strip, (left, 0, *close.shape[1::-1]), colour)
        parts.append(strip)
    return _stack([*parts, *(_text(line, 9, FAINT) for line in captions)], GAP // 2, WIDTH)


def _failed(name: str, reason: str) -> Bytes:
    words = _text(f"failed: {reason}", 10, (160, 30, 20), width=WIDTH - GAP)
    return _stack([_text(name, 11, INK, bold=True), words], GAP // 2, WIDTH)


def _stack(parts: Sequence[Bytes], gap: int, width: int = 0) -> Bytes:
    """Parts one below the other, left-aligned, on paper at least `width` wide."""
    width = max(width, *(part.shape[1] for part in parts))
    out = _paper(sum(part.shape[0] + gap for part in parts) - gap, width)
    top = 0
    for part in parts:
        out[top : top + part.shape[0], : part.shape[1]] = part
        top += part.shape[0] + gap
    return out


def _paper(height: int, width: int) -> Bytes:
    return np.full((height, width, 3), PAPER, np.uint8)


def _resized(picture: Bytes, scale: float, kernel: str) -> Bytes:
    return np.array(pyvips.Image.new_from_array(np.ascontiguousarray(picture), interpretation="srgb").resize(scale, kernel=kernel).numpy())


def _frame(picture: Bytes, box: Box, colour: tuple[int, int, int]) -> None:
    """Draw a box's outline, 2 px wide."""
    x, y, width, height = box
    part = picture[max(y, 0) : y + height, max(x, 0) : x + width]
    for edge in (part[:2], part[-2:], part[:, :2], part[:, -2:]):
        edge[:] = colour


def _text(words: str, points: int, colour: tuple[int, int, int], bold: bool = False, width: int = 0) -> Bytes:
    """Words as a picture on paper."""
    words = words.encode(errors="replace").decode()  # of file names that are not UTF-8
    escaped = words.replace("&", "&amp;").replace("<", "&lt;") or " "
    options = {"width": width, "wrap": "word-char"} if width else {}
    ink = pyvips.Image.text(escaped, font=f"{FONT} {'bold ' if bold else ''}{points}", dpi=96, **options)
    # The picture is cut to the ink; a line's full height keeps words with and without descenders on one level.
    drawn = ink.embed(0, ink.yoffset, ink.width, max(ink.yoffset + ink.height, 5 * points // 3)).numpy()
    share = drawn[:, :, None] / 255.0
    return np.rint(np.array(PAPER) * (1 - share) + np.array(colour) * share).astype(np.uint8)
