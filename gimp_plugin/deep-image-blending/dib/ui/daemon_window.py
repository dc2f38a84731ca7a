"""The window about the daemon: what it is doing, its log, starting and stopping it, and the doctor's report."""

from __future__ import annotations

from pathlib import Path

import gi

gi.require_version("Gdk", "3.0")
gi.require_version("GimpUi", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import Gdk, GimpUi, Gio, GLib, Gtk

from blend_protocol import processes, runtime
from blend_protocol.client import Client
from blend_protocol.errors import BlendError
from dib.i18n import _
from dib.job.daemon import command
from dib.ui import pairing, setup_window
from dib.ui.callbacks import told
from dib.ui.page import Page
from dib.words import sentence

TICK = 500  # ms between questions to the daemon
TAIL = 16_384  # bytes of the log that are shown
START, STOP, TEST, PAIR, COPY, SETUP = 1, 2, 3, 4, 5, 6


def run() -> None:
    """Show the window until it is closed."""
    GimpUi.init("deep-image-blending")
    window = DaemonWindow()
    try:
        window.run()
    finally:
        window.close()


class DaemonWindow:
    """The window. It asks the daemon that is there, and starts none unless it is told to."""

    def __init__(self) -> None:
        self._client: Client | None = None
        self._starting: processes.Starting | None = None
        self._dialog = GimpUi.Dialog(title=_("Blend Daemon"))
        buttons = {
            START: _("_Start"),
            STOP: _("Sto_p"),
            TEST: _("Self-_Test"),
            PAIR: _("Pa_ir…"),
            SETUP: _("I_nstallation…"),
            COPY: _("_Copy Report"),
            Gtk.ResponseType.CLOSE: _("C_lose"),
        }
        for response, label in buttons.items():
            self._dialog.add_button(label, response)
        self._dialog.set_default_size(680, 460)
        self._state = Gtk.Label(xalign=0, yalign=0, wrap=True, selectable=True, can_focus=False)
        self._state.set_name("state")
        self._log, self._report = Page("log"), Page("report")
        self._pages = Gtk.Notebook()
        self._pages.append_page(self._log, Gtk.Label(label=_("Log {path}").format(path=runtime.log_path()), name="show-log"))
        self._pages.append_page(self._report, Gtk.Label(label=_("Report")))
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=8, border_width=12)
        box.pack_start(self._state, False, False, 0)
        box.pack_start(self._pages, True, True, 0)
        box.show_all()
        self._dialog.get_content_area().pack_start(box, True, True, 0)
        self._report.hide()  # until there is one
        self._tick()
        self._timer = GLib.timeout_add(TICK, self._tick)

    def run(self) -> None:
        actions = {START: self._start, STOP: self._stop, TEST: self._test, PAIR: self._pair, COPY: self._copy, SETUP: self._set_up}
        while (action := actions.get(self._dialog.run())) is not None:
            action()

    def close(self) -> None:
        GLib.source_remove(self._timer)
        self._disconnect()
        self._dialog.destroy()

    def fail(self, error: BlendError) -> None:
        """Say what went wrong. The next look at the daemon may say otherwise."""
        self._disconnect()
        self._starting = None
        self._tell(None, sentence(error))

    def _disconnect(self) -> None:
        if self._client:
            self._client.close()
        self._client = None

    @told
    def _start(self) -> None:
        self._starting = processes.Starting(command())

    @told
    def _stop(self) -> None:
        if self._client:
            self._client.shutdown()

    @told
    def _copy(self) -> None:
        Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).set_text(self._report.text or self._state.get_text(), -1)

    @told
    def _pair(self) -> None:
        told = pairing.ask(self._dialog)
        if told is not None:
            self._show_report(told)

    @told
    def _set_up(self) -> None:
        self._disconnect()
        setup_window.run(self._dialog)

    @told
    def _test(self) -> None:
        """The doctor, in the background: it loads the network, which takes seconds."""
        try:
            launcher = Gio.SubprocessLauncher.new(Gio.SubprocessFlags.STDOUT_PIPE | Gio.SubprocessFlags.STDERR_MERGE)
            launcher.set_environ([f"{name}={value}" for name, value in processes.environment().items()])
            doctor = launcher.spawnv([*command(), "doctor"])
        except GLib.Error as error:
            self._show_report(error.message)
            return
        self._show_report(_("The self-test runs …"))
        doctor.communicate_utf8_async(None, None, self._tested)

    @told
    def _tested(self, doctor, outcome) -> None:
        try:
            _ok, report, _errors = doctor.communicate_utf8_finish(outcome)
        except GLib.Error as error:
            report = error.message
        self._report.tell(report)  # whoever looks at the log meanwhile goes on reading it

    @told
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
            if error.code != "daemon-gone":
                raise
            self._disconnect()  # it was told to end, or says why in its log
            self._tell(None)
        finally:
            self._log.tell(_tail(runtime.log_path()))
        return GLib.SOURCE_CONTINUE

    def _tell(self, status, trouble: str = "") -> None:
        if status is not None:
            self._starting = None
        elif not trouble and self._starting:
            trouble = _("Starting the blend daemon")
        self._state.set_text(trouble or _about(status))
        self._dialog.set_response_sensitive(START, status is None and self._starting is None)
        self._dialog.set_response_sensitive(STOP, status is not None)

    def _show_report(self, text: str) -> None:
        self._report.show()
        self._pages.set_current_page(1)
        self._report.tell(text)


def _tail(path: Path) -> str:
    """The last of a log, "" if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - TAIL, 0))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _about(status) -> str:
    if status is None and runtime.sandboxed():
        return sentence(processes.not_running())
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
