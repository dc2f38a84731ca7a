"""The dialog: GIMP's own, with the picture and progress, open until the user is content."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import gi

from dib import options
from dib.gimp import insertion, rasters
from dib.i18n import _

gi.require_version("GimpUi", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import GimpUi, GLib, GObject, Gtk

from blend_protocol.errors import BlendError
from dib.geometry import unscaled
from dib.gimp.snapshot import Glance, Snapshot, Subject, targets
from dib.job.daemon import command
from dib.job.history import Entry, History
from dib.job.request import View
from dib.job.session import Session
from dib.job.sketcher import Sketcher
from dib.ui import comparison
from dib.ui.callbacks import told
from dib.ui.controls import Controls
from dib.ui.history_strip import HistoryStrip
from dib.ui.layer_list import LayerList
from dib.ui.model_list import ModelList
from dib.ui.notice import Notice
from dib.ui.preview import Curve, Preview
from dib.words import sentence

LOW, HIGH = 160, 530  # px of height that the controls ask for at least, and at most
TICK = 40  # ms between looks at the socket
FOLLOW = 1.0  # s between looks at the image
SKETCH = 340  # px, longer side of what sketches are made of
AGAIN = 101  # response of our own button; GIMP's Reset is 1
ADVANCED = ("seed", "working-size", "iterations", "device", "daemon")


STATES = {
    "connecting": lambda: _("Connecting to the blend daemon"),
    "starting": lambda: _("Starting the blend daemon"),
    "loading": lambda: _("The blend daemon is loading its network"),
}


def run(procedure, image, subject: Subject, config) -> bool:
    """Show the dialog until the blend is inserted or given up. Returns whether it is inserted."""
    GimpUi.init("deep-image-blending")
    dialog = BlendDialog(procedure, image, subject, config)
    try:
        return dialog.run()
    finally:
        dialog.close()


class BlendDialog:
    """The procedure's dialog.

    Before the blend it shows a sketch that follows the controls and the image. *Blend* starts the job and the dialog shows the blend as it
    grows: the sliders re-aim it, *Stop and Keep* inserts the best so far. When the job is done the result is looked at before it is
    inserted: *Insert* ends the dialog, *Blend Again* starts over with the present controls; a row of little pictures leads back to the
    blends before. The image is touched by inserting alone, so that one undo takes back whatever was tried. One button is all of *Blend*,
    *Stop and Keep* and *Insert*: what can be done next.
    """

    def __init__(self, procedure, image, subject: Subject, config) -> None:
        self._image, self._subject, self._config = image, subject, config
        self._snapshot: Snapshot | None = None
        self._view: View | None = None
        self._session: Session | None = None
        self._steps = None
        self._chosen: options.Options | None = None  # what the session was begun with
        self._sketcher: Sketcher | None = None
        self._moved: dict[str, float] = {}
        self._stale = True  # whether the image is yet to be read, or read anew
        self._obstacle: BlendError | None = None  # why there is no snapshot
        self._glance, self._look_at = Glance.of(image), 0.0
        self._begun = self._keep = self._inserted = False  # begun: there is something to keep
        self._began = 0.0
        title = _("Deep Image Blending") if subject.blended is None else _("Deep Image Blending: Blend Again")
        self._dialog = GimpUi.ProcedureDialog.new(procedure, config, title)
        again = self._dialog.add_button(_("Blend A_gain"), AGAIN)
        again.set_tooltip_text(_("Blend with the present controls; this result stays below the picture"))
        again.set_name("again")
        again.set_no_show_all(True)
        self._main = self._dialog.get_widget_for_response(Gtk.ResponseType.OK)
        self._main.set_name("main")
        self._history = History()
        self._strip = HistoryStrip(self._history, self._look_back)
        self._preview, self._curve, self._bar, self._notice = Preview(), Curve(), Gtk.ProgressBar(), Notice()
        self._text = Gtk.Label(xalign=0, yalign=0, wrap=True, max_width_chars=40, selectable=True, can_focus=False, name="state")
        # Room for its longest message, so that the window does not jump.
        self._text.set_size_request(-1, self._text.create_pango_layout("\n").get_pixel_size().height)
        _thicken(self._bar)
        self._controls, self._layers, self._models = Controls(config), LayerList(config), ModelList(config)
        self._about = Gtk.Label(xalign=0, wrap=True, max_width_chars=40, name="about-preset")
        self._about.get_style_context().add_class("dim-label")
        self._compare = Gtk.Button(label=_("Compare…"), tooltip_text=_("See the object blended by every quick method, and choose one"))
        self._compare.set_name("compare")
        self._compare.connect("clicked", self._compare_methods)
        self._recall()
        self._arrange()
        # Connected before run(), so that this handler comes before GIMP's and can keep the dialog open.
        self._dialog.connect("response", self._respond)
        config.connect("notify", self._change)
        self._dialog.connect("focus-in-event", self._list_models)  # back from a terminal, where one may have been added
        self._connect()
        self._say(_("Reading the layers"))
        self._set_state()
        self._timer = GLib.timeout_add(TICK, self._tick)

    def run(self) -> bool:
        self._dialog.run()
        return self._inserted

    def close(self) -> None:
        GLib.source_remove(self._timer)
        self._end_session()
        self._history.close()
        self._end_sketches()
        self._dialog.destroy()
        if self._snapshot:
            self._snapshot.close()

    def fail(self, error: BlendError) -> None:
        """Tell what went wrong and let the user mend it and try again."""
        self._end_session()
        self._end_sketches()
        self._set_state()
        self._say("")
        self._notice.tell(sentence(error))

    # what it looks like

    def _recall(self) -> None:
        """Set the controls to the call that made the blended layer."""
        for name, value in self._subject.arguments.items():
            if name == "target-layer":
                value = self._image.get_layer_by_tattoo(value)
            if value is not None:
                self._config.set_property(name, value)
        if self._subject.is_mask(self._config.get_property("mask")):
            self._config.set_property("grow", 0)
            self._config.set_property("feather", 0)
        self._layers.offer(targets(self._image, self._subject))

    def _arrange(self) -> None:
        make = self._controls
        method = make.choice("method")
        method.pack_start(self._compare, False, False, 0)
        sections = [
            [make.choice("target"), self._layers, make.choice("mask"), make.slider("grow"), make.slider("feather")],
            [method, self._models, make.choice("preset"), make.beside(self._about), *map(make.slider, options.SLIDER_NAMES)],
            [make.choice("output"), make.check(*options.HIDE)],
        ]
        advanced = Gtk.Expander(label=_("Ad_vanced"), use_underline=True, name="advanced")
        zero = _("0: the preset's")
        numbers = [make.number("seed"), make.number("working-size", zero), make.number("iterations", zero)]
        advanced.add(_column([*numbers, make.choice("device"), make.entry("daemon")]))
        for row in (self._layers, self._models):
            make.line_up(row.label)
        controls = _column(spacing=8, border_width=6)
        for rows in sections:
            controls.pack_start(_column(rows), False, False, 0)
            controls.pack_start(Gtk.Separator(), False, False, 0)
        controls.pack_start(advanced, False, False, 0)
        # However much is unfolded, the buttons below stay on a small screen.
        room = Gtk.ScrolledWindow(hscrollbar_policy=Gtk.PolicyType.NEVER, name="controls")
        room.set_propagate_natural_height(True)
        room.set_min_content_height(LOW)
        room.set_max_content_height(HIGH)
        room.add(controls)
        down = room.get_vadjustment()
        advanced.connect("notify::expanded", lambda *_change: GLib.idle_add(lambda: down.set_value(down.get_upper())))
        over = Gtk.Overlay()
        over.add(self._preview)
        over.add_overlay(self._notice)
        left = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=6)
        left.pack_start(over, True, True, 0)
        left.pack_start(self._strip, False, False, 0)
        both = Gtk.Box(spacing=12)
        both.pack_start(left, True, True, 0)
        both.pack_start(room, False, False, 0)
        below = Gtk.Box(spacing=12)
        below.pack_start(_column([self._text, self._bar]), True, True, 0)
        below.pack_start(self._curve, False, False, 0)
        whole = _column(spacing=8, border_width=12)
        whole.pack_start(both, True, True, 0)
        whole.pack_start(below, False, False, 0)
        whole.show_all()
        self._dialog.get_content_area().pack_start(whole, True, True, 0)
        self._gather_settings()

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

    def _set_state(self) -> None:
        """Buttons and controls for what can be done now."""
        running, done = self._steps is not None, self._result() is not None
        method = options.method(self._config)
        obstacle, uses = self._hindrance(), options.uses(method)
        self._dialog.set_ok_label(_("_Insert") if done else _("Stop and _Keep") if running else _("_Blend"))
        if done:
            possible, about = True, _("Insert this result as the new layer")
        elif running:
            possible, about = self._begun, _("Stop here, and insert the best so far as the new layer")
        else:
            possible, about = not obstacle, obstacle or _("Begin the blend; the picture shows how it grows")
        self._dialog.set_response_sensitive(Gtk.ResponseType.OK, possible)
        self._main.set_tooltip_text(about)
        again = self._dialog.get_widget_for_response(AGAIN)
        again.set_visible(done)
        again.set_sensitive(not obstacle)
        rows = self._controls.rows
        for name in ("target", "mask", "grow", "feather", "method", *ADVANCED):
            rows[name].set_sensitive(not running)
        self._models.set_sensitive(not running)
        self._compare.set_sensitive(not running and self._snapshot is not None)
        rows["preset"].set_visible(not self._models.get_visible())  # of no use to a model, whose row has its room
        rows["preset"].set_sensitive(not running and "iterations" in uses)
        preset = self._config.get_property("preset")
        self._about.set_text(next((_(about) for name, _label, about in options.PRESETS if name == preset), ""))
        self._about.get_parent().set_visible(not self._models.get_visible())
        for name in options.SLIDER_NAMES:
            rows[name].set_sensitive(name in uses)
        self._layers.set_sensitive(not running)
        self._strip.set_sensitive(not running)
        self._layers.set_visible(self._config.get_property("target") == "chosen-layer")
        rows["hide-source"].set_sensitive(self._config.get_property("output") != "replace")

    def _hindrance(self) -> str:
        """Why no blend can be begun, or ""."""
        if self._obstacle is not None:
            return sentence(self._obstacle)
        return _("Choose a model, or another method.") if options.method(self._config) == options.NO_MODEL else ""

    def _say(self, text: str, fraction: float = 0.0) -> None:
        self._text.set_text(text)
        self._bar.set_fraction(fraction)

    # before the blend

    def _connect(self) -> None:
        self._end_sketches()
        try:
            self._sketcher = Sketcher(command(), self._options().address, self._show_sketch, self._models.offer)
        except BlendError as error:
            self._notice.tell(sentence(error))
        self._list_models()

    def _list_models(self, *_event) -> None:
        if self._sketcher is not None:
            self._sketcher.want_models()

    def _options(self) -> options.Options:
        return options.read(self._config, sliders_as_shown=True)

    def _look(self) -> None:
        """Read the image anew."""
        self._stale, self._obstacle = False, None
        if self._snapshot:
            self._snapshot.close()
        self._snapshot = self._view = None
        try:
            self._glance = Glance.of(self._image)
            self._snapshot = Snapshot(self._image, self._subject, self._options())
        except BlendError as error:
            self._obstacle = error
            self._say("")
        else:
            size = self._image.get_width(), self._image.get_height()
            self._preview.set_picture(self._snapshot.picture, self._snapshot.part, (0, 0, *size))
        self._notice.tell(self._hindrance())
        self._set_state()

    def _follow(self) -> None:
        """Notice what the user does to the image while the dialog is open: to its layers, the selection, or which layer is selected."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + FOLLOW
        last, self._glance = self._glance, Glance.of(self._image)
        if self._glance == last:
            return
        if self._result() is not None:
            self._say(_("The image has changed. Press “Blend Again”, or insert this result."), 1.0)
            return
        if self._glance.chosen != last.chosen and len(self._glance.chosen) == 1:
            self._subject = Subject.of(self._image, self._glance.chosen[0])
        if self._glance.valid:
            self._layers.offer(targets(self._image, self._subject))
        self._stale = True

    def _wish(self) -> None:
        if self._sketcher is None:
            self._connect()  # trouble has ended the former one; what is wished for now may go well
        if options.method(self._config) == options.NO_MODEL:
            self._notice.tell(self._hindrance())
        elif self._snapshot is not None and self._sketcher is not None:
            self._sketcher.want(self._sight(), self._options().parameters)

    def _sight(self) -> View:
        """What sketches are made of, read when one is wished for."""
        if self._view is None:
            self._view = self._snapshot.view(SKETCH)
        return self._view

    def _show_sketch(self, message, view: View) -> None:
        if view is not self._view or self._steps is not None or self._result() is not None:
            return
        if options.method(self._config) == options.NO_MODEL:
            self._wish()  # the sketch is of the method before; what to do instead is said
            return
        self._notice.tell("")
        self._say(_("Ready to blend “{name}”").format(name=self._subject.source.get_name()))
        height, width, _channels = view.source.shape
        self._preview.show_layer(message.rasters["layer"], unscaled(message.header["box"], view.part, (width, height)))

    @told
    def _change(self, config, property_) -> None:
        name = property_.name
        if name in options.SLIDER_NAMES:
            self._moved[name] = config.get_property(name)
            self._wish()
        elif name in options.OF_THE_MASK:
            self._stale = True
        elif name in ("method", "model"):
            self._wish()
        elif name == "preset" and self._has_focus("preset"):
            # Chosen by hand: settings that are loaded bring their own sliders.
            for slider, value in options.sliders_of(config.get_property(name)).items():
                config.set_property(slider, value)
        elif name == "daemon":
            self._end_sketches()
            self._wish()
        if self._result() is not None and name not in ("output", "hide-source"):
            self._say(_("Press “Blend Again” for the changed controls, or insert this result."), 1.0)
        if self._steps is None:
            self._set_state()

    @told
    def _compare_methods(self, _button) -> None:
        present = self._options()
        sliders = {name: self._config.get_property(name) for name in options.SLIDER_NAMES}  # also those that the method does not use
        chosen = comparison.choose(self._dialog, command(), present.address, self._sight(), {**present.parameters, **sliders})
        if chosen is not None:
            self._config.set_property("method", chosen)

    def _has_focus(self, name: str) -> bool:
        focus, widget = self._dialog.get_focus(), self._controls.rows[name]
        return focus is not None and (focus == widget or focus.is_ancestor(widget))

    def _sketch(self) -> None:
        try:
            state = self._sketcher.step()
        except BlendError as error:
            self._end_sketches()
            if self._result() is None:  # one that is there is as good as ever
                self._say("")
                self._notice.tell(sentence(error))
            return
        if state is not None and self._snapshot is not None and self._result() is None:
            self._notice.tell(self._hindrance())  # the former one may have been about a daemon that has gone
            self._say(STATES[state]())

    # the blend

    @told
    def _respond(self, dialog, response) -> None:
        if response in (Gtk.ResponseType.OK, AGAIN) and not self._inserted:
            GObject.signal_stop_emission_by_name(dialog, "response")
            if response == Gtk.ResponseType.OK and self._result() is not None:
                self._insert()
            elif self._steps is None:
                self._start()
            elif response == Gtk.ResponseType.OK and self._begun:
                self._keep = True
                self._session.finish()
        elif response in (Gtk.ResponseType.CANCEL, Gtk.ResponseType.DELETE_EVENT) and self._session:
            self._session.cancel()

    def _result(self):
        return self._session.result if self._session else None

    def _start(self) -> None:
        self._end_session()
        self._look()  # the picture may have changed since; no sketch is wished for, whose word would hide a failure's
        if self._hindrance():
            return
        chosen = self._chosen = self._options()
        request = self._snapshot.request()
        self._session = Session(request, chosen.parameters, self._subject.label(), chosen.address, self._watch)
        self._steps = self._session.follow()
        self._moved, self._begun, self._keep, self._began = {}, False, False, time.monotonic()
        self._curve.clear()
        self._set_state()

    def _watch(self, message) -> None:
        header = message.header
        if message.type == "preview":
            self._preview.show_layer(message.rasters["layer"], self._session.place(message))
        elif message.type == "progress":
            if not self._begun:
                self._begun = True
                self._set_state()
            self._curve.add(header["evaluation"], header["evaluations"], header["loss"])

    @told
    def _tick(self) -> bool:
        if self._steps is not None:
            self._advance()
            return GLib.SOURCE_CONTINUE
        self._follow()
        # Of several changes within one tick the last alone is read.
        if self._stale and self._result() is None:
            self._look()
            self._wish()
        if self._sketcher is not None:
            self._sketch()
        return GLib.SOURCE_CONTINUE

    def _advance(self) -> None:
        """The blend's next steps."""
        if self._moved and self._session.adjust(self._moved):
            self._moved = {}
        try:
            while (step := next(self._steps)) is not None:
                self._say(*step)
        except StopIteration:
            self._finish()

    def _finish(self) -> None:
        self._steps = None
        if self._keep:
            self._insert()
            return
        entry = Entry(self._session, self._chosen)
        self._history.add(entry)
        self._show_entry(entry)
        seconds = round(time.monotonic() - self._began)
        self._say(_("Done in {seconds} s. Insert it, or change the controls and blend again.").format(seconds=seconds), 1.0)

    def _show_entry(self, entry: Entry) -> None:
        self._session, self._chosen = entry.session, entry.chosen
        self._preview.show_layer(rasters.shown(self._result().rasters["layer"]), self._session.place(self._result()))
        self._strip.follow(entry)
        self._notice.tell("")
        self._set_state()

    @told
    def _look_back(self, entry: Entry) -> None:
        """Show a blend of before: it is the one that *Insert* inserts then."""
        if self._steps is None:
            self._show_entry(entry)
            self._say(entry.about(), 1.0)

    def _insert(self) -> None:
        present, result = self._options(), self._session.result
        chosen = replace(self._chosen, output=present.output, hide_source=present.hide_source)
        insertion.insert(self._image, self._subject, chosen, result, self._session.place(result))
        self._session.release()
        self._inserted = True
        self._dialog.response(Gtk.ResponseType.OK)

    def _end_session(self) -> None:
        if self._session and not self._history.has(self._session):
            self._session.close()
        self._session = self._steps = None

    def _end_sketches(self) -> None:
        if self._sketcher:
            self._sketcher.close()
        self._sketcher = None


def _column(rows: Sequence[Gtk.Widget] = (), spacing: int = 3, border_width: int = 0) -> Gtk.Box:
    """Widgets below each other."""
    column = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=spacing, border_width=border_width)
    for row in rows:
        column.pack_start(row, False, False, 0)
    return column


def _thicken(bar: Gtk.ProgressBar) -> None:
    """GIMP's themes draw it three pixels high."""
    style = Gtk.CssProvider()
    style.load_from_data(b"#progress trough, #progress progress { min-height: 10px; }")
    bar.set_name("progress")
    Gtk.StyleContext.add_provider_for_screen(bar.get_screen(), style, Gtk.STYLE_PROVIDER_PRIORITY_APPLICATION)
