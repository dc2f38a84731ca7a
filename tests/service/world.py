"""All that is around a broker, made of plain values: clients, workers, a disk and a clock. It does what the broker wants, at once or when
told to, and asserts of each wish that it keeps the promises of docs/reliability.md."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import ClassVar

from blend_daemon.service import archive, events
from blend_daemon.service.broker import TICK, Broker
from blend_daemon.service.endings import Limits
from blend_daemon.service.events import Connection, Entry
from blend_daemon.service.jobs import ENDED, IN_ALL, PER_OWNER, PICTURES, Job, State
from blend_daemon.service.lifecycle import BEING_WRITTEN
from blend_daemon.service.parking import PARKING
from blend_daemon.service.workers import Phase
from blend_protocol import __version__, messages
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message, Raster

Key = tuple[str, str]  # owner and job
GRACE = 40.0  # s that who is remote may be away
WORKERS = 2
WELCOME = Message("welcome", {"version": __version__, "pid": 1, "log": ""})


@dataclass(eq=False)
class Process:
    """A worker's process. It reads its orders when it is told to."""

    orders: deque[Message] = field(default_factory=deque)
    job: Message | None = None  # what it computes
    sliders: dict[str, float] = field(default_factory=dict)
    loaded: bool = False
    killed: bool = False


class World:
    """One daemon, which can be killed and started anew.

    Attributes
    ----------
    here : the connections that can be reached
    owner : who is at which connection
    accepted : all jobs since the start, and `ends` their last messages
    results, notes : what lies on disk
    seen : how often what happened, over all worlds
    """

    seen: ClassVar[Counter[str]] = Counter()

    def __init__(self, retries: int = 0) -> None:
        self.retries = retries  # 0: the workers are of this machine
        self.now = 1000.0
        self.here: list[Connection] = []
        self.owner: dict[Connection, str] = {}
        self.results: dict[Key, tuple[Message, Entry]] = {}
        self.notes: set[Key] = set()
        self.disk_is_full = False
        self.unnoted: set[Key] = set()  # jobs of which the daemon alone knows, because the disk was full
        self.mislaid: set[Key] = set()  # results whose files somebody removed
        self.released: set[Key] = set()
        self.start()

    def start(self) -> None:
        """A daemon starts on what lies on the disk."""
        cut = [Entry(job, owner, {}, self.now, None, 0, self.now + archive.AGE_LIMIT) for owner, job in self.notes - set(self.results)]
        self.accepted: list[Job] = []
        self.ends: dict[Job, Message] = {}
        self.delivered: Counter[Job] = Counter()
        self.handed_on: Counter[Job] = Counter()
        self.sliders: dict[Job, dict[str, float]] = {}
        self.processes: dict[int, Process] = {}
        self.writes: list[events.Write] = []
        self.reads: list[events.Fetch] = []
        self.sketches: dict[str, Connection] = {}
        self.stopped: float | None = None
        self.exited = False
        self._events: deque[events.Event] = deque()
        self._untold: list[Job] = []  # ends that did not reach whom they were for
        entries = [*(entry for _, entry in self.results.values()), *cut]
        self.unnoted.clear()
        self.mislaid.clear()
        self.broker = Broker(WORKERS, Limits(hang=3, memory=100, idle=3, retries=self.retries), entries, WELCOME, self.now, 0.0, None)
        for effect in self.broker.start():
            self._perform(effect)

    # what happens

    def happen(self, event: events.Event) -> None:
        """Tell the broker, do what it wants, and check everything."""
        self._events.append(event)
        while self._events:
            event = self._events.popleft()
            self.seen[type(event).__name__] += 1
            given_up = {job for job in self.broker.queue.all() if job.given_up}
            for effect in self.broker.step(event, self.now):
                self._perform(effect)
            for job in self.broker.queue.all():
                assert not job.given_up or job in given_up or job.client not in self.here, "a job is given up though its client is here"
        for job in self._untold:
            key = job.owner, job.id
            assert self.delivered[job] or not job.keep or self.broker.archive.find(*key), "nothing is left of a job whose client had gone"
        self._untold.clear()
        self._check()
        if self.exited:
            self.crash()

    def say(self, client: Connection, type: str, job: str = "", size: int | None = None, **fields: object) -> None:
        """A client says something about a job of its owner's; with pictures of that size."""
        header = {"job": job, "owner": self.owner[client], **fields}
        rasters = {} if size is None else {"source": Raster("uint8", (8, 8, 3), range(size))}  # as long as pixels, and no memory
        if type in ("submit", "sketch"):
            header |= {"offset": [0, 0], "parameters": {}}
        if type == "release":
            self.released.add((self.owner[client], job))
        found = self.broker.queue.find(self.owner[client], job)
        if type == "adjust" and found and found.state not in ENDED:
            self.sliders.setdefault(found, {}).update(fields["sliders"])
        self.happen(events.Heard(client, Message(type, header, rasters)))

    def read_order(self, worker: int) -> None:
        """A process reads the next of its orders, and does it."""
        process = self.processes[worker]
        order = process.orders.popleft()
        job = {"job": order.header["job"]}
        mine = process.job is not None and process.job.header["job"] == order.header["job"]
        if order.type == "submit":
            process.job, process.sliders = order, dict(order.header["parameters"])
            self.happen(events.Said(worker, Message("accepted", job)))
        elif order.type == "sketch":
            self.happen(events.Said(worker, Message("sketched", {**job, "box": [0, 0, 8, 8]})))
        elif order.type == "adjust" and mine:
            process.sliders |= order.header["sliders"]
            self.happen(events.Said(worker, Message("accepted", job)))
        elif order.type in ("finish", "cancel") and mine:
            self.compute(worker, "result" if order.type == "finish" else "cancelled")

    def compute(self, worker: int, outcome: str) -> None:
        """A process says something of its job: "progress", or its last word."""
        process = self.processes[worker]
        header = {"job": process.job.header["job"]}
        if outcome == "progress":
            header |= {"stage": "", "evaluation": 1, "evaluations": 2, "loss": 0.0, "losses": {}, "seconds_left": 3.0}
        else:
            owner, process.job = process.job.header["owner"], None
            header |= {"result": {"box": [0, 0, 8, 8], "report": {"owner": owner}}, "failed": {"code": "x", "message": "", "hint": ""}}.get(
                outcome, {}
            )
        self.happen(events.Said(worker, Message(outcome, header)))

    def load(self, worker: int, version: str = __version__) -> None:
        """A process has loaded its network."""
        self.processes[worker].loaded = True
        if version != __version__:
            self.stopped = self.stopped or self.now
        self.happen(events.Said(worker, Message("welcome", {"version": version, "pid": 2, "log": "", "device": "cpu"})))

    def die(self, worker: int, code: int | None) -> None:
        """A process ends, or could not be started. A job that it never read goes to the next, once; in a fleet also one
        that it had, some times; any other fails."""
        process, known = self.processes.pop(worker), self.broker.workers.all[worker]
        job, told = known.job, set(known.told)
        unread = any(order.type == "submit" for order in process.orders)
        may = unread or (self.retries and not process.killed)
        moves = job is not None and self.handed_on[job] < max(self.retries, 1) and self.stopped is None and may
        self.happen(events.Gone(worker, code, "no such file"))
        if job and moves:
            assert (job.state is State.CANCELLED) if told else (job.state not in ENDED), "a job was not handed on"
            self.handed_on[job] += 1
            self.seen["handed on"] += 1
        elif job:
            assert job.state is State.FAILED

    def finish_write(self, works: bool, size: int) -> None:
        """The oldest result on its way to the disk is there, or cannot be written."""
        write = self.writes.pop(0)
        key = (write.job.owner, write.job.id)
        if not works:
            self.happen(events.Written(write.job, write.result, None, "No space left"))
            return
        entry = Entry(write.job.id, write.job.owner, write.job.label, self.now, [0, 0, 8, 8], size, self.now + archive.AGE_LIMIT)
        self.results[key] = write.result, entry
        self.notes.discard(key)
        self.mislaid.discard(key)
        self.released.discard(key)
        self.happen(events.Written(write.job, write.result, entry))

    def finish_read(self) -> None:
        """The oldest read of a result is done."""
        fetch = self.reads.pop(0)
        found = self.results.get((fetch.entry.owner, fetch.entry.job))
        outcome = found[0] if found else BlendError("result-unknown", "", "")
        self.happen(events.Read(fetch, outcome, missing=found is None))

    def tick(self, memory: int = 1) -> None:
        """Half a second passes."""
        self.now += TICK
        self.happen(events.Tick(dict.fromkeys(self.processes, memory)))

    def stop(self) -> None:
        """SIGTERM."""
        self.stopped = self.stopped or self.now
        self.happen(events.Stop())

    def crash(self) -> None:
        """kill -9, and a new daemon: it lists whatever was accepted and had no end, and offers every result that was announced."""
        unfinished = {(job.owner, job.id) for job in self.accepted if job not in self.ends} - self.released
        self.start()
        for owner, job in unfinished & self.notes:
            assert self.broker.archive.find(owner, job), "a job that was cut off is not listed"
        self._check()

    # what is wanted

    def _perform(self, effect: events.Effect) -> None:
        self.seen[f"> {type(effect).__name__}"] += 1
        match effect:
            case events.Tell(client, message, job):
                self._tell(client, message, job)
            case events.Spawn(worker):
                assert worker not in self.processes, "a worker has two processes"
                self.processes[worker] = Process()
            case events.End(worker):
                self.processes[worker].killed = True
            case events.Order(worker, message):
                process = self.processes[worker]
                assert process.loaded
                assert not process.killed, "a process that ends is given work"
                process.orders.append(message)
                unread = Counter((order.type, order.header["job"]) for order in process.orders if order.type != "sketch")
                assert max(unread.values(), default=0) <= 1, "words that may be dropped for want of room"
                if message.type == "submit":
                    assert process.job is None, "a worker computes two jobs"
                elif message.type == "sketch":
                    self.sketches[message.header["job"]] = self.broker.workers.all[worker].sketches[message.header["job"]][0]
            case events.Note(job):
                self.accepted.append(job)
                self.released.discard((job.owner, job.id))
                (self.unnoted if self.disk_is_full else self.notes).add((job.owner, job.id))
            case events.Write():
                self.writes.append(effect)
            case events.Fetch():
                self.reads.append(effect)
            case events.Remove(owner, job):
                self._may_go((owner, job))
                self.results.pop((owner, job), None)
                self.notes.discard((owner, job))
                self.unnoted.discard((owner, job))
                self.mislaid.discard((owner, job))
            case events.RemoveNote(owner, job):
                self.notes.discard((owner, job))
                self.unnoted.discard((owner, job))
            case events.Exit():
                assert not self.exited
                assert all(job in self.ends for job in self.accepted), "a daemon exits over an unfinished job"
                self.exited = True

    def _tell(self, client: Connection, message: Message, job: Job | None) -> None:
        owner = self.owner[client]
        assert job is None or job.owner == owner, "another hears of a job"
        if message.type == "result":
            assert message.header["report"]["owner"] == owner, "another is given a result"
        elif message.type == "results":
            known = {job for keeper, job in {*self.results, *self.notes, *self.unnoted, *self.mislaid} if keeper == owner}
            assert {entry["job"] for entry in message.header["results"]} <= known
        elif message.type == "sketched":
            assert self.sketches.pop(message.header["job"]) == client, "another is given a sketch"
        elif message.type == "failed" and message.header["code"].startswith(("worker-", "memory-")):  # the one who was to make it has gone
            self.sketches.pop(message.header.get("job", ""), None)
        reached = client in self.here
        if job and message.type in messages.LAST:
            assert self.ends.setdefault(job, message) is message, "a job ends twice"
            self.seen[f"ends: {message.type}"] += 1
            self.delivered[job] += reached
            if not reached:
                self._untold.append(job)
            assert self.delivered[job] <= 1
            if message.type == "result" and (job.owner, job.id) not in self.results:
                notes = message.header["report"].get("notes", [""])
                assert "could not keep" in notes[-1], "a result is announced before it is on disk"
        if job:
            self._events.append(events.Told(job, client, message, reached, GRACE if client.remote else 0.0))

    def _may_go(self, key: Key) -> None:
        """Only what was released, is too old, or is too much."""
        if key in self.results and key not in self.released:
            entry = self.results[key][1]
            total = sum(entry.bytes for _, entry in self.results.values())
            assert entry.expires < self.now or total > archive.SIZE_LIMIT, "a result is lost"

    # what holds at any moment

    def _check(self) -> None:
        broker = self.broker
        queue, workers, kept = broker.queue, broker.workers, broker.archive
        waiting, running, writing = queue.waiting(), queue.running, kept.writing
        assert len({*waiting, *running}) == len(waiting) + len(running)
        assert {job for job in self.accepted if job not in self.ends} == {*waiting, *running}, "a job is lost"
        at_work = [worker.job for worker in workers.all if worker.job]
        assert len(at_work) == len(set(at_work))
        assert {*at_work, *writing} == set(running)
        assert not {*at_work} & writing
        assert writing == {write.job for write in self.writes}
        # limits
        assert len(waiting) <= IN_ALL + WORKERS  # those handed on were accepted before
        assert max(Counter(job.owner for job in waiting).values(), default=0) <= PER_OWNER + WORKERS
        assert len(writing) < BEING_WRITTEN + WORKERS
        assert kept.reading == Counter(fetch.client for fetch in self.reads)
        assert max(kept.reading.values(), default=0) <= archive.READING
        assert len(workers.sketches) <= IN_ALL
        assert len(waiting) < 2 or sum(job.size for job in waiting[1:]) <= PICTURES
        # nothing that was announced is lost, and nobody is offered what is not there
        listed = {(entry.owner, entry.job) for owner in set(self.owner.values()) for entry in kept.of(owner) if entry.box is not None}
        assert set(self.results) <= listed <= {*self.results, *self.mislaid}
        # sketches are made somewhere
        assert set(workers.sketches) == set(self.sketches)
        self._check_workers(waiting)

    def _check_workers(self, waiting: list[Job]) -> None:
        broker = self.broker
        for worker in broker.workers.all:
            process = self.processes.get(worker.number)
            assert (process is None) == (worker.phase is Phase.ASLEEP)
            if process and not process.killed and process.job and worker.job and not process.orders:
                expected = self.sliders.get(worker.job, {})
                assert process.sliders == expected, "a slider is lost"
        if self.stopped is None and waiting and len(self.writes) < BEING_WRITTEN:
            assert not broker.workers.free(), "a job waits beside a worker that is free"
            assert any(worker.wanted for worker in broker.workers.all), "jobs wait for workers that nobody starts"
        if self.stopped is not None:
            assert not waiting
            assert not broker.queue.running or self.now - self.stopped < PARKING + TICK or self.writes
