"""The row of the dialog in which one of the daemon's learned models is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gi.repository import Gtk, Pango

from dib import options
from dib.i18n import _


class ModelList(Gtk.Box):
    """A list that sets the argument `model`; where the daemon has none, how to add one. Seen with the method that uses it alone.

    Attributes
    ----------
    label : for a size group
    """

    def __init__(self, config) -> None:
        super().__init__(spacing=6)
        self._config, self._titles = config, {}
        name, label, explanation = options.MODEL
        self.label = Gtk.Label(label=_(label), use_underline=True, xalign=0)
        self._combo = Gtk.ComboBoxText(tooltip_text=_(explanation))
        self._combo.get_cells()[0].set_property("ellipsize", Pango.EllipsizeMode.END)
        self._combo.connect("changed", self._choose)
        self.label.set_mnemonic_widget(self._combo)
        self._none = Gtk.Label(xalign=0, wrap=True, max_width_chars=40)
        self._none.set_text(_("None yet. To add one, run “blend-daemon models add FILE.onnx” in a terminal."))
        self.pack_start(self.label, False, False, 0)
        self.pack_start(self._combo, True, True, 0)
        self.pack_start(self._none, True, True, 0)
        self.show_all()
        self.set_no_show_all(True)
        for watched in ("method", name):
            config.connect(f"notify::{watched}", lambda *_change: self._follow())
        self._fill()

    def offer(self, models: Sequence[Mapping[str, str]]) -> None:
        """List the models of the daemon's answer."""
        titles = {model["name"]: model["title"] for model in models}
        if titles != self._titles:
            self._titles = titles
            self._fill()

    def _fill(self) -> None:
        chosen = self._config.get_property("model")
        # One that has gone stays in the list: what it is to the daemon, the daemon tells.
        titles = self._titles | ({chosen: self._titles.get(chosen, "")} if chosen else {})
        self._combo.remove_all()
        for name, title in titles.items():
            self._combo.append(name, f"{name}: {title}" if title else name)
        self._combo.set_visible(bool(titles))
        self._none.set_visible(not titles)
        self._follow()

    def _follow(self) -> None:
        chosen, wanted = self._config.get_property("model"), self._config.get_property("method") == "model"
        self.set_visible(wanted)
        if wanted and not chosen and self._titles:
            self._config.set_property("model", next(iter(self._titles)))
        elif chosen and not self._combo.set_active_id(chosen):
            self._fill()

    def _choose(self, combo) -> None:
        name = combo.get_active_id()
        if name and name != self._config.get_property("model"):
            self._config.set_property("model", name)
