"""The one lock of a runtime folder, by which there are never two daemons for one user. It ends with its holder, however that ends."""

from __future__ import annotations

import os
import random
import sys
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
    while not _locked(file, alone=True):
        # `holder` shares the lock for a moment, to see whether it could; a daemon shares it with nobody.
        if not _locked(file, alone=False):
            file.close()
            raise AlreadyRunning("daemon-running", "A blend daemon is running already.", "`blend-daemon status` tells of it.")
        _unlock(file)
        time.sleep(random.uniform(0, 0.01))  # not in step with another that tries
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def holder(folder: Path) -> int | None:
    """Process id of the daemon that has the lock, None if none has. Works with a daemon of any version."""
    try:
        with (folder / "lock").open() as file:
            if not _locked(file, alone=False):
                return int(file.read() or 0) or None
    except (OSError, ValueError):
        pass
    return None


if sys.platform == "win32":
    import msvcrt

    _AT = 2**30  # of the byte that is locked: far behind the process id, because what is locked cannot be read
    _TRIES = 20

    def _locked(file: IO[str], alone: bool) -> bool:
        """Lock a file without waiting. Whether that was possible. A lock that is not to be alone is one that nobody holds for long."""
        for _ in range(1 if alone else _TRIES):
            try:
                file.seek(_AT)
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            except OSError:
                time.sleep(0.01)
            else:
                return True
            finally:
                file.seek(0)
        return False

    def _unlock(file: IO[str]) -> None:
        file.seek(_AT)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        file.seek(0)

else:
    import fcntl

    def _locked(file: IO[str], alone: bool) -> bool:
        """Lock a file without waiting, shared or alone. Whether that was possible."""
        try:
            fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _unlock(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
