"""One daemon that faults are done to, and a record of every result that it has announced: none may be lost, whatever happens."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from daemons import Client, Daemon, gone, idle, kept, raster, until
from skimage import data

from blend_protocol.client import Message

ME, OTHER = "a" * 32, "b" * 32
QUICK = {"iterations": 4}
LONG = {"preset": "paper"}  # two thousand evaluations: as long as a fault needs it to be
SOURCE = np.ascontiguousarray(data.chelsea()[100:180:5, 100:200:5])
TARGET = np.ascontiguousarray(data.coffee()[100:292:6, 100:340:6])
MASK = np.full((16, 20, 1), 255, np.uint8)


@dataclass(frozen=True)
class Fault:
    """A way to break things, and what is promised then.

    Attributes
    ----------
    name : unique, for people
    promise : the behaviour that `run` asserts
    run : does it to a scene whose daemon runs, and leaves it running or not
    quick : whether it is part of the normal tests
    root : whether it can be done by root alone
    """

    name: str
    promise: str
    run: Callable[[Scene], None]
    quick: bool
    root: bool


FAULTS: list[Fault] = []


def fault(
    name: str = "", promise: str = "", quick: bool = True, root: bool = False
) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
    """Enter a function into the table; its name and its docstring are the fault's name and promise."""

    def enter(run: Callable[[Scene], None]) -> Callable[[Scene], None]:
        FAULTS.append(Fault(name or run.__name__.replace("_", " "), promise or run.__doc__ or "", run, quick, root))
        return run

    return enter


@dataclass
class Scene:
    """A daemon, and what it has announced and not been told to release: the digest of each result by its job."""

    daemon: Daemon = field(default_factory=Daemon)
    announced: dict[str, str] = field(default_factory=dict)
    scale: int = 1  # how many connections and messages, as a multiple of what the quick tests make

    @property
    def results(self) -> Path:
        return self.daemon.folder / "state/results"

    def up(self) -> None:
        """Start the daemon if it does not run."""
        if self.daemon.process is None or self.daemon.process.poll() is not None:
            self.daemon.start()

    def again(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the daemon, and start it anew."""
        self.daemon.process.send_signal(how)
        self.daemon.process.wait(20)
        self.daemon.start()

    def client(self, key: str = ME) -> Client:
        return Client(self.daemon.address, key)

    def send(self, client: Client, parameters=QUICK, **more) -> str:
        return client.submit(raster(SOURCE), raster(TARGET), raster(MASK), (8, 8), parameters, **more)

    def announcement(self, client: Client, job: str, limit: float = 60) -> Message:
        """Wait for a job's result and record it."""
        result = until(client, job, "result", limit=limit)
        self.announce(result)
        return result

    def announce(self, result: Message) -> None:
        """Record a result. It must be kept, unless it says that it could not be."""
        assert result.type == "result", result.header
        if not could_not_be_kept(result):
            self.announced[result.header["job"]] = digest(result)

    def blended(self, client: Client, **more) -> str:
        """A job that has been announced."""
        job = self.send(client, **more)
        self.announcement(client, job)
        return job

    def worker(self, client: Client) -> int:
        """Process id of a worker that has loaded its network."""
        deadline = time.monotonic() + 60
        while (status := client.status(20))["device"] == "loading" or not status["worker"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return status["worker"]

    def part(self, job: str) -> Path:
        """The file that the daemon writes while it keeps a result."""
        return self.results / f"{hashlib.sha256(ME.encode()).hexdigest()[:16]}-{job}.dib.part"

    def check(self) -> None:
        """Nothing is lost: every result announced is listed and comes back byte for byte. Then some are released, as users do."""
        self.up()
        with self.client() as client:
            idle(client)
            listed = {entry["job"] for entry in kept(client) if "box" in entry}
            assert set(self.announced) <= listed, "an announced result is not offered any more"
            for job in self.announced:
                client.fetch(job)
                answer = until(client, job, "result", "failed", limit=20)
                assert answer.type == "result", f"an announced result does not come back: {answer.header}"
                assert digest(answer) == self.announced[job], "an announced result has changed"
            for job in list(self.announced)[:-3]:
                client.release(job)
                del self.announced[job]
            for entry in kept(client):
                if entry["job"] not in self.announced:
                    client.release(entry["job"])
        left = [path.name for path in self.results.iterdir() if path.suffix == ".part"]
        assert not left, f"unfinished files are left: {left}"


@contextmanager
def scene_of_its_own() -> Iterator[Scene]:
    """For faults that need a daemon in another environment."""
    own = Scene()
    try:
        yield own
    finally:
        own.daemon.remove()


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own over an empty folder. For root."""
    folder.mkdir(mode=0o700, parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def kill_group(daemon: Daemon) -> None:
    """kill -9 of the broker and all its workers at one moment. Each worker is a group of its own."""
    workers = psutil.Process(daemon.process.pid).children()
    for process in (daemon.process, *workers):
        process.kill()
    daemon.process.wait(20)
    assert all(gone(worker.pid) for worker in workers)


def kill_broker(daemon: Daemon) -> None:
    """kill -9 of the broker alone; its workers must then end by themselves."""
    children = [child.pid for child in psutil.Process(daemon.process.pid).children()]
    daemon.process.kill()
    daemon.process.wait(20)
    assert all(gone(child) for child in children), "a worker outlived its broker"


def kill_client(address: str, words: str) -> None:
    """Run a client in a process of its own, which kills itself with SIGKILL at the end of `words`."""
    code = f"import os, signal\nfrom scene import *\nscene = Scene(Elsewhere({address!r}))\n{words}\nos.kill(os.getpid(), signal.SIGKILL)"
    code = code.replace("Elsewhere", "type('Elsewhere', (), {'__init__': lambda self, address: setattr(self, 'address', address)})")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([os.sys.executable, "-c", code], env=environment, timeout=60)
    assert done.returncode == -signal.SIGKILL


def digest(result: Message) -> str:
    """Of all that a result says and shows."""
    header = repr(sorted(result.header.items())).encode()
    return hashlib.sha256(header + bytes(result.rasters["layer"].data)).hexdigest()


def could_not_be_kept(result: Message) -> bool:
    return any("could not keep" in note for note in result.header["report"]["notes"])


def new_id() -> str:
    return uuid.uuid4().hex
