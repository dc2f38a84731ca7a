"""The table of faults: processes that die, stop or run out of memory."""

from __future__ import annotations

import os
import random
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from daemons import Client, goes_on, idle, kept, until, wait_for
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
    new_id,
    scene_of_its_own,
)

from blend_protocol.errors import BlendError

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
        job = scene.send(client, LONG)
        until(client, job, "progress")
        os.kill(worker, signal.SIGSTOP)
        began = time.monotonic()
        assert client.status(20)["running"] == job
        assert time.monotonic() - began < 2
        os.kill(worker, signal.SIGCONT)
        goes_on(client, job)
        client.finish(job)
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


STARVED = """
import sys
if "blend_daemon.service.worker" in sys.orig_argv:
    import torch, blend_daemon.engine.painting.objective as painting
    def starve(self, x):
        raise torch.OutOfMemoryError("out of memory (as the fault wants it)")
    painting.Painting.__call__ = starve
"""


@fault(quick=False)
def out_of_memory(_: Scene) -> None:
    """The job fails with out-of-memory, after all smaller sizes were tried; worker and daemon live."""
    with scene_of_its_own() as scene:
        scene.daemon.meddle(STARVED)
        scene.up()
        with scene.client() as client:
            worker = scene.worker(client)
            for parameters in ({**QUICK, "style": 100},) * 2:  # however little of a painting the target is
                assert until(client, scene.send(client, parameters), "failed").header["code"] == "out-of-memory"
            assert client.status(20)["worker"] == worker
