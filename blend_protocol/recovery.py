"""Finished blends that nobody took, on every daemon that this computer knows: its own, and those that it is paired with."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blend_protocol import keys
from blend_protocol.client import Client
from blend_protocol.errors import BlendError

PATIENCE = 20.0  # s for the answer of a daemon that was reached


@dataclass(frozen=True)
class Kept:
    """What one daemon keeps for this user.

    Attributes
    ----------
    daemon : its name among the paired ones, None for this computer's own; `Client` takes it as address
    results : as `results` lists them, the newest first, without the jobs that were cut off
    trouble : why it could not be asked; None if it could
    """

    daemon: str | None
    results: Sequence[Mapping[str, Any]] = ()
    trouble: BlendError | None = None


def kept_everywhere(command: Sequence[str]) -> Iterator[Kept | None]:
    """Ask all daemons at once, starting `command serve` if this computer's own does not answer.

    Yields a `Kept` as soon as each has answered or was given up, and None in between: then sleep, or return to the main loop, for about
    50 ms. Raises BlendError `keys` if the pairings cannot be read.
    """
    asked = [_ask(name, command) for name in (None, *(daemon.name for daemon in keys.daemons()))]
    while asked:
        for one in list(asked):
            try:
                next(one)
            except StopIteration as answered:
                asked.remove(one)
                yield answered.value
        if asked:
            yield None


def _ask(name: str | None, command: Sequence[str]) -> Generator[None, None, Kept]:
    try:
        with Client(name, command=command) as client:
            for _ in client.reach():
                yield
            client.ask_results()
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                for message in client.pump():
                    if message.type == "results":
                        whole = [entry for entry in message.header["results"] if not entry.get("cut")]
                        return Kept(name, sorted(whole, key=lambda entry: -entry["ended"]))
                yield
        raise BlendError("daemon-gone", "The blend daemon does not answer.", "Run `blend-daemon status` on its computer.")
    except BlendError as error:
        return Kept(name, trouble=error)
