"""What the user sees in a real GIMP when something goes wrong: a message that names it, and the image as it was."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import zmq
from harness import DAEMON

from blend_protocol import framing
from blend_protocol.client import Client
from blend_protocol.framing import Message

HERE = Path(__file__).parent


class Faults:
    """A daemon for GIMP, and what goes wrong with it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.folders = {"BLEND_DAEMON_RUNTIME_DIR": str(folder / "run"), "BLEND_DAEMON_STATE_DIR": str(folder / "state")}
        self._environment = {**os.environ, **environment, **self.folders, "PATH": os.environ["PATH"]}
        self._daemon: subprocess.Popen | None = None
        self.trouble: BaseException | None = None

    def serve_wishes(self, wish: Path) -> None:
        try:
            name = ""
            while name != "end":
                if wish.exists():
                    name = wish.read_text()
                    self._stop()
                    meanwhile = None if name == "end" else getattr(self, name.replace("harmless_", ""))()
                    wish.unlink()
                    if meanwhile:
                        self._when_running(meanwhile)
                time.sleep(0.05)
        except BaseException as error:
            self.trouble = error
            self._stop()

    # each prepares, and returns what is to happen while the job runs

    def broker_killed(self):
        self._start()
        return self._daemon.kill

    def worker_killed(self):
        self._start()
        return lambda: os.kill(self._status()["worker"], signal.SIGKILL)

    def bridge_killed(self):
        self._start()
        return lambda: os.kill(_process(b"bridge", self.folders["BLEND_DAEMON_RUNTIME_DIR"]), signal.SIGKILL)

    def daemon_stopped(self):
        self._start()
        return self._daemon.terminate

    def plug_in_killed(self):
        self._start()

        def kill():
            os.kill(_process(b"deep-image-blending.py", self.folders["BLEND_DAEMON_RUNTIME_DIR"]), signal.SIGKILL)
            deadline = time.monotonic() + 5
            while self._status()["running"]:
                assert time.monotonic() < deadline, "the worker is not free 5 s after the plug-in was killed"
                time.sleep(0.1)

        return kill

    def results_cannot_be_kept(self):
        self._start()
        shutil.rmtree(self.folder / "state/results")
        (self.folder / "state/results").write_text("in the way")

    def socket_gone(self):
        self._start()
        (self.folder / "run/socket").unlink()

    def weights_truncated(self):
        weights = self.folder / "weights"
        weights.mkdir()
        (file,) = Path(self._environment["BLEND_DAEMON_WEIGHTS_DIR"]).glob("*.safetensors")
        (weights / file.name).write_bytes(file.read_bytes()[:100_000])
        self._start(BLEND_DAEMON_WEIGHTS_DIR=str(weights))

    def other_version(self):
        # Stands for a daemon of a release to come.
        socket = zmq.Context.instance().socket(zmq.ROUTER)
        (self.folder / "run").mkdir(mode=0o700, exist_ok=True)
        socket.bind(f"ipc://{self.folder}/run/socket")

        def answer():
            with socket:
                identity, *_ = socket.recv_multipart()
                preamble, *rest = framing.encode(Message("welcome", {"version": "9", "pid": 1, "log": "/log"}))
                socket.send_multipart([identity, preamble[:-1] + b"\x63", *rest])
                time.sleep(2)

        threading.Thread(target=answer, daemon=True).start()

    # what they share

    def _start(self, **environment: str) -> None:
        (self.folder / "run/socket").unlink(missing_ok=True)
        self._daemon = subprocess.Popen([*DAEMON, "serve"], env={**self._environment, **environment})
        deadline = time.monotonic() + 60
        while not (self.folder / "run/socket").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _stop(self) -> None:
        if self._daemon and self._daemon.poll() is None:
            self._daemon.terminate()
            self._daemon.wait(20)
        self._daemon = None
        results = self.folder / "state/results"
        if results.is_file():
            results.unlink()

    def _status(self):
        with Client(f"ipc://{self.folder}/run/socket") as client:
            status = client.status(5)
            assert status is not None
            return status

    def _when_running(self, act) -> None:
        deadline = time.monotonic() + 60
        while not self._status()["running"]:
            assert time.monotonic() < deadline, "no job came"
            time.sleep(0.1)
        time.sleep(0.5)
        act()


def _process(word: bytes, runtime_dir: str) -> int:
    """The newest process with that word in its command, of the GIMP that uses that daemon."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
            began = int((process / "stat").read_text().rpartition(")")[2].split()[19])  # numbers of processes start over some day
        except OSError:
            continue
        if word in words and runtime_dir.encode() in environment:
            found.append((began, int(process.name)))
    assert found, f"no {word.decode()} runs"
    return max(found)[1]


TOLD = {
    "broker_killed": "has ended or does not answer",
    "worker_killed": "signal 9",
    "harmless_daemon_stopped": "",  # which takes the best so far
    "plug_in_killed": "",
    "bridge_killed": "bridge",
    "weights_truncated": "cannot be read",
    "other_version": "version 99",
    "harmless_results_cannot_be_kept": "",
    "harmless_socket_gone": "",  # which the daemon makes again
}


BRIDGED = ("broker_killed", "harmless_daemon_stopped", "plug_in_killed", "bridge_killed", "other_version")


@pytest.fixture(scope="module")
def found(gimp, request):
    chosen = [item.callspec.params for item in request.session.items if item.module is request.module]
    wanted = [
        params["fault"] for params in chosen if params["gimp"] == gimp.version and (gimp.bridge or params["fault"] != "bridge_killed")
    ]
    work = Path(gimp.environment["WORK"])
    faults = Faults(work / "f", gimp.environment)
    faults.folder.mkdir()
    outside = threading.Thread(target=faults.serve_wishes, args=(work / "wish",))
    outside.start()
    try:
        done = gimp.run(HERE / "faults.py", FAULTS=",".join(wanted), **faults.folders)
    finally:
        (work / "wish").write_text("end")
        outside.join(60)
    assert faults.trouble is None, faults.trouble
    assert (work / "faults.json").exists(), f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return json.loads((work / "faults.json").read_text())


@pytest.mark.parametrize("fault", [pytest.param(fault, marks=[pytest.mark.bridge] if fault in BRIDGED else []) for fault in TOLD])
def test_fault(gimp, found, fault):
    if fault not in found:
        pytest.skip("there is no bridge")
    status, message, changed = found[fault]
    harmless = fault.startswith("harmless")
    assert changed == harmless, (status, message)
    assert (status == "success") == harmless, (status, message)
    assert TOLD[fault] in message, message
