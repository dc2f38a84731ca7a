"""Finished results, on disk until their owner releases them, and a note of each job that has begun, so one that was cut off is told of.

`NAME.dib` is a result: frames, each after its length as eight bytes; the first says in JSON whose it is, the others are the message's.
`NAME.accepted` is the note of a job that waits or runs. NAME is made of the owner's key and the job. What may go, `archive` decides.
"""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
import os
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from blend_daemon.service import archive
from blend_daemon.service.events import Entry
from blend_protocol import framing, messages, runtime
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message

log = logging.getLogger("blend_daemon")

BELIEVED = 60 * 24 * 3600.0  # s; what seems older was written by a clock that was behind, or it does no harm for another week
LENGTH = struct.Struct("<Q")


class Disk:
    """The folder of one daemon. `write` and `read` wait for the disk, and may be called from any thread.

    Parameters
    ----------
    folder : made private if it is not there

    Raises
    ------
    BlendError
        `runtime-dir-unsafe` if the folder is not this user's alone
    """

    def __init__(self, folder: Path) -> None:
        self._folder = runtime.private_dir(folder)

    def entries(self) -> list[Entry]:
        """What lies there: results, and notes of jobs that were cut off. Removes what a daemon that was killed was just writing.

        Raises
        ------
        BlendError
            `results-unreadable` if the folder cannot be listed
        """
        try:
            paths = sorted(self._folder.iterdir())
        except OSError as error:
            message = f"The folder of results {self._folder} cannot be read: {error.strerror}."
            raise BlendError("results-unreadable", message, f"Run `chmod 700 {self._folder}` if it is yours.") from error
        found: dict[tuple[str, str], Entry] = {}
        for path in paths:
            if path.suffix == ".part":
                _unlink(path)
            elif (entry := self._look(path)) and (entry.box or (entry.owner, entry.job) not in found):
                found[entry.owner, entry.job] = entry
        return list(found.values())

    def note(self, owner: str, job: str, label: Mapping[str, str]) -> None:
        """Note that a job is accepted. A note that cannot be written costs no more than the news that the job was cut off."""
        try:
            runtime.private_dir(self._folder)  # someone may have tidied up
            _write(self._path(owner, job, ".accepted"), lambda file: file.write(_about(job, owner, label, time.time(), None)), sync=False)
        except (OSError, BlendError) as error:
            log.warning("job %s: cannot be noted: %s", job[:8], error)

    def write(self, owner: str, label: Mapping[str, str], result: Message) -> Entry:
        """Write a result, so that it is on disk, whole, when this returns; its note goes.

        Raises
        ------
        OSError, BlendError
            if it cannot be written; what lay there is as it was
        """
        job, box, ended = result.header["job"], result.header["box"], time.time()
        path = self._path(owner, job, ".dib")
        # Without the first frame, the protocol's version: a newer daemon may hand it out as well.
        frames = [_about(job, owner, label, ended, box), *framing.encode(result)[1:]]
        runtime.private_dir(self._folder)  # someone may have tidied up
        _write(path, lambda file: _write_frames(file, frames), sync=True)
        self.remove_note(owner, job)
        return Entry(job, owner, label, ended, box, path.stat().st_size, time.monotonic() + archive.AGE_LIMIT)

    def read(self, owner: str, job: str) -> Message:
        """A result as it was announced.

        Raises
        ------
        BlendError
            `result-unknown`; its cause is FileNotFoundError if there is no such file
        """
        path = self._path(owner, job, ".dib")
        try:
            _, *frames = _frames(path)
            return messages.check(framing.decode([framing.preamble(), *frames]), messages.FROM_DAEMON)
        except (OSError, ValueError, BlendError) as error:
            log.error("the result %s cannot be read: %s", path, error)
            raise BlendError("result-unknown", f"The result's file {path} cannot be read.", "The log says why.") from error

    def remove(self, owner: str, job: str) -> None:
        """Remove all that lies there for a job."""
        _unlink(self._path(owner, job, ".dib"))
        self.remove_note(owner, job)

    def remove_note(self, owner: str, job: str) -> None:
        """Remove a job's note."""
        _unlink(self._path(owner, job, ".accepted"))

    def _look(self, path: Path) -> Entry | None:
        """What a file of the folder is. One that is not whole is left alone until it is old, with a word in the log."""
        try:
            if path.suffix not in (".dib", ".accepted"):
                return None
            found = path.stat()
            about = json.loads(_first_frame(path) if path.suffix == ".dib" else path.read_bytes())
            entry = Entry(
                about["job"], about["owner"], dict(about["label"]), about["ended"], about["box"], found.st_size if about["box"] else 0,
                time.monotonic() + archive.AGE_LIMIT - _age(path, about["ended"]),
            )  # fmt: skip
            if path != self._path(entry.owner, entry.job, path.suffix) or bool(entry.box) != (path.suffix == ".dib"):
                raise ValueError("its name is not that of what it holds")
            return entry
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s is not whole and is left alone: %r", path, error)
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > archive.AGE_LIMIT:
                    _unlink(path)
            return None

    def _path(self, owner: str, job: str, kind: str) -> Path:
        # Both are from the wire; a digest and checked hexadecimal digits name no other file, and two owners' jobs of one name do not meet.
        return self._folder / f"{hashlib.sha256(owner.encode()).hexdigest()[:16]}-{job}{kind}"


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s cannot be removed: %s", path, error.strerror)


def _about(job: str, owner: str, label: Mapping[str, str], ended: float, box: Sequence[int] | None) -> bytes:
    return json.dumps({"job": job, "owner": owner, "label": dict(label), "ended": ended, "box": box}).encode()


def _age(path: Path, ended: float) -> float:
    """How old a file is in s. An age that is not believed comes from a clock that was wrong: its time begins now."""
    now = time.time()
    age = now - ended if now - ended < BELIEVED else now - path.stat().st_mtime
    if age > BELIEVED:
        with suppress(OSError):
            os.utime(path)
        age = 0.0
    return max(age, 0.0)


def _write_frames(file: IO[bytes], frames: Sequence[Any]) -> None:
    for frame in frames:
        file.write(LENGTH.pack(len(frame)))
        file.write(frame)


def _frames(path: Path) -> list[memoryview]:
    """The frames of a file, whose lengths must add up. Raises OSError, ValueError."""
    with path.open("rb") as file:
        # Mapped, and given to the socket as it lies in the system's cache. A release meanwhile takes the name alone, not the bytes.
        data = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)))
    at, frames = 0, []
    while at < len(data):
        if len(data) - at < LENGTH.size:
            raise ValueError("it ends within a length")
        start = at + LENGTH.size
        at = start + LENGTH.unpack_from(data, at)[0]
        frames.append(data[start:at])
    if at != len(data) or not frames:
        raise ValueError("it ends within a frame")
    return frames


def _first_frame(path: Path) -> bytes:
    """The first frame of a file, after a look at all lengths; the pixels stay on disk. Raises OSError, ValueError."""
    with path.open("rb") as file:
        size, first = os.fstat(file.fileno()).st_size, b""
        while (at := file.tell()) < size:
            head = file.read(LENGTH.size)
            if len(head) < LENGTH.size or at + LENGTH.size + LENGTH.unpack(head)[0] > size:
                raise ValueError("it ends within a frame")
            length = LENGTH.unpack(head)[0]
            if not first:
                first = file.read(length)
            else:
                file.seek(length, os.SEEK_CUR)
        return first


def _write(path: Path, fill: Callable[[IO[bytes]], Any], sync: bool) -> None:
    part = path.with_name(path.name + ".part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
            fill(file)
            os.fchmod(file.fileno(), 0o400)  # a result is mapped while it is sent: who shortened it then would end the daemon
            if sync:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    if sync:
        for folder in (path.parent, path.parent.parent):  # the folder itself may be new
            _sync(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
