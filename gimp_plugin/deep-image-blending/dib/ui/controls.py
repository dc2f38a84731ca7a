"""The widgets of the procedure's arguments, each bound to the config, in rows that line up."""

from __future__ import annotations

from gi.repository import GimpUi, GObject, Gtk

from dib import options
from dib.i18n import _
from dib.ui import pictures


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
        self._numbers, self._small, self._left, self._right = (Gtk.SizeGroup(mode=Gtk.SizeGroupMode.HORIZONTAL) for _group in range(4))
        self._left_end, self._right_end = (Gtk.SizeGroup(mode=Gtk.SizeGroupMode.HORIZONTAL) for _group in range(2))
        self._ends = {name: ends for name, *ends in options.ENDS}
        self.rows: dict[str, Gtk.Widget] = {}

    def line_up(self, label: Gtk.Widget) -> None:
        """Have the label of a row of another make be as wide as these."""
        self._labels.add_widget(label)

    def beside(self, widget: Gtk.Widget) -> Gtk.Box:
        """A row with no label, whose widget stands below those of the others."""
        row, nothing = Gtk.Box(spacing=6), Gtk.Label()
        self._labels.add_widget(nothing)
        row.pack_start(nothing, False, False, 0)
        row.pack_start(widget, True, True, 0)
        return row

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
        """A slider with a word and a little picture at each end, and a number beside it."""
        about = self._config.find_property(name)
        step = Gtk.Adjustment(lower=about.minimum, upper=about.maximum, step_increment=1, page_increment=10)
        self._config.bind_property(name, step, "value", GObject.BindingFlags.BIDIRECTIONAL | GObject.BindingFlags.SYNC_CREATE)
        scale, spin = Gtk.Scale(adjustment=step, draw_value=False), Gtk.SpinButton(adjustment=step, numeric=True, width_chars=4)
        scale.set_size_request(110, -1)
        self._small.add_widget(spin)
        row = self._labelled(name, spin, wide=False)
        low, high = (Gtk.Label(label=_(word), xalign=end) for end, word in ((1, self._ends[name][0]), (0, self._ends[name][1])))
        first, last = pictures.end(f"{name}-low"), pictures.end(f"{name}-high")
        whole = ((low, self._left), (first, self._left_end), (scale, None), (last, self._right_end), (high, self._right))
        for place, (widget, group) in enumerate(whole, start=1):
            row.pack_start(widget, group is None, True, 0)
            row.reorder_child(widget, place)
            if group is not None:
                group.add_widget(widget)
        for word in (low, high):
            word.get_style_context().add_class("dim-label")
        return row

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
