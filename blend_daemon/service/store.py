"""Finished results, on disk until their owner releases them, and a note of each job that has begun, so one that was cut off is told of.

`NAME.dib` is a result: frames, each after its length as eight bytes; the first says in JSON whose it is, the others are the message's.
`NAME.accepted` is the note of a job that waits or runs. NAME is made of the owner's key and the job.
"""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from blend_protocol import framing, messages, runtime
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message

log = logging.getLogger("blend_daemon")

AGE_LIMIT = 7 * 24 * 3600.0  # s
BELIEVED = 60 * 24 * 3600.0  # s; what seems older was written by a clock that was behind, or it does no harm for another week
SIZE_LIMIT = 2 * 1024**3  # bytes of all results together
LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class Entry:
    """What lies there for a job: its result, or if `box` is None the note that it was begun.

    Attributes
    ----------
    job, owner, label : as in `jobs.Job`
    ended : Unix time at which the result was there, or the job was begun, s
    box : (x, y, width, height) of the result's layer
    bytes : size of the file
    expires : moment of the monotonic clock after which it may go. A clock that is set ahead while the daemon runs makes nothing old.
    """

    job: str
    owner: str
    label: Mapping[str, str]
    ended: float
    box: Sequence[int] | None
    bytes: int
    expires: float


class Store:
    """Results and notes in one folder of one daemon. `keep`, `fetch` and `make_room` wait for the disk and may be called
    from any thread.

    Parameters
    ----------
    folder : made private if it is not there

    Raises
    ------
    BlendError
        `runtime-dir-unsafe` if the folder is not this user's alone, `results-unreadable` if it cannot be listed
    """

    def __init__(self, folder: Path) -> None:
        self._folder = runtime.private_dir(folder)
        self._lock = threading.Lock()  # of the entries
        self._entries: dict[tuple[str, str], Entry] = {}
        try:
            found = sorted(folder.iterdir())
        except OSError as error:
            message = f"The folder of results {folder} cannot be read: {error.strerror}."
            raise BlendError("results-unreadable", message, f"Run `chmod 700 {folder}` if it is yours.") from error
        for path in found:
            if path.suffix == ".part":  # of a daemon that was killed while it wrote
                self._unlink(path)
            elif (entry := self._look(path)) and (entry.box or (entry.owner, entry.job) not in self._entries):
                self._entries[entry.owner, entry.job] = entry
        self.make_room()

    def begin(self, job: str, owner: str, label: Mapping[str, str]) -> None:
        """Note that a job is accepted. A note that cannot be written costs no more than the news that the job was cut off."""
        self._forget_cut(owner, job)
        now = time.time()
        path = self._path(owner, job, ".accepted")
        try:
            runtime.private_dir(self._folder)  # someone may have tidied up
            _write(path, lambda file: file.write(_about(job, owner, label, now, None)), sync=False)
        except (OSError, BlendError) as error:
            log.warning("job %s: cannot be noted: %s", job[:8], error)

    def cut(self, job: str, owner: str, label: Mapping[str, str]) -> None:
        """The job has ended, and nobody was there to be told: its note is listed from now on."""
        with self._lock:
            self._entries[owner, job] = Entry(job, owner, label, time.time(), None, 0, time.monotonic() + AGE_LIMIT)

    def end(self, job: str, owner: str) -> None:
        """The job has ended, and its owner knows."""
        self._forget_cut(owner, job)
        self._unlink(self._path(owner, job, ".accepted"))

    def keep(self, owner: str, label: Mapping[str, str], result: Message) -> None:
        """Write a result, so that it is on disk, whole, when this returns; then remove the oldest beyond the limits.

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
        entry = Entry(job, owner, label, ended, box, path.stat().st_size, time.monotonic() + AGE_LIMIT)
        with self._lock:
            self._entries[owner, job] = entry
        self._unlink(self._path(owner, job, ".accepted"))
        self.make_room(spared=(owner, job))

    def find(self, owner: str, job: str) -> Entry | None:
        """What lies there for a job of that owner."""
        return self._entries.get((owner, job))

    def of(self, owner: str) -> list[Entry]:
        """All that lies there for an owner, the newest first."""
        with self._lock:
            entries = [entry for entry in self._entries.values() if entry.owner == owner]
        return sorted(entries, key=lambda entry: -entry.ended)

    def size(self) -> tuple[int, int]:
        """How many results lie there, and their bytes."""
        with self._lock:
            sizes = [entry.bytes for entry in self._entries.values() if entry.box is not None]
        return len(sizes), sum(sizes)

    def fetch(self, owner: str, job: str) -> Message:
        """A result as it was announced.

        Raises
        ------
        BlendError
            `result-unknown`, `job-cut-off`
        """
        entry = self.find(owner, job)
        if entry is None:
            raise BlendError("result-unknown", "The daemon has no such result.", "It was released, or it grew too old.")
        if entry.box is None:
            raise BlendError("job-cut-off", "The blend was cut off before it had a result.", "Start it again.")
        path = self._path(owner, job, ".dib")
        try:
            _, *frames = _frames(path)
            return messages.check(framing.decode([framing.preamble(), *frames]), messages.FROM_DAEMON)
        except (OSError, ValueError, BlendError) as error:
            log.error("the result %s cannot be read: %s", path, error)
            if isinstance(error, FileNotFoundError):
                self.release(owner, job)
            raise BlendError("result-unknown", f"The result's file {path} cannot be read.", "The log says why.") from error

    def release(self, owner: str, job: str) -> None:
        """Let go of all that lies there for a job."""
        with self._lock:
            self._entries.pop((owner, job), None)
        for kind in (".dib", ".accepted"):
            self._unlink(self._path(owner, job, kind))

    def make_room(self, spared: tuple[str, str] | None = None) -> None:
        """Remove what is too old, and the oldest of what is too much. Waits for the disk, and may be called from any thread."""
        with self._lock:
            entries = sorted(self._entries.values(), key=lambda entry: entry.expires)
        now, total = time.monotonic(), sum(entry.bytes for entry in entries)
        for entry in entries:
            whose = (entry.owner, entry.job)
            if whose != spared and (entry.expires < now or total > SIZE_LIMIT):
                total -= entry.bytes
                log.info("the result of job %s goes: %s", entry.job[:8], "too old" if entry.expires < now else "too much is kept")
                self.release(*whose)

    def _look(self, path: Path) -> Entry | None:
        """What a file of the folder is. One that is not whole is left alone until it is old, with a word in the log."""
        try:
            if path.suffix not in (".dib", ".accepted"):
                return None
            found = path.stat()
            about = json.loads(_first_frame(path) if path.suffix == ".dib" else path.read_bytes())
            entry = Entry(
                about["job"], about["owner"], dict(about["label"]), about["ended"], about["box"], found.st_size if about["box"] else 0,
                time.monotonic() + AGE_LIMIT - _age(path, about["ended"]),
            )  # fmt: skip
            if path != self._path(entry.owner, entry.job, path.suffix) or bool(entry.box) != (path.suffix == ".dib"):
                raise ValueError("its name is not that of what it holds")
            return entry
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s is not whole and is left alone: %r", path, error)
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > AGE_LIMIT:
                    self._unlink(path)
            return None

    def _forget_cut(self, owner: str, job: str) -> None:
        with self._lock:
            entry = self._entries.get((owner, job))
            if entry and entry.box is None:
                del self._entries[owner, job]

    def _path(self, owner: str, job: str, kind: str) -> Path:
        # Both are from the wire; a digest and checked hexadecimal digits name no other file, and two owners' jobs of one name do not meet.
        return self._folder / f"{hashlib.sha256(owner.encode()).hexdigest()[:16]}-{job}{kind}"

    def _unlink(self, path: Path) -> None:
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
