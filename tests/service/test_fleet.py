"""A daemon whose workers are actors of a real Ray cluster of two nodes, and clusters that it does not join."""

from __future__ import annotations

import os
import platform
import signal
import time

import pytest
from clusters import cluster_of
from daemons import Client, Daemon, goes_on, loaded, until, wait_for

from blend_protocol import __version__

QUICK = {"method": "poisson"}
LONG = {"preset": "draft", "iterations": 200}
PACKAGE = """
import importlib.abc, importlib.util, sys

class Other(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        return importlib.util.spec_from_loader(name, self) if name == "blend_protocol" else None

    def exec_module(self, module):
        with open({asked!r}, "a") as asked:
            asked.write("asked\\n")
        exec({code!r}, vars(module))

sys.meta_path.insert(0, Other())
"""  # a node's blend_protocol is that, wherever Ray has it look


@pytest.fixture(scope="module")
def cluster():
    with cluster_of(2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def daemon(cluster):
    daemon = Daemon()
    daemon.environment.update(cluster.environment)
    daemon.start("--engine", "ray", "--ray-address", cluster.address, "--worker-cpus", "1", "--device", "cpu", "--workers", "2")
    yield daemon
    daemon.remove()


def worker_of(client: Client, job: str) -> dict:
    return next(worker for worker in wait_for(client, lambda status: status)["workers"] if worker["job"] == job)


def layer(result) -> bytes:
    return bytes(result.rasters["layer"].data)


def test_a_job_starts_again_where_an_actor_is_lost_and_its_result_is_the_same(daemon, send):
    with Client(daemon.address) as client:
        status = wait_for(client, loaded)
        assert all(worker["node"] and worker["device"] == "cpu" for worker in status["workers"])
        expected = layer(until(client, send(client, LONG), "result"))

        job = send(client, LONG)
        until(client, job, "progress")
        os.kill(worker_of(client, job)["pid"], signal.SIGKILL)
        assert layer(until(client, job, "result")) == expected
    assert "goes to the next worker" in daemon.log()
    account = daemon.command("status").stdout
    assert "on node" in account, account


def test_a_job_in_the_fleet_is_steered_as_one_on_this_machine(daemon, send):
    with Client(daemon.address) as client:
        wait_for(client, loaded)
        job = send(client, {"preset": "paper"}, previews=True)
        until(client, job, "preview")
        client.adjust(job, {"style": 2.0})
        goes_on(client, job)
        client.finish(job)
        assert until(client, job, "result").rasters
        job = send(client, {"preset": "paper"})
        until(client, job, "progress")
        client.cancel(job)
        until(client, job, "cancelled")


def test_a_worker_that_no_node_has_room_for_is_told_of(cluster, fresh_daemon):
    fresh_daemon.environment.update(cluster.environment)
    fresh_daemon.start("--engine", "ray", "--ray-address", cluster.address, "--worker-cpus", "64", "--device", "cpu")
    with Client(fresh_daemon.address) as client:
        wait_for(client, lambda status: status["workers"][0]["lacks"])
    assert "Worker 0 on loading: loading, waits for a node of the cluster with 64 cores" in fresh_daemon.command("status").stdout


def test_nodes_with_another_version_or_none_are_told_of_and_each_is_tried_once(cluster, fresh_daemon, send, tmp_path):
    installed = {"other": "__version__ = '0.0.9'", "none": "raise ImportError"}
    for name, code in installed.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "sitecustomize.py").write_text(PACKAGE.format(code=code, asked=str(tmp_path / "asked")))
        cluster.add(cores=2, PYTHONPATH=str(tmp_path / name))
    fresh_daemon.environment.update(cluster.environment)
    fresh_daemon.start("--engine", "ray", "--ray-address", cluster.address, "--worker-cpus", "2", "--device", "cpu", "--workers", "2")
    with Client(fresh_daemon.address) as client:
        wait_for(client, lambda status: len(status["unfit_nodes"]) == 2)
        told = fresh_daemon.command("status").stdout
        remedy = f"run `./install.sh --fleet` of version {__version__} there, then `ray stop` and its `ray start`."
        assert f"Not used: node {platform.node()} has blend-daemon 0.0.9, not {__version__}; {remedy}" in told
        assert f"Not used: node {platform.node()} has no blend-daemon; {remedy}" in told
        wait_for(client, lambda status: all(worker["starts"] > 2 for worker in status["workers"]))  # so the second try has ended
        assert (tmp_path / "asked").read_text() == "asked\n" * 2
        for _ in installed:
            cluster.kill(2)
        cluster.add(cores=2)  # what a node is after its Ray was started anew
        assert until(client, send(client, QUICK), "result").rasters
        wait_for(client, lambda status: not status["unfit_nodes"])
        cluster.kill(2)


@pytest.mark.parametrize(
    ("address", "environment", "told"),
    [
        ("127.0.0.1:9", {}, "No cluster answers at 127.0.0.1:9"),
        ("nonsense", {}, "is no address of a cluster"),
        (None, {"RAY_AUTH_TOKEN": "f" * 64}, "refused this machine"),
    ],
)
def test_a_cluster_that_cannot_be_joined_is_named(cluster, address, environment, told, fresh_daemon):
    fresh_daemon.environment.update(cluster.environment | environment)
    began = time.monotonic()
    tried = fresh_daemon.command("serve", "--engine", "ray", "--ray-address", address or cluster.address)
    assert time.monotonic() - began < 20  # Ray's own patience
    assert tried.returncode == 2, tried.stderr
    assert told in tried.stderr


def test_words_of_a_fleet_without_one_are_refused(fresh_daemon):
    tried = fresh_daemon.command("serve", "--ray-address", "127.0.0.1:6379")
    assert (tried.returncode, "--engine ray" in tried.stderr) == (2, True)


def test_a_cluster_that_lets_anybody_in_is_refused(fresh_daemon):
    with cluster_of(0, token=None) as cluster:
        fresh_daemon.environment.update(cluster.environment)
        tried = fresh_daemon.command("serve", "--engine", "ray", "--ray-address", cluster.address)
    assert tried.returncode == 2
    assert "asked without a token" in tried.stderr, tried.stderr
