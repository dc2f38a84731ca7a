"""A real daemon process, and a client's usual steps with it, for tests and benchmarks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import blend_daemon
import blend_protocol
from blend_protocol.client import Message, Raster

DAEMON = [sys.executable, "-m", "blend_daemon.cli"]


def changed(code: str) -> list[str]:
    """The words for `DAEMON` that run it after some code."""
    return [sys.executable, "-c", f"import sys; {code}; from blend_daemon.cli import main; sys.exit(main())"]


class Daemon:
    """A real daemon process in folders of its own."""

    def __init__(self) -> None:
        # Short, because the address of a Unix socket may have no more than about a hundred characters.
        self.folder = Path(tempfile.mkdtemp(prefix="dib-"))
        self.environment = {
            **os.environ,
            "BLEND_DAEMON_RUNTIME_DIR": str(self.folder / "run"),
            "BLEND_DAEMON_STATE_DIR": str(self.folder / "state"),
            "BLEND_DAEMON_MODELS_DIR": str(self.folder / "models"),
        }
        self.address = f"ipc://{self.folder}/run/socket"
        self.process: subprocess.Popen | None = None
        self.within: list[str] = []  # the command that puts it somewhere, before its own

    def start(self, *options: str) -> None:
        # A session of its own, so that the whole group can be killed.
        self.process = subprocess.Popen([*self.within, *DAEMON, "serve", *options], env=self.environment, start_new_session=True)
        deadline = time.monotonic() + 60
        while not (self.folder / "run/socket").exists():
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def run_copy(self, folder: Path) -> None:
        """Have it run a copy of the package in a folder, which `upgrade` can change."""
        self._copy = folder
        for package in (blend_daemon, blend_protocol):
            shutil.copytree(Path(package.__file__).parent, folder / package.__name__)
        self.environment["PYTHONPATH"] = str(folder)
        self.environment["PYTHONSAFEPATH"] = "1"  # not the present folder's

    def upgrade(self, version: str) -> None:
        """Install another version of the copy that it runs."""
        init = self._copy / "blend_protocol/__init__.py"
        init.write_text(init.read_text().replace(blend_protocol.__version__, version))

    def meddle(self, code: str) -> None:
        """Have its processes run some code before anything else."""
        (self.folder / "sitecustomize.py").write_text(code)
        self.environment["PYTHONPATH"] = os.pathsep.join([str(self.folder), str(Path(blend_daemon.__file__).parents[1])])

    def command(self, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run([*DAEMON, *words], env=self.environment, capture_output=True, text=True, timeout=120)

    def log(self) -> str:
        return (self.folder / "state/daemon.log").read_text()

    def remove(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
        else:
            self.command("stop")
        shutil.rmtree(self.folder, ignore_errors=True)


class Client(blend_protocol.client.Client):
    """A client to which messages can be given back."""

    def __init__(self, *args, **more) -> None:
        self._left: list[Message] = []
        super().__init__(*args, **more)

    def leave(self, messages: Sequence[Message]) -> None:
        """Leave messages, which `pump` has just told, for the next `pump`."""
        self._left = [*messages]

    def wait(self, timeout: float) -> None:
        if not self._left:
            super().wait(timeout)

    def pump(self) -> list[Message]:
        left, self._left = self._left, []
        return left or super().pump()


def raster(array) -> Raster:
    array = np.ascontiguousarray(array)
    return Raster(array.dtype.name, array.shape, array.tobytes())


def array(raster: Raster):
    return np.frombuffer(raster.data, raster.dtype).reshape(raster.shape)


def eventually(truth, limit: float = 60):
    """The first true value of `truth()`."""
    deadline = time.monotonic() + limit
    while not (value := truth()):
        assert time.monotonic() < deadline, f"still {value}"
        time.sleep(0.02)
    return value


def until(client: Client, job: str | None, *types: str, limit: float = 60):
    """The first message of that job, None: of none, of one of these types. What came before it is dropped, what came with it stays.

    A job that failed instead is told at once.
    """
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        client.wait(0.1)
        messages = client.pump()
        for number, message in enumerate(messages, 1):
            if message.header.get("job") == job and message.type in types:
                client.leave(messages[number:])
                return message
            if job is not None and message.header.get("job") == job and message.type == "failed":
                raise AssertionError(f"instead of {types}: {message.header}")
    raise AssertionError(f"no {types} for {job}")


def goes_on(client: Client, job: str) -> None:
    """The job computes, and has not been ended by any word that the daemon had before this."""
    client.status()
    client.pump()  # what arrived before
    for _ in range(3):  # one may be on its way, and one more may come before the worker has heard
        until(client, job, "progress")


def wait_for(client: Client, what, limit: float = 60):
    """The first status of which `what` is true."""
    deadline = time.monotonic() + limit
    while not ((status := client.status(limit)) and what(status)):
        assert time.monotonic() < deadline, status
        time.sleep(0.05)
    return status


def loaded(status) -> bool:
    """Whether all workers have their network."""
    return all(worker["state"] in ("ready", "computing") for worker in status["workers"])


def cancelled(status) -> int:
    """How many jobs have been cancelled or given up."""
    return status["ends"].get("cancelled", 0)


def idle(client: Client, limit: float = 20):
    """The first status in which nothing runs or waits."""
    return wait_for(client, lambda status: not (status["running"] or status["waiting"]), limit)


def gone(pid: int, limit: float = 10) -> bool:
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def kept(client: Client, limit: float = 60) -> list[dict]:
    """The list of results."""
    client.ask_results()
    return until(client, None, "results", limit=limit).header["results"]


def too_large(client: Client) -> str:
    """A job of which a worker with 1000 MB dies."""
    picture = raster(np.random.default_rng(0).integers(0, 256, (1600, 1600, 3), np.uint8))
    mask = np.zeros((1600, 1600, 1), np.uint8)
    mask[50:-50, 50:-50] = 255
    return client.submit(picture, picture, raster(mask), (0, 0), {"preset": "paper", "working_size": 1600})
