"""The one lock of a runtime folder, by which there are never two daemons for one user. It ends with its holder, however that ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from blend_daemon.errors import BlendError


class AlreadyRunning(BlendError):
    """Another daemon holds the lock."""


def take(folder: Path) -> IO[str]:
    """Take the lock, and leave this process's id in it.

    Raises
    ------
    AlreadyRunning
        if another daemon has it
    """
    file = (folder / "lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise AlreadyRunning("daemon-running", "A blend daemon is running already.", "`blend-daemon status` tells of it.") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def holder(folder: Path) -> int | None:
    """Process id of the daemon that has the lock, None if none has. Works with a daemon of any version."""
    try:
        with (folder / "lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return int(file.read() or 0) or None
    except (OSError, ValueError):
        pass
    return None
