"""The plug-in's own little drawings, from its folder `pictures`: what a slider does at its ends, and the three steps to a blend."""

from __future__ import annotations

from pathlib import Path

from gi.repository import GdkPixbuf, Gio, GLib, Gtk

from dib.i18n import _

FOLDER = Path(__file__).resolve().parents[2] / "pictures"
END = 22  # px
STEP = (126, 84)  # px
STEPS = (
    ("step-1", lambda: _("1. Paste the object over the picture. It becomes a layer of its own: select that in the list of layers.")),
    ("step-2", lambda: _("2. Select the object coarsely, with a little of its surroundings.")),
    ("step-3", lambda: _("3. Come back here, and press Blend.")),
)


def end(name: str) -> Gtk.Image:
    """What a slider does at its end, such as "style-low"."""
    icon = Gio.FileIcon.new(Gio.File.new_for_path(str(FOLDER / f"{name}.svg")))
    return Gtk.Image(gicon=icon, pixel_size=END)


class Steps(Gtk.Box):
    """What to do where there is nothing to blend yet. Out of sight until it is wanted."""

    def __init__(self) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=10, name="steps")
        self.set_halign(Gtk.Align.CENTER)
        self.set_valign(Gtk.Align.END)
        self.set_margin_bottom(54)
        for name, text in STEPS:
            row = Gtk.Box(spacing=12)
            try:
                drawn = GdkPixbuf.Pixbuf.new_from_file_at_size(str(FOLDER / f"{name}.svg"), *STEP)
            except GLib.Error:  # a GIMP without the loader for SVG
                pass
            else:
                row.pack_start(Gtk.Image.new_from_pixbuf(drawn), False, False, 0)
            row.pack_start(Gtk.Label(label=text(), xalign=0, wrap=True, max_width_chars=30, width_chars=30), False, False, 0)
            row.show_all()
            self.pack_start(row, False, False, 0)
        self.set_no_show_all(True)
