"""The broker: takes jobs from clients, hands them to workers, and passes their words back. It computes nothing, so it answers at once
whatever the workers do."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import zmq
import zmq.asyncio

from blend_daemon.service import answers, doors, estimate, flood, metrics
from blend_daemon.service.doors import Door, Peer
from blend_daemon.service.jobs import ENDED, IN_ALL, PICTURES, Job, Queue, State
from blend_daemon.service.notify import notify
from blend_daemon.service.pool import Ending, Limits, Pool, Worker
from blend_daemon.service.store import Store
from blend_protocol import __version__, framing, messages, runtime
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message
from blend_protocol.methods import SLIDERS

log = logging.getLogger("blend_daemon")

BEING_WRITTEN = 4  # results on their way to the disk, beyond which no job is started
TICK = 1.0  # s between two looks at whether clients are still there
SLICE = 0.01  # s that clients' messages are read before everything else has its turn
TIDY = 60.0  # s between two looks for results that are too old
FINISHING = 5.0  # s that jobs are given to end by themselves when the daemon stops
PARKING = 8.0  # s after which it waits no longer
STOPPED = ("daemon-stopped", "The daemon was stopped.", "Try again.")
ID_TAKEN = ("message-invalid", "A job and a preview have the same id.", "Choose another at random.")
STATE_OF = {"result": State.DONE, "failed": State.FAILED, "cancelled": State.CANCELLED}


def _remove_sockets() -> None:
    for path in [runtime.socket_path(), *runtime.runtime_dir().glob("worker-*")]:
        path.unlink(missing_ok=True)


class Server:
    """One daemon.

    Parameters
    ----------
    devices : for each worker: auto, cpu, cuda, cuda:N, mps or xpu
    limits : of each worker
    idle_exit : s without a word from any client and without a job after which the daemon ends; None: never
    listen : tcp address at which paired computers are served too
    figures : host and port at which Prometheus is answered
    unfinished : bytes that messages may take while they come in; None: a quarter of the machine's memory
    """

    def __init__(
        self,
        devices: Sequence[str],
        limits: Limits,
        idle_exit: float | None = None,
        listen: str | None = None,
        figures: tuple[str, int] | None = None,
        unfinished: int | None = None,
    ) -> None:
        self._listen, self._idle_exit, self._figures = listen, idle_exit, figures
        self._unfinished = unfinished or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4  # workers have the rest
        self._context = zmq.asyncio.Context()
        self._queue = Queue()
        self._store = Store(runtime.results_dir())
        self._pool = Pool(self._context, devices, limits, self._hear_worker, self._worker_ended)
        self._durations = estimate.Durations()
        self._doors: list[Door] = []
        self._keeping: dict[Job, asyncio.Task[None]] = {}
        self._fetching: set[asyncio.Task[None]] = set()
        self._one_fetch = asyncio.Lock()
        self._began = self._heard = time.monotonic()
        self._ends: Counter[str] = Counter()
        self._stopping = asyncio.Event()
        self._outdated = False

    async def serve(self) -> bool:
        """Serve until SIGTERM, SIGINT, a client's `shutdown` or an upgrade; then jobs are given a moment to end, see `_park`.

        Returns whether it was an upgrade: whoever keeps the daemon running has to start the new version.
        """
        tasks: list[asyncio.Task[Any]] = []
        _remove_sockets()  # left by a daemon that was killed; the lock is ours
        if self._listen:
            tasks.append(asyncio.create_task(doors.admit(doors.zap(self._context))))
            door = doors.remote(self._context, self._listen)
            self._listen = door.address
            self._doors.append(door)
        self._doors.append(doors.local(self._context))
        tasks += [asyncio.create_task(self._hear_clients(door)) for door in self._doors]
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        log.info("serving %s, version %s, pid %d", " and ".join(filter(None, [runtime.address(), self._listen])), __version__, os.getpid())
        figures = await metrics.serve(self._figures, self._status) if self._figures else None
        notify("READY=1")
        tasks += [asyncio.create_task(self._pool.keep()), asyncio.create_task(self._look_after()), asyncio.create_task(self._tidy())]
        tasks.append(asyncio.create_task(flood.watch(self._doors, self._unfinished, self._pictures, self._served)))
        stop = asyncio.create_task(self._stopping.wait())
        done, _ = await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
        self._stopping.set()
        notify("STOPPING=1")
        if figures:
            figures.close()
        await self._park()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._keeping.values(), *self._fetching, return_exceptions=True)
        self._context.destroy(1000)
        _remove_sockets()
        log.info("stopped")
        for task in done - {stop}:
            task.result()
        return self._outdated

    async def _park(self) -> None:
        """End all jobs: those that wait at once, those that run with a result if they can have one in time, the best so far."""
        for job in self._queue.waiting():
            await self._fail(job, *STOPPED)
        began = time.monotonic()
        hurried: set[Job] = set()
        while self._queue.running and (spent := time.monotonic() - began) < PARKING:
            for worker in self._pool.workers:
                slow = spent > FINISHING or worker.ends is None or worker.ends > began + FINISHING
                if worker.job and worker.job not in hurried and slow:
                    hurried.add(worker.job)
                    worker.job.notes.append("The blend daemon was stopped before this blend was done: it is the best there was so far.")
                    await worker.steer(Message("finish", {"job": worker.job.id, "owner": worker.job.owner}))
            await asyncio.sleep(0.05)
        for job in [job for job in self._queue.running if job not in self._keeping]:
            await self._fail(job, *STOPPED)

    async def _look_after(self) -> None:
        """What is to be done every second."""
        while True:
            await asyncio.sleep(TICK)
            notify("WATCHDOG=1")
            for door in self._doors:
                door.look_after()
            for job in self._queue.all():
                # Long before there is news of its job, a client that has gone is found out by a word that says nothing new.
                if not job.keep and job not in self._keeping:
                    await self._reach(job, answers.welcome())
            if self._queue.running or len(self._queue) or self._pool.sketches:
                self._heard = time.monotonic()
            if self._idle_exit is not None and time.monotonic() - self._heard > self._idle_exit:
                log.info("nobody has said a word for %.0f s", self._idle_exit)
                self._stopping.set()

    async def _tidy(self) -> None:
        """Let go of old results. Apart from `_look_after`, which must not wait for the disk."""
        while True:
            await asyncio.sleep(TIDY)
            await asyncio.to_thread(self._store.make_room)

    async def _inform(self, job: Job, message: Message) -> bool:
        """Tell a job's client; False if it has gone."""
        if await self._tell(job.client, message):
            return True
        if job.former is None:
            return False
        # What a lost connection still had under way may be read after the words of the one that took its place.
        job.client, job.former = job.former, None
        return await self._tell(job.client, message)

    async def _reach(self, job: Job, message: Message) -> None:
        """Tell a job's client; if that has been away for longer than a connection of its kind may be, the job is given up."""
        now = time.monotonic()
        if await self._inform(job, message):
            job.missed = None
        elif not (job.keep or job.given_up):
            job.missed = job.missed or now
            if now - job.missed >= job.client.grace:
                await self._abandon(job)

    def _pictures(self) -> int:
        """Bytes of the pictures of all jobs and previews."""
        return sum(size for _, size in self._pool.sketches.values()) + sum(job.size for job in self._queue.all())

    def _served(self) -> set[int]:
        """The connections of those who have a job or a preview here."""
        return {client.descriptor for client, _ in self._pool.sketches.values()} | {job.client.descriptor for job in self._queue.all()}

    async def _abandon(self, job: Job) -> None:
        job.given_up = True
        log.info("job %s: its client has gone", job.id[:8])
        if job.state is State.QUEUED:
            await self._end(job, Message("cancelled", {"job": job.id}))
        elif worker := self._pool.on(job):
            await worker.steer(Message("cancel", {"job": job.id, "owner": job.owner}))

    # clients

    async def _hear_clients(self, door: Door) -> None:
        rested = time.monotonic()
        while True:
            client, frames = await door.receive()
            self._heard = time.monotonic()
            if self._heard - rested > SLICE:  # `receive` does not wait while there are messages
                await asyncio.sleep(0)
                rested = time.monotonic()
            try:
                message = messages.check(framing.decode(frames), messages.FROM_CLIENT)
                await self._answer(client, doors.own(message, client.key))
            except BlendError as error:
                # Names in it are the sender's: no line break and no broken character of theirs goes into the log.
                log.warning("refused a message: %s", ascii(str(error))[:300])
                await self._tell(client, Message("failed", {"code": error.code, "message": str(error), "hint": error.hint}))

    async def _answer(self, client: Peer, message: Message) -> None:
        match message.type:
            case "hello":
                await self._tell(client, answers.welcome())
            case "status":
                await self._tell(client, Message("status", {"status": self._status()}))
            case "shutdown":
                if client.door.remote:
                    raise BlendError("not-permitted", "A blend daemon can be stopped only from its own computer.", "Stop it there.")
                log.info("asked to stop")
                self._stopping.set()
            case "submit":
                await self._submit(client, message)
            case "sketch":
                await self._sketch(client, message)
            case "adjust" | "cancel" | "finish":
                await self._steer(message)
            case "models":
                await self._tell(client, Message("models", {"models": await asyncio.to_thread(answers.listed_models)}))
            case "results":
                await self._tell(client, Message("results", {"results": answers.listed_results(self._store.of(message.header["owner"]))}))
            case "fetch":
                await self._fetch(client, message.header["owner"], message.header["job"])
            case "release":
                self._store.release(message.header["owner"], message.header["job"])
                self._queue.forget(message.header["owner"], message.header["job"])
                await self._tell(client, Message("released", {"job": message.header["job"]}))

    async def _submit(self, client: Peer, message: Message) -> None:
        id, owner = message.header["job"], message.header["owner"]
        job = self._queue.find(owner, id)
        if job is None and (entry := self._store.find(owner, id)) and entry.box is not None:
            await self._fetch(client, owner, id)
            return
        if job is None and (self._stopping.is_set() or id in self._pool.sketches):
            await self._refuse(client, id, *(STOPPED if self._stopping.is_set() else ID_TAKEN))
            return
        if job is None:
            header = message.header
            height, width, _ = message.rasters["source"].shape
            job = Job(
                id, owner, client, message, size=answers.size(message), kind=estimate.kind(header["parameters"], height * width),
                keep=header.get("keep", False), label=header.get("label", {}),
            )  # fmt: skip
            try:
                self._queue.add(job)
            except BlendError as error:
                await self._refuse(client, id, error.code, str(error), error.hint)
                return
            self._store.begin(id, owner, job.label)
            log.info("job %s queued: %s", id[:8], {name: raster.shape for name, raster in message.rasters.items()})
        job.asked_by(client)
        if job.state in ENDED:
            await (self._tell(client, job.last) if job.last else self._fetch(client, owner, id))
            return
        await self._tell_positions([job])
        await self._dispatch()

    async def _fetch(self, client: Peer, owner: str, id: str) -> None:
        # In a task: others are answered while the disk is read, by one at a time.
        if len(self._fetching) >= IN_ALL:
            await self._refuse(client, id, "queue-full", "Too many results are asked for at once.", "Ask again in a moment.")
            return
        task = asyncio.create_task(self._hand_out(client, owner, id))
        self._fetching.add(task)
        task.add_done_callback(self._fetching.discard)

    async def _hand_out(self, client: Peer, owner: str, id: str) -> None:
        job = self._queue.find(owner, id)
        if job and job.last and job.last.type == "result":  # it could not be written, but is not forgotten yet
            await self._tell(client, job.last)
            return
        async with self._one_fetch:
            try:
                result = await asyncio.to_thread(self._store.fetch, owner, id)
            except BlendError as error:
                await self._refuse(client, id, error.code, str(error), error.hint)
            else:
                await self._tell(client, result)

    async def _steer(self, message: Message) -> None:
        job = self._queue.find(message.header["owner"], message.header["job"])
        if job is None or job.state in ENDED:
            return  # it crossed with the job's last message
        if unknown := set(message.header.get("sliders", ())) - set(SLIDERS):  # also bounds what sliders can be gathered
            raise BlendError("parameter-invalid", f"There is no slider {min(unknown)[:40]!r}.", f"Known are {', '.join(SLIDERS)}.")
        if job.state is State.RUNNING:
            if worker := self._pool.on(job):
                await worker.steer(message)
        elif message.type == "adjust":
            job.adjust(message.header["sliders"])
        else:
            await self._end(job, Message("cancelled", {"job": job.id}))

    async def _sketch(self, client: Peer, message: Message) -> None:
        # Not queued: a worker makes it between two evaluations of whatever job it runs.
        id = message.header["job"]
        sketches, worker = self._pool.sketches, self._pool.for_sketch()
        if id in sketches or self._queue.holds(id):
            await self._refuse(client, id, *ID_TAKEN)
        elif worker is None:
            self._pool.wake(1)
            await self._refuse(client, id, "worker-loading", "The blend daemon is still loading its network.", "Ask again in a moment.")
        elif len(sketches) >= IN_ALL or (sketches and sum(size for _, size in sketches.values()) + answers.size(message) > PICTURES):
            await self._refuse(client, id, "queue-full", "Too many previews are asked for at once.", "Ask again in a moment.")
        else:
            worker.sketches[id] = (client, answers.size(message))
            await worker.order(message)

    async def _refuse(self, client: Peer, job: str, code: str, message: str, hint: str) -> None:
        await self._tell(client, Message("failed", {"job": job, "code": code, "message": message, "hint": hint}))

    async def _tell(self, client: Peer, message: Message) -> bool:
        return await client.door.send(client, message)

    def _status(self) -> dict[str, Any]:
        return answers.status(self._pool.workers, self._queue, self._store, self._ends, time.monotonic() - self._began, self._listen)

    # workers

    async def _hear_worker(self, worker: Worker, message: Message) -> None:
        if message.type == "welcome":
            if message.header["version"] != __version__:
                log.error("version %s has been installed while version %s runs", message.header["version"], __version__)
                # What starts next is the new one; until then the two could misunderstand each other.
                self._outdated = True
                self._stopping.set()
                return
            await self._dispatch()
        elif asker := worker.sketches.pop(message.header["job"], None):
            await self._tell(asker[0], message)
        elif (job := worker.job) and message.header["job"] == job.id:
            if message.type in messages.LAST:
                worker.job = None
                if message.type == "result":
                    if not worker.told:  # one that was finished early tells nothing of the others
                        self._durations.learn(job.kind, time.monotonic() - worker.began)
                    # A task of its own: meanwhile the worker computes the next one, or dies.
                    self._keeping[job] = asyncio.create_task(self._keep(job, message))
                    await self._dispatch()
                else:
                    await self._end(job, message)
                return
            if message.type == "progress" and (left := message.header["seconds_left"]) is not None:
                worker.ends = time.monotonic() + left
            await self._reach(job, message)

    async def _worker_ended(self, worker: Worker, ending: Ending) -> None:
        for id, (client, _) in worker.sketches.items():
            await self._refuse(client, id, ending.code, f"The process that computes {ending.how}.", ending.hint)
        worker.sketches.clear()
        job = worker.give_back()
        if job and job.work and not (job.again or self._stopping.is_set()):
            job.again = True
            self._queue.put_back(job)
            log.info("job %s goes to the next worker: the process %s", job.id[:8], ending.how)
            await (self._end(job, Message("cancelled", {"job": job.id})) if worker.told else self._dispatch())
        elif job:
            await self._fail(job, ending.code, f"The process that computes {ending.how}.", ending.hint)
        if not ending.loaded and not any(other.ready for other in self._pool.workers):
            # The next one would most likely end in the same way: those who wait must hear of it.
            for job in self._queue.waiting():
                await self._fail(job, ending.code, f"The process that computes {ending.how}.", ending.hint)

    async def _keep(self, job: Job, result: Message) -> None:
        """Write a result to disk, then announce it. One that cannot be written is announced all the same: it is all there is of it."""
        if job.notes:
            result = answers.noted(result, *job.notes)
        try:
            await asyncio.to_thread(self._store.keep, job.owner, job.label, result)
        except (OSError, BlendError) as error:
            log.error("job %s: its result cannot be kept: %s", job.id[:8], error)
            result = answers.noted(result, f"The blend daemon could not keep a copy of this result ({error}).")
        finally:
            del self._keeping[job]
        await self._end(job, result)

    async def _dispatch(self) -> None:
        started = False
        for worker in self._pool.free():
            if self._stopping.is_set() or len(self._keeping) >= BEING_WRITTEN or not (job := self._queue.next()):
                break
            log.info("job %s started", job.id[:8])
            await worker.take(job)
            started = True
        if len(self._queue):
            self._pool.wake(len(self._queue))
            if started:
                await self._tell_positions(self._queue.waiting())

    async def _tell_positions(self, jobs: Sequence[Job]) -> None:
        starts = self._starts()
        for job in jobs:
            header = {"job": job.id, "position": self._queue.position(job), "seconds_to_start": starts.get(job, 0.0)}
            await self._inform(job, Message("accepted", header))

    def _starts(self) -> dict[Job, float | None]:
        """Seconds until each waiting job starts."""
        left = [worker.left(self._durations.guess) for worker in self._pool.workers if worker.ready]
        waiting = self._queue.waiting()
        starts = estimate.starts(left, [self._durations.guess(job.kind) for job in waiting])
        return {job: start if start is None else round(start, 1) for job, start in zip(waiting, starts, strict=True)}

    async def _fail(self, job: Job, code: str, message: str, hint: str) -> None:
        await self._end(job, Message("failed", {"job": job.id, "code": code, "message": message, "hint": hint}))

    async def _end(self, job: Job, last: Message) -> None:
        entry = self._store.find(job.owner, job.id)
        kept = last.type == "result" and entry is not None and entry.box is not None
        self._queue.end(job, STATE_OF[last.type], None if kept else last)
        self._ends[last.type] += 1
        log.info("job %s: %s %s", job.id[:8], last.type, last.header.get("message", ""))
        told = await self._inform(job, last)
        if not kept and not told and job.keep:
            self._store.cut(job.id, job.owner, job.label)
        elif not kept:
            self._store.end(job.id, job.owner)
        await self._dispatch()
