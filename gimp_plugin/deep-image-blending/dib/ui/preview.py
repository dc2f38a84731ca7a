"""The picture in the dialog: the object with its surroundings, before the blend and as it grows."""

from __future__ import annotations

from collections.abc import Callable

from gi.repository import Gdk, GdkPixbuf, GLib, Gtk

from blend_protocol.framing import Raster
from dib.geometry import Rect, around, fitting
from dib.i18n import _

SIZE = 440  # px, width and height that the picture asks for
CURVE = (200, 32)  # px, width and height of the curve of losses

Read = Callable[[Rect, float, bool], Raster]


class Preview(Gtk.Box):
    """Shows a part of the canvas with a layer laid over it, whole or pixel for pixel. While the picture or its button is held, the
    object as it was pasted. Pixel for pixel, dragging moves the part that is seen.

    Pictures are made as pixbufs: drawing with cairo would need Python's cairo, which not every GIMP has.
    """

    def __init__(self) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=6)
        self._read: Read | None = None
        self._part: Rect = (0, 0, 1, 1)
        self._canvas: Rect = (0, 0, 1, 1)
        self._centre = (0.0, 0.0)
        self._layers: list[tuple[GdkPixbuf.Pixbuf, Rect]] = []
        self._held = False
        self._grabbed: tuple[float, float, tuple[float, float]] | None = None
        self._size = (0, 0)
        self._image = Gtk.Image(name="picture")
        touch = Gtk.EventBox()
        touch.add(self._image)
        touch.add_events(Gdk.EventMask.POINTER_MOTION_MASK | Gdk.EventMask.BUTTON_PRESS_MASK | Gdk.EventMask.BUTTON_RELEASE_MASK)
        touch.connect("button-press-event", self._press)
        touch.connect("button-release-event", self._release)
        touch.connect("motion-notify-event", self._drag)
        touch.set_tooltip_text(_("Hold a mouse button to see the object as it was pasted; at 1:1, drag to move the picture"))
        # Its policy lets the window be smaller than the picture; the picture follows the room there is.
        self._room = Gtk.ScrolledWindow(hscrollbar_policy=Gtk.PolicyType.EXTERNAL, vscrollbar_policy=Gtk.PolicyType.EXTERNAL)
        self._room.set_size_request(SIZE, SIZE)
        self._room.add(touch)
        self._room.set_shadow_type(Gtk.ShadowType.IN)
        self._room.connect("size-allocate", self._resize)
        self.pack_start(self._room, True, True, 0)
        self.pack_start(self._buttons(), False, False, 0)

    def _buttons(self) -> Gtk.Box:
        row = Gtk.Box(spacing=6)
        fit = Gtk.RadioButton.new_with_mnemonic_from_widget(None, _("Fit"))
        fit.set_tooltip_text(_("Show the object with its surroundings"))
        self._pixels = Gtk.RadioButton.new_with_mnemonic_from_widget(fit, _("_1:1"))
        self._pixels.set_tooltip_text(_("Show pixel for pixel"))
        self._pixels.connect("toggled", lambda _button: self._show())
        before = Gtk.Button.new_with_mnemonic(_("Hold for before"))
        before.set_tooltip_text(_("Show the object as it was pasted, for as long as this is held"))
        before.connect("pressed", lambda _button: self._hold(True))
        before.connect("released", lambda _button: self._hold(False))
        for button in (fit, self._pixels):
            button.set_mode(False)
            row.pack_start(button, False, False, 0)
        row.pack_end(before, False, False, 0)
        return row

    def set_picture(self, read: Read, part: Rect, canvas: Rect) -> None:
        """Show another picture, as yet without a blend.

        Parameters
        ----------
        read : gives (part of the canvas, scale, whether the object is pasted) as uint8 RGBA
        part : what to show whole
        canvas : how far one may look pixel for pixel
        """
        if part != self._part:
            self._centre = (part[0] + part[2] / 2, part[1] + part[3] / 2)
        self._read, self._part, self._canvas, self._layers = read, part, canvas, []
        self._show()

    def clear(self) -> None:
        """Show nothing."""
        self._read, self._layers = None, []
        self._image.clear()

    def show_layers(self, *layers: tuple[Raster, Rect]) -> None:
        """Lay layers (uint8 RGBA, of any resolution) over the target, each where its box is on the canvas."""
        self._layers = [(pixbuf(layer), box) for layer, box in layers]
        self._show()

    def _hold(self, held: bool) -> None:
        self._held = held
        self._show()

    def _press(self, _widget, event) -> bool:
        if self._pixels.get_active():
            self._grabbed = event.x_root, event.y_root, self._centre
        else:
            self._hold(True)
        return True

    def _release(self, _widget, _event) -> bool:
        self._grabbed = None
        if self._held:
            self._hold(False)
        return True

    def _drag(self, _widget, event) -> bool:
        if self._grabbed:
            x, y, (left, top) = self._grabbed
            self._centre = left + x - event.x_root, top + y - event.y_root
            self._show()
        return True

    def _resize(self, _widget, room) -> None:
        if (room.width, room.height) != self._size:
            self._size = room.width, room.height
            GLib.idle_add(self._show)  # not from within an allocation

    def _show(self) -> None:
        if self._read is None or min(self._size) < 8:
            return
        room = self._size[0] - 4, self._size[1] - 4  # without the frame
        if self._pixels.get_active():
            part, scale = around(self._centre, room, self._canvas), 1.0
        else:
            part, scale = self._part, fitting(self._part[2:], room)
        pasted = self._held or not self._layers
        # What is shown enlarged is enlarged by a whole number, so that every pixel can be told.
        picture = pixbuf(self._read(part, min(scale, 1.0), pasted))
        if not pasted:
            picture = picture.copy()  # what is made of bytes cannot be drawn on
            for layer, box in self._layers:
                lay(picture, layer, box, part, min(scale, 1.0))
        if scale > 1:
            size = picture.get_width() * int(scale), picture.get_height() * int(scale)
            picture = picture.scale_simple(*size, GdkPixbuf.InterpType.NEAREST)
        self._image.set_from_pixbuf(picture)


class Curve(Gtk.Box):
    """A small plot of the loss over the evaluations, from the lowest to the highest seen."""

    def __init__(self) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL)
        self.set_tooltip_text(_("The objective at each evaluation so far"))
        self._text, self._image = Gtk.Label(xalign=0), Gtk.Image()
        self._text.get_style_context().add_class("dim-label")
        self._image.set_size_request(*CURVE)
        for widget in (self._text, self._image):
            self.pack_start(widget, False, False, 0)
        self._points: list[tuple[int, float]] = []

    def clear(self) -> None:
        """Begin again."""
        self._points = []
        self._text.set_text("")
        self._image.set_from_pixbuf(None)

    def add(self, evaluation: int, evaluations: int, loss: float) -> None:
        """One more point."""
        self._points.append((evaluation, loss))
        if len(self._points) == 1:
            return  # a blend with nothing to paint has one alone, which is no curve
        self._text.set_text(_("Left to improve"))
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
        self._image.set_from_pixbuf(pixbuf(Raster("uint8", (CURVE[1], CURVE[0], 4), bytes(data))))


def _line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [tuple(round(a + (b - a) * k / steps) for a, b in zip(start, end, strict=True)) for k in range(steps + 1)]


def pixbuf(raster: Raster) -> GdkPixbuf.Pixbuf:
    """A uint8 RGBA raster to be shown."""
    height, width, channels = raster.shape
    data = GLib.Bytes.new(bytes(raster.data))
    return GdkPixbuf.Pixbuf.new_from_bytes(data, GdkPixbuf.Colorspace.RGB, True, 8, width, height, channels * width)


def lay(below: GdkPixbuf.Pixbuf, above: GdkPixbuf.Pixbuf, box: Rect, part: Rect, scale: float) -> None:
    """Lay `above`, which fills `box` of the canvas, over `below`, which shows `part` of it at `scale`."""
    x, y = (box[0] - part[0]) * scale, (box[1] - part[1]) * scale
    along, down = box[2] * scale / above.get_width(), box[3] * scale / above.get_height()
    left, top = max(int(x), 0), max(int(y), 0)
    right = min(round(x + box[2] * scale), below.get_width())
    bottom = min(round(y + box[3] * scale), below.get_height())
    if right > left and bottom > top:
        same = along == down == 1
        smooth = GdkPixbuf.InterpType.NEAREST if same else GdkPixbuf.InterpType.BILINEAR
        above.composite(below, left, top, right - left, bottom - top, x, y, along, down, smooth, 255)
