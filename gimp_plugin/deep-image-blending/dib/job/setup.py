"""Installing, repairing and removing what blends: the blend daemon in a private Python environment, and its network's weights.

The work is done by a process, `setup/make_venv.py` in the plug-in's folder, which install.sh uses too.
"""

from __future__ import annotations

import json
import os
import queue
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blend_protocol import processes, runtime
from blend_protocol.errors import BlendError

SCRIPT = Path(__file__).resolve().parents[2] / "setup/make_venv.py"
WEIGHTS = 30_000_000  # bytes


@dataclass(frozen=True)
class State:
    """What is there.

    Attributes
    ----------
    program : "missing", "unfinished" (cut off, or damaged), "other" (of another version), "whole"
    program_bytes, large_bytes, weights_bytes : what each takes on the disk, about; the program also with the large build of PyTorch
    free : bytes on the disk that they go to
    """

    program: str
    weights: bool
    program_bytes: int
    large_bytes: int
    weights_bytes: int
    free: int

    @property
    def ready(self) -> bool:
        """Whether all of it is there."""
        return self.program == "whole" and self.weights


def can_install() -> bool:
    """Whether this plug-in's folder has what it needs to install."""
    return SCRIPT.is_file()


def state() -> State:
    """Look at what is there. Raises BlendError `setup-failed` if that cannot be told."""
    try:
        said = subprocess.run(
            [*_words(), "--state"], env=processes.environment(), capture_output=True, text=True, timeout=60, check=True
        ).stdout
        told = json.loads(said)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise BlendError("setup-failed", f"What is installed cannot be told: {error}.", "") from error
    place = runtime.venv_dir()
    while not place.exists():
        place = place.parent
    weights = any(runtime.weights_dir().glob("*.safetensors"))
    return State(told["state"], weights, told["bytes"], told["large"], WEIGHTS, shutil.disk_usage(place).free)


def by_hand() -> str:
    """The command that does the same in a terminal, for a GIMP that can start nothing outside its sandbox."""
    start = runtime.venv_dir() / "bin/blend-daemon"
    script = shlex.quote(str(_outside(SCRIPT)))
    return f"python3 {script} {shlex.quote(str(runtime.venv_dir()))} --weights && {shlex.quote(str(start))} start"


def _outside(path: Path) -> Path:
    """Where a file lies outside a Flatpak, which shows the user's own folder of GIMP, if there is one, in the place of its own."""
    own = Path(os.environ.get("XDG_CONFIG_HOME", "/nowhere"))
    if path.is_relative_to(own):
        there = Path(os.environ.get("HOST_XDG_CONFIG_HOME") or Path.home() / ".config") / path.relative_to(own)
        if there.exists() and there.samefile(path):
            return there
    return path


def _words() -> list[str]:
    # GIMP's own Python will do: the script finds one for the environment.
    return [sys.executable or "python3", str(SCRIPT), str(runtime.venv_dir())]


class Work:
    """An installation or a removal that goes on in a process of its own.

    Parameters
    ----------
    remove : remove instead of install
    anew : install it all anew; what was there comes back if that fails
    large : whether gigabytes may be fetched where the small build of PyTorch cannot be reached

    Attributes
    ----------
    text : the step that it is at, in English; `step`: its name; `size`: bytes that it takes, if they are gigabytes, or 0
    fraction : how much is done
    lines : its log
    done : whether it has ended well
    """

    def __init__(self, remove: bool = False, large: bool = False, anew: bool = False) -> None:
        self.step, self.text, self.size, self.fraction, self.done = "", "", 0, 0.0, False
        self.lines: list[str] = []
        self._remove, self._events = remove, queue.SimpleQueue[dict[str, Any]]()
        words = ["--remove"] if remove else ["--weights", *([] if large else ["--refuse-large"]), *(["--anew"] if anew else [])]
        try:
            self._process = processes.spawn(
                [*_words(), "--events", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        except OSError as error:
            raise BlendError("setup-failed", f"Nothing could be started: {error.filename}: {error.strerror}.", "") from error
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def look(self) -> bool:
        """Take in what it has said since. Returns whether it has ended. Raises BlendError with why it failed."""
        while True:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return False
            if "failed" in event:
                raise BlendError(event["failed"], event["message"], event["hint"])
            if "done" in event:
                if self._remove:
                    shutil.rmtree(runtime.weights_dir(), ignore_errors=True)
                self.done = True
                return True
            if "step" in event:
                self.step, self.text, self.size = event["step"], event["text"], event.get("bytes", 0)
            self.fraction = max(self.fraction, event.get("fraction", 0.0))
            if "line" in event:
                self.lines.append(event["line"])

    def cancel(self) -> None:
        """Have it end, and clean up after itself; `look` tells when it has."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM) if os.name == "posix" else self._process.terminate()

    def _read(self) -> None:
        ended = False
        for line in self._process.stdout or ():
            try:
                event = json.loads(line)
            except ValueError:
                event = {"line": line.decode("utf-8", "replace").rstrip()}
            ended = ended or "failed" in event or "done" in event
            self._events.put(event)
        code = self._process.wait()
        if not ended:
            self._events.put({"failed": "setup-failed", "message": f"The installation ended with code {code}.", "hint": ""})
