"""A text that grows, such as a log."""

from __future__ import annotations

from gi.repository import GLib, Gtk


class Page(Gtk.ScrolledWindow):
    """A text that shows its end.

    Attributes
    ----------
    text : what it shows
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.text = ""
        self._view = Gtk.TextView(editable=False, monospace=True, wrap_mode=Gtk.WrapMode.WORD_CHAR, left_margin=6, right_margin=6)
        self._view.connect("size-allocate", self._follow)
        self._fresh = False
        self.add(self._view)
        self.set_shadow_type(Gtk.ShadowType.IN)
        self.show_all()

    def tell(self, text: str) -> None:
        """Show another text, and the end of it."""
        if text != self.text:
            self.text, self._fresh = text, True
            self._view.get_buffer().set_text(text)

    def _follow(self, *_room) -> None:
        """Once a fresh text has its place: where its end is cannot be known before."""
        if self._fresh and self._view.get_mapped():
            self._fresh = False
            down = self.get_vadjustment()
            GLib.idle_add(lambda: down.set_value(down.get_upper()))
