"""A daemon's beginning and end: started on demand, refused, stopped, killed."""

from __future__ import annotations

import re
import signal

import pytest
from daemons import DAEMON, Client, gone, until, wait_for

from blend_protocol import client as protocol_client
from blend_protocol.errors import BlendError

LONG = {"preset": "paper"}  # a thousand evaluations: as long as a test needs it to be


@pytest.mark.parametrize("address", ["tcp://nowhere", "ipc://relative", "no name", "../x", "ipc:///" + "x" * 120])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(BlendError) as error:
        Client(address)
    assert error.value.code == "address-invalid"
    assert address in str(error.value)


def test_where_no_daemon_is_none_is_started_for_an_address(tmp_path, monkeypatch):
    monkeypatch.setattr(protocol_client, "FAR", 0.3)
    with Client(f"ipc://{tmp_path}/socket") as client, pytest.raises(BlendError) as error:
        list(client.reach())
    assert error.value.code == "daemon-unreachable"
    assert str(tmp_path) in str(error.value)


def test_a_worker_that_cannot_start_is_told_of(fresh_daemon, send, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('this torch is broken')")
    fresh_daemon.environment["PYTHONPATH"] = str(tmp_path)
    fresh_daemon.start()
    with Client(fresh_daemon.address) as client:
        failed = until(client, send(client), "failed")
    assert failed.header["code"] == "worker-died"
    assert "could not start: exit code 1" in failed.header["message"]
    assert "blend-daemon doctor" in failed.header["hint"]


def test_a_worker_that_still_loads_goes_with_a_killed_daemon(fresh_daemon, tmp_path):
    (tmp_path / "torch.py").write_text(f"import pathlib, time\npathlib.Path({str(tmp_path)!r}, 'loading').touch()\ntime.sleep(60)")
    fresh_daemon.environment["PYTHONPATH"] = str(tmp_path)
    fresh_daemon.start()
    with Client(fresh_daemon.address) as client:
        worker = wait_for(client, lambda _: (tmp_path / "loading").exists())["worker"]
    fresh_daemon.process.kill()
    assert gone(worker), "the worker outlived its broker"
    fresh_daemon.process.wait()


def test_a_second_daemon_is_refused(daemon):
    done = daemon.command("serve")
    assert done.returncode == 3
    assert "running already" in done.stderr


def test_the_doctor_blends_without_a_daemon_too(fresh_daemon):
    report = fresh_daemon.command("doctor").stdout
    assert re.search("ok +self-test: a blend of 4.. pixels by this process", report)
    assert "self-test" not in fresh_daemon.command("doctor", "--quick").stdout


@pytest.mark.parametrize("how", ["stop", "SIGTERM", "SIGINT"])
def test_it_stops_and_leaves_nothing_running(how, fresh_daemon, send):
    daemon = fresh_daemon
    daemon.start()
    with Client(daemon.address) as client:
        worker = wait_for(client, lambda status: status["worker"])["worker"]
        job = send(client, LONG)
        until(client, job, "accepted")
        if how == "stop":
            assert daemon.command("stop").returncode == 0
        else:
            daemon.process.send_signal(getattr(signal, how))
        last = until(client, job, "failed", "result", limit=10)  # as far as it had come
        assert last.type == "result" or last.header["code"] == "daemon-stopped"
    assert daemon.process.wait(10) == 0
    assert gone(worker)
    assert sorted(p.name for p in (daemon.folder / "run").iterdir()) == ["lock"]
    assert daemon.command("status").returncode == 1


def test_a_client_notices_a_killed_daemon_and_a_new_one_starts(fresh_daemon, send):
    daemon = fresh_daemon
    daemon.start()
    with Client(daemon.address) as client:
        job = send(client, LONG)
        until(client, job, "progress")
        worker = client.status()["worker"]
        daemon.process.kill()
        with pytest.raises(BlendError) as error:
            until(client, job, "result", limit=5)
        assert error.value.code == "daemon-gone"
    assert gone(worker), "the worker outlived its broker"
    daemon.process.wait()
    stale = {p.name for p in (daemon.folder / "run").iterdir()}
    assert {"socket", "worker-1"} <= stale
    daemon.start()
    with Client(daemon.address) as client:
        assert until(client, send(client), "result")


@pytest.fixture
def reach(fresh_daemon, monkeypatch):
    """The steps in which the daemon of this user is reached, where that command would start it."""
    for name in ("BLEND_DAEMON_RUNTIME_DIR", "BLEND_DAEMON_STATE_DIR"):
        monkeypatch.setenv(name, fresh_daemon.environment[name])

    def steps(command: list[str]) -> list[str]:
        with Client(command=command) as client:
            return [client.wait(0.05) or state for state in client.reach()]

    return steps


def test_a_daemon_is_started_on_demand_and_found_the_next_time(fresh_daemon, reach):
    assert "starting" in reach(DAEMON)
    assert "starting" not in reach(DAEMON)
    assert fresh_daemon.command("stop").returncode == 0


def test_a_daemon_that_ends_at_once_is_told_with_its_log_and_the_remedy(fresh_daemon, reach):
    with pytest.raises(BlendError, match="ended with code 1") as error:
        reach(["false"])
    assert error.value.code == "daemon-not-started"
    assert str(fresh_daemon.folder / "state/daemon.log") in error.value.hint
    assert "blend-daemon doctor" in error.value.hint


def test_a_command_that_is_missing_is_named_with_the_remedy(reach):
    with pytest.raises(BlendError, match="/nowhere/blend-daemon") as error:
        reach(["/nowhere/blend-daemon"])
    assert error.value.code == "daemon-not-started"
    assert "blend-daemon doctor" in error.value.hint
