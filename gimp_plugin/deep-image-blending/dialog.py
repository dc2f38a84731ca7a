"""The dialog: GIMP's own, with progress, open while the job runs."""

from __future__ import annotations

import gi

gi.require_version("GimpUi", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import Gimp, GimpUi, GLib, GObject, Gtk
from session import Session

from blend_daemon.errors import BlendError

TICK = 40  # ms between looks at the socket


def _(text):
    return GLib.dgettext("deep-image-blending", text)


def run(procedure, image, layer, config) -> Gimp.PDBStatusType:
    """Show the dialog until the blend is done, cancelled or given up."""
    GimpUi.init("deep-image-blending")
    dialog = BlendDialog(procedure, image, layer, config)
    try:
        return dialog.run()
    finally:
        dialog.close()


class BlendDialog:
    """The procedure's dialog; OK starts the blend and the dialog stays until it ends."""

    def __init__(self, procedure, image, layer, config) -> None:
        self._image, self._layer, self._config = image, layer, config
        self._session: Session | None = None
        self._steps = None
        self._timer = 0
        self._done = False
        self._dialog = GimpUi.ProcedureDialog.new(procedure, config, _("Deep Image Blending"))
        for name in ("style", "content", "colour", "seam"):
            self._dialog.get_scale_entry(name, 1.0)
        self._dialog.fill(["target", "preset", "style", "content", "colour", "seam", "seed"])
        self._text = Gtk.Label(label=_("Blending “{name}”").format(name=layer.get_name()), xalign=0, wrap=True, max_width_chars=50)
        self._bar = Gtk.ProgressBar()
        for widget in (self._text, self._bar):
            widget.show()
            self._dialog.get_content_area().pack_start(widget, False, False, 6)
        # Connected before run(), so that this handler comes before GIMP's and can keep the dialog open.
        self._dialog.connect("response", self._respond)

    def run(self) -> Gimp.PDBStatusType:
        self._dialog.run()
        return Gimp.PDBStatusType.SUCCESS if self._done else Gimp.PDBStatusType.CANCEL

    def close(self) -> None:
        self._stop()
        self._dialog.destroy()

    def _respond(self, dialog, response) -> None:
        if response == Gtk.ResponseType.OK and not self._done:
            GObject.signal_stop_emission_by_name(dialog, "response")
            if self._steps is None:
                self._start()
        elif response != Gtk.ResponseType.OK and self._session:
            self._session.cancel()

    def _start(self) -> None:
        self._session = Session(self._image, self._layer, self._config)
        self._steps = self._session.follow()
        self._sensitive(False)
        self._timer = GLib.timeout_add(TICK, self._tick)

    def _tick(self) -> bool:
        try:
            step = next(self._steps)
            while step is not None:
                self._show(*step)
                step = next(self._steps)
        except StopIteration:
            self._finish()
            return GLib.SOURCE_REMOVE
        except BlendError as error:
            self._fail(error)
            return GLib.SOURCE_REMOVE
        return GLib.SOURCE_CONTINUE

    def _show(self, text: str, fraction: float) -> None:
        self._text.set_text(text)
        self._bar.set_fraction(fraction)

    def _finish(self) -> None:
        self._timer = 0
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
        self._timer = 0
        self._stop()
        self._show(f"{error} {error.hint}".strip(), 0.0)
        self._sensitive(True)

    def _stop(self) -> None:
        if self._timer:
            GLib.source_remove(self._timer)
            self._timer = 0
        if self._session:
            self._session.close()
        self._session = self._steps = None

    def _sensitive(self, on: bool) -> None:
        self._dialog.set_response_sensitive(Gtk.ResponseType.OK, on)
        for child in self._dialog.get_content_area().get_children():
            if child not in (self._text, self._bar) and not isinstance(child, Gtk.ButtonBox):
                child.set_sensitive(on or (isinstance(child, Gtk.Box) and self._holds_buttons(child)))

    def _holds_buttons(self, box) -> bool:
        return self._dialog.get_widget_for_response(Gtk.ResponseType.CANCEL).is_ancestor(box)
