"""The dialog: GIMP's own, with progress, open while the job runs."""

from __future__ import annotations

import gi

gi.require_version("GimpUi", "3.0")
gi.require_version("Gtk", "3.0")
import canvas
from gi.repository import Gimp, GimpUi, GLib, GObject, Gtk
from preview import CURVE, SIZE, Curve, Preview
from session import SLIDERS, Session, command
from sketcher import Sketcher

from blend_daemon.errors import BlendError

TICK = 40  # ms between looks at the socket
KEEP = 1  # the response of the button that stops and keeps


def _(text):
    return GLib.dgettext("deep-image-blending", text)


STATES = {
    "connecting": lambda: _("Connecting to the blend daemon"),
    "starting": lambda: _("Starting the blend daemon"),
    "loading": lambda: _("The blend daemon is loading its network"),
}


def run(procedure, image, layer, config) -> Gimp.PDBStatusType:
    """Show the dialog until the blend is done, cancelled or given up."""
    GimpUi.init("deep-image-blending")
    dialog = BlendDialog(procedure, image, layer, config)
    try:
        return dialog.run()
    finally:
        dialog.close()


class BlendDialog:
    """The procedure's dialog. Before the blend it shows a sketch that follows the controls; *Blend* starts the job and the dialog stays
    until it ends, showing the blend as it grows. The sliders re-aim a running job; *Stop and Keep* takes the best so far."""

    def __init__(self, procedure, image, layer, config) -> None:
        self._image, self._layer, self._config = image, layer, config
        self._session: Session | None = None
        self._steps = None
        self._moved: dict[str, float] = {}
        self._done = False
        self._view = None
        self._dialog = GimpUi.ProcedureDialog.new(procedure, config, _("Deep Image Blending"))
        self._dialog.set_ok_label(_("_Blend"))
        self._dialog.add_button(_("Stop and _Keep"), KEEP).set_tooltip_text(_("Stop here, and keep the best so far as the new layer"))
        self._dialog.set_response_sensitive(KEEP, False)
        for name in SLIDERS:
            self._dialog.get_scale_entry(name, 1.0)
        self._preview, self._curve, self._bar = Preview(), Curve(), Gtk.ProgressBar()
        self._preview.set_tooltip_text(_("Hold a mouse button to see the object as it was pasted"))
        self._text = Gtk.Label(xalign=0, wrap=True, max_width_chars=40, selectable=True)
        self._arrange()
        # Connected before run(), so that this handler comes before GIMP's and can keep the dialog open.
        self._dialog.connect("response", self._respond)
        config.connect("notify", self._change)
        self._sketcher: Sketcher | None = Sketcher(command(), self._show_sketch)
        self._look()
        self._timer = GLib.timeout_add(TICK, self._tick)

    def run(self) -> Gimp.PDBStatusType:
        self._dialog.run()
        return Gimp.PDBStatusType.SUCCESS if self._done else Gimp.PDBStatusType.CANCEL

    def close(self) -> None:
        GLib.source_remove(self._timer)
        self._end_session()
        self._end_sketches()
        self._dialog.destroy()

    def _arrange(self) -> None:
        controls = self._dialog.fill_box("controls", ["target", "preset", *SLIDERS])
        advanced = Gtk.Expander(label=_("Ad_vanced"), use_underline=True)
        advanced.add(self._dialog.get_widget("seed", GObject.TYPE_NONE))
        controls.set_size_request(CURVE[0], -1)
        right = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=8)
        for widget in (controls, advanced):
            right.pack_start(widget, False, False, 0)
        for widget in (self._bar, self._text, self._curve):
            right.pack_end(widget, False, False, 0)
        frame = Gtk.Frame()
        frame.add(self._preview)
        both = Gtk.Box(spacing=12, border_width=12)
        both.pack_start(frame, True, True, 0)
        both.pack_start(right, False, False, 0)
        both.show_all()
        self._dialog.get_content_area().pack_start(both, True, True, 0)

    # before the blend

    def _look(self) -> None:
        try:
            self._view = canvas.view(self._image, self._layer, self._config.get_property("target"), SIZE)
        except BlendError as error:
            self._view = None
            self._show(f"{error} {error.hint}".strip(), 0.0)
            return
        self._preview.set_view(self._view)
        self._wish()

    def _wish(self) -> None:
        if self._view is not None and self._sketcher is not None:
            self._sketcher.want(self._view, {name: self._config.get_property(name) for name in SLIDERS})

    def _show_sketch(self, message) -> None:
        self._show(_("Ready to blend “{name}”").format(name=self._layer.get_name()), 0.0)
        self._preview.show_layer(message.rasters["layer"], message.header["box"], on_canvas=False)

    def _change(self, config, property_) -> None:
        if property_.name in SLIDERS:
            self._moved[property_.name] = config.get_property(property_.name)
            self._wish()
        elif property_.name == "target" and self._steps is None:
            self._look()

    def _sketch(self) -> None:
        try:
            state = self._sketcher.step()
        except BlendError as error:
            self._end_sketches()
            self._show(f"{error} {error.hint}".strip(), 0.0)
            return
        if state is not None:
            self._show(STATES[state](), 0.0)

    # the blend

    def _respond(self, dialog, response) -> None:
        if response in (Gtk.ResponseType.OK, KEEP) and not self._done:
            GObject.signal_stop_emission_by_name(dialog, "response")
            if response == KEEP and self._session:
                self._session.finish()
            elif response == Gtk.ResponseType.OK and self._steps is None:
                self._start()
        elif response != Gtk.ResponseType.OK and self._session:
            self._session.cancel()

    def _start(self) -> None:
        self._session = Session(self._image, self._layer, self._config, self._watch)
        self._steps = self._session.follow()
        self._moved = {}
        self._curve.clear()
        self._running(True)

    def _watch(self, message) -> None:
        header = message.header
        if message.type == "preview":
            self._preview.show_layer(message.rasters["layer"], header["box"], on_canvas=True)
        elif message.type == "progress":
            self._dialog.set_response_sensitive(KEEP, True)
            self._curve.add(header["evaluation"], header["evaluations"], header["loss"])

    def _tick(self) -> bool:
        if self._steps is None:
            if self._sketcher is not None:
                self._sketch()
            return GLib.SOURCE_CONTINUE
        try:
            if self._moved and self._session.adjust(self._moved):
                self._moved = {}
            step = next(self._steps)
            while step is not None:
                self._show(*step)
                step = next(self._steps)
        except StopIteration:
            self._finish()
        except BlendError as error:
            self._fail(error)
        return GLib.SOURCE_CONTINUE

    def _show(self, text: str, fraction: float) -> None:
        self._text.set_text(text)
        self._bar.set_fraction(fraction)

    def _finish(self) -> None:
        try:
            self._session.insert()
        except BlendError as error:
            self._fail(error)
            return
        Gimp.displays_flush()
        self._done = True
        self._dialog.response(Gtk.ResponseType.OK)

    def _fail(self, error: BlendError) -> None:
        """Tell what went wrong and let the user mend it and try again."""
        self._end_session()
        self._show(f"{error} {error.hint}".strip(), 0.0)
        self._running(False)

    def _end_session(self) -> None:
        if self._session:
            self._session.close()
        self._session = self._steps = None

    def _end_sketches(self) -> None:
        if self._sketcher:
            self._sketcher.close()
        self._sketcher = None

    def _running(self, on: bool) -> None:
        """While a job runs the sliders steer it; what cannot change any more is greyed."""
        self._dialog.set_response_sensitive(Gtk.ResponseType.OK, not on)
        self._dialog.set_response_sensitive(KEEP, False)
        for name in ("target", "preset", "seed"):
            self._dialog.get_widget(name, GObject.TYPE_NONE).set_sensitive(not on)
