"""A window with the user's object blended by each method that is quick, and by what the others start from; a click chooses one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gi.repository import GdkPixbuf, GLib, Gtk

from blend_protocol.errors import BlendError
from blend_protocol.methods import METHODS
from dib import options
from dib.geometry import unscaled
from dib.i18n import _
from dib.job.request import View
from dib.job.sketcher import Sketcher
from dib.ui.callbacks import told
from dib.ui.notice import Notice
from dib.ui.preview import lay, pixbuf
from dib.words import sentence

TICK = 30  # ms
SIZE = 210  # px, longer side of each picture
COLUMNS = 4
SHOWN = tuple(name for name, method in METHODS.items() if method.quick or name == "deep")


def choose(parent: Gtk.Window, command: list[str], address: str | None, view: View, present: Mapping[str, Any]) -> str | None:
    """Show the window until a method is chosen, and return its name, or None.

    Parameters
    ----------
    view : the object with its surroundings, on the scale of a sketch
    present : the parameters as they are; the window changes the method in them
    """
    window = Comparison(parent, view, present)
    try:
        window.connect(command, address)
        return window.run()
    finally:
        window.close()


class Comparison:
    """The window. Its sketches are asked for one after another."""

    def __init__(self, parent: Gtk.Window, view: View, present: Mapping[str, Any]) -> None:
        self._view, self._present = view, present
        self._left = list(SHOWN)
        self._chosen: str | None = None
        self._sketcher: Sketcher | None = None
        self._dialog = Gtk.Dialog(title=_("Compare Methods"), transient_for=parent, modal=True)
        self._dialog.add_button(_("_Cancel"), Gtk.ResponseType.CANCEL)
        self._state = Gtk.Label(xalign=0)
        self._pictures = {name: Gtk.Image() for name in SHOWN}
        grid = Gtk.Grid(row_spacing=6, column_spacing=6, row_homogeneous=True, column_homogeneous=True)
        for number, name in enumerate(SHOWN):
            grid.attach(self._button(name), number % COLUMNS, number // COLUMNS, 1, 1)
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=8, border_width=12)
        self._notice = Notice()
        over = Gtk.Overlay()
        over.add(grid)
        over.add_overlay(self._notice)
        box.pack_start(over, True, True, 0)
        box.pack_start(self._state, False, False, 0)
        box.show_all()
        self._dialog.get_content_area().pack_start(box, True, True, 0)
        self._timer = GLib.timeout_add(TICK, self._tick)

    def _button(self, name: str) -> Gtk.Button:
        label, explanation = next((row[1], row[2]) for row in options.METHODS if row[0] == name)
        button = Gtk.Button(tooltip_text=_(explanation), name=name)
        inside = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=4)
        self._pictures[name].set_size_request(SIZE, SIZE)
        inside.pack_start(self._pictures[name], True, True, 0)
        inside.pack_start(Gtk.Label(label=_(label)), False, False, 0)
        button.add(inside)
        button.connect("clicked", self._choose, name)
        if name == self._present["method"]:
            button.get_style_context().add_class("suggested-action")
        return button

    def connect(self, command: list[str], address: str | None) -> None:
        """Reach the daemon, and ask for the first sketch."""
        try:
            self._sketcher = Sketcher(command, address, self._show)
        except BlendError as error:
            self.fail(error)
        else:
            self._ask()

    def fail(self, error: BlendError) -> None:
        """Say why there are no more pictures."""
        if self._sketcher:
            self._sketcher.close()
        self._sketcher = None
        self._notice.tell(sentence(error))

    def run(self) -> str | None:
        """Show the window; the name of the method that was chosen."""
        self._dialog.run()
        return self._chosen

    def close(self) -> None:
        """End the connection and the window."""
        GLib.source_remove(self._timer)
        if self._sketcher:
            self._sketcher.close()
        self._dialog.destroy()

    def _ask(self) -> None:
        done = len(SHOWN) - len(self._left)
        self._state.set_text(_("{done} of {all} methods").format(done=done, all=len(SHOWN)) if self._left else "")
        if self._left:
            self._sketcher.want(self._view, options.used({**self._present, "method": self._left[0]}))

    def _show(self, message, view: View) -> None:
        height, width, _channels = view.source.shape
        picture = pixbuf(view.target).copy()  # what is made of bytes cannot be drawn on
        lay(
            picture,
            pixbuf(message.rasters["layer"]),
            unscaled(message.header["box"], view.part, (width, height)),
            view.part,
            width / view.part[2],
        )
        scale = SIZE / max(width, height)
        smooth = GdkPixbuf.InterpType.BILINEAR
        self._pictures[self._left.pop(0)].set_from_pixbuf(picture.scale_simple(round(width * scale), round(height * scale), smooth))
        self._ask()

    @told
    def _choose(self, _button, name: str) -> None:
        self._chosen = name
        self._dialog.response(Gtk.ResponseType.OK)

    @told
    def _tick(self) -> bool:
        if self._sketcher:
            self._sketcher.step()
        return GLib.SOURCE_CONTINUE
