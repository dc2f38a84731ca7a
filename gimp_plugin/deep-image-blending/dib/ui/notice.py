"""A bar that tells what is wrong, where the user looks."""

from __future__ import annotations

from gi.repository import Gtk, Pango


class Notice(Gtk.InfoBar):
    """Out of sight while there is nothing to tell. For an overlay: it changes no other widget's place.

    Attributes
    ----------
    text : what it tells, or ""
    """

    def __init__(self) -> None:
        super().__init__(message_type=Gtk.MessageType.WARNING, valign=Gtk.Align.START, name="notice-bar")
        self.text = ""
        self._label = Gtk.Label(xalign=0, wrap=True, wrap_mode=Pango.WrapMode.WORD_CHAR, selectable=True, can_focus=False, name="notice")
        icon = Gtk.Image.new_from_icon_name("dialog-warning", Gtk.IconSize.LARGE_TOOLBAR)
        for widget in (icon, self._label):
            widget.show()
            self.get_content_area().pack_start(widget, False, False, 0)
        self.set_no_show_all(True)

    def tell(self, text: str) -> None:
        """Show this, or with "" nothing."""
        self.text = text
        self._label.set_text(text)
        self.set_visible(bool(text))
