"""The window that installs what blends, and that repairs or removes it later: the first that somebody sees who has the plug-in alone."""

from __future__ import annotations

import locale

import gi

gi.require_version("Gdk", "3.0")
gi.require_version("GimpUi", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import Gdk, GimpUi, GLib, Gtk, Pango

from blend_protocol import runtime
from blend_protocol.errors import BlendError
from dib.i18n import _
from dib.job import setup
from dib.ui.bar import Bar
from dib.ui.callbacks import told
from dib.ui.notice import Notice
from dib.ui.page import Page
from dib.words import sentence

TICK = 100  # ms
REMOVE, COPY = 1, 2
GIGABYTE, MEGABYTE = 1e9, 1e6
STATES = {
    "missing": lambda: _("missing"),
    "unfinished": lambda: _("cut off: press Install"),
    "other": lambda: _("another version: press Install"),
    "whole": lambda: _("installed"),
}
STEPS = {
    "python": lambda: _("Making a private Python environment"),
    "pip": lambda: _("Bringing its installer up to date"),
    "torch": lambda: _("Fetching PyTorch; this takes some minutes"),
    "program": lambda: _("Installing the blend daemon"),
    "weights": lambda: _("Fetching the network's weights"),
}


def run(parent: Gtk.Window | None = None) -> bool:
    """Show the window until it is closed. Without a parent, which is before the first blend, it closes itself when all is there.

    Returns whether all is there.
    """
    GimpUi.init("deep-image-blending")
    window = SetupWindow(parent)
    try:
        return window.run()
    finally:
        window.close()


class SetupWindow:
    """Says what is there and what is missing, how large it is and where it goes. One click installs, with progress and a log."""

    def __init__(self, parent: Gtk.Window | None) -> None:
        self._first = parent is None
        self._work: setup.Work | None = None
        self._cancelled = False
        self._dialog = GimpUi.Dialog(title=_("Set Up Deep Image Blending"))
        if parent is not None:
            self._dialog.set_transient_for(parent)
            self._dialog.set_modal(True)
        self._remove = self._dialog.add_button(_("_Remove"), REMOVE)
        self._close = self._dialog.add_button(_("_Cancel"), Gtk.ResponseType.CANCEL)
        self._main = self._dialog.add_button(_("_Install"), Gtk.ResponseType.OK)
        for button, name in ((self._remove, "remove"), (self._close, "close"), (self._main, "install")):
            button.set_name(name)
        self._copier = self._dialog.add_button(_("_Copy the Command"), COPY)
        self._copier.set_name("copy")
        self._dialog.set_default_response(COPY if runtime.sandboxed() else Gtk.ResponseType.OK)
        self._head = Gtk.Label(xalign=0, wrap=True, max_width_chars=70, name="setup-head")
        self._grid = Gtk.Grid(row_spacing=6, column_spacing=12)
        self._states = [self._row(0, _("Blend daemon, with PyTorch"), runtime.venv_dir())]
        self._states.append(self._row(1, _("Its network's weights"), runtime.weights_dir()))
        self._room = Gtk.Label(xalign=0, wrap=True, max_width_chars=70, name="setup-room")
        self._room.get_style_context().add_class("dim-label")
        self._step, self._bar = Gtk.Label(xalign=0, ellipsize=Pango.EllipsizeMode.END, name="setup-step"), Bar()
        self._log = Page("setup-log")
        self._log.set_size_request(-1, 160)
        unfold = Gtk.Expander(label=_("_Log"), use_underline=True, name="setup-unfold")
        unfold.add(self._log)
        unfold.set_no_show_all(runtime.sandboxed())  # nothing is installed from there
        self._notice = Notice()
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=8, border_width=12)
        for widget in (self._head, self._notice, self._grid, self._room, self._step, self._bar):
            box.pack_start(widget, False, False, 0)
        box.pack_start(unfold, True, True, 0)
        box.show_all()
        self._dialog.get_content_area().pack_start(box, True, True, 0)
        self._dialog.set_default_size(620, -1)
        self._state: setup.State | None = None
        self._look()
        self._timer = GLib.timeout_add(TICK, self._tick)

    def run(self) -> bool:
        """Show the window until it is closed."""
        actions = {Gtk.ResponseType.OK: self._install, REMOVE: self._take_away, COPY: self._copy}
        while True:
            response = self._dialog.run()
            if response in actions:
                actions[response]()
            elif self._work is not None:
                self._cancelled = True
                self._work.cancel()
                self._step.set_text(_("Cancelling"))
            else:
                return self._state is not None and self._state.ready

    def close(self) -> None:
        """End the window."""
        GLib.source_remove(self._timer)
        self._dialog.destroy()

    def fail(self, error: BlendError) -> None:
        """Say what went wrong, and what there is now."""
        self._work = None
        self._look(large=error.code == "torch-large")
        if error.code == "interrupted" and self._cancelled:
            self._step.set_text(_("Cancelled. Nothing is left half-done."))
            return
        self._step.set_text("")
        self._notice.tell(sentence(error))

    def _row(self, row: int, name: str, place) -> tuple[Gtk.Label, Gtk.Label]:
        sign, state = Gtk.Label(width_chars=2), Gtk.Label(xalign=0, name=f"setup-state-{row}")
        folder = Gtk.Label(label=str(place), xalign=0, selectable=True, can_focus=False, ellipsize=Pango.EllipsizeMode.MIDDLE)
        folder.get_style_context().add_class("dim-label")
        text = Gtk.Label(xalign=0)
        text.set_markup(f"<b>{GLib.markup_escape_text(name)}</b>")
        for column, widget in enumerate((sign, text, state)):
            self._grid.attach(widget, column, 2 * row, 1, 1)
        folder.set_hexpand(True)
        self._grid.attach(folder, 1, 2 * row + 1, 2, 1)
        return sign, state

    def _look(self, large: bool = False) -> None:
        """See what is there, and have the window say so. `large`: the large build of PyTorch is offered."""
        self._large = large
        self._state = state = setup.state() if setup.can_install() else None
        if state is None:
            self._head.set_text(_("This plug-in was put here without what it would install. Run install.sh again."))
        elif runtime.sandboxed() and not state.ready:
            words = _("A Flatpak can start nothing outside its sandbox. Run this in a terminal, once, and then open the filter again:")
            self._head.set_text(f"{words}\n\n{setup.by_hand()}")
            self._head.set_selectable(True)
        elif state.ready:
            self._head.set_text(_("All that Deep Image Blending needs is installed, for you alone."))
        else:
            self._head.set_text(
                _("Deep Image Blending computes in a program of its own. It is installed once, for you alone, and nothing else is touched.")
            )
        for (sign, label), there, size in self._parts(state):
            sign.set_text("✓" if there == "whole" else "–")  # noqa: RUF001 - a dash
            label.set_text(STATES[there]() if there == "whole" else f"{STATES[there]()}, {_about(size)}")
        if state is not None:
            self._room.set_text(_("Free on that disk: {size}").format(size=_size(state.free)))
        ready = state is not None and state.ready
        self._main.set_label(_("_Install the Large Build") if large else _("_Repair") if ready else _("_Install"))
        self._allow()

    def _parts(self, state: setup.State | None):
        if state is not None:
            yield self._states[0], state.program, state.large_bytes if self._large else state.program_bytes
            yield self._states[1], "whole" if state.weights else "missing", state.weights_bytes

    def _allow(self) -> None:
        """Have the buttons be for what can be done now."""
        running = self._work is not None
        possible = self._state is not None and not running
        inside = runtime.sandboxed()
        self._main.set_visible(not inside)
        self._remove.set_visible(not inside)
        self._copier.set_visible(inside and self._state is not None and not self._state.ready)
        self._main.set_sensitive(possible)
        self._remove.set_sensitive(possible and (self._state.program != "missing" or self._state.weights))
        self._close.set_label(_("_Cancel") if running or self._first else _("C_lose"))
        self._bar.set_visible(running)

    @told
    def _install(self) -> None:
        self._begin(setup.Work(large=self._large, anew=self._state.ready))

    @told
    def _take_away(self) -> None:
        about = _("Your learned models, keys and blends that wait stay. The plug-in stays too, and can install it again.")
        question = Gtk.MessageDialog(transient_for=self._dialog, modal=True, message_type=Gtk.MessageType.QUESTION)
        question.set_property("text", _("Remove the blend daemon and its weights?"))
        question.format_secondary_text(about)
        question.add_buttons(_("_Cancel"), Gtk.ResponseType.CANCEL, _("_Remove"), Gtk.ResponseType.OK)
        question.set_name("remove-question")
        sure = question.run() == Gtk.ResponseType.OK
        question.destroy()
        if sure:
            self._begin(setup.Work(remove=True))

    def _begin(self, work: setup.Work) -> None:
        self._work, self._cancelled = work, False
        self._notice.tell("")
        self._allow()

    def _copy(self) -> None:
        Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).set_text(setup.by_hand(), -1)

    @told
    def _tick(self) -> bool:
        work = self._work
        if work is None:
            return GLib.SOURCE_CONTINUE
        ended = False
        try:
            ended = work.look()
        finally:
            self._log.tell("\n".join(work.lines))
        self._bar.set_fraction(work.fraction)
        if work.step and not self._cancelled:
            large = _("Fetching PyTorch, {size}; this takes some minutes")
            self._step.set_text(large.format(size=_about(work.size)) if work.size else STEPS[work.step]())
        if ended:
            self._work = None
            self._step.set_text("")
            self._look()
            if self._first and self._state.ready:
                self._dialog.response(Gtk.ResponseType.CLOSE)
        return GLib.SOURCE_CONTINUE


def _size(number: float) -> str:
    if number >= GIGABYTE:
        return _("{number} GB").format(number=locale.format_string("%.1f", number / GIGABYTE))
    return _("{number} MB").format(number=round(number / MEGABYTE))


def _about(number: float) -> str:
    return _("about {size}").format(size=_size(number))
