"""The broker: takes jobs from clients, hands them to workers, and passes their words back.

A pure machine: `Broker.step` takes one event and returns what is to be done. It waits for nothing, reads no clock and knows no socket, so
each step is whole, and any sequence of events can be tried (`tests/service/promises.py`). `io.daemon` runs it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from blend_daemon.service import endings, events, replies
from blend_daemon.service.archive import Archive
from blend_daemon.service.endings import Limits
from blend_daemon.service.events import Connection, Effect, Entry, Event, Tell
from blend_daemon.service.jobs import ENDED, IN_ALL, PICTURES, Queue, State
from blend_daemon.service.lifecycle import Lifecycle
from blend_daemon.service.parking import STOPPED, Parking
from blend_daemon.service.workers import TICK, Worker, Workers
from blend_protocol import __version__, framing
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message
from blend_protocol.methods import SLIDERS

__all__ = ["TICK", "Broker"]

log = logging.getLogger("blend_daemon")

ID_TAKEN = BlendError("message-invalid", "A job and a preview have the same id.", "Choose another at random.")


class Broker:
    """One daemon's.

    Parameters
    ----------
    workers : how many
    limits : of each worker
    entries : what lies on disk
    welcome : the answer to `hello`
    now : the present moment of the monotonic clock, s
    epoch : Unix time at moment 0 of that clock, s
    idle_exit : s without a word from any client and without a job after which the daemon ends; None: never

    Attributes
    ----------
    outdated : whether another version was installed while this one runs
    """

    def __init__(
        self, workers: int, limits: Limits, entries: Iterable[Entry], welcome: Message, now: float, epoch: float, idle_exit: float | None
    ) -> None:
        self._wanted: list[Effect] = []
        emit = self._wanted.append
        self.queue = Queue()
        self.archive = Archive(entries, epoch, emit)
        self.workers = Workers(workers, limits, emit)
        self.jobs = Lifecycle(self.queue, self.workers, self.archive, emit, now, limits.retries)
        self.outdated = False
        self._emit, self._welcome, self._idle_exit = emit, welcome, idle_exit
        self._now = self._heard = now
        self._even = False
        self._parking = Parking(self.queue, self.workers, self.archive, self.jobs, emit)

    def start(self) -> list[Effect]:
        """What is wanted before anything has happened."""
        self.archive.tidy(self._now)
        self.workers.wake(len(self.workers.all), self._now)
        return self._taken()

    def step(self, event: Event, now: float) -> list[Effect]:
        """What is wanted after an event, in that order, at a moment of the monotonic clock."""
        self._now = self.jobs.now = now
        match event:
            case events.Heard(client, message):
                self._heard = now
                try:
                    self._answer(client, message)
                except BlendError as error:
                    self._refuse(client, error)
            case events.Refused(client, error):
                self._heard = now
                self._refuse(client, error)
            case events.Told():
                self.jobs.told(event)
            case events.Said(number, message):
                self._hear_worker(self.workers.all[number], message)
            case events.Garbled(number, error):
                self.workers.all[number].end(endings.garbled(str(error)))
            case events.Gone(number):
                self.jobs.gone(self.workers.all[number], event)
            case events.Written():
                self.jobs.written(event)
            case events.Read():
                self.archive.read(event)
            case events.Tick(memory):
                if self.jobs.open:
                    self.workers.watch(memory, now)
                self._look_after_clients()
                self.archive.tidy(now)
            case events.Stop():
                self._parking.begin(self._now)
        self._parking.step(now)
        return self._taken()

    def _taken(self) -> list[Effect]:
        wanted = self._wanted[:]
        self._wanted.clear()
        return wanted

    # clients

    def _answer(self, client: Connection, message: Message) -> None:
        owner, id = message.header.get("owner", ""), message.header.get("job", "")
        match message.type:
            case "hello":
                self._emit(Tell(client, self._welcome))
            case "status":
                self._emit(events.Report(client))
            case "shutdown":
                if client.remote:
                    raise BlendError("not-permitted", "A blend daemon can be stopped only from its own computer.", "Stop it there.")
                log.info("asked to stop")
                self._parking.begin(self._now)
            case "submit":
                self._submit(client, owner, id, message)
            case "sketch":
                self._sketch(client, id, message)
            case "adjust" | "cancel" | "finish":
                self._steer(owner, id, message)
            case "models":
                self._emit(events.ListModels(client))
            case "results":
                self._emit(Tell(client, Message("results", {"results": replies.listed_results(self.archive.of(owner))})))
            case "fetch":
                self._fetch(client, owner, id)
            case "release":
                self.archive.remove(owner, id)
                self.queue.forget(owner, id)
                self._emit(Tell(client, Message("released", {"job": id})))

    def _refuse(self, client: Connection, error: BlendError, job: str | None = None) -> None:
        if job is None:
            # Names in it are the sender's: no line break and no broken character of theirs goes into the log.
            log.warning("refused a message: %s", ascii(str(error))[:300])
        self._emit(Tell(client, replies.failed(error, job)))

    def _submit(self, client: Connection, owner: str, id: str, message: Message) -> None:
        job = self.queue.find(owner, id)
        if job is None and self.archive.has_result(owner, id):
            self._fetch(client, owner, id)
            return
        if job is None and (id in self.workers.sketches or not self.jobs.open):
            self._refuse(client, ID_TAKEN if self.jobs.open else STOPPED, id)
            return
        if job is None:
            try:
                job = self.jobs.accept(client, message)
            except BlendError as error:
                self._refuse(client, error, id)
                return
        job.asked_by(client)
        if job.state in ENDED:
            self._fetch(client, owner, id, job.last)
        else:
            self.jobs.tell_positions([job])
            self.jobs.dispatch()

    def _fetch(self, client: Connection, owner: str, id: str, last: Message | None = None) -> None:
        """Tell a client a job's last message, if it is remembered, else its result, if it is kept."""
        job = self.queue.find(owner, id)
        if last is None and job and job.last and job.last.type == "result":  # it could not be written, but is not forgotten yet
            last = job.last
        if last:
            self._emit(Tell(client, last))
            return
        try:
            self.archive.fetch(client, owner, id)
        except BlendError as error:
            self._refuse(client, error, id)

    def _steer(self, owner: str, id: str, message: Message) -> None:
        job = self.queue.find(owner, id)
        if job is None or job.state in ENDED:
            return  # it crossed with the job's last message
        if unknown := set(message.header.get("sliders", ())) - set(SLIDERS):  # also bounds what sliders can be gathered
            raise BlendError("parameter-invalid", f"There is no slider {min(unknown)[:40]!r}.", f"Known are {', '.join(SLIDERS)}.")
        if job.state is State.RUNNING:
            if worker := self.workers.on(job):
                worker.steer(message)
        elif message.type == "adjust":
            job.adjust(message.header["sliders"])
        else:
            self.jobs.end(job, Message("cancelled", {"job": job.id}))

    def _sketch(self, client: Connection, id: str, message: Message) -> None:
        # Not queued: a worker makes it between two evaluations of whatever job it runs.
        sketches, worker, size = self.workers.sketches, self.workers.for_sketch(), replies.size(message)
        if not self.jobs.open:
            self._refuse(client, STOPPED, id)
        elif id in sketches or self.queue.holds(id):
            self._refuse(client, ID_TAKEN, id)
        elif worker is None:
            self.workers.wake(1, self._now)
            loading = BlendError("worker-loading", "The blend daemon is still loading its network.", "Ask again in a moment.")
            self._refuse(client, loading, id)
        elif len(sketches) >= IN_ALL or (sketches and sum(other for _, other in sketches.values()) + size > PICTURES):
            self._refuse(client, BlendError("queue-full", "Too many previews are asked for at once.", "Ask again in a moment."), id)
        else:
            worker.sketch(client, message, size)

    def _look_after_clients(self) -> None:
        if self.queue.all() or self.workers.sketches:
            self._heard = self._now
        if self._idle_exit is not None and self._now - self._heard > self._idle_exit:
            log.info("nobody has said a word for %.0f s", self._idle_exit)
            self._parking.begin(self._now)
        self._even = not self._even
        if self._even:  # once a second
            self._emit(events.Notify("WATCHDOG=1"))
            for job in self.queue.all():
                # Long before there is news of its job, a client that has gone is found out by a word that says nothing new.
                if not job.keep and job not in self.archive.writing:
                    self.jobs.tell(job, self._welcome)

    # workers

    def _hear_worker(self, worker: Worker, message: Message) -> None:
        worker.spoke()
        if message.type == "status":  # before it is ready
            worker.device = message.header["status"]["device"]
            log.info("worker %d: %s", worker.number, message.header["status"]["step"])
        elif message.type == "welcome" and message.header["version"] != __version__:
            log.error("version %s has been installed while version %s runs", message.header["version"], __version__)
            # What starts next is the new one; until then the two could misunderstand each other.
            self.outdated = True
            self._parking.begin(self._now)
        elif message.type == "welcome":
            worker.loaded(message.header["device"])
            log.info("worker %d: process %d ready on %s", worker.number, message.header["pid"], worker.device)
            self.jobs.dispatch()
        else:
            self.jobs.said(worker, message)

    # its account of itself

    @property
    def pictures(self) -> int:
        """Bytes of the pictures of all jobs and sketches."""
        return sum(size for _, size in self.workers.sketches.values()) + sum(job.size for job in self.queue.all())

    @property
    def served(self) -> set[int]:
        """The descriptors of those who have a job or a sketch here."""
        asked = [client for client, _ in self.workers.sketches.values()]
        return {client.descriptor for client in [*asked, *(job.client for job in self.queue.all())]}

    def status(self) -> dict[str, Any]:
        """What it knows of what `status` says, see docs/protocol.md."""
        results, size = self.archive.size()
        return {
            "version": __version__,
            "protocol": framing.VERSION,
            "device": ", ".join(dict.fromkeys(worker.device for worker in self.workers.all)),
            "running": self.queue.running[0].id if self.queue.running else None,
            "waiting": len(self.queue),
            "ended": self.jobs.ends.total(),
            "ends": dict(self.jobs.ends),
            "worker_starts": sum(worker.starts for worker in self.workers.all),
            "workers": [worker.account() for worker in self.workers.all],
            "results": {"count": results, "bytes": size},
        }
