"""A job's way from its acceptance to its one end: into the queue, to a worker, to the disk, to its client."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence

from blend_daemon.service import estimate, replies
from blend_daemon.service.archive import Archive
from blend_daemon.service.endings import IDLE
from blend_daemon.service.events import Connection, Effect, Gone, Tell, Told, Written
from blend_daemon.service.jobs import ENDED, Job, Queue, State
from blend_daemon.service.workers import Worker, Workers
from blend_protocol import messages
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message

log = logging.getLogger("blend_daemon")

BEING_WRITTEN = 4  # results on their way to the disk, beyond which no job is started
STATE_OF = {"result": State.DONE, "failed": State.FAILED, "cancelled": State.CANCELLED}


class Lifecycle:
    """All jobs.

    Attributes
    ----------
    now : the present moment, s; the broker sets it at each step
    open : whether jobs are started; not when the daemon stops
    ends : how many jobs have ended with which message
    """

    def __init__(
        self, queue: Queue, workers: Workers, archive: Archive, emit: Callable[[Effect], None], now: float, retries: int = 0
    ) -> None:
        self._queue, self._workers, self._archive, self._emit = queue, workers, archive, emit
        self.now = now
        self.open = True
        self.ends: Counter[str] = Counter()
        self._durations = estimate.Durations()
        self._handings = max(retries, 1)  # one that no worker had read is always handed on once

    def accept(self, client: Connection, message: Message) -> Job:
        """A new job, in the queue and on disk. Raises BlendError `queue-full`."""
        header = message.header
        height, width, _ = message.rasters["source"].shape
        job = Job(
            header["job"], header["owner"], client, message, size=replies.size(message),
            kind=estimate.kind(header["parameters"], height * width), keep=header.get("keep", False), label=header.get("label", {}),
        )  # fmt: skip
        self._queue.add(job)
        self._archive.begin(job)
        log.info("job %s queued: %s", job.id[:8], {name: raster.shape for name, raster in message.rasters.items()})
        return job

    def dispatch(self) -> None:
        """Hand the next jobs to the workers that are free, and see that there are workers for those that wait."""
        started = False
        for worker in self._workers.free():
            if not self.open or len(self._archive.writing) >= BEING_WRITTEN or not (job := self._queue.next()):
                break
            log.info("job %s started", job.id[:8])
            worker.take(job, self.now)
            started = True
        if len(self._queue):
            self._workers.wake(len(self._queue), self.now)
            if started:
                self.tell_positions(self._queue.waiting())

    def tell_positions(self, jobs: Sequence[Job]) -> None:
        """Tell jobs' clients how many are before them, and when they may start."""
        guess = self._durations.guess
        left = [worker.left(guess, self.now) for worker in self._workers.all if worker.ready]
        waiting = self._queue.waiting()
        starts = dict(zip(waiting, estimate.starts(left, [guess(job.kind) for job in waiting]), strict=True))
        for job in jobs:
            seconds = starts.get(job, 0.0)
            header = {"job": job.id, "position": self._queue.position(job), "seconds_to_start": seconds and round(seconds, 1)}
            self.tell(job, Message("accepted", header))

    # what a worker says

    def said(self, worker: Worker, message: Message) -> None:
        """A worker said something about a job or a sketch."""
        if message.type == "accepted":
            worker.taken(message.header["job"])
        elif asker := worker.sketches.pop(message.header["job"], None):
            self._emit(Tell(asker[0], message))
        elif (job := worker.job) and message.header["job"] == job.id:
            if message.type == "result":
                self._result(worker, job, message)
            elif message.type in messages.LAST:
                worker.job = None
                self.end(job, message)
            else:
                if message.type == "progress" and (left := message.header["seconds_left"]) is not None:
                    worker.ends = self.now + left
                self.tell(job, message)

    def _result(self, worker: Worker, job: Job, result: Message) -> None:
        worker.job = None
        if not worker.told:  # one that was finished early tells nothing of the others
            self._durations.learn(job.kind, self.now - worker.began)
        # It is announced when it is on disk; meanwhile the worker computes the next one, or dies.
        self._archive.write(job, replies.noted(result, *job.notes) if job.notes else result)
        self.dispatch()

    def written(self, written: Written) -> None:
        """A job's result is on disk, or cannot be: its end in either case."""
        self.end(written.job, self._archive.written(written, self.now))

    def gone(self, worker: Worker, gone: Gone) -> None:
        """A worker's process has ended: what it had goes to the next, or fails."""
        ending, loaded = worker.gone(gone.code, gone.why, self.now)
        job = worker.give_back()
        log.log(logging.INFO if ending is IDLE else logging.ERROR, "worker %d: the process %s", worker.number, ending.how)
        error = BlendError(ending.code, f"The process that computes {ending.how}.", ending.hint)
        for id, (client, _) in worker.sketches.items():
            self._emit(Tell(client, replies.failed(error, id)))
        worker.sketches.clear()
        if job and job.work and self.open and job.again < self._handings:
            job.again += 1
            self._queue.put_back(job)
            log.info("job %s goes to the next worker: the process %s", job.id[:8], ending.how)
            if worker.told:
                self.end(job, Message("cancelled", {"job": job.id}))
        elif job:
            self.fail(job, error)
        if not loaded and not worker.may_load and not any(other.ready for other in self._workers.all):
            # The next one would most likely end in the same way: those who wait must hear of it.
            for job in self._queue.waiting():
                self.fail(job, error)
        if worker.wanted and self.open:
            worker.wake(self.now)
        self.dispatch()

    # what its client hears

    def tell(self, job: Job, message: Message) -> None:
        """Tell a job's client. If that has been away for longer than a connection of its kind may be, the job is given up."""
        self._emit(Tell(job.client, message, job))

    def told(self, told: Told) -> None:
        """Whether a job's client could be told."""
        job = told.job
        if not told.reached and told.client != job.client:
            self.tell(job, told.message)
        elif not told.reached and job.former is not None:
            # What a lost connection still had under way may be read after the words of the one that took its place.
            job.client, job.former = job.former, None
            self.tell(job, told.message)
        elif job.state in ENDED:
            if told.message.type in messages.LAST:
                self._archive.settle(job, told.reached, self.now)
        elif told.reached:
            job.missed = None
        elif not (job.keep or job.given_up):
            job.missed = self.now if job.missed is None else job.missed
            if self.now - job.missed >= told.grace:
                self._abandon(job)

    def _abandon(self, job: Job) -> None:
        job.given_up = True
        log.info("job %s: its client has gone", job.id[:8])
        if job.state is State.QUEUED:
            self.end(job, Message("cancelled", {"job": job.id}))
        elif worker := self._workers.on(job):
            worker.steer(Message("cancel", {"job": job.id, "owner": job.owner}))

    # its end

    def fail(self, job: Job, error: BlendError) -> None:
        """End a job with an error."""
        self.end(job, replies.failed(error, job.id))

    def end(self, job: Job, last: Message) -> None:
        """End a job with its last message."""
        kept = last.type == "result" and self._archive.has_result(job.owner, job.id)
        self._queue.end(job, STATE_OF[last.type], None if kept else last)
        self.ends[last.type] += 1
        log.info("job %s: %s %s", job.id[:8], last.type, last.header.get("message", ""))
        self.tell(job, last)
        self.dispatch()
