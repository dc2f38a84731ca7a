"""The workers: a process each, started when there is something to do, watched while it computes, replaced when it ends.

Knows no clients. What a worker says, and how it ended, goes to the two callables that the pool is given.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import zmq
import zmq.asyncio

from blend_daemon.service import memory
from blend_daemon.service.doors import own_user_only
from blend_daemon.service.jobs import Job
from blend_protocol import framing, runtime
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message

log = logging.getLogger("blend_daemon")

TICK = 0.5  # s between two looks at a worker
LOADING = 120.0  # s of silence that a worker is allowed at least while it loads its network
PAUSE = 1.0  # s before another is started: one that dies at once must not make the machine busy
LONGEST_PAUSE = 30.0  # s, where no process can be started at all
MEMORY_SHARE = 0.75  # of the machine's memory, for all workers together


@dataclass(frozen=True)
class Limits:
    """What a worker may do before it is replaced.

    Attributes
    ----------
    hang : s without a word while it has something to do. The longest silence of an honest worker is the start of a blend of a
        hundred megapixels, a minute or two on a slow machine
    memory : bytes of resident memory; None: its share of `MEMORY_SHARE` of the machine's. Not watched where there is no /proc
    idle : s without anything to do after which it is ended, so that its memory, a GPU's too, is free for others
    """

    hang: float = 600.0
    memory: int | None = None
    idle: float = 300.0


@dataclass(frozen=True)
class Ending:
    """How a worker ended, for those who wait for it: code and hint of `failed`, and the end of a sentence about the process."""

    code: str
    how: str
    hint: str
    loaded: bool


class Worker:
    """One worker and what it does. Its process comes and goes.

    Attributes
    ----------
    number : its place in the pool, from 0
    device : the name of the device it computes on; "loading" before it is known
    job : what it computes
    began, ends : moments of the monotonic clock at which the job began, and at which it is expected to end (None: unknown)
    told : which of `finish` and `cancel` its job has been told
    sketches : who asked for which sketch, and the bytes of its pictures
    starts : how many processes there have been
    """

    def __init__(self, number: int, wish: str, pool: Pool) -> None:
        self.number, self.device = number, "loading"
        self._wish, self._pool = wish, pool
        self.job: Job | None = None
        self.began = 0.0
        self.ends: float | None = None
        self.told: set[str] = set()
        self.sketches: dict[str, tuple[Any, int]] = {}
        self.starts = 0
        self.ready = False
        self._spoke = False
        self._failures = 0  # tries to start a process, since the last that succeeded
        self._sliders: dict[str, float] = {}  # to be told when it has taken what it was told before
        self._taking = False
        self._wanted = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._socket: Any = None

    @property
    def pid(self) -> int | None:
        """Its process, None if there is none now."""
        return self._process.pid if self._process and self._process.returncode is None else None

    @property
    def busy(self) -> bool:
        """Whether a word is to be expected from it."""
        return bool(self.job or self.sketches) or not self.ready

    @property
    def state(self) -> str:
        """asleep, loading, ready, or computing."""
        if self.pid is None:
            return "asleep"
        return ("computing" if self.job or self.sketches else "ready") if self.ready else "loading"

    def wake(self) -> None:
        """Start its process, unless there is one."""
        self._wanted.set()

    @property
    def wanted(self) -> bool:
        """Whether it has a process, or gets one soon."""
        return self._wanted.is_set()

    async def take(self, job: Job) -> None:
        """Compute a job. Its `work` stays with it until the process says that it has it."""
        self.job, self.began, self.ends = job, time.monotonic(), None
        self.told, self._sliders, self._taking = set(), {}, True
        await self.order(job.work)

    async def steer(self, message: Message) -> None:
        """Tell its job `adjust`, `finish` or `cancel`.

        Of these at most one adjust and one of each other are under way, so that none is ever dropped for want of room: sliders wait, and
        become one word, until the process has taken the last.
        """
        if message.type == "adjust":
            self._sliders.update(message.header["sliders"])
            await self._aim()
        elif message.type not in self.told:
            self.told.add(message.type)
            await self.order(message)

    async def _aim(self) -> None:
        if self.job and self._sliders and not self._taking:
            sliders, self._sliders, self._taking = self._sliders, {}, True
            await self.order(Message("adjust", {"job": self.job.id, "owner": self.job.owner, "sliders": sliders}))

    async def _taken(self, id: str) -> None:
        """The process has the job, or the last sliders."""
        if self.job and self.job.id == id:
            self.job.work, self._taking = None, False
            await self._aim()

    def left(self, length: Callable[[str], float | None]) -> float | None:
        """Seconds until it is free, None where nobody knows. `length` tells what a job of a kind takes, for one that has not said so."""
        if self.job is None:
            return 0.0
        if self.ends is not None:
            return self.ends - time.monotonic()
        whole = length(self.job.kind)
        return None if whole is None else self.began + whole - time.monotonic()

    def give_back(self) -> Job | None:
        """Its job, which it has no more; `work` is there if the process never had it, with the sliders moved meanwhile."""
        job, self.job = self.job, None
        if job and job.work:
            job.adjust(self._sliders)
        return job

    async def order(self, message: Message) -> None:
        """Send it a word. Never waits: one that has just died takes nothing more, and its end is told of soon."""
        with suppress(zmq.ZMQError):
            await self._socket.send_multipart(framing.encode(message), zmq.DONTWAIT, copy=False)

    async def keep(self) -> None:
        """Keep a process as long as one is wanted. Runs until cancelled."""
        while True:
            await self._wanted.wait()
            try:
                await self._start()
            except (OSError, zmq.ZMQError) as error:
                self._failures += 1
                self._wanted.clear()  # tried again when somebody asks, less and less often
                if self._socket:
                    self._socket.close(0)
                log.error("worker %d: no process: %s", self.number, error)
                await self._pool.ended(self, Ending("worker-died", f"could not start: {error}", runtime.DOCTOR, False))
                await asyncio.sleep(min(PAUSE * 2**self._failures, LONGEST_PAUSE))
                continue
            self._failures = 0
            assert self._process
            tasks: list[asyncio.Task[Any]] = [asyncio.create_task(part) for part in (self._process.wait(), self._watch(), self._hear())]
            reading = asyncio.create_task(self._read_errors())
            try:
                died, watching, hearing = tasks
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if died.done():  # what it said before is still on its way
                    await asyncio.wait([hearing], timeout=0.2)
                ending = watching.result() if watching.done() else None
                if hearing.done():
                    ending = hearing.result()
                if ending is IDLE:
                    self._wanted.clear()  # at once: a job that comes while the process ends must wake the next
            finally:
                for task in tasks:
                    task.cancel()
                loaded, self.ready = self.ready, False
                if self._process.returncode is None:
                    self._process.kill()
                code = await self._process.wait()
                await asyncio.wait([reading], timeout=1)
                reading.cancel()
                self._socket.close(0)
            if ending is IDLE and not (self.job or self.sketches):
                log.info("worker %d ends: nothing to do", self.number)
                continue
            if not loaded:
                self._wanted.clear()  # the next one would most likely end in the same way; it is tried when somebody asks
            ending = ending or _death(code, loaded)
            log.error("worker %d: the process %s", self.number, ending.how)
            await self._pool.ended(self, ending)
            await asyncio.sleep(PAUSE)

    async def _start(self) -> None:
        self.starts += 1
        self._socket = self._pool.context.socket(zmq.PAIR)
        self._socket.linger = 0
        own_user_only(self._socket)
        # As many names as there have been processes: what a dead one left is not met by the next.
        address = f"ipc://{runtime.runtime_dir() / f'worker-{self._pool.next_name()}'}"
        self._socket.bind(address)
        command = [sys.executable, "-m", "blend_daemon.service.worker", address, self._wish]
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            env=self._pool.environment, start_new_session=True,  # Ctrl+C on the daemon's terminal is the broker's: it parks the job
        )  # fmt: skip

    async def _hear(self) -> Ending:
        while True:
            frames = await self._socket.recv_multipart(copy=False)
            self._spoke = True
            try:
                message = framing.decode([frame.buffer for frame in frames])
            except BlendError as error:
                return Ending("worker-died", f"said what cannot be read: {error}", runtime.DOCTOR, self.ready)
            if message.type == "status":  # before it is ready
                self.device = message.header["status"]["device"]
                log.info("worker %d: %s", self.number, message.header["status"]["step"])
                continue
            if message.type == "welcome":
                self.ready, self.device = True, message.header["device"]
                log.info("worker %d: process %d ready on %s", self.number, message.header["pid"], self.device)
            if message.type == "accepted":
                await self._taken(message.header["job"])
                continue
            await self._pool.hear(self, message)

    async def _watch(self) -> Ending:
        """Returns when it has to end."""
        # Time is counted in looks, so that a broker or a machine that itself stood still accuses nobody.
        limits = self._pool.limits
        silent = unused = 0.0
        while True:
            await asyncio.sleep(TICK)
            silent = 0.0 if self._spoke or not self.busy else silent + TICK
            unused = 0.0 if self.busy else unused + TICK
            self._spoke = False
            if silent >= (limits.hang if self.ready else max(limits.hang, LOADING)):
                how = f"gave no sign of life for {silent:.0f} s and was ended"
                return Ending("worker-hung", how, f"Try again. The log is {runtime.log_path()}.", self.ready)
            if self.pid and (memory.resident(self.pid) or 0) > self._pool.memory:
                how = f"used more than {self._pool.memory / 1e6:.0f} MB of memory and was ended"
                hint = "Make the selection or the working size smaller, or let the daemon have more: `blend-daemon serve --memory-limit`."
                return Ending("memory-limit", how, hint, self.ready)
            if unused >= limits.idle:
                return IDLE

    async def _read_errors(self) -> None:
        # Into the log, which rotates; a stream of the daemon's own would go on into a file that has been moved away.
        assert self._process
        assert self._process.stderr
        while chunk := await self._process.stderr.read(65536):
            for line in chunk.decode(errors="replace").splitlines():
                log.warning("worker %d: %s", self.number, line)


IDLE = Ending("worker-loading", "was ended for want of work", "Ask again in a moment.", True)


def _death(code: int, loaded: bool) -> Ending:
    by = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
    if not loaded:
        return Ending("worker-died", f"could not start: {by}", runtime.DOCTOR, loaded)
    hint = f"Try again, with a smaller selection or the preset draft. The log is {runtime.log_path()}."
    return Ending("worker-died", f"was ended by {by}", hint, loaded)


class Pool:
    """All workers.

    Parameters
    ----------
    context : of ZeroMQ
    devices : one for each worker, as in `blend-daemon serve --device`
    limits : see `Limits`
    hear : called with a worker and what it said
    ended : called with a worker whose process has ended unasked
    """

    def __init__(
        self,
        context: zmq.asyncio.Context,
        devices: Sequence[str],
        limits: Limits,
        hear: Callable[[Worker, Message], Awaitable[None]],
        ended: Callable[[Worker, Ending], Awaitable[None]],
    ) -> None:
        self.context, self.limits, self.hear, self.ended = context, limits, hear, ended
        self.workers = [Worker(number, device, self) for number, device in enumerate(devices)]
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        self.memory = limits.memory or int(physical * MEMORY_SHARE / len(devices))
        self.environment = dict(os.environ)
        if len(devices) > 1:
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            # Each a share of the cores: threads that outnumber them wait for one another.
            self.environment.setdefault("OMP_NUM_THREADS", str(max(cores // len(devices), 1)))
        self._names = 0

    async def keep(self) -> None:
        """Start all workers and keep them. Runs until cancelled."""
        for worker in self.workers:
            worker.wake()
        async with asyncio.TaskGroup() as group:
            for worker in self.workers:
                group.create_task(worker.keep())

    def next_name(self) -> int:
        """A number that no process has had."""
        self._names += 1
        return self._names

    def wake(self, count: int) -> None:
        """See that up to `count` of the workers without a process get one."""
        for worker in [worker for worker in self.workers if not worker.wanted][:count]:
            worker.wake()

    def free(self) -> list[Worker]:
        """Workers that can take a job."""
        return [worker for worker in self.workers if worker.ready and worker.job is None]

    def on(self, job: Job) -> Worker | None:
        """The worker that computes a job."""
        return next((worker for worker in self.workers if worker.job is job), None)

    @property
    def sketches(self) -> dict[str, tuple[Any, int]]:
        """Those of all workers: who asked for which, and the bytes of its pictures."""
        return {id: asked for worker in self.workers for id, asked in worker.sketches.items()}

    def for_sketch(self) -> Worker | None:
        """The worker that would make a sketch soonest; None if none is ready."""
        return min((w for w in self.workers if w.ready), key=lambda w: (w.job is not None, len(w.sketches)), default=None)
