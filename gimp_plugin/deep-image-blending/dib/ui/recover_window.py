"""The window with the blends that were never inserted: each with its picture, and what, how large and how old it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import gi

from dib.i18n import _

gi.require_version("GimpUi", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import GdkPixbuf, GimpUi, GLib, Gtk

from blend_protocol.errors import BlendError
from dib.gimp import rasters
from dib.job.kept import Keeper, Kept, age, method_label
from dib.ui.callbacks import told
from dib.ui.controls import Controls
from dib.ui.notice import Notice
from dib.ui.preview import pixbuf
from dib.words import sentence

TICK = 50  # ms
ICON = 72  # px, longer side of a blend's picture in the list
PICTURE = 4_000_000  # px; a larger blend is not fetched for its picture
DISCARD, CANCEL, INSERT = 1, Gtk.ResponseType.CANCEL, Gtk.ResponseType.OK


def run(keepers: list[Keeper], config, insert: Callable[[Kept], None]) -> bool:
    """Show the window until a blend is inserted, or none is to be. Returns whether one was."""
    GimpUi.init("deep-image-blending")
    window = RecoverWindow(keepers, config)
    try:
        while (kept := window.run()) is not None:
            try:
                insert(kept)
            except BlendError as error:
                window.fail(error)
            else:
                return True
        return False
    finally:
        window.close()


class RecoverWindow:
    """Fills while it is open: the daemons answer in their own time, and then each blend is fetched for its picture."""

    def __init__(self, keepers: list[Keeper], config) -> None:
        self._keepers = keepers
        self._kept: list[Kept] = []
        self._dialog = GimpUi.Dialog(title=_("Recover Blends"))
        for response, label in ((DISCARD, _("_Discard")), (CANCEL, _("_Cancel")), (INSERT, _("_Insert"))):
            self._dialog.add_button(label, response)
        self._dialog.set_default_response(INSERT)
        self._dialog.set_default_size(620, 420)
        self._rows = Gtk.ListStore(GdkPixbuf.Pixbuf, str)
        self._view = Gtk.TreeView(model=self._rows, headers_visible=False, name="blends")
        picture, text = Gtk.CellRendererPixbuf(xpad=6, ypad=6), Gtk.CellRendererText(xpad=6)
        picture.set_fixed_size(ICON + 12, ICON + 12)
        self._view.append_column(Gtk.TreeViewColumn("", picture, pixbuf=0))
        self._view.append_column(Gtk.TreeViewColumn("", text, markup=1))
        self._view.connect("row-activated", lambda *_event: self._dialog.response(INSERT))
        room = Gtk.ScrolledWindow(shadow_type=Gtk.ShadowType.IN)
        room.add(self._view)
        self._notice = Notice()
        over = Gtk.Overlay()
        over.add(room)
        over.add_overlay(self._notice)
        self._text = Gtk.Label(xalign=0, wrap=True, name="state")
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=8, border_width=12)
        box.pack_start(self._text, False, False, 0)
        box.pack_start(over, True, True, 0)
        box.pack_start(Controls(config).choice("output"), False, False, 0)
        box.show_all()
        self._dialog.get_content_area().pack_start(box, True, True, 0)
        self._steps: list[Iterator[None]] = [keeper.ask() for keeper in keepers]
        self._pictures: Iterator[None] | None = None
        self._say()
        self._timer = GLib.timeout_add(TICK, self._tick)

    def run(self) -> Kept | None:
        """Show the window until a blend is to be inserted; None if none is."""
        while (response := self._dialog.run()) in (DISCARD, INSERT):
            _model, chosen = self._view.get_selection().get_selected()
            if chosen is None:
                continue
            number = self._rows.get_path(chosen).get_indices()[0]
            if response == INSERT:
                return self._kept[number]
            kept = self._kept.pop(number)
            kept.release()
            self._rows.remove(chosen)
            self._pictures = self._fetch()  # its rows have moved
            self._say()
        return None

    def close(self) -> None:
        """End the window."""
        GLib.source_remove(self._timer)
        self._dialog.destroy()

    def fail(self, error: BlendError) -> None:
        """Say what went wrong."""
        self._notice.tell(sentence(error))

    @told
    def _tick(self) -> bool:
        for steps in list(self._steps):
            if next(steps, self) is self:
                self._steps.remove(steps)
                self._fill()
        if not self._steps and self._pictures is None:
            self._pictures = self._fetch()
        if self._pictures is not None:
            next(self._pictures, None)
        return GLib.SOURCE_CONTINUE

    def _fill(self) -> None:
        """List what is known by now."""
        self._kept = sorted((kept for keeper in self._keepers for kept in keeper.kept), key=lambda kept: -kept.entry["ended"])
        self._rows.clear()
        for kept in self._kept:
            self._rows.append((None, _about(kept)))
        self._notice.tell("\n".join(sentence(keeper.trouble) for keeper in self._keepers if keeper.trouble))
        self._say()

    def _say(self) -> None:
        if self._kept:
            text = _("Finished blends that were not inserted. They are kept for a week.")
        else:
            text = _("Asking the blend daemon") if self._steps else _("There is no blend to recover.")
        self._text.set_text(text)
        for response in (INSERT, DISCARD):
            self._dialog.set_response_sensitive(response, bool(self._kept))
        if self._kept and self._view.get_selection().count_selected_rows() == 0:
            self._view.get_selection().select_path(0)

    def _fetch(self) -> Iterator[None]:
        """Fetch the blends one after another, for their pictures."""
        for number, kept in enumerate(self._kept):
            if self._rows[number][0] is not None or kept.entry["box"][2] * kept.entry["box"][3] > PICTURE:
                continue
            result = yield from kept.fetch()
            picture = pixbuf(rasters.shown(result.rasters["layer"]))
            scale = ICON / max(picture.get_width(), picture.get_height())
            size = max(round(picture.get_width() * scale), 1), max(round(picture.get_height() * scale), 1)
            self._rows[number][0] = picture.scale_simple(*size, GdkPixbuf.InterpType.BILINEAR)
            self._rows[number][1] = _about(kept, method_label(result.header["report"]))


def _about(kept: Kept, method: str = "") -> str:
    label, (_x, _y, width, height) = kept.entry["label"], kept.entry["box"]
    name = GLib.markup_escape_text(" · ".join(text for text in (label.get("layer", ""), label.get("image", "")) if text))
    size = _("{width}x{height} px").format(width=width, height=height)
    facts = [method, size, age(time.time() - kept.entry["ended"]), kept.keeper.name]
    return f"<b>{name}</b>\n{GLib.markup_escape_text(' · '.join(fact for fact in facts if fact))}"
