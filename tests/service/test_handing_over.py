"""Between broker and worker: workers that die as they get a job, more words than a socket holds, too large a job. Real kills."""

from __future__ import annotations

import os
import signal

import pytest
from daemons import Client, idle, loaded, raster, too_large, until, wait_for

DRAFT, LONG = {"preset": "draft", "iterations": 3}, {"preset": "paper"}


@pytest.fixture
def send(send):
    return lambda client, parameters=DRAFT, **more: send(client, parameters, **more)


def stopped(client: Client) -> list[int]:
    """All workers, ready, and standing still: what they are sent they never read."""
    pids = [worker["pid"] for worker in wait_for(client, loaded)["workers"]]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return pids


# The moment between the decision that a worker has been idle for long enough and the end of its process is too short to be met by
# chance. In the daemon of the test it lasts a second; all else is as it is.
LINGERING = """
import asyncio, sys
if "serve" in sys.orig_argv:
    from pathlib import Path
    from blend_daemon.service.io import processes
    end = processes.Processes.end
    def linger(self, worker):
        Path(__file__).with_name("decided").touch()
        asyncio.get_running_loop().call_later(1.0, end, self, worker)
    processes.Processes.end = linger
"""


@pytest.fixture
def lingering(fresh_daemon):
    """A daemon whose worker is just ending for want of work."""
    fresh_daemon.meddle(LINGERING)
    fresh_daemon.start("--idle-release", "0.001")
    with Client(fresh_daemon.address) as client:
        wait_for(client, lambda _: (fresh_daemon.folder / "decided").exists())
    return fresh_daemon


def test_a_job_that_comes_while_a_worker_ends_for_want_of_work_goes_to_the_next(lingering, send):
    with Client(lingering.address) as client:
        until(client, send(client), "result")
        status = client.status()
        assert (status["worker_starts"], status["ends"]) == (2, {"result": 1})


def test_a_sketch_that_comes_while_a_worker_ends_for_want_of_work_is_to_be_asked_for_again(lingering, cat, coffee, disc):
    with Client(lingering.address) as client:
        id = client.sketch(raster(cat), raster(coffee), raster(disc[:, :, None]), (20, 10), {})
        assert until(client, id, "failed").header["code"] == "worker-loading"
        assert client.status()["worker_starts"] == 1
        client.sketch(raster(cat), raster(coffee), raster(disc[:, :, None]), (20, 10), {})
        wait_for(client, lambda status: status["worker_starts"] == 2)


def test_a_job_handed_to_a_dying_worker_goes_to_the_next_with_its_sliders_and_once(fresh_daemon, send):
    fresh_daemon.start()
    with Client(fresh_daemon.address) as client:
        (pid,) = stopped(client)
        job, waiting = send(client), send(client)
        client.adjust(job, {"colour": 10})
        assert client.status()["running"] == job
        os.kill(pid, signal.SIGKILL)
        report = until(client, job, "result", "failed").header["report"]
        assert report["colour"] == 10
        until(client, waiting, "result")
        assert client.status()["ends"] == {"result": 2}


def test_a_job_that_was_cancelled_is_not_handed_on(fresh_daemon, send):
    fresh_daemon.start()
    with Client(fresh_daemon.address) as client:
        (pid,) = stopped(client)
        job = send(client)
        client.cancel(job)
        assert client.status()["running"] == job
        os.kill(pid, signal.SIGKILL)
        until(client, job, "cancelled")
        assert client.status()["ends"] == {"cancelled": 1}


def test_a_job_is_handed_on_once_and_then_fails(fresh_daemon, send):
    fresh_daemon.start("--device", "cpu", "--device", "cpu")
    with Client(fresh_daemon.address) as client:
        pids = stopped(client)
        job = send(client)
        killed: set[int | None] = {None}  # a process that has just gone has no pid
        for _ in pids:
            status = wait_for(client, lambda status: any(w["job"] == job and w["pid"] not in killed for w in status["workers"]))
            pid = next(worker["pid"] for worker in status["workers"] if worker["job"] == job)
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        assert until(client, job, "failed").header["code"] == "worker-died"
        until(client, send(client), "result")


def test_a_cancel_comes_through_however_many_adjusts_were_before_it(daemon, send):
    with Client(daemon.address) as client:
        job = send(client, LONG)
        until(client, job, "progress")
        worker = client.status()["worker"]
        os.kill(worker, signal.SIGSTOP)  # one very long evaluation
        for k in range(6000):
            client.adjust(job, {"style": k % 100})
            client.finish("0" * 32)
        client.cancel(job)
        assert client.status(20)["running"] == job  # the broker has read them all
        os.kill(worker, signal.SIGCONT)
        until(client, job, "cancelled")
        idle(client)


def test_an_unknown_slider_is_refused_and_the_job_goes_on(daemon, send):
    with Client(daemon.address) as client:
        job = send(client, LONG)
        until(client, job, "progress")
        client.adjust(job, {"style": 10, "unheard": 1})
        refused = until(client, None, "failed").header
        assert refused["code"] == "parameter-invalid"
        assert "'unheard'" in refused["message"]
        assert "style" in refused["hint"]
        client.finish(job)
        assert until(client, job, "result").header["report"]["style"] == 50  # nothing of that word was taken


def test_a_running_job_that_outgrows_its_memory_is_its_own_loss(fresh_daemon, send):
    fresh_daemon.start("--memory-limit", "1000")
    with Client(fresh_daemon.address) as client:
        until(client, send(client), "result")  # a small job is well below the limit
        worker = client.status()["worker"]
        big = too_large(client)
        first, second = send(client), send(client)
        wait_for(client, lambda status: status["running"] == big and status["waiting"] == 2)
        failed = until(client, big, "failed").header
        assert failed["code"] == "memory-limit"
        assert "1000 MB" in failed["message"]
        until(client, first, "result")
        until(client, second, "result")
        status = client.status()
        assert status["worker"] != worker
        assert status["ends"] == {"result": 3, "failed": 1}
