"""What a worker may do before it is replaced, and how its end is told to those who wait for it."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from blend_protocol import runtime


@dataclass(frozen=True)
class Limits:
    """What a worker may do before it is replaced.

    Attributes
    ----------
    hang : s without a word while it has something to do. The longest silence of an honest worker is the start of a blend of a
        hundred megapixels, a minute or two on a slow machine
    memory : bytes of resident memory, without the pages of files. Not watched where there is no /proc
    idle : s without anything to do after which it is ended, so that its memory, a GPU's too, is free for others
    retries : how often a job is begun again whose worker was lost while it computed. 0 on one machine, where most likely the job itself
        ends its worker; in a fleet, nodes come and go
    """

    hang: float = 600.0
    memory: int = 2**63
    idle: float = 300.0
    retries: int = 0


@dataclass(frozen=True)
class Ending:
    """How a worker ended, for those who wait for it: code and hint of `failed`, and the end of a sentence about the process."""

    code: str
    how: str
    hint: str


IDLE = Ending("worker-loading", "was ended for want of work", "Ask again in a moment.")


def hung(seconds: float) -> Ending:
    """It said nothing for so long."""
    return Ending("worker-hung", f"gave no sign of life for {seconds:.0f} s and was ended", f"Try again. The log is {runtime.log_path()}.")


def outgrown(limit: int) -> Ending:
    """It had more memory than that, bytes."""
    hint = "Make the selection or the working size smaller, or let the daemon have more: `blend-daemon serve --memory-limit`."
    return Ending("memory-limit", f"used more than {limit / 1e6:.0f} MB of memory and was ended", hint)


def garbled(why: str) -> Ending:
    """It said what is no message."""
    return Ending("worker-died", f"said what cannot be read: {why}", runtime.DOCTOR)


def death(code: int | None, why: str, loaded: bool) -> Ending:
    """Its process ended by itself with that exit code, negative for a signal, before or after it had loaded its network; None: it could not
    be started, or is out of reach, and why."""
    if code is None and loaded:
        return Ending("worker-died", f"was lost: {why}", "Try again.")
    if code is None:
        return Ending("worker-died", f"could not start: {why}", runtime.DOCTOR)
    names = {number.value: number.name for number in signal.Signals}
    by = f"signal {-code} ({names.get(-code, 'without a name')})" if code < 0 else f"exit code {code}"
    if not loaded:
        return Ending("worker-died", f"could not start: {by}", runtime.DOCTOR)
    return Ending(
        "worker-died", f"was ended by {by}", f"Try again, with a smaller selection or the preset draft. The log is {runtime.log_path()}."
    )
