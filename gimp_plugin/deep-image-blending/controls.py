"""The widgets of the procedure's arguments, each bound to the config: GIMP's own, in rows that line up."""

from __future__ import annotations

import options
from gi.repository import GimpUi, GLib, Gtk


def _(text):
    return GLib.dgettext("deep-image-blending", text)


class Controls:
    """Makes the rows. Each is named as its argument.

    Attributes
    ----------
    rows : by the argument's name
    """

    def __init__(self, config) -> None:
        self._config = config
        self._about = {name: (label, about) for name, label, about, *_rest in (*options.CHOICES, *options.SLIDERS, *options.NUMBERS)}
        self._about[options.ADDRESS[0]] = options.ADDRESS[1:]
        self._labels = Gtk.SizeGroup(mode=Gtk.SizeGroupMode.HORIZONTAL)
        self._numbers = Gtk.SizeGroup(mode=Gtk.SizeGroupMode.HORIZONTAL)
        self.rows: dict[str, Gtk.Widget] = {}

    def line_up(self, label: Gtk.Widget) -> None:
        """Have the label of a row of another make be as wide as these."""
        self._labels.add_widget(label)

    def choice(self, name: str) -> Gtk.Widget:
        """A list of an argument's choices."""
        return self._labelled(name, GimpUi.prop_choice_combo_box_new(self._config, name))

    def entry(self, name: str) -> Gtk.Widget:
        """A line of text."""
        return self._labelled(name, GimpUi.prop_entry_new(self._config, name, 0))

    def number(self, name: str, zero: str = "") -> Gtk.Widget:
        """A whole number. `zero`: what 0 stands for."""
        spin = GimpUi.prop_spin_button_new(self._config, name, 1, 10, 0)
        self._numbers.add_widget(spin)
        row = self._labelled(name, spin, wide=False)
        if zero:
            text = Gtk.Label(label=zero, xalign=0)
            text.get_style_context().add_class("dim-label")
            row.pack_start(text, True, True, 0)
        return row

    def slider(self, name: str) -> Gtk.Widget:
        """A slider with a number beside it."""
        label, explanation = self._about[name]
        row = GimpUi.prop_scale_entry_new(self._config, name, _(label), 1.0, False, 0, 0)
        row.set_digits(0)
        row.set_tooltip_text(_(explanation))
        self._labels.add_widget(row.get_label())
        self._numbers.add_widget(row.get_spin_button())
        return self._entered(name, row)

    def check(self, name: str, label: str, explanation: str) -> Gtk.Widget:
        """A box to tick."""
        box = GimpUi.prop_check_button_new(self._config, name, _(label))
        box.set_use_underline(True)
        box.set_tooltip_text(_(explanation))
        return self._entered(name, box)

    def _labelled(self, name: str, widget: Gtk.Widget, wide: bool = True) -> Gtk.Box:
        label, explanation = self._about[name]
        row, text = Gtk.Box(spacing=6), Gtk.Label(label=_(label), use_underline=True, mnemonic_widget=widget, xalign=0)
        row.set_tooltip_text(_(explanation))
        self._labels.add_widget(text)
        row.pack_start(text, False, False, 0)
        row.pack_start(widget, wide, wide, 0)
        return self._entered(name, row)

    def _entered(self, name: str, row: Gtk.Widget) -> Gtk.Widget:
        row.set_name(name)
        self.rows[name] = row
        return row
