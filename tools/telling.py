"""How make_venv.py tells what it does, and why it cannot go on. Standard library only."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

WHEELS = {"pip": 2e6, "torch": 2e8, "program": 2.6e8}  # bytes that a step fetches, about; of what it fetches its progress is made
SHARES = {"python": 0.03, "pip": 0.03, "torch": 0.44, "program": 0.4, "weights": 0.1}  # of the whole


class Failed(Exception):
    """It cannot go on. `code` is for programs, `hint` says what to do, `log` what a program has said of it."""

    def __init__(self, code: str, message: str, hint: str = "", log: str = "") -> None:
        super().__init__(message)
        self.code, self.hint, self.log = code, hint, log


class Teller:
    """Says what is being done: in words, or as events."""

    def __init__(self, events: bool) -> None:
        self.events = events
        self._before, self._step, self._wheels, self._fetched, self._file = 0.0, "", 0.0, 0.0, 0.0

    def step(self, name: str, text: str, size: int = 0) -> None:
        """A step begins, or begins again in another way. `size`: bytes on the disk, if they are gigabytes."""
        if name != self._step:
            self._before += SHARES.get(self._step, 0.0)
        self._step, self._fetched, self._file = name, 0.0, 0.0
        self._wheels = size / 2 or WHEELS.get(name, 1e8)  # packed they are half as large
        if self.events:
            self._emit({"step": name, "text": text, **({"bytes": size} if size else {})})
            self._emit({"fraction": self._before})
        elif name == "torch":
            print(text, flush=True)

    def heard(self, line: str) -> None:
        """A line that a program has printed."""
        if not self.events:
            if self._step == "weights":
                print(line, flush=True)
            return
        progress = re.match(r"Progress (\d+) of (\d+)", line)
        if progress is None:
            if self._file:
                self._fetched, self._file = self._fetched + self._file, 0.0
            self._emit({"line": line})
            return
        self._file = float(progress[1])
        done = min((self._fetched + self._file) / self._wheels, 0.9)
        self._emit({"fraction": self._before + done * SHARES.get(self._step, 0.0)})

    def end(self, event: dict) -> None:
        """The last word."""
        if self.events:
            self._emit(event)
        elif "failed" in event:
            print(f"{event['message']} {event['hint']}".strip(), file=sys.stderr)

    def _emit(self, event: dict) -> None:
        print(json.dumps(event), flush=True)


def gigabytes(number: float) -> str:
    return f"{number / 1e9:.1f}"


def disk_full(folder: Path, more: str) -> Failed:
    return Failed("disk-full", f"There is not enough room on the disk of {folder}. {more}".strip(), "Make room there, and try again.")
