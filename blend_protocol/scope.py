"""Which part of the target a blend looks at, so that no more of it has to be read and sent. The engine, the command line and the plug-in
cut here, and nowhere else. Rectangles are (x, y, width, height) in pixels of the canvas, sizes (width, height)."""

from __future__ import annotations

from blend_protocol.methods import CONTEXT, SURROUNDINGS, find
from blend_protocol.presets import Parameters

Rect = tuple[int, int, int, int]
Size = tuple[int, int]

BANK_PIXELS = 300_000  # of the target around the object, at the working scale, that strokes are taken from
BANK_MARGIN = 64  # px around the object at least
ROUNDING = 1.1  # more than the working scale changes because sides are whole numbers


def part(parameters: Parameters, box: Rect, canvas: Size) -> Rect:
    """The part of the target that a blend looks at, beside `samples`, for an object with this bounding box or with one inside it."""
    method = find(parameters.method)
    assert method  # Parameters.from_mapping has seen to it
    if needs_canvas(parameters):
        return 0, 0, *canvas
    margin = max(CONTEXT, around(parameters.method, box[2] * box[3]))
    if method.bank:
        margin = max(margin, _bank_margin(box[2:], canvas, parameters.plan().working_pixels))
    return grown(box, margin, canvas)


def samples(parameters: Parameters) -> int:
    """Of how many pixels at most, evenly taken from the whole target, the colours count; 0: of none."""
    method = find(parameters.method)
    return 0 if method is None or needs_canvas(parameters) else method.samples


def needs_canvas(parameters: Parameters) -> bool:
    """Whether all of the target is looked at, at every scale: the paper's own algorithms know no window."""
    return parameters.preset == "paper" and parameters.method.startswith("deep")


def around(method: str, pixels: int) -> int:
    """How many px around the object a method looks at, whose object has at most so many pixels; its bank aside."""
    known = find(method)
    assert known
    return max(CONTEXT, reach(pixels)) if known.around == SURROUNDINGS else known.around


def reach(pixels: int) -> int:
    """How far around an object of so many pixels, in px, the target counts as its surroundings."""
    return int(min(max(0.25 * pixels**0.5, 24), 200))


def stride(canvas: Size, most: int) -> int:
    """Each how manieth row and column, from the middle of the first so many, is taken for `samples` of at most `most` or so."""
    width, height = canvas
    return max(1, min(round((width * height / most) ** 0.5), width, height))


def sampled(canvas: Size, most: int) -> Size:
    """The size of the samples as a picture."""
    step = stride(canvas, most)
    return canvas[0] // step, canvas[1] // step


def bank(box: Rect, canvas: Size, working: float) -> Rect:
    """The part of the canvas around the object that strokes are taken from.

    Parameters
    ----------
    working : of the working scale, the full one being 1
    """
    margin, most = max(BANK_MARGIN, *box[2:]), BANK_PIXELS / working**2
    found = grown(box, margin, canvas)
    while margin > CONTEXT and found[2] * found[3] > most:
        margin = int(0.9 * margin)
        found = grown(box, margin, canvas)
    return found


def grown(box: Rect, margin: int, canvas: Size) -> Rect:
    """The box grown by `margin` px on each side, cut at the canvas."""
    x, y, width, height = box
    left, top = max(x - margin, 0), max(y - margin, 0)
    return left, top, min(x + width + margin, canvas[0]) - left, min(y + height + margin, canvas[1]) - top


def _bank_margin(size: Size, canvas: Size, working_pixels: int) -> int:
    """How far around a box of this size the `bank` of it, or of any box inside it, reaches at most.

    A sender knows the object's box as that of the selection; the engine finds that some of it is transparent, or noise. The bank of a
    smaller box may reach further.
    """
    width, height = size
    within = lambda wide, high, most: min(wide, canvas[0]) * min(high, canvas[1]) <= most
    window = (width + 2 * CONTEXT) * (height + 2 * CONTEXT)

    def possible(margin: int) -> bool:
        # A margin of more than the least is no longer than the box inside, and reaches as far on one side, or all of the canvas. Where the
        # working scale is the full one, small boxes have the widest margins; where it is less, the whole box has.
        full = within(2 * margin, margin, BANK_PIXELS) or within(margin, 2 * margin, BANK_PIXELS)
        return full or within(width + margin, height + margin, ROUNDING * window * BANK_PIXELS / working_pixels)

    margin = last = max(BANK_MARGIN, width, height)
    while margin > BANK_MARGIN and not possible(margin):
        last, margin = margin, max(int(0.95 * margin), BANK_MARGIN)
    return last
