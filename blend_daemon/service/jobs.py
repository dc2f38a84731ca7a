"""The queue: which job runs next, and in which state each is. No sockets, no time, no pixels."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from blend_protocol.errors import BlendError

PER_OWNER = 8
IN_ALL = 64
PICTURES = 4 * 1024**3  # bytes of the pictures that wait, beyond which no more are taken in
REMEMBERED = 4  # ended jobs whose last message is kept, so that a repeated submit is answered and not computed again


class State(Enum):
    """A job's life; it ends in exactly one of the last three."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = (State.DONE, State.FAILED, State.CANCELLED)


@dataclass(eq=False)
class Job:
    """A job.

    Attributes
    ----------
    id : the job's name, its owner's choice
    owner : key of the one who may see and touch it
    client : the connection on which its messages go, the last that asked for it
    former : the one that asked before; None if there was none
    work : the message to hand to a worker; None once one has it and it is not to be begun again, or the job has ended
    again : how often it was handed on, because a worker had died
    size : bytes of its pictures
    kind : jobs of one kind take about the same time
    keep : whether it goes on when its client vanishes
    label : what it is called in the list of results
    notes : what its result's report is to say besides
    state : see `State`
    last : its last message, once it has ended; None for a result that the store has
    missed : moment of the monotonic clock at which its client was first found gone, None while it is there
    given_up : whether it has been told to end because its client has gone
    """

    id: str
    owner: str
    client: Any
    work: Any
    former: Any = None
    size: int = 0
    kind: str = ""
    keep: bool = False
    label: Mapping[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    state: State = State.QUEUED
    last: Any = None
    missed: float | None = None
    given_up: bool = False
    again: int = 0

    def asked_by(self, client: Any) -> None:
        """Its messages go to this connection from now on; its owner may have come back on another one."""
        if client != self.client:
            self.client, self.former = client, self.client
        self.missed = None

    def adjust(self, sliders: Mapping[str, float]) -> None:
        """Move sliders of a job that no worker has yet."""
        header = self.work.header
        self.work = replace(self.work, header={**header, "parameters": {**header["parameters"], **sliders}})


class Queue:
    """Jobs of several owners, served one job an owner in turn."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[Job]] = OrderedDict()
        self._ended: deque[Job] = deque(maxlen=REMEMBERED)
        self.running: list[Job] = []

    def find(self, owner: str, id: str) -> Job | None:
        """The owner's job of that id; another owner's is as good as none."""
        candidates = [*self.running, *self._waiting.get(owner, ()), *self._ended]
        return next((job for job in candidates if job.owner == owner and job.id == id), None)

    def holds(self, id: str) -> bool:
        """Whether a job of that id waits or runs, whosever it is."""
        return any(job.id == id for job in [*self.running, *self.waiting()])

    def add(self, job: Job) -> None:
        """Queue a job. Raises BlendError `queue-full`."""
        own = len(self._waiting.get(job.owner, ()))
        if own >= PER_OWNER or len(self) >= IN_ALL:
            raise BlendError("queue-full", "Too many blends are waiting already.", "Wait for one to end, or cancel one.")
        size = sum(other.size for other in self.waiting())
        if size and size + job.size > PICTURES:  # one is always taken in, however large
            message = f"The pictures of the blends that wait already hold {size / 1e9:.1f} GB of memory, and this one's do not fit in."
            raise BlendError("queue-full", message, "Wait for one to end, or cancel one.")
        self._waiting.setdefault(job.owner, deque()).append(job)

    def next(self) -> Job | None:
        """Take the next job to run: the oldest of the owner whose turn it is. None if none waits."""
        if not self._waiting:
            return None
        owner, jobs = next(iter(self._waiting.items()))
        job = jobs.popleft()
        job.state = State.RUNNING
        self.running.append(job)
        # The owner goes to the end of the line, so that a second one need not wait for all of the first one's jobs.
        del self._waiting[owner]
        if jobs:
            self._waiting[owner] = jobs
        return job

    def all(self) -> list[Job]:
        """Those that run, then those that wait."""
        return [*self.running, *self.waiting()]

    def put_back(self, job: Job) -> None:
        """A job that was taken, and could not be run, is the next one again."""
        self.running.remove(job)
        job.state = State.QUEUED
        self._waiting.setdefault(job.owner, deque()).appendleft(job)
        self._waiting.move_to_end(job.owner, last=False)

    def end(self, job: Job, state: State, last: Any) -> None:
        """Record how a job ended and its last message; its work is forgotten."""
        if job in self.running:
            self.running.remove(job)
        elif job.owner in self._waiting:
            jobs = self._waiting[job.owner]
            if job in jobs:
                jobs.remove(job)
            if not jobs:
                del self._waiting[job.owner]
        job.state, job.last, job.work = state, last, None
        self._ended.append(job)

    def forget(self, owner: str, id: str) -> None:
        """Remember an ended job no longer."""
        job = self.find(owner, id)
        if job is not None and job.state in ENDED:
            self._ended.remove(job)

    def waiting(self) -> list[Job]:
        """The waiting jobs in the order in which they will run."""
        lines = [list(jobs) for jobs in self._waiting.values()]
        rounds = max((len(line) for line in lines), default=0)
        return [line[k] for k in range(rounds) for line in lines if k < len(line)]

    def position(self, job: Job) -> int:
        """How many jobs come before this one, the running ones included; 0 if it runs."""
        return 0 if job in self.running else self.waiting().index(job) + len(self.running)

    def __len__(self) -> int:
        return sum(len(jobs) for jobs in self._waiting.values())
