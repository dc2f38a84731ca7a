"""The one lock of a runtime folder, by which there are never two daemons for one user. It ends with its holder, however that ends."""

from __future__ import annotations

import fcntl
import os
import random
import time
from pathlib import Path
from typing import IO

from blend_protocol.errors import BlendError


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
    while not _locked(file, fcntl.LOCK_EX):
        # `holder` shares the lock for a moment, to see whether it could; a daemon shares it with nobody.
        if not _locked(file, fcntl.LOCK_SH):
            file.close()
            raise AlreadyRunning("daemon-running", "A blend daemon is running already.", "`blend-daemon status` tells of it.")
        fcntl.flock(file, fcntl.LOCK_UN)
        time.sleep(random.uniform(0, 0.01))  # not in step with another that tries
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def holder(folder: Path) -> int | None:
    """Process id of the daemon that has the lock, None if none has. Works with a daemon of any version."""
    try:
        with (folder / "lock").open() as file:
            if not _locked(file, fcntl.LOCK_SH):
                return int(file.read() or 0) or None
    except (OSError, ValueError):
        pass
    return None


def _locked(file: IO[str], how: int) -> bool:
    """Lock a file without waiting, shared or alone. Whether that was possible."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
