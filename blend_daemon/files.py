"""Outputs: files that appear whole or not at all, together, and what is no file (pipes, devices, standard output) written as it stands.

A link is followed: what it points to is written, and the link stays.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from blend_protocol.errors import BlendError

STDOUT = Path("-")
READER = 5.0  # s that a pipe may wait for somebody who reads it
# Names of what is already open: a regular file behind them is written through them, since whoever opened it reads on there.
_OPEN = ("/dev/fd/", "/dev/std", "/proc/")
_REMEDIES = {errno.ENXIO: "Start what is to read it first.", errno.EPIPE: "Let what reads it read to the end."}


def same(path: Path) -> str:
    """A name that two paths have in common if they lead to the same place; a circle of links keeps its own."""
    return "-" if path == STDOUT else os.path.realpath(path)


def is_stream(path: Path) -> bool:
    """Whether it is no file to be replaced: a pipe, a device, standard output, or what somebody has open already."""
    if path == STDOUT:
        return True
    mode = _mode(path)
    return mode is not None and (not stat.S_ISREG(mode) or str(path.absolute()).startswith(_OPEN))


def check_writable(path: Path) -> None:
    """Find out before the long run whether an output can be written there.

    Raises
    ------
    BlendError
        `output-unwritable`
    """
    if path == STDOUT:
        return
    try:
        if path.is_dir():
            raise BlendError("output-unwritable", f"{path} is a folder.", "Name a file.")
        mode = _mode(path)
        if mode is not None:
            if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
                raise BlendError("output-unwritable", f"{path} is neither a file nor a pipe.", "Name a file.")
            # The superuser may write everything; a file that nobody may write is one to keep all the same.
            if not os.access(path, os.W_OK) or (stat.S_ISREG(mode) and not mode & 0o222):
                raise PermissionError(errno.EACCES, "Permission denied")
        if is_stream(path):
            return
        folder = Path(same(path)).parent
        if not folder.is_dir():
            raise BlendError("output-unwritable", f"The folder {folder} does not exist.", "Make it first.")
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BlendError(
            "output-unwritable", f"{path} cannot be written: {error.strerror}.", "Choose another place or change its permissions."
        ) from error


def write(contents: Mapping[Path, bytes]) -> None:
    """Write all of these, or change no file. What went into a pipe cannot be called back, so pipes come last but for the renaming.

    Raises
    ------
    BlendError
        `output-unwritable`
    """
    path = next(iter(contents))
    with ExitStack() as undo:
        ready: list[tuple[Path, Path]] = []
        try:
            streams = {path: data for path, data in contents.items() if is_stream(path)}
            for path, data in contents.items():
                if path not in streams:
                    ready.append((_prepared(Path(same(path)), data, undo), Path(same(path))))
            for path, data in streams.items():
                _stream(path, data)
            for k, (part, path) in enumerate(ready):
                _replace(part, path, undo, last=k == len(ready) - 1)
            undo.pop_all()
        except OSError as error:
            hint = _REMEDIES.get(error.errno or 0, "Free some space or choose another place.")
            raise BlendError("output-unwritable", f"{path} could not be written: {error.strerror}.", hint) from error
    for part, _ in ready:
        _backup(part).unlink(missing_ok=True)


def _mode(path: Path) -> int | None:
    """What is there, links followed; None where nothing is."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _prepared(path: Path, data: bytes, undo: ExitStack) -> Path:
    """The content under a passing name in the same folder, with the permissions it is to have."""
    handle, part = _passing(path.parent)
    undo.callback(part.unlink, missing_ok=True)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(handle)
        if not part.exists():
            # Only with a descriptor for the folder does Python follow the link to what is open; the path being absolute, it is not used.
            os.link(f"/proc/self/fd/{handle}", part, src_dir_fd=handle)
    mask = os.umask(0)
    os.umask(mask)
    part.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~mask)
    return part


def _passing(folder: Path) -> tuple[int, Path]:
    """A new file, open, and its passing name; where the system can, it does not have the name yet, and a killed process leaves nothing."""
    if hasattr(os, "O_TMPFILE") and Path("/proc/self/fd").is_dir():
        with suppress(OSError):  # a file system that cannot
            return os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600), folder / f".blend-{secrets.token_hex(4)}"
    handle, name = tempfile.mkstemp(dir=folder, prefix=".blend-")
    return handle, Path(name)


def _replace(part: Path, path: Path, undo: ExitStack, last: bool) -> None:
    """Put it in its place, so that the old file comes back if one after it fails."""
    if last:
        part.replace(path)
    elif path.exists():
        try:
            os.link(path, _backup(part))
        except OSError:  # a file system without hard links
            path.replace(_backup(part))
        undo.callback(_backup(part).replace, path)
        part.replace(path)
    else:
        part.replace(path)
        undo.callback(path.unlink)


def _backup(part: Path) -> Path:
    return part.with_suffix(".old")


def _stream(path: Path, data: bytes) -> None:
    if path == STDOUT:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    with os.fdopen(_opened(path), "wb") as file:
        file.write(data)


def _opened(path: Path) -> int:
    """A pipe or device for writing; a pipe that nobody reads would keep us waiting for ever."""
    give_up = time.monotonic() + READER
    while True:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > give_up:
                raise OSError(errno.ENXIO, "nobody reads from it") from error
            time.sleep(0.1)
        else:
            os.set_blocking(handle, True)
            return handle
