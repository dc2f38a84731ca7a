"""The picture in the dialog: the object with its surroundings, before the blend and as it grows."""

from __future__ import annotations

from canvas import View
from geometry import Rect
from gi.repository import GdkPixbuf, GLib, Gtk

from blend_daemon.protocol.framing import Raster

SIZE = 420  # px, of the longer side
CURVE = (340, 46)  # px, width and height of the curve of losses


class Preview(Gtk.EventBox):
    """Shows a `View` with a layer laid over it; while a mouse button is held, the object as it was pasted.

    Pictures are made as pixbufs: drawing with cairo would need Python's cairo, which not every GIMP has.
    """

    def __init__(self) -> None:
        super().__init__()
        self._image = Gtk.Image()
        self._image.set_size_request(SIZE, SIZE)
        self.add(self._image)
        self._view: View | None = None
        self._before: GdkPixbuf.Pixbuf | None = None
        self._after: GdkPixbuf.Pixbuf | None = None
        self._held = False
        self.connect("button-press-event", self._hold, True)
        self.connect("button-release-event", self._hold, False)

    def set_view(self, view: View) -> None:
        """Show another part, as yet without a blend."""
        self._view = view
        pasted = _masked(view.source, view.mask)
        self._before = self._after = _over(_pixbuf(view.target), _pixbuf(pasted), (0, 0, pasted.shape[1], pasted.shape[0]), 1.0)
        self._show()

    def show_layer(self, layer: Raster, box: Rect, on_canvas: bool) -> None:
        """Lay a layer (RGBA, uint8) over the target; its box counts in pixels of the canvas or of the view."""
        if self._view is None:
            return
        scale = 1.0
        if on_canvas:
            scale = self._view.scale
            box = (box[0] - self._view.part[0], box[1] - self._view.part[1], box[2], box[3])
        self._after = _over(_pixbuf(self._view.target), _pixbuf(layer), box, scale)
        self._show()

    def _hold(self, _widget, _event, held: bool) -> bool:
        self._held = held
        self._show()
        return True

    def _show(self) -> None:
        shown = self._before if self._held else self._after
        if shown is None:
            return
        zoom = max(SIZE // max(shown.get_width(), shown.get_height()), 1)
        if zoom > 1:
            shown = shown.scale_simple(shown.get_width() * zoom, shown.get_height() * zoom, GdkPixbuf.InterpType.NEAREST)
        self._image.set_from_pixbuf(shown)


class Curve(Gtk.Image):
    """A small plot of the loss over the evaluations, from the lowest to the highest seen."""

    def __init__(self) -> None:
        super().__init__()
        self._points: list[tuple[int, float]] = []

    def clear(self) -> None:
        """Begin again."""
        self._points = []
        self.set_from_pixbuf(None)

    def add(self, evaluation: int, evaluations: int, loss: float) -> None:
        """One more point."""
        self._points.append((evaluation, loss))
        losses = [loss for _, loss in self._points]
        low, high = min(losses), max(losses)
        colour = self.get_style_context().get_color(Gtk.StateFlags.NORMAL)
        pixel = bytes(round(255 * part) for part in (colour.red, colour.green, colour.blue, 1))
        data = bytearray(4 * CURVE[0] * CURVE[1])
        last = None
        for evaluation, loss in self._points:
            x = min(evaluation * CURVE[0] // max(evaluations, 1), CURVE[0] - 1)
            y = round((CURVE[1] - 1) * (high - loss) / ((high - low) or 1))
            for column, row in _line(last or (x, y), (x, y)):
                start = 4 * (row * CURVE[0] + column)
                data[start : start + 4] = pixel
            last = (x, y)
        self.set_from_pixbuf(_pixbuf(Raster("uint8", (CURVE[1], CURVE[0], 4), bytes(data))))


def _line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [tuple(round(a + (b - a) * k / steps) for a, b in zip(start, end, strict=True)) for k in range(steps + 1)]


def _masked(source: Raster, mask: Raster | None) -> Raster:
    """The source with the selection worked into its alpha."""
    if mask is None:
        return source
    data = bytearray(source.data)
    data[3::4] = bytes(int(alpha * amount) for alpha, amount in zip(data[3::4], memoryview(mask.data).cast("f"), strict=True))
    return Raster(source.dtype, source.shape, bytes(data))


def _pixbuf(raster: Raster) -> GdkPixbuf.Pixbuf:
    height, width, channels = raster.shape
    data = GLib.Bytes.new(bytes(raster.data))
    return GdkPixbuf.Pixbuf.new_from_bytes(data, GdkPixbuf.Colorspace.RGB, True, 8, width, height, channels * width)


def _over(below: GdkPixbuf.Pixbuf, above: GdkPixbuf.Pixbuf, box: Rect, scale: float) -> GdkPixbuf.Pixbuf:
    """`above`, whose box is given before scaling, laid over a copy of `below`."""
    out = below.copy()
    x, y = box[0] * scale, box[1] * scale
    left, top = max(int(x), 0), max(int(y), 0)
    right = min(round(x + above.get_width() * scale), out.get_width())
    bottom = min(round(y + above.get_height() * scale), out.get_height())
    if right > left and bottom > top:
        smooth = GdkPixbuf.InterpType.BILINEAR if scale < 1 else GdkPixbuf.InterpType.NEAREST
        above.composite(out, left, top, right - left, bottom - top, x, y, scale, scale, smooth, 255)
    return out
