"""Blends that were finished, but never inserted: a list to choose from, and their way into an image."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import insertion
import options
from gi.repository import Gimp, GLib
from session import command

from blend_protocol import keys
from blend_protocol.client import Client, Message, failure
from blend_protocol.errors import BlendError

PATIENCE = 20.0  # s for an answer of the daemon
TICK = 50  # ms
ICON = 72  # px, longer side of a blend's picture in the list
PICTURE = 4_000_000  # px; a larger blend is not fetched for its picture


def _(text):
    return GLib.dgettext("deep-image-blending", text)


def run(run_mode, image, config) -> Gimp.PDBStatusType:
    """The procedure. Raises BlendError with a message for the user."""
    keepers = [Keeper("")]
    try:
        keepers += [Keeper(daemon.name) for daemon in keys.daemons()]
        if run_mode == Gimp.RunMode.INTERACTIVE:
            return _choose(keepers, image)
        wanted = config.get_property("job") or None
        found = None
        for keeper in keepers:
            _finish(keeper)
            found = found or next((kept for kept in keeper.kept if wanted in (None, kept.job)), None)
        if found is None:
            if keepers[0].trouble:
                raise keepers[0].trouble
            raise BlendError("nothing-to-recover", _("There is no blend to recover."), "")
        _insert(found, image)
    finally:
        for keeper in keepers:
            keeper.client.close()
    return Gimp.PDBStatusType.SUCCESS


class Keeper:
    """A daemon that may have blends of this user's: this computer's own, or a paired one.

    Attributes
    ----------
    name : "" for this computer's own
    kept : what it has, the newest first, once that is known
    trouble : why it cannot be known
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.client = Client(name or None)
        self.kept: list[Kept] = []
        self.trouble: BlendError | None = None

    def ask(self) -> Iterator[None]:
        """Ask for what it has. Yields while there is nothing to do but wait."""
        try:
            for _state in self.client.reach(command()):
                yield
            self.client.ask_results()
            answer = yield from self.answer("results")
            entries = [entry for entry in answer.header["results"] if not entry.get("cut")]
            self.kept = [Kept(self, entry) for entry in sorted(entries, key=lambda entry: -entry["ended"])]
        except BlendError as error:
            self.trouble = error

    def answer(self, *types: str, job: str | None = None) -> Iterator[None]:
        """The next message of these types, about that job, as the generator's value. Raises BlendError."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for message in self.client.pump():
                if message.type in types and message.header.get("job") == job:
                    return message
            yield
        raise BlendError("daemon-gone", _("The blend daemon does not answer."), _("Run “blend-daemon doctor” in a terminal."))


@dataclass
class Kept:
    """A blend that a daemon keeps.

    Attributes
    ----------
    entry : the daemon's account of it
    """

    keeper: Keeper
    entry: dict[str, Any] = field(repr=False)

    @property
    def job(self) -> str:
        return self.entry["job"]

    def fetch(self) -> Iterator[None]:
        """Its `result` message, as the generator's value. Raises BlendError."""
        self.keeper.client.fetch(self.job)
        message = yield from self.keeper.answer("result", "failed", job=self.job)
        if message.type == "failed":
            raise failure(message)
        return message


def _finish(steps: Keeper | Iterator[None]) -> Any:
    """What a generator returns, waited for."""
    steps = steps.ask() if isinstance(steps, Keeper) else steps
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        time.sleep(0.02)


def _insert(kept: Kept, image) -> None:
    """Insert the result at its place, as the topmost layer, one undo step. The daemon then need not keep it."""
    result: Message = _finish(kept.fetch())
    raster = result.rasters["layer"]
    insertion.check_mode(image, raster)
    name = _("{name} blended").format(name=kept.entry["label"].get("layer", ""))
    image.undo_group_start()
    try:
        layer = insertion.add_layer(image, raster, tuple(result.header["box"]), name.strip(), None, 0)
        image.set_selected_layers([layer])
    finally:
        image.undo_group_end()
    kept.keeper.client.release(kept.job)
    Gimp.displays_flush()


def _choose(keepers: list[Keeper], image) -> Gimp.PDBStatusType:
    """The window with the list."""
    import gi

    gi.require_version("GimpUi", "3.0")
    gi.require_version("Gtk", "3.0")
    from gi.repository import GimpUi

    GimpUi.init("deep-image-blending")
    from recover_window import RecoverWindow

    window = RecoverWindow(keepers)
    try:
        while (kept := window.run()) is not None:
            try:
                _insert(kept, image)
            except BlendError as error:
                window.fail(error)
            else:
                return Gimp.PDBStatusType.SUCCESS
        return Gimp.PDBStatusType.CANCEL
    finally:
        window.close()


def method_label(report: dict[str, Any]) -> str:
    """The method and preset of a blend, as the dialog names them."""
    name = report.get("method", "")
    label = next((_(text) for nick, text, _about in options.METHODS if nick == name), name.removeprefix("model:"))
    preset = next((_(text) for nick, text, _about in options.PRESETS if nick == report.get("preset")), "")
    return f"{label}, {preset}" if preset and "iterations" in options.uses(name) else label


def age(seconds: float) -> str:
    """How long ago, in the unit that tells it best."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return _("just now")
    if minutes < 60:
        return _("{minutes} min ago").format(minutes=minutes)
    if minutes < 48 * 60:
        return _("{hours} h ago").format(hours=round(minutes / 60))
    return _("{days} days ago").format(days=round(minutes / 60 / 24))
