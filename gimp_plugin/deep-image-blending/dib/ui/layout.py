"""The dialog's widgets and where they stand: the picture to the left, the controls to the right, words and progress below."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gi.repository import GLib, Gtk

from dib import options
from dib.i18n import _
from dib.ui.bar import Bar
from dib.ui.controls import Controls
from dib.ui.layer_list import LayerList
from dib.ui.model_list import ModelList
from dib.ui.notice import Notice
from dib.ui.pictures import Steps
from dib.ui.preview import Curve, Preview

LOW, HIGH = 160, 530  # px of height that the controls ask for at least, and at most
AGAIN = 101  # response of our own button; GIMP's Reset is 1
ADVANCED = ("seed", "working-size", "iterations", "device", "daemon")


class Layout:
    """Fills a ProcedureDialog of GIMP's.

    Parameters
    ----------
    strip : the row of little pictures below the picture
    compare : called when the methods are to be compared

    Attributes
    ----------
    preview, curve, notice, controls, layers, models : the parts
    """

    def __init__(self, dialog, config, strip: Gtk.Widget, compare: Callable[[Gtk.Button], None]) -> None:
        self._dialog, self._config, self._strip = dialog, config, strip
        self._again = dialog.add_button(_("Blend A_gain"), AGAIN)
        self._again.set_tooltip_text(_("Blend with the present controls; this result stays below the picture"))
        self._again.set_name("again")
        self._again.set_no_show_all(True)
        self._main = dialog.get_widget_for_response(Gtk.ResponseType.OK)
        self._main.set_name("main")
        self.preview, self.curve, self.notice, self._bar = Preview(), Curve(), Notice(), Bar()
        self._steps = Steps()
        self._text = Gtk.Label(xalign=0, yalign=0, wrap=True, max_width_chars=40, selectable=True, can_focus=False, name="state")
        # Room for its longest message, so that the window does not jump.
        self._text.set_size_request(-1, self._text.create_pango_layout("\n").get_pixel_size().height)
        self.controls, self.layers, self.models = Controls(config), LayerList(config), ModelList(config)
        self._about = Gtk.Label(xalign=0, wrap=True, max_width_chars=40, name="about-preset")
        self._about.get_style_context().add_class("dim-label")
        self._compare = Gtk.Button(label=_("Compare…"), tooltip_text=_("See the object blended by every quick method, and choose one"))
        self._compare.set_name("compare")
        self._compare.connect("clicked", compare)
        self._unfolded = False
        self._arrange()

    def say(self, text: str, fraction: float = 0.0) -> None:
        """What is being done, and how much of it is done."""
        self._text.set_text(text)
        self._bar.set_fraction(fraction)

    def has_focus(self, name: str) -> bool:
        """Whether the user is at the control of that argument."""
        focus, widget = self._dialog.get_focus(), self.controls.rows[name]
        return focus is not None and (focus == widget or focus.is_ancestor(widget))

    def allow(self, running: bool, begun: bool, done: bool, read: bool, hindrance: str) -> None:
        """Have buttons and controls be for what can be done now.

        Parameters
        ----------
        running, begun, done : whether a blend runs, has something to keep, and is shown when it is done
        read : whether there is an object to compare methods with
        hindrance : why no blend can be begun, or ""
        """
        self._dialog.set_ok_label(_("_Insert") if done else _("Stop and _Keep") if running else _("_Blend"))
        if done:
            possible, about = True, _("Insert this result as the new layer")
        elif running:
            possible, about = begun, _("Stop here, and insert the best so far as the new layer")
        else:
            possible, about = not hindrance, hindrance or _("Begin the blend; the picture shows how it grows")
        self._dialog.set_response_sensitive(Gtk.ResponseType.OK, possible)
        self._main.set_tooltip_text(about)
        self._again.set_visible(done)
        self._steps.set_visible(bool(hindrance) and not (read or running or done))
        self._again.set_sensitive(not hindrance)
        rows, uses = self.controls.rows, options.uses(options.method(self._config))
        for name in ("target", "mask", "grow", "feather", "method", *ADVANCED):
            rows[name].set_sensitive(not running)
        self.models.set_sensitive(not running)
        self._compare.set_sensitive(not running and read)
        rows["preset"].set_visible(not self.models.get_visible())  # of no use to a model, whose row has its room
        rows["preset"].set_sensitive(not running and "iterations" in uses)
        preset = self._config.get_property("preset")
        self._about.set_text(next((_(about) for name, _label, about in options.PRESETS if name == preset), ""))
        self._about.get_parent().set_visible(not self.models.get_visible())
        for name in options.SLIDER_NAMES:
            rows[name].set_sensitive(name in uses)
        self.layers.set_sensitive(not running)
        self._strip.set_sensitive(not running)
        self.layers.set_visible(self._config.get_property("target") == "chosen-layer")
        rows["hide-source"].set_sensitive(self._config.get_property("output") != "replace")

    def _arrange(self) -> None:
        over = Gtk.Overlay()
        over.add(self.preview)
        over.add_overlay(self._steps)
        over.add_overlay(self.notice)
        left = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=6)
        left.pack_start(over, True, True, 0)
        left.pack_start(self._strip, False, False, 0)
        both = Gtk.Box(spacing=12)
        both.pack_start(left, True, True, 0)
        both.pack_start(self._room_for(self._sections()), False, False, 0)
        below = Gtk.Box(spacing=12)
        below.pack_start(_column([self._text, self._bar]), True, True, 0)
        below.pack_start(self.curve, False, False, 0)
        whole = _column(spacing=8, border_width=12)
        whole.pack_start(both, True, True, 0)
        whole.pack_start(below, False, False, 0)
        whole.show_all()
        self._dialog.get_content_area().pack_start(whole, True, True, 0)
        self._gather_settings()

    def _sections(self) -> Gtk.Widget:
        """All controls, below each other."""
        make = self.controls
        method = make.choice("method")
        method.pack_start(self._compare, False, False, 0)
        sections = [
            [make.choice("target"), self.layers, make.choice("mask"), make.slider("grow"), make.slider("feather")],
            [method, self.models, make.choice("preset"), make.beside(self._about), *map(make.slider, options.SLIDER_NAMES)],
            [make.choice("output"), make.check(*options.HIDE)],
        ]
        advanced = Gtk.Expander(label=_("Ad_vanced"), use_underline=True, name="advanced")
        zero = _("0: the preset's")
        numbers = [make.number("seed"), make.number("working-size", zero), make.number("iterations", zero)]
        advanced.add(_column([*numbers, make.choice("device"), make.entry("daemon")]))
        advanced.connect("notify::expanded", self._unfold)
        for row in (self.layers, self.models):
            make.line_up(row.label)
        controls = _column(spacing=8, border_width=6)
        for rows in sections:
            controls.pack_start(_column(rows), False, False, 0)
            controls.pack_start(Gtk.Separator(), False, False, 0)
        controls.pack_start(advanced, False, False, 0)
        return controls

    def _room_for(self, controls: Gtk.Widget) -> Gtk.Widget:
        """However much is unfolded, the buttons below stay on a small screen."""
        room = Gtk.ScrolledWindow(hscrollbar_policy=Gtk.PolicyType.NEVER, name="controls")
        room.set_propagate_natural_height(True)
        room.set_min_content_height(LOW)
        room.set_max_content_height(HIGH)
        room.add(controls)
        room.get_vadjustment().connect("changed", self._scroll_down)
        return room

    def _unfold(self, advanced, _property) -> None:
        self._unfolded = advanced.get_expanded()

    def _scroll_down(self, down) -> None:
        """To what was just unfolded, once it has its room."""
        if self._unfolded and down.get_upper() > down.get_page_size():
            self._unfolded = False
            GLib.idle_add(lambda: down.set_value(down.get_upper()))

    def _gather_settings(self) -> None:
        """Have GIMP's buttons that load and save settings in a menu of their own, beside its Reset: they have a row of the window else."""
        for row in self._dialog.get_content_area().get_children():
            if isinstance(row, Gtk.ButtonBox):
                menu = Gtk.Popover()
                inside = _column(border_width=6)
                for button in row.get_children():
                    row.remove(button)
                    inside.pack_start(button, False, False, 0)
                inside.show_all()
                menu.add(inside)
                row.hide()
                row.set_no_show_all(True)
                opener = Gtk.MenuButton(label=_("Settings"), popover=menu, name="settings")
                opener.show_all()
                buttons = self._main.get_parent()
                buttons.pack_start(opener, False, False, 0)
                buttons.reorder_child(opener, 1)
                buttons.reorder_child(self._main, -1)  # the main action is the last, as in every dialog


def _column(rows: Sequence[Gtk.Widget] = (), spacing: int = 3, border_width: int = 0) -> Gtk.Box:
    """Widgets below each other."""
    column = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=spacing, border_width=border_width)
    for row in rows:
        column.pack_start(row, False, False, 0)
    return column
