"""The row of the dialog in which the layer to blend into is chosen, for the target of that name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gi.repository import Gtk

from dib import options
from dib.i18n import _


class LayerList(Gtk.Box):
    """A list that sets the argument `target-layer`, and follows it.

    Attributes
    ----------
    label : for a size group
    """

    def __init__(self, config) -> None:
        name, label, explanation = options.TARGET_LAYER
        super().__init__(spacing=6, name=name)
        self._config, self._layers = config, []
        self.label = Gtk.Label(label=_(label), xalign=0)
        self._combo = Gtk.ComboBoxText(tooltip_text=_(explanation))
        self._combo.connect("changed", self._choose)
        self.pack_start(self.label, False, False, 0)
        self.pack_start(self._combo, True, True, 0)
        self.show_all()
        self.set_no_show_all(True)
        config.connect(f"notify::{name}", lambda *_change: self._follow())

    def offer(self, layers: Sequence[Any]) -> None:
        """List these layers of GIMP's."""
        self._layers = []  # so that emptying the list sets nothing
        self._combo.remove_all()
        for layer in layers:
            self._combo.append_text(layer.get_name())
        self._layers = list(layers)
        self._follow()

    def _follow(self) -> None:
        chosen = self._config.get_property("target-layer")
        self._combo.set_active(self._layers.index(chosen) if chosen in self._layers else -1)

    def _choose(self, combo) -> None:
        number = combo.get_active()
        if 0 <= number < len(self._layers) and self._layers[number] != self._config.get_property("target-layer"):
            self._config.set_property("target-layer", self._layers[number])
