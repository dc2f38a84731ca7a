"""Where the daemon's files are, and how to reach or start it. Standard library only."""

from __future__ import annotations

import os
import secrets
import stat
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from blend_protocol.errors import BlendError

NAME = "deep-image-blending"
IDLE_EXIT = "60"  # min; a daemon started on demand ends when nobody has asked anything of it for so long
DOCTOR = "Run `blend-daemon doctor` to see what is wrong."


def _user_dir(override: str, base: str, fallback: str, *folders: str) -> Path:
    if given := os.environ.get(override):
        return Path(given)
    return Path(os.environ.get(base) or Path.home() / fallback).joinpath(NAME, *folders)


def runtime_dir() -> Path:
    """Folder of the socket and the lock. Not created here."""
    if given := os.environ.get("BLEND_DAEMON_RUNTIME_DIR"):
        return Path(given)
    if base := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(base) / NAME
    return Path("/tmp") / f"{NAME}-{os.getuid()}"


def state_dir() -> Path:
    """Folder of the log, of the results that wait and of the key to them."""
    return _user_dir("BLEND_DAEMON_STATE_DIR", "XDG_STATE_HOME", ".local/state")


def weights_dir() -> Path:
    """Folder of the network's weights."""
    return _user_dir("BLEND_DAEMON_WEIGHTS_DIR", "XDG_DATA_HOME", ".local/share", "weights")


def models_dir() -> Path:
    """Folder of the models that the user added."""
    return _user_dir("BLEND_DAEMON_MODELS_DIR", "XDG_DATA_HOME", ".local/share", "models")


def log_path() -> Path:
    """The daemon's log file."""
    return state_dir() / "daemon.log"


def owner_path() -> Path:
    """The file with this user's owner key."""
    return state_dir() / "owner"


def keys_dir() -> Path:
    """Folder of the CURVE keys: this computer's own, and the public ones of the computers that it is paired with."""
    return state_dir() / "keys"


def results_dir() -> Path:
    """Folder of the results that have not been released."""
    return state_dir() / "results"


def socket_path() -> Path:
    """The Unix socket on which the daemon serves its clients."""
    return runtime_dir() / "socket"


def address() -> str:
    """ZeroMQ address of the daemon."""
    return f"ipc://{socket_path()}"


def private_dir(path: Path) -> Path:
    """Create `path` readable by its owner alone, or check that it is so.

    Whoever could write there could put a socket of their own in the daemon's place and be sent the user's pictures.

    Raises
    ------
    BlendError
        `runtime-dir-unsafe` if the folder belongs to someone else, is open to others or is a link
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise BlendError("runtime-dir-unsafe", f"The folder {path} cannot be made: {error.strerror}.", DOCTOR) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise BlendError(
            "runtime-dir-unsafe",
            f"The folder {path} is not private: it must be a folder of yours that nobody else can enter.",
            f"Remove it, or run `chmod 700 {path}` if it is yours.",
        )
    return path


def write_private(path: Path, text: str) -> bool:
    """Write a file that is whole, on disk and its owner's alone from its first byte, if there is none of that name.

    Returns whether it was written: of two that write at once, one does. Raises OSError.
    """
    part = path.with_name(f"{path.name}-{secrets.token_hex(8)}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)  # appears whole, and never in the place of another
        _sync_dir(path.parent)
    except FileExistsError:
        return False
    finally:
        part.unlink(missing_ok=True)
    return True


def _sync_dir(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def start_daemon(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start `command serve --idle-exit 60` in a session of its own, so that it outlives the caller; its output goes to the log.

    Raises
    ------
    BlendError
        `daemon-not-started` if the command cannot be run or the log cannot be written
    """
    try:
        log_path().parent.mkdir(parents=True, exist_ok=True)
        with log_path().open("ab") as log:
            return subprocess.Popen(
                [*command, "serve", "--idle-exit", IDLE_EXIT],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
    except OSError as error:
        culprit = error.filename or command[0]
        raise BlendError("daemon-not-started", f"The blend daemon could not be started: {culprit}: {error.strerror}.", DOCTOR) from error


class Starting:
    """A daemon that has been started and does not answer yet. Ask `check` between tries to reach it.

    Parameters
    ----------
    process : from `start_daemon`
    limit : s after which to give up
    """

    def __init__(self, process: subprocess.Popen[bytes], limit: float = 60.0) -> None:
        self._process = process
        self._deadline = time.monotonic() + limit

    def check(self) -> None:
        """Raise BlendError `daemon-not-started` if the daemon has died or takes too long."""
        code = self._process.poll()
        # Exit code 3: another daemon was quicker and holds the lock; that one will answer.
        if code is not None and code != 3:
            why = f"it ended with code {code}"
        elif time.monotonic() > self._deadline:
            why = "it did not answer in time"
        else:
            return
        raise BlendError("daemon-not-started", f"The blend daemon could not be started: {why}.", f"Its log is {log_path()}. {DOCTOR}")
