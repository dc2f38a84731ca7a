"""Which results lie on disk, whose they are, and for how long. No files: `io.disk` has those, and does what is wanted here."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable

from blend_daemon.service import replies
from blend_daemon.service.events import Connection, Effect, Entry, Fetch, Note, Read, Remove, RemoveNote, Tell, Write, Written
from blend_daemon.service.jobs import Job
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message

log = logging.getLogger("blend_daemon")

AGE_LIMIT = 7 * 24 * 3600.0  # s
SIZE_LIMIT = 2 * 1024**3  # bytes of all results together
READING, READING_IN_ALL = 64, 1024  # results that are on their way from the disk to one client, and to all


class Archive:
    """All that is kept. A job that was cut off has a place here, too, until its owner knows.

    Parameters
    ----------
    entries : what lies there
    epoch : Unix time at moment 0 of the monotonic clock, s
    emit : takes what is wanted

    Attributes
    ----------
    writing : jobs whose results are on their way to the disk
    reading : for each client, how many results are on their way from it
    """

    def __init__(self, entries: Iterable[Entry], epoch: float, emit: Callable[[Effect], None]) -> None:
        self._entries = {(entry.owner, entry.job): entry for entry in entries}
        self._epoch, self._emit = epoch, emit
        self.writing: set[Job] = set()
        self.reading: Counter[Connection] = Counter()

    def find(self, owner: str, job: str) -> Entry | None:
        """What lies there for a job of that owner."""
        return self._entries.get((owner, job))

    def has_result(self, owner: str, job: str) -> bool:
        """Whether a result lies there for a job of that owner."""
        entry = self.find(owner, job)
        return entry is not None and entry.box is not None

    def of(self, owner: str) -> list[Entry]:
        """All that lies there for an owner, the newest first."""
        return sorted((entry for entry in self._entries.values() if entry.owner == owner), key=lambda entry: -entry.ended)

    def size(self) -> tuple[int, int]:
        """How many results lie there, and their bytes."""
        sizes = [entry.bytes for entry in self._entries.values() if entry.box is not None]
        return len(sizes), sum(sizes)

    def begin(self, job: Job) -> None:
        """A job is accepted: if the daemon is cut off, its note is what is left."""
        self._entries.pop((job.owner, job.id), None)
        self._emit(Note(job))

    def settle(self, job: Job, told: bool, now: float) -> None:
        """A job has ended, and its owner knows if he was told. One that was to be kept, and has no result, is listed as cut off if not."""
        if self.has_result(job.owner, job.id):
            return
        if job.keep and not told:
            cut = Entry(job.id, job.owner, job.label, self._epoch + now, None, 0, now + AGE_LIMIT)
            self._entries[job.owner, job.id] = cut
        else:
            self._emit(RemoveNote(job.owner, job.id))

    def write(self, job: Job, result: Message) -> None:
        """Keep a result."""
        self.writing.add(job)
        self._emit(Write(job, result))

    def written(self, written: Written, now: float) -> Message:
        """The result as it is to be announced. One that could not be written says so: it is all there is of it."""
        self.writing.discard(written.job)
        if written.entry:
            self._entries[written.entry.owner, written.entry.job] = written.entry
            self.tidy(now, spared=written.entry)
            return written.result
        log.error("job %s: its result cannot be kept: %s", written.job.id[:8], written.why)
        return replies.noted(written.result, f"The blend daemon could not keep a copy of this result ({written.why}).")

    def fetch(self, client: Connection, owner: str, id: str) -> None:
        """Hand out a result. Raises BlendError `result-unknown`, `job-cut-off`, `queue-full`."""
        entry = self.find(owner, id)
        if entry is None:
            raise BlendError("result-unknown", "The daemon has no such result.", "It was released, or it grew too old.")
        if entry.box is None:
            raise BlendError("job-cut-off", "The blend was cut off before it had a result.", "Start it again.")
        if self.reading[client] >= READING or self.reading.total() >= READING_IN_ALL:
            raise BlendError("queue-full", "Too many results are asked for at once.", "Ask again in a moment.")
        self.reading[client] += 1
        self._emit(Fetch(client, entry))

    def read(self, read: Read) -> None:
        """Pass on what was read for a client."""
        client, entry, outcome = read.fetch.client, read.fetch.entry, read.outcome
        self.reading -= Counter([client])
        if read.missing and self.find(entry.owner, entry.job) is entry:  # and no other has taken its place
            self.remove(entry.owner, entry.job)
        if isinstance(outcome, BlendError):
            outcome = replies.failed(outcome, entry.job)
        self._emit(Tell(client, outcome))

    def remove(self, owner: str, id: str) -> None:
        """Let go of all that lies there for a job."""
        self._entries.pop((owner, id), None)
        self._emit(Remove(owner, id))

    def tidy(self, now: float, spared: Entry | None = None) -> None:
        """Let go of what is too old, and of the oldest of what is too much; but never of the one that is spared."""
        total = self.size()[1]
        for entry in sorted(self._entries.values(), key=lambda entry: entry.expires):
            old = entry.expires < now
            if entry is not spared and (old or (total > SIZE_LIMIT and entry.bytes)):
                total -= entry.bytes
                log.info("the result of job %s goes: %s", entry.job[:8], "too old" if old else "too much is kept")
                self.remove(entry.owner, entry.job)
