"""The dialog: GIMP's own, with the picture and progress, open until the user is content."""

from __future__ import annotations

import time
from dataclasses import replace

import gi

from dib import options
from dib.gimp import rasters
from dib.i18n import _

gi.require_version("GimpUi", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import GimpUi, GLib, GObject, Gtk

from blend_protocol.errors import BlendError
from blend_protocol.framing import Raster
from dib.geometry import Rect
from dib.gimp.snapshot import Subject
from dib.gimp.stack import Lone, Stack, insert_all
from dib.job.daemon import command
from dib.job.history import Entry, History
from dib.job.series import Series
from dib.ui import comparison
from dib.ui.callbacks import told
from dib.ui.history_strip import HistoryStrip
from dib.ui.layout import AGAIN, Layout
from dib.ui.outlook import Outlook
from dib.words import failed, sentence

TICK = 40  # ms between looks at the socket


def run(procedure, image, subjects: list[Subject], config) -> tuple[bool, list[tuple[str, BlendError]]]:
    """Show the dialog until the blend is inserted or given up.

    Returns whether it is inserted, and which of the objects are not, and why, if the user was not told before.
    """
    GimpUi.init("deep-image-blending")
    dialog = BlendDialog(procedure, image, subjects, config)
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
    *Stop and Keep* and *Insert*: what can be done next. Of several objects each is blended onto those before it.
    """

    def __init__(self, procedure, image, subjects: list[Subject], config) -> None:
        self._image, self._config = image, config
        self._series: Series | None = None
        self._stack: Stack | None = None
        self._steps = None
        self._chosen: options.Options | None = None  # what the series was begun with
        self._untold: list[tuple[str, BlendError]] = []
        self._moved: dict[str, float] = {}
        self._begun = self._keep = self._inserted = False  # begun: there is something to keep
        self._began = 0.0
        title = _("Deep Image Blending") if subjects[0].blended is None else _("Deep Image Blending: Blend Again")
        self._dialog = GimpUi.ProcedureDialog.new(procedure, config, title)
        self._history = History()
        self._strip = HistoryStrip(self._history, self._look_back)
        self._layout = Layout(self._dialog, config, self._strip, self._compare_methods)
        self._outlook = Outlook(image, subjects, config, self._layout, self._is_idle, self._set_state)
        # Connected before run(), so that this handler comes before GIMP's and can keep the dialog open.
        self._dialog.connect("response", self._respond)
        config.connect("notify", self._change)
        # Back from a terminal, where a model may have been added.
        self._dialog.connect("focus-in-event", lambda *_event: self._outlook.list_models())
        self._layout.say(_("Reading the layers"))
        self._set_state()
        self._timer = GLib.timeout_add(TICK, self._tick)

    def run(self) -> tuple[bool, list[tuple[str, BlendError]]]:
        self._dialog.run()
        return self._inserted, self._untold

    def close(self) -> None:
        GLib.source_remove(self._timer)
        self._end_series()
        self._history.close()
        self._dialog.destroy()
        self._outlook.close()

    def fail(self, error: BlendError) -> None:
        """Tell what went wrong and let the user mend it and try again."""
        self._end_series()
        self._outlook.end_sketches()
        self._set_state()
        self._layout.say("")
        self._layout.notice.tell(sentence(error))

    def _set_state(self) -> None:
        self._layout.allow(
            self._steps is not None, self._begun, self._result() is not None, self._outlook.snapshot is not None, self._outlook.hindrance()
        )

    def _result(self):
        return self._series.result if self._series else None

    def _is_idle(self) -> bool:
        return self._steps is None and self._result() is None

    # before the blend

    @told
    def _change(self, config, property_) -> None:
        name = property_.name
        if name in options.SLIDER_NAMES:
            self._moved[name] = config.get_property(name)
            self._outlook.wish()
        elif name in options.OF_THE_MASK:
            self._outlook.stale = True
        elif name in ("method", "model"):
            self._outlook.wish()
        elif name in ("iterations", "working-size", "device"):
            self._outlook.say_ready()  # it takes another time
        elif name == "preset" and self._layout.has_focus("preset"):
            # Chosen by hand: settings that are loaded bring their own sliders.
            for slider, value in options.sliders_of(config.get_property(name)).items():
                config.set_property(slider, value)
            self._outlook.say_ready()
        elif name == "daemon":
            self._outlook.end_sketches()
            self._outlook.wish()
        if self._result() is not None and name not in ("output", "hide-source"):
            self._layout.say(_("Press “Blend Again” for the changed controls, or insert this result."), 1.0)
        if self._steps is None:
            self._set_state()

    @told
    def _compare_methods(self, _button) -> None:
        present = self._outlook.options()
        sliders = {name: self._config.get_property(name) for name in options.SLIDER_NAMES}  # also those that the method does not use
        sight, parameters = self._outlook.sight(), {**present.parameters, **sliders}
        chosen = comparison.choose(self._dialog, command(), present.address, sight, parameters)
        if chosen is not None:
            self._config.set_property("method", chosen)

    @told
    def _tick(self) -> bool:
        if self._steps is not None:
            self._advance()
            return GLib.SOURCE_CONTINUE
        if self._outlook.follow() and self._result() is not None:
            self._layout.say(_("The image has changed. Press “Blend Again”, or insert this result."), 1.0)
        # Of several changes within one tick the last alone is read.
        if self._outlook.stale and self._result() is None:
            self._outlook.look()
            self._outlook.wish()
        self._outlook.step()
        return GLib.SOURCE_CONTINUE

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
                self._series.finish()
        elif response in (Gtk.ResponseType.CANCEL, Gtk.ResponseType.DELETE_EVENT) and self._series:
            self._series.cancel()

    def _start(self) -> None:
        self._end_series()
        self._outlook.look()  # the picture may have changed since; no sketch is wished for, whose word would hide a failure's
        if self._outlook.hindrance():
            return
        chosen = self._chosen = self._outlook.options()
        subjects = self._outlook.subjects
        if len(subjects) > 1:
            self._stack = Stack(self._image, subjects, chosen)
            objects = self._stack.objects
        else:
            objects = [Lone(subjects[0], self._outlook.snapshot.request)]
        self._series = Series(objects, chosen.parameters, chosen.address, self._watch)
        self._steps = self._series.follow()
        self._moved, self._begun, self._keep, self._began = {}, False, False, time.monotonic()
        self._layout.curve.clear()
        self._set_state()

    def _watch(self, message) -> None:
        header = message.header
        if message.type == "preview":
            self._layout.preview.show_layers(*self._shown(), (message.rasters["layer"], self._series.place(message)))
        elif message.type == "progress":
            if not self._begun:
                self._begun = True
                self._set_state()
            self._layout.curve.add(header["evaluation"], header["evaluations"], header["loss"])

    def _shown(self) -> list[tuple[Raster, Rect]]:
        """The layers that are done."""
        return [(rasters.shown(result.rasters["layer"]), box) for _number, result, box in self._series.results()]

    def _advance(self) -> None:
        """The blend's next steps."""
        if self._moved and self._series.adjust(self._moved):
            self._moved = {}
        try:
            while (step := next(self._steps)) is not None:
                self._layout.say(*step)
        except StopIteration:
            self._finish()

    def _finish(self) -> None:
        self._steps = None
        self._end_stack()
        self._learn()
        if self._keep:
            self._untold = list(self._series.failures)
            self._insert()
            return
        entry = Entry(self._series, self._chosen)
        self._history.add(entry)
        self._show_entry(entry)
        seconds = round(time.monotonic() - self._began)
        self._layout.say(_("Done in {seconds} s. Insert it, or change the controls and blend again.").format(seconds=seconds), 1.0)

    def _learn(self) -> None:
        """How long each object took."""
        for _number, session in self._series.pieces:
            report = session.result.header["report"]
            self._outlook.pace.learn(self._chosen.address, self._chosen.parameters, session.pixels, report)

    def _show_entry(self, entry: Entry) -> None:
        self._series, self._chosen = entry.series, entry.chosen
        self._layout.preview.show_layers(*self._shown())
        self._strip.follow(entry)
        self._layout.notice.tell(failed(self._series.failures))
        self._set_state()

    @told
    def _look_back(self, entry: Entry) -> None:
        """Show a blend of before: it is the one that *Insert* inserts then."""
        if self._steps is None:
            self._show_entry(entry)
            self._layout.say(entry.about(), 1.0)

    def _insert(self) -> None:
        present = self._outlook.options()
        chosen = replace(self._chosen, output=present.output, hide_source=present.hide_source)
        self._untold += insert_all(self._image, self._outlook.subjects, chosen, self._series.results())
        self._series.release()
        self._inserted = True
        self._dialog.response(Gtk.ResponseType.OK)

    def _end_series(self) -> None:
        if self._series and not self._history.has(self._series):
            self._series.close()
        self._series = self._steps = None
        self._end_stack()

    def _end_stack(self) -> None:
        if self._stack:
            self._stack.close()
        self._stack = None
