"""Blends that were finished, but never inserted: what the daemons keep of them, and their way back."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from blend_protocol.client import Client, Message, failure
from blend_protocol.errors import BlendError
from dib import options
from dib.i18n import _
from dib.job.daemon import command

PATIENCE = 20.0  # s for an answer of the daemon
Value = TypeVar("Value")


class Keeper:
    """A daemon that may have blends of this user's: this computer's own, or a paired one.

    Attributes
    ----------
    name : "" for this computer's own
    kept : what it has, the newest first, once that is known
    trouble : why it cannot be known
    """

    def __init__(self, name: str, address: str | None = None) -> None:
        self.name = name
        self.client = Client(address or name or None, command=command())
        self.kept: list[Kept] = []
        self.trouble: BlendError | None = None

    def ask(self) -> Generator[None, None, None]:
        """Ask for what it has. Yields while there is nothing to do but wait."""
        try:
            for _state in self.client.reach():
                yield
            self.client.ask_results()
            answer = yield from self.answer("results")
            entries = [entry for entry in answer.header["results"] if not entry.get("cut")]
            self.kept = [Kept(self, entry) for entry in sorted(entries, key=lambda entry: -entry["ended"])]
        except BlendError as error:
            self.trouble = error

    def answer(self, *types: str, job: str | None = None) -> Generator[None, None, Message]:
        """The next message of these types, about that job. Yields while there is nothing to do but wait. Raises BlendError."""
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
        """Its id."""
        return self.entry["job"]

    def fetch(self) -> Generator[None, None, Message]:
        """Its `result` message. Yields while there is nothing to do but wait. Raises BlendError."""
        self.keeper.client.fetch(self.job)
        message = yield from self.keeper.answer("result", "failed", job=self.job)
        if message.type == "failed":
            raise failure(message)
        return message

    def release(self) -> None:
        """The daemon need not keep it any longer."""
        self.keeper.client.release(self.job)


def waited(steps: Generator[None, None, Value]) -> Value:
    """What a generator returns in the end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        time.sleep(0.02)


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
