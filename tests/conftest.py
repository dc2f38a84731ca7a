from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from skimage import data
from skimage.transform import resize

import blend_daemon.engine  # noqa: F401 - before torch, whose threads it tells how to wait

DAEMON = [sys.executable, "-m", "blend_daemon.cli"]


def photo(name: str, height: int, width: int) -> np.ndarray:
    """A photograph of scikit-image's as (height, width, 3) uint8."""
    return np.rint(resize(getattr(data, name)(), (height, width), anti_aliasing=True) * 255).astype(np.uint8)


@pytest.fixture(scope="session")
def cat() -> np.ndarray:
    return photo("chelsea", 64, 80)


@pytest.fixture(scope="session")
def coffee() -> np.ndarray:
    return photo("coffee", 96, 128)


@pytest.fixture(scope="session")
def disc() -> np.ndarray:
    """A mask for the cat, (64, 80) uint8."""
    y, x = np.mgrid[:64, :80]
    return (((y - 32) ** 2 + (x - 40) ** 2 < 24**2) * 255).astype(np.uint8)


class Daemon:
    """A real daemon process in folders of its own."""

    def __init__(self) -> None:
        # Short, because the address of a Unix socket may have no more than about a hundred characters.
        self.folder = Path(tempfile.mkdtemp(prefix="dib-"))
        self.environment = {
            **os.environ,
            "BLEND_DAEMON_RUNTIME_DIR": str(self.folder / "run"),
            "BLEND_DAEMON_STATE_DIR": str(self.folder / "state"),
        }
        self.address = f"ipc://{self.folder}/run/socket"
        self.process: subprocess.Popen | None = None

    def start(self, *words: str) -> None:
        self.process = subprocess.Popen([*DAEMON, "serve", *words], env=self.environment)
        deadline = time.monotonic() + 60
        while not (self.folder / "run/socket").exists():
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)

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


@pytest.fixture
def fresh_daemon():
    """Folders for a daemon that the test starts itself."""
    daemon = Daemon()
    yield daemon
    daemon.remove()


@pytest.fixture(scope="module")
def daemon():
    """A running daemon that the module's tests share."""
    daemon = Daemon()
    daemon.start()
    yield daemon
    daemon.remove()


@pytest.fixture(scope="module")
def listening():
    """A running daemon that also listens on TCP, at `listening.tcp`."""
    daemon = Daemon()
    daemon.start("--listen", "tcp://127.0.0.1:0")
    daemon.tcp = json.loads(daemon.command("status", "--json").stdout)["listen"]
    yield daemon
    daemon.remove()
