"""How the daemon ends: with a result of what runs, if there can be one in time, and a word to everybody."""

from __future__ import annotations

from collections.abc import Callable

from blend_daemon.service.archive import Archive
from blend_daemon.service.events import Effect, Exit, Notify
from blend_daemon.service.jobs import Job, Queue
from blend_daemon.service.lifecycle import Lifecycle
from blend_daemon.service.workers import Workers
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message

FINISHING = 5.0  # s that jobs are given to end by themselves
PARKING = 8.0  # s after which nothing is waited for but the disk
STOPPED = BlendError("daemon-stopped", "The daemon was stopped.", "Try again.")
STOPPED_EARLY = "The blend daemon was stopped before this blend was done: it is the best there was so far."


class Parking:
    """The end of a daemon, once it has begun."""

    def __init__(self, queue: Queue, workers: Workers, archive: Archive, jobs: Lifecycle, emit: Callable[[Effect], None]) -> None:
        self._queue, self._workers, self._archive, self._jobs, self._emit = queue, workers, archive, jobs, emit
        self._began: float | None = None
        self._hurried: set[Job] = set()
        self._exited = False

    def begin(self, now: float) -> None:
        """No job is accepted or started from now on. Those that wait end at once, those that run by `step`."""
        if self._began is None:
            self._began, self._jobs.open = now, False
            self._emit(Notify("STOPPING=1"))
            for job in self._queue.waiting():
                self._jobs.fail(job, STOPPED)

    def step(self, now: float) -> None:
        """If it has begun: have the jobs that run end, those that cannot in time with the best so far; then exit."""
        if self._began is None or self._exited:
            return
        spent = now - self._began
        for worker in self._workers.all:
            late = worker.ends is None or worker.ends > self._began + FINISHING
            if (job := worker.job) and job not in self._hurried and (late or spent > FINISHING):
                self._hurried.add(job)
                job.notes.append(STOPPED_EARLY)
                worker.steer(Message("finish", {"job": job.id, "owner": job.owner}))
            if job and spent >= PARKING:
                worker.job = None  # whatever it says now comes too late
                self._jobs.fail(job, STOPPED)
        if not (self._queue.running or self._archive.reading):
            self._exited = True
            self._emit(Exit())
