"""Several workers, their limits and their sleep; clients that vanish; stopping. Real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from daemons import DAEMON, Client, Daemon, eventually, gone, idle, kept, loaded, raster, until, wait_for

from blend_daemon.commands.serve import OUTDATED
from blend_daemon.service.estimate import KINDS, Durations, kind, starts
from blend_daemon.service.io import lock, metrics

LONG = {"preset": "paper"}


@pytest.fixture
def send(send):
    return lambda client, parameters=LONG, **more: send(client, parameters, **more)


def cancel(client: Client, *jobs: str) -> None:
    for job in jobs:
        client.cancel(job)
    deadline, left = time.monotonic() + 30, set(jobs)
    while left:
        assert time.monotonic() < deadline
        client.wait(0.1)
        left -= {message.header["job"] for message in client.pump() if message.type == "cancelled"}


@pytest.fixture(scope="module")
def two():
    """A daemon of two workers."""
    daemon = Daemon()
    daemon.start("--device", "cpu", "--device", "cpu")
    with Client(daemon.address) as client:
        wait_for(client, loaded)
    yield daemon
    daemon.remove()


def test_two_workers_share_one_queue_and_the_death_of_one_is_its_jobs_alone(two, send):
    with Client(two.address) as client:
        first, second, third = (send(client) for _ in range(3))
        for job in (first, second):
            until(client, job, "progress")
        status = client.status()
        assert {worker["job"] for worker in status["workers"]} == {first, second}
        assert (status["waiting"], status["device"]) == (1, "cpu")
        assert all(worker["memory"] > 1e7 for worker in status["workers"])
        victim = next(worker for worker in status["workers"] if worker["job"] == first)
        os.kill(victim["pid"], signal.SIGKILL)
        assert until(client, first, "failed").header["code"] == "worker-died"
        until(client, third, "progress")
        assert second in {worker["job"] for worker in client.status()["workers"]}
        cancel(client, second, third)
        wait_for(client, loaded)


def test_a_sketch_goes_to_the_worker_that_is_free(two, send, cat, coffee, disc):
    with Client(two.address) as client:
        job = send(client)
        until(client, job, "progress")
        busy = next(worker["pid"] for worker in client.status()["workers"] if worker["job"] == job)
        os.kill(busy, signal.SIGSTOP)
        try:
            id = client.sketch(raster(cat), raster(coffee), raster(disc[:, :, None]), (20, 10), {})
            until(client, id, "sketched")
        finally:
            os.kill(busy, signal.SIGCONT)
        cancel(client, job)


def test_a_job_that_waits_is_told_when_it_starts(two, send):
    with Client(two.address) as client:
        one, other, waiting = (send(client, {"preset": "draft"} | more) for more in ({}, LONG, {}))
        answer = until(client, waiting, "accepted").header
        assert answer["seconds_to_start"] is None or answer["seconds_to_start"] >= 0
        until(client, one, "result")
        until(client, waiting, "result")  # before `cancel`, which passes over what else arrives
        cancel(client, other)
        jobs = [send(client), send(client), send(client, {"preset": "draft"}), send(client)]
        for job in jobs[:2]:
            while until(client, job, "progress").header["seconds_left"] is None:
                pass
        last = send(client, {"preset": "draft"})
        seconds = until(client, last, "accepted").header["seconds_to_start"]
        assert seconds is not None
        assert seconds > 5  # two blends of thousands of evaluations are before it
        cancel(client, *jobs[2:], last, *jobs[:2])


def test_the_estimate_is_a_schedule_of_what_is_known():
    assert starts([3.0, 1.0], [10.0, 10.0, 10.0]) == [1.0, 3.0, 11.0]
    assert starts([None, 2.0], [None, 5.0]) == [2.0, None]
    assert starts([], [1.0]) == [None]
    durations = Durations()
    assert durations.guess("draft") is None
    for seconds in (1, 100, 2):
        durations.learn("draft", seconds)
    assert durations.guess("draft") == 2


def test_a_job_says_nothing_of_the_time_that_other_work_takes():
    durations = Durations()
    for _ in range(3):
        durations.learn(kind({"method": "copy-paste", "preset": "standard"}, 1_000_000), 0.1)
    for parameters, pixels in (
        ({"preset": "standard"}, 1_000_000),
        ({"method": "copy-paste", "preset": "standard"}, 4_000_000),
        ({"method": "copy-paste", "preset": "standard", "iterations": 300}, 1_000_000),
        ({"method": "copy-paste", "preset": "standard", "working_size": 2000}, 1_000_000),
    ):
        assert durations.guess(kind(parameters, pixels)) is None
    assert durations.guess(kind({"method": "copy-paste", "style": 20, "seed": 7}, 1_000_001)) == 0.1


def test_only_so_many_kinds_are_remembered_the_last_ones():
    durations = Durations()
    for number in range(KINDS + 10):
        durations.learn(str(number), 1)
        durations.learn("often", 2)
    assert durations.guess("often") == 2
    assert durations.guess(str(KINDS + 9)) == 1
    assert durations.guess("10") is None


def test_a_job_that_is_finished_early_or_quick_does_not_make_the_next_one_seem_short(fresh_daemon, send):
    fresh_daemon.start()
    with Client(fresh_daemon.address) as client:
        quick = send(client, {"method": "copy-paste", "preset": "draft"})
        until(client, quick, "result")
        job = send(client)
        until(client, job, "progress")
        client.finish(job)
        until(client, job, "result")
        running = send(client)
        while until(client, running, "progress").header["seconds_left"] is None:
            pass
        first, second = send(client, {"preset": "draft"}), send(client, {"preset": "draft"})
        assert until(client, first, "accepted").header["seconds_to_start"] > 0
        assert until(client, second, "accepted").header["seconds_to_start"] is None
        cancel(client, first, second, running)


@pytest.mark.parametrize("keep", [False, True])
def test_who_vanishes_without_a_word_from_his_job_frees_his_place_unless_he_asked_to_keep(two, send, keep):
    with Client(two.address) as other:
        idle(other)
        gone_one = Client(two.address, "e" * 32)
        jobs = [send(gone_one, keep=keep) for _ in range(3)]
        for job in jobs[:2]:
            until(gone_one, job, "progress")
        pids = [worker["pid"] for worker in other.status()["workers"]]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)  # so that no progress comes, which would find it out
        began = time.monotonic()
        gone_one.close()
        if keep:
            time.sleep(2.5)
            assert other.status()["waiting"] == 1
        else:
            wait_for(other, lambda status: status["waiting"] == 0, limit=5)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        if keep:
            with Client(two.address, "e" * 32) as again:
                for job in jobs:
                    send(again, job=job)
                cancel(again, *jobs)
        else:
            idle(other, limit=10)
            assert time.monotonic() - began < 10


def test_a_worker_that_hangs_is_replaced_and_the_queue_goes_on(fresh_daemon, send):
    fresh_daemon.start("--hang-limit", "10")  # no less: where much else runs, a worker that is well may be silent for seconds
    with Client(fresh_daemon.address) as client:
        hung, next_one = send(client), send(client)
        until(client, hung, "progress")
        pid = client.status()["worker"]
        os.kill(pid, signal.SIGSTOP)
        failed = until(client, hung, "failed", limit=20).header
        assert failed["code"] == "worker-hung"
        assert "10 s" in failed["message"]
        assert failed["hint"]
        until(client, next_one, "progress")
        assert gone(pid)
        cancel(client, next_one)


def test_a_worker_that_outgrows_its_memory_while_it_loads_is_ended_and_the_job_told_why(fresh_daemon, send):
    fresh_daemon.start("--memory-limit", "150")  # less than it takes to load torch
    with Client(fresh_daemon.address) as client:
        failed = until(client, send(client), "failed").header
    assert failed["code"] == "memory-limit"
    assert "150 MB" in failed["message"]
    assert "--memory-limit" in failed["hint"]


def test_what_is_not_used_gives_its_memory_back_and_comes_again(fresh_daemon, send, cat, coffee, disc):
    fresh_daemon.start("--idle-release", "0.02")
    with Client(fresh_daemon.address) as client:
        pid = wait_for(client, lambda status: status["worker"])["worker"]
        wait_for(client, lambda status: status["workers"][0]["state"] == "asleep")
        assert gone(pid)
        job = send(client)
        until(client, job, "progress")
        assert client.status()["worker_starts"] == 2
        cancel(client, job)
        wait_for(client, lambda status: status["workers"][0]["state"] == "asleep")
        id = client.sketch(raster(cat), raster(coffee), raster(disc[:, :, None]), (20, 10), {})
        assert until(client, id, "failed").header["code"] == "worker-loading"
        wait_for(client, lambda status: status["workers"][0]["state"] != "asleep")


def test_a_daemon_that_nobody_needs_ends(fresh_daemon):
    fresh_daemon.start("--idle-exit", "0.03")
    assert fresh_daemon.process.wait(20) == 0
    assert fresh_daemon.command("status").returncode == 1


def test_a_job_that_is_stopped_with_the_daemon_has_its_best_so_far_on_disk(fresh_daemon, send):
    fresh_daemon.start()
    with Client(fresh_daemon.address) as client:
        job, waiting = send(client), send(client)
        until(client, job, "progress")
        began = time.monotonic()
        fresh_daemon.process.send_signal(signal.SIGTERM)
        assert until(client, waiting, "failed", limit=5).header["code"] == "daemon-stopped"
        result = until(client, job, "result", limit=10)
        assert any("was stopped" in note for note in result.header["report"]["notes"])
    assert fresh_daemon.process.wait(10) == 0
    assert time.monotonic() - began < 10
    fresh_daemon.start()
    with Client(fresh_daemon.address) as client:
        assert [entry["job"] for entry in kept(client)] == [job]


def test_it_leaves_within_ten_seconds_also_when_a_worker_does_not_listen(fresh_daemon, send):
    fresh_daemon.start()
    with Client(fresh_daemon.address) as client:
        job = send(client)
        until(client, job, "progress")
        os.kill(client.status()["worker"], signal.SIGSTOP)
        began = time.monotonic()
        fresh_daemon.process.send_signal(signal.SIGTERM)
        assert until(client, job, "failed", limit=10).header["code"] == "daemon-stopped"
    assert fresh_daemon.process.wait(10) == 0
    assert time.monotonic() - began < 10


def test_the_lock_is_free_after_kill_9_and_tells_who_has_it(fresh_daemon):
    folder = fresh_daemon.folder / "run"
    fresh_daemon.start()
    with Client(fresh_daemon.address) as client:  # while a worker is born it shares the lock
        wait_for(client, lambda status: status["worker"])
    assert lock.holder(folder) == fresh_daemon.process.pid
    fresh_daemon.process.kill()
    fresh_daemon.process.wait()
    assert lock.holder(folder) is None
    assert "No blend daemon" in fresh_daemon.command("stop").stdout
    (folder / "socket").unlink()  # by whose return the helper knows that the next one serves
    fresh_daemon.start()
    assert lock.holder(folder) == fresh_daemon.process.pid


def test_who_asks_for_the_holder_is_in_no_daemons_way(tmp_path):
    asking = f"import pathlib\nfrom blend_daemon.service.io import lock\nwhile True: lock.holder(pathlib.Path({str(tmp_path)!r}))"
    (tmp_path / "lock").touch()
    with subprocess.Popen([sys.executable, "-c", asking]) as other:
        try:
            began = time.monotonic()
            while time.monotonic() - began < 3:
                with lock.take(tmp_path), pytest.raises(lock.AlreadyRunning):
                    lock.take(tmp_path)
        finally:
            other.kill()


def test_a_daemon_of_another_protocol_is_stopped_too(tmp_path):
    """A stand-in for a daemon of a later version: it holds the lock, and answers in a protocol of its own."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    code = (
        f"import time, pathlib\nfrom blend_daemon.service.io import lock\nheld = lock.take(pathlib.Path({str(folder)!r}))\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as later:
        eventually(lambda: lock.holder(folder))
        environment = {**os.environ, "BLEND_DAEMON_RUNTIME_DIR": str(folder), "BLEND_DAEMON_STATE_DIR": str(tmp_path)}
        done = subprocess.run([*DAEMON, "stop"], env=environment, timeout=30, check=False)
        assert done.returncode == 0
        assert later.wait(5) == -signal.SIGTERM


def test_an_upgrade_underneath_a_running_daemon_ends_it(fresh_daemon, send, tmp_path):
    fresh_daemon.run_copy(tmp_path / "code")
    fresh_daemon.start()
    with Client(fresh_daemon.address) as client:
        worker = wait_for(client, loaded)["worker"]
        fresh_daemon.upgrade("99.0")
        os.kill(worker, signal.SIGKILL)
        wait_for(client, lambda status: status["worker"] not in (worker, None))
        job = send(client)
        assert until(client, job, "failed").header["code"] == "daemon-stopped"
    assert fresh_daemon.process.wait(10) == OUTDATED  # no success: the unit starts the new version
    assert "99.0 has been installed" in fresh_daemon.log()


def test_what_a_worker_prints_is_in_the_log_which_rotates(fresh_daemon, tmp_path):
    (tmp_path / "torch.py").write_text(
        "import sys\nfor _ in range(30): print('x' * 50_000, file=sys.stderr)\nraise ImportError('the last word')"
    )
    fresh_daemon.environment["PYTHONPATH"] = str(tmp_path)
    fresh_daemon.start()
    with Client(fresh_daemon.address) as client:
        wait_for(client, lambda status: status["worker_starts"] and status["workers"][0]["state"] == "asleep")
        wait_for(client, lambda _: "could not start" in fresh_daemon.log())
    assert "the last word" in fresh_daemon.log()
    assert (fresh_daemon.folder / "state/daemon.log.1").exists()
    assert (fresh_daemon.folder / "state/daemon.log").stat().st_size <= 1_000_000


def test_systemd_is_told_of_readiness_life_and_the_end(fresh_daemon):
    path = fresh_daemon.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(path))
        end.settimeout(20)
        fresh_daemon.environment["NOTIFY_SOCKET"] = str(path)
        fresh_daemon.start()
        heard = [end.recv(64).decode() for _ in range(3)]
        assert heard == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
        fresh_daemon.process.send_signal(signal.SIGTERM)
        while (word := end.recv(64).decode()) == "WATCHDOG=1":
            pass
        assert word == "STOPPING=1"


@pytest.mark.parametrize("words", [("--workers", "0"), ("--hang-limit", "-1"), ("--memory-limit", "nan"), ("--idle-exit", "x")])
def test_a_limit_that_is_none_is_refused(words, fresh_daemon):
    done = fresh_daemon.command("serve", *words)
    assert done.returncode == 2
    assert words[0] in done.stderr


def test_weights_that_are_missing_are_fetched_first_and_it_says_so(fresh_daemon, send):
    fresh_daemon.environment["BLEND_DAEMON_WEIGHTS_DIR"] = str(fresh_daemon.folder / "weights")
    fresh_daemon.start()
    with Client(fresh_daemon.address) as client, Client(fresh_daemon.address) as other:
        job = send(client, {"preset": "draft"})
        seen = set()
        wait_for(other, lambda status: seen.add(status["device"]) or status["running"], limit=120)
        assert "fetching" in seen
        until(client, job, "result")


def test_prometheus_is_answered_on_request(fresh_daemon, send):
    with socket.socket() as spare:
        spare.bind(("127.0.0.1", 0))
        port = spare.getsockname()[1]
    fresh_daemon.start("--metrics", f"127.0.0.1:{port}")
    with Client(fresh_daemon.address) as client:
        job = send(client)
        until(client, job, "progress")
        cancel(client, job)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    figures = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert figures['blend_daemon_jobs_ended_total{end="cancelled"}'] == "1"
    assert float(figures['blend_daemon_worker_memory_bytes{worker="0",device="cpu"}']) > 1e7
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10)


def test_a_label_is_one_value_whatever_it_says():
    device = 'cuda ("no" \\ driver\nat all)'
    worker = {"device": device, "memory": 1, "state": "ready", "starts": 1}
    results = {"count": 0, "bytes": 0}
    told = metrics.text({"version": "1", "uptime": 0, "waiting": 0, "ends": {}, "results": results, "memory": 1, "workers": [worker]})
    assert r'blend_daemon_worker_starts_total{worker="0",device="cuda (\"no\" \\ driver\nat all)"} 1' in told.splitlines()


@pytest.mark.parametrize("address", ["0.0.0.0:9000", "example.org:9000", "127.0.0.1", "127.0.0.1:x", "192.168.0.1:1"])
def test_metrics_are_for_this_computer_alone(address, fresh_daemon):
    done = fresh_daemon.command("serve", "--metrics", address)
    assert done.returncode == 2
    assert address in done.stderr


def test_status_tells_people_of_workers_memory_and_results(two):
    said = two.command("status").stdout
    assert "Worker 1 on cpu" in said
    assert "Results kept: " in said
