"""The window about the daemon: what it is doing, its log, starting and stopping it, and the doctor's report."""

from __future__ import annotations

import gi

gi.require_version("GimpUi", "3.0")
gi.require_version("Gtk", "3.0")
import pairing
from gi.repository import Gdk, Gimp, GimpUi, Gio, GLib, Gtk
from session import command
from words import sentence

from blend_protocol import processes, runtime
from blend_protocol.client import Client
from blend_protocol.errors import BlendError

TICK = 500  # ms between questions to the daemon
TAIL = 16_384  # bytes of the log that are shown
START, STOP, TEST, PAIR, COPY = 1, 2, 3, 4, 5


def _(text):
    return GLib.dgettext("deep-image-blending", text)


def run(run_mode: Gimp.RunMode) -> Gimp.PDBStatusType:
    """Show the window until it is closed. Raises BlendError where nobody could see it."""
    if run_mode == Gimp.RunMode.NONINTERACTIVE:
        raise BlendError("interactive", _("This is a window for people."), _("Scripts call “blend-daemon status”."))
    GimpUi.init("deep-image-blending")
    overseer = Overseer()
    try:
        overseer.run()
    finally:
        overseer.close()
    return Gimp.PDBStatusType.SUCCESS


class Overseer:
    """The window. It asks the daemon that is there, and starts none unless it is told to."""

    def __init__(self) -> None:
        self._client: Client | None = None
        self._starting: processes.Starting | None = None
        self._testing = False
        self._dialog = GimpUi.Dialog(title=_("Blend Daemon"))
        buttons = {
            START: _("_Start"),
            STOP: _("Sto_p"),
            TEST: _("Self-_Test"),
            PAIR: _("Pa_ir…"),
            COPY: _("_Copy Report"),
            Gtk.ResponseType.CLOSE: _("C_lose"),
        }
        for response, label in buttons.items():
            self._dialog.add_button(label, response)
        self._dialog.set_default_size(680, 460)
        self._state = Gtk.Label(xalign=0, yalign=0, wrap=True, selectable=True, can_focus=False)
        self._text = Gtk.TextView(editable=False, monospace=True, wrap_mode=Gtk.WrapMode.WORD_CHAR, left_margin=6, right_margin=6)
        room = Gtk.ScrolledWindow()
        room.add(self._text)
        room.set_shadow_type(Gtk.ShadowType.IN)
        self._heading = Gtk.Label(xalign=0)
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=8, border_width=12)
        box.pack_start(self._state, False, False, 0)
        box.pack_start(self._heading, False, False, 0)
        box.pack_start(room, True, True, 0)
        box.show_all()
        self._dialog.get_content_area().pack_start(box, True, True, 0)
        self._log = ""
        self._report = ""
        self._tick()
        self._timer = GLib.timeout_add(TICK, self._tick)

    def run(self) -> None:
        while True:
            action = {START: self._start, STOP: self._stop, TEST: self._test, PAIR: self._pair, COPY: self._copy}.get(self._dialog.run())
            if action is None:
                return
            action()

    def close(self) -> None:
        GLib.source_remove(self._timer)
        self._disconnect()
        self._dialog.destroy()

    def _disconnect(self) -> None:
        if self._client:
            self._client.close()
        self._client = None

    def _start(self) -> None:
        try:
            self._starting = processes.Starting(command())
        except BlendError as error:
            self._tell(None, sentence(error))

    def _stop(self) -> None:
        if self._client:
            self._client.shutdown()

    def _copy(self) -> None:
        Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).set_text(self._report or self._state.get_text(), -1)

    def _pair(self) -> None:
        told = pairing.ask(self._dialog)
        if told is not None:
            self._report = told
            self._show_text(_("Report"), told)

    def _test(self) -> None:
        """The doctor, in the background: it loads the network, which takes seconds."""
        try:
            launcher = Gio.SubprocessLauncher.new(Gio.SubprocessFlags.STDOUT_PIPE | Gio.SubprocessFlags.STDERR_MERGE)
            launcher.set_environ([f"{name}={value}" for name, value in processes.environment().items()])
            doctor = launcher.spawnv([*command(), "doctor"])
        except GLib.Error as error:
            self._show_text(_("Report"), error.message)
            return
        self._testing = True
        self._show_text(_("Report"), _("The self-test runs …"))
        doctor.communicate_utf8_async(None, None, self._tested)

    def _tested(self, doctor, outcome) -> None:
        self._testing = False
        try:
            _ok, self._report, _errors = doctor.communicate_utf8_finish(outcome)
        except GLib.Error as error:
            self._report = error.message
        self._show_text(_("Report"), self._report)

    def _tick(self) -> bool:
        try:
            if self._client is None and runtime.socket_path().exists():
                self._client = Client(command=command())
            status = None
            if self._client:
                status = next((m.header["status"] for m in self._client.pump() if m.type == "status"), None)
                self._client.ask_status()
            if self._starting and status is None:
                self._starting.check()
            if status is not None or self._client is None:
                self._tell(status)
        except BlendError as error:
            self._disconnect()
            self._starting = None
            # A daemon that has ended was told to, or says why in its log.
            self._tell(None, "" if error.code == "daemon-gone" else sentence(error))
        if not self._report and not self._testing:
            self._show_log()
        return GLib.SOURCE_CONTINUE

    def _tell(self, status, trouble: str = "") -> None:
        if status is not None:
            self._starting = None
        elif not trouble and self._starting:
            trouble = _("Starting the blend daemon")
        self._state.set_text(trouble or _about(status))
        self._dialog.set_response_sensitive(START, status is None and self._starting is None)
        self._dialog.set_response_sensitive(STOP, status is not None)

    def _show_log(self) -> None:
        path = runtime.log_path()
        try:
            with path.open("rb") as file:
                file.seek(max(path.stat().st_size - TAIL, 0))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            text = ""
        if text != self._log:
            self._log = text
            self._show_text(_("Log {path}").format(path=path), text)

    def _show_text(self, heading: str, text: str) -> None:
        self._heading.set_text(heading)
        buffer = self._text.get_buffer()
        buffer.set_text(text)
        self._text.scroll_to_iter(buffer.get_end_iter(), 0, False, 0, 0)


def _about(status) -> str:
    if status is None:
        return _("No blend daemon is running. The filter starts it when it needs it.")
    doing = _("blending") if status["running"] else _("idle")
    return "\n".join(
        (
            _("The blend daemon {version} is {doing}.").format(version=status["version"], doing=doing),
            _("Device: {device}").format(device=status["device"]),
            _("Blends waiting: {waiting}, ended: {ended}").format(waiting=status["waiting"], ended=status["ended"]),
            _("Running for {minutes} min, process {pid}").format(minutes=round(status["uptime"] / 60), pid=status["pid"]),
        )
    )
