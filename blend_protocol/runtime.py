"""Where the daemon's files are, and how to reach it. Standard library only."""

from __future__ import annotations

import os
import secrets
import socket
import stat
import sys
from pathlib import Path

from blend_protocol.errors import BlendError

NAME = "deep-image-blending"
SOCKET_PATH = 100  # bytes; the system's limit for a Unix socket is a few more
DOCTOR = "Run `blend-daemon doctor` to see what is wrong."


def _user_dir(override: str, kind: str, fallback: str, *folders: str) -> Path:
    """A folder of the user's, where platformdirs has it too."""
    if given := os.environ.get(override):
        return Path(given)
    # A Flatpak has folders of its own there, and tells where the user's are if they are not in their usual places.
    variable = f"HOST_XDG_{kind}_HOME" if sandboxed() else f"XDG_{kind}_HOME"
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local"
    else:
        base = os.environ.get(variable) or Path.home() / ("Library/Application Support" if sys.platform == "darwin" else fallback)
    return Path(base).joinpath(NAME, *folders)


def sandboxed() -> bool:
    """Whether this is a program in a Flatpak, which shares files and the network, and cannot start anything outside."""
    return "FLATPAK_ID" in os.environ


def runtime_dir() -> Path:
    """Folder of the socket and the lock. Not created here.

    In the home folder, because that is what a Flatpak sees too; one for each computer, because several may share that. Where its path is
    too long for a socket, it is where such things usually are.
    """
    if given := os.environ.get("BLEND_DAEMON_RUNTIME_DIR"):
        return Path(given)
    folder = state_dir() / "run" / socket.gethostname()
    if os.name != "posix" or len(os.fsencode(folder / "worker-99999")) <= SOCKET_PATH:
        return folder
    if base := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(base) / NAME
    return Path("/tmp") / f"{NAME}-{os.getuid()}"


def state_dir() -> Path:
    """Folder of the log, of the results that wait and of the key to them."""
    return _user_dir("BLEND_DAEMON_STATE_DIR", "STATE", ".local/state")


def weights_dir() -> Path:
    """Folder of the network's weights."""
    return _user_dir("BLEND_DAEMON_WEIGHTS_DIR", "DATA", ".local/share", "weights")


def models_dir() -> Path:
    """Folder of the models that the user added."""
    return _user_dir("BLEND_DAEMON_MODELS_DIR", "DATA", ".local/share", "models")


def venv_dir() -> Path:
    """Folder of the private Python environment that the installer makes for the daemon."""
    return _user_dir("BLEND_DAEMON_VENV_DIR", "DATA", ".local/share", "venv")


def installed_command() -> Path | None:
    """The blend-daemon in that environment, None if it is not there or not whole: `tools/make_venv.py` writes the stamp last."""
    name = Path("Scripts/blend-daemon.exe") if sys.platform == "win32" else Path("bin/blend-daemon")
    command = venv_dir() / name
    return command if command.exists() and (venv_dir() / "stamp").is_file() else None


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


def unix_sockets() -> bool:
    """Whether the daemon has a Unix socket for this computer's clients; if not, it has one of TCP, on loopback and with CURVE."""
    return os.name == "posix" and os.environ.get("BLEND_DAEMON_LOCAL") != "tcp"  # the variable is for tests


def socket_path() -> Path:
    """The Unix socket on which the daemon serves its clients. Where there is no such thing, a file with the address instead."""
    return runtime_dir() / "socket"


def address() -> str:
    """ZeroMQ address of the daemon, "" if that is not known before it runs."""
    if unix_sockets():
        return f"ipc://{socket_path()}"
    try:
        return socket_path().read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


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
    if os.name != "posix":
        return path  # the user's folders are private there by inheritance
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
    if os.name != "posix":
        return  # there a folder cannot be opened
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
