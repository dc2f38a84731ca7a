"""Any sequence of events, and what is promised of each: hypothesis draws what happens, `world` checks it. Needs neither torch nor a socket.

`test_promises.py` runs some hundred sequences, `benchmarks/broker.py` as many as one likes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from world import GRACE, WORKERS, World

from blend_daemon.service import archive
from blend_daemon.service.events import Connection, Refused
from blend_daemon.service.jobs import ENDED
from blend_protocol.errors import BlendError

GB = 1024**3
OWNERS = ("a" * 32, "b" * 32)
IDS = [f"{number:032x}" for number in range(12)]  # few, so that jobs, repeats, sketches and strangers meet
CLIENTS = range(4)
WORKER = range(WORKERS)
SIZES = [1, 1, 1, 3 * GB]  # of pictures; two of the large do not fit into the queue
KEPT = [1000, 1000, GB, 3 * GB]  # of results
CODES = [-9, -35, 1, None]  # 35 is a signal without a name; None: it cannot be started
RETRIES = [0, 0, 2]
EITHER = [False, True]


class Rule(NamedTuple):
    """Something that happens.

    Attributes
    ----------
    act : does it
    values : what each of its arguments may be
    may : whether it can happen to a machine as that is
    """

    act: Callable[..., None]
    values: Mapping[str, Sequence[Any]]
    may: Callable[[Any], bool]


RULES: list[Rule] = []  # of `Promises`, also for who draws without hypothesis


def happens(may: Callable[[Any], bool] = lambda _: True, **values: Sequence[Any]) -> Callable:
    """Enter a method into the rules, hypothesis's and ours."""

    def enter(act: Callable[..., None]) -> Callable[..., None]:
        RULES.append(Rule(act, values, may))
        return precondition(may)(rule(**{name: st.sampled_from(each) for name, each in values.items()})(act))

    return enter


class Promises(RuleBasedStateMachine):
    """Clients of two owners, two workers, and one daemon."""

    @initialize(retries=st.sampled_from(RETRIES))
    def begin(self, retries: int) -> None:
        self.world = World(retries)
        self.names = 0
        for number in range(4):
            self.connect(number, remote=number == 3)

    def client(self, number: int) -> Connection:
        return self.world.here[number % len(self.world.here)]

    # clients

    @happens(lambda self: len(self.world.here) < 4, number=CLIENTS, remote=EITHER)
    def connect(self, number: int, remote: bool) -> None:
        self.names += 1
        client = Connection(remote, str(self.names).encode())
        self.world.owner[client] = OWNERS[number % 2]
        self.world.here.append(client)

    @happens(lambda self: len(self.world.here) > 1, number=CLIENTS)
    def vanish(self, number: int) -> None:
        self.world.here.remove(self.client(number))

    @happens(number=CLIENTS, job=IDS, size=SIZES, keep=EITHER)
    def submit(self, number: int, job: str, size: int, keep: bool) -> None:
        self.world.say(self.client(number), "submit", job, size, keep=keep)

    @happens(number=CLIENTS, first=range(10))
    def submit_many(self, number: int, first: int) -> None:
        for job in range(100 + first, 110 + first):
            self.world.say(self.client(number), "submit", f"{job:032x}", 1)

    @happens(number=CLIENTS, job=IDS, size=SIZES)
    def sketch(self, number: int, job: str, size: int) -> None:
        self.world.say(self.client(number), "sketch", job, size)

    @happens(number=CLIENTS, job=IDS, type=["cancel", "finish", "fetch", "release"])
    def word(self, number: int, job: str, type: str) -> None:
        self.world.say(self.client(number), type, job)

    @happens(number=CLIENTS, job=IDS, name=["style", "colour"], value=range(101))
    def adjust(self, number: int, job: str, name: str, value: int) -> None:
        self.world.say(self.client(number), "adjust", job, sliders={name: value})

    @happens(number=CLIENTS, type=["hello", "status", "results", "models"])
    def ask(self, number: int, type: str) -> None:
        self.world.say(self.client(number), type)

    @happens(number=CLIENTS)
    def garbage(self, number: int) -> None:
        self.world.happen(Refused(self.client(number), BlendError("message-invalid", "It is none.", "")))

    @happens(worker=WORKER, type=["cancel", "finish", "adjust", "adjust", "submit"], value=range(101))
    def meet(self, worker: int, type: str, value: int) -> None:
        """The owner of a worker's job says something about it, perhaps from another connection than before."""
        job = self.world.broker.workers.all[worker].job
        mine = [client for client in self.world.here if job and self.world.owner[client] == job.owner]
        if mine:
            more = {"adjust": {"sliders": {"style": value}}, "submit": {"size": 1}}.get(type, {})
            self.world.say(mine[value % len(mine)], type, job.id, **more)

    # workers

    def process(self, worker: int):
        return self.world.processes.get(worker)

    @happens(worker=WORKER)
    def load(self, worker: int) -> None:
        if (process := self.process(worker)) and not process.loaded:
            self.world.load(worker)

    @happens(worker=WORKER)
    def read_order(self, worker: int) -> None:
        if (process := self.process(worker)) and process.orders:
            self.world.read_order(worker)

    @happens(worker=WORKER, outcome=["progress", "result", "result", "failed"])
    def compute(self, worker: int, outcome: str) -> None:
        if (process := self.process(worker)) and process.job:
            self.world.compute(worker, outcome)

    @happens(worker=WORKER)
    def work(self, worker: int) -> None:
        """A worker does all that it was told to."""
        if (process := self.process(worker)) and not process.loaded:
            self.world.load(worker)
        while (process := self.process(worker)) and process.orders:
            self.world.read_order(worker)
        if process and process.job:
            self.world.compute(worker, "result")

    @happens(worker=WORKER, code=CODES)
    def die(self, worker: int, code: int | None) -> None:
        if process := self.process(worker):
            self.world.die(worker, 1 if code is None and process.loaded else code)

    # disk, clock, system

    @happens(lambda self: self.world.writes, works=EITHER, size=KEPT)
    def finish_write(self, works: bool, size: int) -> None:
        self.world.finish_write(works and not self.world.disk_is_full, size)

    @happens(lambda self: self.world.reads)
    def finish_read(self) -> None:
        self.world.finish_read()

    @happens(full=EITHER)
    def fill_disk(self, full: bool) -> None:
        self.world.disk_is_full = full

    @happens(lambda self: self.world.results, which=range(4))
    def mislay(self, which: int) -> None:
        """Somebody removes a result's file."""
        key = sorted(self.world.results)[which % len(self.world.results)]
        del self.world.results[key]
        self.world.mislaid.add(key)

    @happens(count=[1, 1, 2, 8], memory=[1, 1, 1, 101])
    def tick(self, count: int, memory: int) -> None:
        for _ in range(count):
            self.world.tick(memory)

    @happens()
    def wait_a_week(self) -> None:
        self.world.now += archive.AGE_LIMIT + 1

    @happens()
    def crash(self) -> None:
        self.world.crash()

    @happens(lambda self: self.world.stopped is None, how=["signal", "client", "upgrade"], worker=WORKER)
    def stop(self, how: str, worker: int) -> None:
        """The daemon ends, with all that it can still say, and another starts."""
        if how == "upgrade":
            if (process := self.process(worker)) is None or process.loaded:
                return
            broker = self.world.broker
            self.world.load(worker, "99.0")
            assert broker.outdated
        elif how == "client":
            if (client := self.client(worker)).remote:
                self.world.say(client, "shutdown")
                assert self.world.stopped is None
                return
            self.world.stopped = self.world.now
            self.world.say(client, "shutdown")
        else:
            self.world.stop()

    def teardown(self) -> None:
        """Who has gone is given up; then everything goes well, and every job ends."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.disk_is_full = False
        for _ in range(2):  # twice as long as anybody may be away; no job ends by itself meanwhile
            for _ in range(3):
                world.tick()
                self._obey()
            world.now += GRACE
        left = [job for job in world.accepted if job not in world.ends and job not in {write.job for write in world.writes}]
        assert all(job.keep or job.client in world.here for job in left), "a job is computed for nobody"
        for _ in range(2000):
            if all(job in world.ends for job in world.accepted):
                break
            self._obey()
            for worker in list(world.processes):
                if world.processes[worker].job:
                    world.compute(worker, "result")
            while world.writes:
                world.finish_write(True, 1)
            world.tick()
        else:
            raise AssertionError(f"jobs that never end: {[job for job in world.accepted if job not in world.ends]}")
        self._obey()
        assert not world.sketches
        assert all(job.state in ENDED for job in world.ends)

    def _obey(self) -> None:
        """All workers load, read their orders, and end where they are told to."""
        world = self.world
        while world.reads:
            world.finish_read()
        for worker, process in list(world.processes.items()):
            if process.killed:
                world.die(worker, -9)
            elif not process.loaded:
                world.load(worker)
            while worker in world.processes and world.processes[worker].orders:
                world.read_order(worker)
