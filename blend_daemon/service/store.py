"""Finished results, on disk until their owner releases them, and a note of each job that has begun, so one that was cut off is told of.

`NAME.dib` is a result: frames, each after its length as eight bytes; the first says in JSON whose it is, the others are the message's.
`NAME.accepted` is the note of a job that waits or runs. NAME is made of the owner's key and the job.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from blend_daemon.errors import BlendError
from blend_daemon.protocol import framing, messages, runtime
from blend_daemon.protocol.framing import Message

log = logging.getLogger("blend_daemon")

AGE_LIMIT = 7 * 24 * 3600.0  # s
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
    """Results and notes in one folder of one daemon.

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
        self._entries: dict[tuple[str, str], Entry] = {}
        for part in folder.glob("*.part"):  # of a daemon that was killed while it wrote
            part.unlink(missing_ok=True)
        for path in sorted(folder.iterdir()):
            entry = _look(path)
            if entry and (entry.box or (entry.owner, entry.job) not in self._entries):
                self._entries[entry.owner, entry.job] = entry
        self._make_room()

    def begin(self, job: str, owner: str, label: Mapping[str, str]) -> None:
        """Note that a job is accepted. A note that cannot be written costs no more than the news that the job was cut off."""
        now = time.time()
        path = self._path(owner, job, ".accepted")
        try:
            _write(path, lambda file: file.write(_about(job, owner, label, now, None)), sync=False)
        except (OSError, BlendError) as error:
            log.warning("job %s: cannot be noted: %s", job[:8], error)

    def cut(self, job: str, owner: str, label: Mapping[str, str]) -> None:
        """The job has ended, and nobody was there to be told: its note is listed from now on."""
        self._entries[owner, job] = Entry(job, owner, label, time.time(), None, 0, time.monotonic() + AGE_LIMIT)

    def end(self, job: str, owner: str) -> None:
        """The job has ended, and its owner knows."""
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
        self._entries[owner, job] = Entry(job, owner, label, ended, box, path.stat().st_size, time.monotonic() + AGE_LIMIT)
        self.end(job, owner)
        self._make_room(spared=(owner, job))

    def find(self, owner: str, job: str) -> Entry | None:
        """What lies there for a job of that owner."""
        return self._entries.get((owner, job))

    def of(self, owner: str) -> list[Entry]:
        """All that lies there for an owner, the newest first."""
        return sorted((entry for entry in self._entries.values() if entry.owner == owner), key=lambda entry: -entry.ended)

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
            raise BlendError("result-unknown", f"The result's file {path} cannot be read.", "The log says why.") from error

    def release(self, owner: str, job: str) -> None:
        """Let go of all that lies there for a job."""
        self._entries.pop((owner, job), None)
        for kind in (".dib", ".accepted"):
            self._unlink(self._path(owner, job, kind))

    def _make_room(self, spared: tuple[str, str] | None = None) -> None:
        now, total = time.monotonic(), sum(entry.bytes for entry in self._entries.values())
        for entry in sorted(self._entries.values(), key=lambda entry: entry.expires):
            whose = (entry.owner, entry.job)
            if whose != spared and (entry.expires < now or total > SIZE_LIMIT):
                total -= entry.bytes
                log.info("the result of job %s goes: %s", entry.job[:8], "too old" if entry.expires < now else "too much is kept")
                self.release(*whose)

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


def _look(path: Path) -> Entry | None:
    """What a file of the folder is; None, and a word in the log, if it is not whole. It stays where it is."""
    try:
        if path.suffix == ".dib":
            text = bytes(next(_frames(path)))
        elif path.suffix == ".accepted":
            text = path.read_bytes()
        else:
            return None
        about = json.loads(text)
        expires = time.monotonic() + about["ended"] + AGE_LIMIT - time.time()
        size = path.stat().st_size if about["box"] else 0
        return Entry(about["job"], about["owner"], about["label"], about["ended"], about["box"], size, expires)
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        log.warning("%s is not whole and is left alone: %r", path, error)
        return None


def _write_frames(file: IO[bytes], frames: Sequence[Any]) -> None:
    for frame in frames:
        file.write(LENGTH.pack(len(frame)))
        file.write(frame)


def _frames(path: Path) -> Iterator[memoryview]:
    """The frames of a file, whose lengths must add up. Raises OSError, ValueError."""
    data = memoryview(path.read_bytes())
    at, ends = 0, []
    while at < len(data):
        if len(data) - at < LENGTH.size:
            raise ValueError("it ends within a length")
        (length,) = LENGTH.unpack_from(data, at)
        ends.append((at + LENGTH.size, at + LENGTH.size + length))
        at = ends[-1][1]
    if at != len(data) or not ends:
        raise ValueError("it ends within a frame")
    return (data[start:end] for start, end in ends)


def _write(path: Path, fill: Callable[[IO[bytes]], Any], sync: bool) -> None:
    part = path.with_name(path.name + ".part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
            fill(file)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    if sync:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
