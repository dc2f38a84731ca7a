"""What each worker does, and when it is to start or end. No processes, no clock: `io.processes` has those, and every moment is given."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from blend_daemon.service.endings import IDLE, Ending, Limits, death, hung, outgrown
from blend_daemon.service.events import Connection, Effect, End, Order, Spawn
from blend_daemon.service.jobs import Job
from blend_protocol.framing import Message

TICK = 0.5  # s between two looks at a worker
LOADING = 120.0  # s of silence that a worker is allowed at least while it loads its network
PAUSE = 1.0  # s before another is started: one that dies at once must not make the machine busy
LONGEST_PAUSE = 16.0  # s, where no process can be started again and again


class Phase(Enum):
    """Of a worker's process."""

    ASLEEP = "asleep"
    LOADING = "loading"
    READY = "ready"
    ENDING = "ending"


class Worker:
    """One worker and what it does. Its process comes and goes.

    Attributes
    ----------
    number : its place among the workers, from 0
    device : the name of the device it computes on; "loading" before it is known
    phase : of its process
    job : what it computes
    began, ends : moments at which the job began, and at which it is expected to end (None: unknown)
    told : which of `finish` and `cancel` its job has been told
    sketches : who asked for which sketch, and the bytes of its pictures
    starts : how many processes there have been
    wanted : whether it is to have a process
    """

    def __init__(self, number: int, limits: Limits, emit: Callable[[Effect], None]) -> None:
        self.number, self.device = number, "loading"
        self._limits, self._emit = limits, emit
        self.phase = Phase.ASLEEP
        self.job: Job | None = None
        self.began = 0.0
        self.ends: float | None = None
        self.told: set[str] = set()
        self.sketches: dict[str, tuple[Connection, int]] = {}
        self.starts = 0
        self.wanted = False
        self._ending: Ending | None = None  # why it is ended
        self._was_ready = False  # when that was decided
        self._rests_until = -math.inf
        self._failures = 0  # tries to start a process, since the last that succeeded
        self._spoke = False
        self._silent = self._unused = 0.0
        self._sliders: dict[str, float] = {}  # to be told when it has taken what it was told before
        self._taking = False
        self._has = False  # whether the process has read the job

    @property
    def ready(self) -> bool:
        """Whether it can be given something to do."""
        return self.phase is Phase.READY

    @property
    def state(self) -> str:
        """asleep, loading, ready, or computing."""
        if self.phase in (Phase.ASLEEP, Phase.LOADING):
            return self.phase.value
        return "computing" if self.job or self.sketches else "ready"

    def account(self) -> dict[str, Any]:
        """What `status` says of it, but for its process."""
        job = self.job and self.job.id
        return {"device": self.device, "state": self.state, "job": job, "sketches": len(self.sketches), "starts": self.starts}

    # its process

    def wake(self, now: float) -> None:
        """Start its process, unless there is one, as soon as it may."""
        self.wanted = True
        if self.phase is Phase.ASLEEP and now >= self._rests_until:
            self.phase, self.starts = Phase.LOADING, self.starts + 1
            self._spoke, self._silent, self._unused, self._ending = False, 0.0, 0.0, None
            self._emit(Spawn(self.number))

    def spoke(self) -> None:
        """It gave a sign of life."""
        self._spoke, self._failures = True, 0

    def loaded(self, device: str) -> None:
        """It has loaded its network."""
        self.device = device
        if self.phase is Phase.LOADING:
            self.phase = Phase.READY

    def watch(self, memory: int | None, now: float) -> None:
        """A look at it each `TICK` s: start it if it is wanted, end it if it has to end."""
        # Time is counted in looks, so that a broker or a machine that itself stood still accuses nobody.
        if self.phase is Phase.ASLEEP and self.wanted:
            self.wake(now)
        if self.phase not in (Phase.LOADING, Phase.READY):
            return
        busy = bool(self.job or self.sketches) or not self.ready
        self._silent = 0.0 if self._spoke or not busy else self._silent + TICK
        self._unused = 0.0 if busy else self._unused + TICK
        self._spoke = False
        if self._silent >= (self._limits.hang if self.ready else max(self._limits.hang, LOADING)):
            self.end(hung(self._silent))
        elif memory and memory > self._limits.memory:
            self.end(outgrown(self._limits.memory))
        elif self._unused >= self._limits.idle:
            self.wanted = False
            self.end(IDLE)

    def end(self, ending: Ending) -> None:
        """End its process. From now on it is given nothing more to do."""
        if self.phase in (Phase.LOADING, Phase.READY):
            self._was_ready, self.phase, self._ending = self.ready, Phase.ENDING, ending
            self._emit(End(self.number))

    def gone(self, code: int | None, why: str, now: float) -> tuple[Ending, bool]:
        """Its process has ended. How, and whether it had loaded its network."""
        loaded = self.ready or (self.phase is Phase.ENDING and self._was_ready)
        ending = self._ending or death(code, why, loaded)
        self.phase = Phase.ASLEEP
        self._failures = 0 if loaded else self._failures + 1
        if ending is not IDLE:
            self._rests_until = now + min(PAUSE * 2 ** max(self._failures - 1, 0), LONGEST_PAUSE)
        # The next one would most likely end in the same way as one that could not load; it is tried when somebody asks.
        self.wanted = self.wanted and (loaded or self.may_load)
        return ending, loaded

    @property
    def may_load(self) -> bool:
        """Whether it is worth another try after those that ended before they had loaded."""
        return self._failures <= self._limits.retries

    # what it does

    def sketch(self, client: Connection, message: Message, size: int) -> None:
        """Make a sketch for a client, with so many bytes of pictures."""
        self.sketches[message.header["job"]] = (client, size)
        self._order(message)

    def take(self, job: Job, now: float) -> None:
        """Compute a job. Its `work` stays with it until the process says that it has it; where it may be begun again, until it ends."""
        self.job, self.began, self.ends = job, now, None
        self.told, self._sliders, self._taking, self._has = set(), {}, True, False
        self._order(job.work)

    def steer(self, message: Message) -> None:
        """Tell its job `adjust`, `finish` or `cancel`.

        Of these at most one adjust and one of each other are under way, so that none is ever dropped for want of room: sliders wait, and
        become one word, until the process has taken the last.
        """
        if message.type == "adjust":
            self._sliders.update(message.header["sliders"])
            self._aim()
        elif message.type not in self.told:
            self.told.add(message.type)
            self._order(message)

    def _aim(self) -> None:
        if self.job and self._sliders and not self._taking:
            sliders, self._sliders, self._taking = self._sliders, {}, True
            if self.job.work:
                self.job.adjust(sliders)
            self._order(Message("adjust", {"job": self.job.id, "owner": self.job.owner, "sliders": sliders}))

    def _order(self, message: Message) -> None:
        if self.ready:  # and not just being ended
            self._emit(Order(self.number, message))

    def taken(self, id: str) -> None:
        """The process has the job, or the last sliders."""
        if self.job and self.job.id == id:
            self._has, self._taking = True, False
            if not self._limits.retries:
                self.job.work = None
            self._aim()

    def left(self, length: Callable[[str], float | None], now: float) -> float | None:
        """Seconds until it is free, None where nobody knows. `length` tells what a job of a kind takes, for one that has not said so."""
        if self.job is None:
            return 0.0
        if self.ends is not None:
            return self.ends - now
        whole = length(self.job.kind)
        return None if whole is None else self.began + whole - now

    def give_back(self) -> Job | None:
        """Its job, which it has no more; `work` is there if it may be handed on, with the sliders moved meanwhile."""
        job, self.job = self.job, None
        if job and self._has and self._ending:  # the process was ended for what the job did
            job.work = None
        if job and job.work:
            job.adjust(self._sliders)
        return job


class Workers:
    """All workers, `count` of them. What they want done goes to `emit`."""

    def __init__(self, count: int, limits: Limits, emit: Callable[[Effect], None]) -> None:
        self.all = [Worker(number, limits, emit) for number in range(count)]

    def wake(self, count: int, now: float) -> None:
        """See that up to `count` of the workers without a process get one."""
        for worker in [worker for worker in self.all if not worker.wanted][:count]:
            worker.wake(now)

    def watch(self, memory: Mapping[int, int], now: float) -> None:
        """A look at each, see `Worker.watch`."""
        for worker in self.all:
            worker.watch(memory.get(worker.number), now)

    def free(self) -> list[Worker]:
        """Workers that can take a job."""
        return [worker for worker in self.all if worker.ready and worker.job is None]

    def on(self, job: Job) -> Worker | None:
        """The worker that computes a job."""
        return next((worker for worker in self.all if worker.job is job), None)

    @property
    def sketches(self) -> dict[str, tuple[Connection, int]]:
        """Those of all workers: who asked for which, and the bytes of its pictures."""
        return {id: asked for worker in self.all for id, asked in worker.sketches.items()}

    def for_sketch(self) -> Worker | None:
        """The worker that would make a sketch soonest; None if none is ready."""
        return min((w for w in self.all if w.ready), key=lambda w: (w.job is not None, len(w.sketches)), default=None)
