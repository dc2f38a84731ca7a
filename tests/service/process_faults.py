"""The table of faults: processes that die or stop, files and disks."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest
from daemons import DAEMON, idle, kept, until, wait_for
from scene import (
    LONG,
    QUICK,
    Scene,
    could_not_be_kept,
    digest,
    fault,
    kill_broker,
    kill_client,
    kill_group,
    mounted,
    new_id,
    scene_of_its_own,
)

from blend_daemon.errors import BlendError
from blend_daemon.protocol import runtime
from blend_daemon.protocol.client import Client
from blend_daemon.service.jobs import REMEMBERED

FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


# kill -9 of each process in each state of a job

STATES = ("queued", "loading", "running", "keeping", "done")
QUICK_KILLS = {("broker", "keeping"), ("whole group", "done"), ("worker", "queued")}


def _bring(scene: Scene, client: Client, state: str) -> str:
    """A job in that state."""
    if state == "loading":
        scene.again()
        client.close()
        client.__init__(scene.daemon.address, client._key)
        job = scene.send(client)
        until(client, job, "accepted")
        assert client.status(20)["device"] == "loading"
    elif state == "queued":
        scene.worker(client)
        first = scene.send(client, LONG)
        until(client, first, "progress")
        job = scene.send(client)
        until(client, job, "accepted")
    elif state == "running":
        job = scene.send(client, LONG)
        until(client, job, "progress")
    elif state == "keeping":
        # The daemon waits in `open` until somebody reads from the pipe: as slow a disk as one can wish for.
        job = new_id()
        os.mkfifo(scene.part(job))
        scene.worker(client)
        scene.send(client, job=job)
        deadline = time.monotonic() + 20
        while not _waits_for_a_reader(scene.daemon.process.pid):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    else:
        job = scene.blended(client)
    return job


def _waits_for_a_reader(pid: int) -> bool:
    """Whether a thread of that process is in the `open` of a pipe. For Linux, which tells what its threads wait for."""
    return any(path.read_text() == "wait_for_partner" for path in Path(f"/proc/{pid}/task").glob("*/wchan"))


def _broker_dies(scene: Scene, state: str, kill) -> None:
    client = scene.client()
    job = _bring(scene, client, state)
    kill(scene.daemon)
    with pytest.raises(BlendError) as error:
        until(client, job, "nothing", limit=5)
    assert error.value.code == "daemon-gone"
    client.close()
    scene.daemon.start()
    with scene.client() as client:
        entry = next(entry for entry in kept(client) if entry["job"] == job)
        assert entry.get("cut", False) == (state != "done")
        scene.send(client, job=job)  # the same job once more: what there is comes back, what was cut off is computed
        scene.announcement(client, job)


def _worker_dies(scene: Scene, state: str) -> None:
    with scene.client() as client:
        job = _bring(scene, client, state)
        running = client.status(20)["running"]
        worker = wait_for(client, lambda status: status["worker"])["worker"]  # that which is to load it may not have begun
        os.kill(worker, signal.SIGKILL)
        if state in ("loading", "running"):
            failed = until(client, job, "failed")
            assert failed.header["code"] == "worker-died"
            assert "SIGKILL" in failed.header["message"]
        elif state == "keeping":
            with scene.part(job).open("rb") as pipe:
                pipe.read()
            assert could_not_be_kept(until(client, job, "result"))  # a pipe is no disk; but the result is there
        elif state == "queued":
            assert running != job
            scene.announcement(client, job)
        if state != "queued":
            scene.blended(client)  # at once, also where the broker has not noticed yet


CUT = "The client is told at once; a restarted daemon offers the result if it was announced, else lists the job as cut off."
NEXT = "The running job fails with the signal's name; a finished one is announced; waiting ones are computed by the next worker."
for _state in STATES:
    for _who, _kill in (("broker", kill_broker), ("whole group", kill_group)):
        _run = partial(_broker_dies, state=_state, kill=_kill)
        fault(f"kill -9 of the {_who}, job {_state}", CUT, quick=(_who, _state) in QUICK_KILLS)(_run)
    fault(f"kill -9 of the worker, job {_state}", NEXT, quick=("worker", _state) in QUICK_KILLS)(partial(_worker_dies, state=_state))


@fault("kill -9 of the whole group, at a random moment")
def _(scene: Scene) -> None:
    """Whatever was announced is offered after the restart; what was accepted is offered or listed as cut off."""
    client = scene.client()
    scene.worker(client)
    job, heard, began, moment = scene.send(client), set(), time.monotonic(), random.uniform(0, 0.5)
    while time.monotonic() < began + moment:
        client.wait(0.01)
        for message in client.pump():
            heard.add(message.type)
            if message.type == "result":
                scene.announced[job] = digest(message)
    kill_group(scene.daemon)
    client.close()
    scene.daemon.start()
    with scene.client() as client:
        entry = next((entry for entry in kept(client) if entry["job"] == job), None)
        assert entry or "accepted" not in heard
        assert "result" not in heard or "box" in entry


@fault()
def worker_stopped(scene: Scene) -> None:
    """The broker answers while its worker stands still; when the worker goes on, so does the job."""
    with scene.client() as client:
        worker = scene.worker(client)
        job = scene.send(client, {"iterations": 40})
        until(client, job, "progress")
        os.kill(worker, signal.SIGSTOP)
        began = time.monotonic()
        assert client.status(20)["running"] == job
        assert time.monotonic() - began < 2
        os.kill(worker, signal.SIGCONT)
        scene.announcement(client, job)


@fault()
def broker_stopped_for_a_while(scene: Scene) -> None:
    """A pause of seconds costs nothing: the job goes on and is announced."""
    with scene.client() as client:
        job = scene.send(client)
        scene.daemon.process.send_signal(signal.SIGSTOP)
        time.sleep(1)
        scene.daemon.process.send_signal(signal.SIGCONT)
        scene.announcement(client, job)


@fault(quick=False)
def SIGTERM_while_a_job_runs(scene: Scene) -> None:
    """The job ends with the best so far and a note, which stays like any result; the daemon ends within 10 s."""
    with scene.client() as client:
        scene.blended(client)
        job = scene.send(client, LONG)
        until(client, job, "progress")
        scene.daemon.process.send_signal(signal.SIGTERM)
        assert any("was stopped" in note for note in scene.announcement(client, job, limit=10).header["report"]["notes"])
    assert scene.daemon.process.wait(10) == 0


@fault()
def client_killed(scene: Scene) -> None:
    """Its running job is given up within 5 s, and the worker is free."""
    kill_client(scene.daemon.address, "client = scene.client(); until(client, scene.send(client, LONG), 'progress')")
    with scene.client() as client:
        idle(client, 5)


@fault()
def client_killed_that_wanted_its_result_kept(scene: Scene) -> None:
    """The job goes on, and its result waits."""
    job = new_id()
    kill_client(scene.daemon.address, f"client = scene.client(); until(client, scene.send(client, keep=True, job={job!r}), 'accepted')")
    with scene.client() as client:
        idle(client)
        client.fetch(job)
        scene.announcement(client, job)


@fault()
def stale_socket_and_lock_files(scene: Scene) -> None:
    """What a killed daemon left is removed, and the next one serves."""
    kill_group(scene.daemon)
    for name in ("socket", "worker-1", "worker-99", "lock"):
        (scene.daemon.folder / "run" / name).touch()
    (scene.daemon.folder / "run/socket").unlink()
    scene.daemon.start()
    with scene.client() as client:
        assert client.status(20)
    assert not (scene.daemon.folder / "run/worker-99").exists()


@fault()
def second_daemon(scene: Scene) -> None:
    """It is refused with exit code 3, and the first one serves on."""
    assert scene.daemon.command("serve").returncode == 3
    with scene.client() as client:
        assert client.status(20)["pid"] == scene.daemon.process.pid


# files and disks


def _files(scene: Scene, job: str) -> Path:
    return scene.part(job).with_suffix("")


@fault()
def result_file_torn(scene: Scene) -> None:
    """The answer names the file, which is left alone; other results, and the daemon, are as they were. After a restart too."""
    with scene.client() as client:
        scene.blended(client)
        job = scene.blended(client)
        file = _files(scene, job)
        os.truncate(file, file.stat().st_size - 7)
        del scene.announced[job]
        client.fetch(job)
        failed = until(client, job, "failed")
        assert failed.header["code"] == "result-unknown"
        assert file.name in failed.header["message"]
    scene.again()
    with scene.client() as client:
        assert job not in {entry["job"] for entry in kept(client)}
    assert file.exists()
    assert f"{file.name} is not whole" in scene.daemon.log()
    file.unlink()


@fault()
def note_torn(scene: Scene) -> None:
    """A note that is not whole costs itself alone; the daemon starts."""
    torn = scene.results / "x.accepted"
    torn.write_bytes(b'{"job": "0')
    scene.again()
    with scene.client() as client:
        assert client.status(20)
    torn.unlink()


@fault()
def result_file_removed(scene: Scene) -> None:
    """The answer says that there is none, and it is listed no more."""
    with scene.client() as client:
        job = scene.blended(client)
        _files(scene, job).unlink()
        del scene.announced[job]
        client.fetch(job)
        assert until(client, job, "failed").header["code"] == "result-unknown"
        assert job not in {entry["job"] for entry in kept(client)}


def _cannot_be_written(scene: Scene, client: Client, why: str) -> str:
    """A job whose result is announced with that note, and can be fetched as it was announced."""
    job = scene.send(client, keep=True)
    result = scene.announcement(client, job)
    assert could_not_be_kept(result)
    assert why in result.header["report"]["notes"][-1]
    client.fetch(job)
    assert digest(until(client, job, "result")) == digest(result)
    return job


@fault(root=True)
def disk_full(_: Scene) -> None:
    """The result is announced with a note, and can be fetched until four more have ended; what lay there stays; new ones are kept."""
    with scene_of_its_own() as scene, mounted(scene.results, "512k"):
        scene.up()
        with scene.client() as client:
            scene.blended(client)
            filler = scene.results / "filler"
            with filler.open("wb") as file:
                subprocess.run(["cat", "/dev/zero"], stdout=file, stderr=subprocess.DEVNULL, check=False)
            unwritten = _cannot_be_written(scene, client, "No space left on device")
            filler.unlink()
            for _ in range(REMEMBERED):
                scene.blended(client)
            client.fetch(unwritten)
            assert until(client, unwritten, "failed").header["code"] == "result-unknown"
            assert len(scene.announced) == 1 + REMEMBERED
        scene.again(signal.SIGKILL)
        scene.check()
        scene.daemon.process.terminate()
        scene.daemon.process.wait(20)


@fault()
def file_size_limit(scene: Scene) -> None:
    """As for a full disk: told, and nothing that lay there is lost."""
    with scene.client() as client:
        scene.blended(client)
        pid = scene.daemon.process.pid
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (600, resource.RLIM_INFINITY))
        _cannot_be_written(scene, client, "File too large")
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        scene.blended(client)


@fault(quick=False, root=True)
def disk_becomes_read_only(_: Scene) -> None:
    """New results are announced with a note; those that lie there can be fetched, also by a daemon that starts on it."""
    with scene_of_its_own() as scene, mounted(scene.results, "1m"):
        scene.up()
        with scene.client() as client:
            scene.blended(client)
            subprocess.run(["mount", "-o", "remount,ro", scene.results], check=True)
            _cannot_be_written(scene, client, "Read-only file system")
        scene.again(signal.SIGKILL)
        with scene.client() as client:
            client.fetch(next(iter(scene.announced)))
            assert until(client, next(iter(scene.announced)), "result", "failed").type == "result"
        scene.daemon.process.terminate()
        scene.daemon.process.wait(20)


@fault()
def results_folder_removed(scene: Scene) -> None:
    """What was removed is gone, and said to be; the folder is made again for the next result."""
    with scene.client() as client:
        job = scene.blended(client)
        shutil.rmtree(scene.results)
        scene.announced.clear()
        client.fetch(job)
        assert until(client, job, "failed").header["code"] == "result-unknown"
        scene.blended(client)


@fault()
def results_folder_opened_to_others(scene: Scene) -> None:
    """Nothing is written where others may look; the note says so; what lies there stays."""
    with scene.client() as client:
        scene.blended(client)
        scene.results.chmod(0o755)
        _cannot_be_written(scene, client, "is not private")
        scene.results.chmod(0o700)
        scene.blended(client)


def _refuses_to_start(scene: Scene, code: int, *words: str) -> None:
    done = subprocess.run([*DAEMON, "serve"], env=scene.daemon.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert all(word in done.stderr for word in words), done.stderr


@fault()
def state_folder_cannot_be_made(_: Scene) -> None:
    """The daemon does not start, exits with 2 and names the file."""
    with scene_of_its_own() as scene:
        (scene.daemon.folder / "state").write_text("a file where the folder should be")
        _refuses_to_start(scene, 2, str(scene.daemon.folder / "state"))


@fault()
def runtime_folder_open_to_others(_: Scene) -> None:
    """The daemon does not start, exits with 2 and says what to do."""
    with scene_of_its_own() as scene:
        (scene.daemon.folder / "run").mkdir(mode=0o777)
        (scene.daemon.folder / "run").chmod(0o777)
        _refuses_to_start(scene, 2, "is not private", "chmod 700")


@fault()
def clock_jumps(_: Scene) -> None:
    """A clock set ahead by a month or back by a year while the daemon runs makes no result old."""
    assert FAKETIME, "this fault needs the package libfaketime"
    with scene_of_its_own() as scene:
        clock = scene.daemon.folder / "clock"
        clock.write_text("+0")
        scene.daemon.environment |= {"LD_PRELOAD": str(FAKETIME[0]), "FAKETIME_TIMESTAMP_FILE": str(clock)}
        scene.daemon.environment |= {"FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        scene.up()
        with scene.client() as client:
            scene.blended(client)
            for jump, days in (("+30d", 30), ("-365d", -365)):
                clock.write_text(jump)
                job = scene.blended(client)
                ended = next(entry["ended"] for entry in kept(client) if entry["job"] == job)
                assert abs(ended - time.time() - days * 86400) < 3600, "the daemon's clock has not jumped"
        clock.write_text("+0")
        scene.check()
        scene.again(signal.SIGKILL)
        scene.check()


@fault(quick=False)
def weights_truncated(_: Scene) -> None:
    """The job fails with weights-corrupt and the command that mends it; the daemon serves."""
    with scene_of_its_own() as scene:
        folder = scene.daemon.folder / "weights"
        shutil.copytree(runtime.weights_dir(), folder)
        (file,) = folder.glob("*.safetensors")
        os.truncate(file, file.stat().st_size // 2)
        scene.daemon.environment["BLEND_DAEMON_WEIGHTS_DIR"] = str(folder)
        scene.up()
        with scene.client() as client:
            failed = until(client, scene.send(client), "failed")
            assert failed.header["code"] == "weights-corrupt"
            assert "blend-daemon weights" in failed.header["hint"]


STARVED = """
import sys
if "blend_daemon.service.worker" in sys.orig_argv:
    import torch, blend_daemon.engine.stages as stages
    def starve(self, x):
        raise torch.OutOfMemoryError("out of memory (as the fault wants it)")
    stages.Objective.__call__ = starve
"""


@fault(quick=False)
def out_of_memory(_: Scene) -> None:
    """The job fails with out-of-memory, after all smaller sizes were tried; worker and daemon live."""
    with scene_of_its_own() as scene:
        (scene.daemon.folder / "sitecustomize.py").write_text(STARVED)
        scene.daemon.environment["PYTHONPATH"] = str(scene.daemon.folder)
        scene.up()
        with scene.client() as client:
            worker = scene.worker(client)
            for parameters in (QUICK, QUICK):
                assert until(client, scene.send(client, parameters), "failed").header["code"] == "out-of-memory"
            assert client.status(20)["worker"] == worker
