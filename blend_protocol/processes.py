"""Processes beside the caller's own: the daemon, and what it takes to start it. Standard library only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from blend_protocol import runtime
from blend_protocol.errors import BlendError

FOREIGN = ("LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHON", "GI_", "GST_")  # beginnings of variables that lead to a program's own libraries
IDLE_EXIT = "60"  # min; a daemon started on demand ends when nobody has asked anything of it for so long
LIMIT = 60.0  # s that a daemon may take to answer
SERVICE = "blend-daemon.service"


def environment() -> dict[str, str]:
    """The environment for a process outside the caller's world: GIMP may have one of its own, as an AppImage does, whose libraries
    another Python cannot live with."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}


def spawn(words: Sequence[str], **streams: Any) -> subprocess.Popen[bytes]:
    """Start a process that has nothing of the caller's but its streams. Raises OSError."""
    apart: dict[str, Any] = {"start_new_session": True} if os.name == "posix" else {}
    if sys.platform == "win32":
        apart["creationflags"] = subprocess.CREATE_NO_WINDOW
    return subprocess.Popen(words, env=environment(), cwd=Path.home().anchor, **apart, **streams)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process from `spawn`, with those that it has started, and wait for it."""
    if os.name == "posix":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def not_running() -> BlendError:
    """What is to be done in a Flatpak, where no daemon runs."""
    return BlendError(
        "daemon-not-running",
        "No blend daemon is running, and a GIMP in a Flatpak cannot start one.",
        f"Run `{runtime.installed_command() or 'blend-daemon'} start` in a terminal, and try again.",
    )


class Starting:
    """A daemon that is being started, and outlives the caller. Ask `check` between tries to reach it.

    Where install.sh has made it a service of the user's, that is what is started: it has its limits there.

    Parameters
    ----------
    command : how to start blend-daemon
    limit : s after which to give up

    Raises
    ------
    BlendError
        `daemon-not-started` if the command cannot be run or the log cannot be written, `daemon-not-running` in a Flatpak
    """

    def __init__(self, command: Sequence[str], limit: float = LIMIT) -> None:
        if runtime.sandboxed():
            raise not_running()
        self._command = command
        self._deadline = time.monotonic() + limit
        self._service = _start_service()
        self._process = self._service or self._serve()

    def check(self) -> None:
        """Raise BlendError `daemon-not-started` if the daemon has died or takes too long."""
        code = self._process.poll()
        if self._service and code is not None and (code or not runtime.socket_path().exists()):
            # There is no manager of services now, or its daemon has other folders than this environment.
            self._service, self._process = None, self._serve()
            return
        # Exit code 3: another daemon was quicker and holds the lock; that one will answer.
        if code is not None and code != 3 and not self._service:
            why = f"it ended with code {code}"
        elif time.monotonic() > self._deadline:
            why = "it did not answer in time"
        else:
            return
        raise BlendError(
            "daemon-not-started",
            f"The blend daemon could not be started: {why}.",
            f"Its log is {runtime.log_path()}. {runtime.DOCTOR}",
        )

    def _serve(self) -> subprocess.Popen[bytes]:
        """The daemon itself; its output goes to the log."""
        try:
            runtime.log_path().parent.mkdir(parents=True, exist_ok=True)
            with runtime.log_path().open("ab") as log:
                return spawn([*self._command, "serve", "--idle-exit", IDLE_EXIT], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        except OSError as error:
            culprit = error.filename or self._command[0]
            raise BlendError(
                "daemon-not-started", f"The blend daemon could not be started: {culprit}: {error.strerror}.", runtime.DOCTOR
            ) from error


def _start_service() -> subprocess.Popen[bytes] | None:
    """What has the user's service manager start the daemon, and ends when it serves. None if there is no service of these folders."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    if not (config / "systemd/user" / SERVICE).is_file() or any(name.startswith("BLEND_DAEMON_") for name in os.environ):
        return None
    quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    with suppress(OSError):  # there is no systemd, whatever was there when it was installed
        return spawn(["systemctl", "--user", "start", SERVICE], **quiet)
    return None
