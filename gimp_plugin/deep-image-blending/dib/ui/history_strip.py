"""The row of little pictures of the blends that were made while the dialog is open; a click looks at one."""

from __future__ import annotations

from collections.abc import Callable

from gi.repository import GdkPixbuf, Gtk

from dib.gimp import rasters
from dib.job.history import Entry, History
from dib.ui.preview import pixbuf

ICON = 40  # px, longer side of a picture


class HistoryStrip(Gtk.ScrolledWindow):
    """Out of sight until there are two to choose from.

    Parameters
    ----------
    history : what it shows
    choose : called with the entry that is clicked on
    """

    def __init__(self, history: History, choose: Callable[[Entry], None]) -> None:
        super().__init__(vscrollbar_policy=Gtk.PolicyType.NEVER, name="history")
        self._history, self._choose = history, choose
        self._row = Gtk.Box(spacing=3)
        self.add(self._row)
        self._row.show()
        self.get_child().show()
        self.set_no_show_all(True)

    def follow(self, shown: Entry | None) -> None:
        """Show the history as it is, with one marked."""
        for button in self._row.get_children():
            button.destroy()
        for number, entry in enumerate(self._history.entries):
            button = Gtk.Button(tooltip_text=entry.about(), name=f"blend-{number}")
            button.add(Gtk.Image.new_from_pixbuf(_icon(entry)))
            button.connect("clicked", lambda _button, entry: self._choose(entry), entry)
            if entry is shown:
                button.get_style_context().add_class("suggested-action")
            button.show_all()
            self._row.pack_start(button, False, False, 0)
        self.set_visible(len(self._history.entries) > 1)


def _icon(entry: Entry) -> GdkPixbuf.Pixbuf:
    picture = pixbuf(rasters.shown(entry.series.result.rasters["layer"]))
    scale = ICON / max(picture.get_width(), picture.get_height())
    size = max(round(picture.get_width() * scale), 1), max(round(picture.get_height() * scale), 1)
    return picture.scale_simple(*size, GdkPixbuf.InterpType.BILINEAR)
