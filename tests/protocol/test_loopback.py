"""Where there are no Unix sockets, as on Windows: TCP on loopback with CURVE. Here it is asked for; no Windows has run it yet."""

from __future__ import annotations

import subprocess
import sys

import pytest
import zmq
from daemons import DAEMON, Client, eventually, until

from blend_protocol import framing, keys, runtime
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message


@pytest.fixture
def own_daemon(fresh_daemon, monkeypatch):
    """The daemon of this user, on loopback when it is started."""
    fresh_daemon.environment["BLEND_DAEMON_LOCAL"] = "tcp"
    for name, value in fresh_daemon.environment.items():
        if name.startswith("BLEND_DAEMON_"):
            monkeypatch.setenv(name, value)
    return fresh_daemon


def reached(client: Client) -> list[str]:
    return [client.wait(0.05) or state for state in client.reach()]


def test_a_blend_and_a_daemon_that_dies(own_daemon, send):
    own_daemon.start()
    assert runtime.address().startswith("tcp://127.0.0.1:")
    assert runtime.socket_path().stat().st_mode & 0o777 == 0o600
    with Client() as client:
        reached(client)
        assert until(client, send(client), "result")
        own_daemon.process.kill()
        own_daemon.process.wait()
        with pytest.raises(BlendError) as error:
            until(client, "none", limit=10)
    assert error.value.code == "daemon-gone"


@pytest.mark.parametrize("left_behind", [False, True], ids=["first start", "address of one that was killed"])
def test_it_is_started_on_demand(own_daemon, left_behind):
    if left_behind:
        own_daemon.start()
        own_daemon.process.kill()
        own_daemon.process.wait()
    with Client(command=DAEMON) as client:
        assert "starting" in reached(client)
    assert own_daemon.command("status").returncode == 0
    assert own_daemon.command("stop").returncode == 0
    assert not runtime.socket_path().exists()


def test_through_the_bridge_too(own_daemon, monkeypatch):
    own_daemon.start()
    keys.own("client")
    monkeypatch.setitem(sys.modules, "zmq", None)
    monkeypatch.setitem(sys.modules, "blend_protocol.zeromq", None)
    with Client(command=DAEMON) as client:
        reached(client)
        assert client.status()["pid"] == own_daemon.process.pid


def test_nobody_without_this_computers_key_is_let_in(own_daemon):
    own_daemon.start()
    public, secret = zmq.curve_keypair()
    paired, paired_secret = zmq.curve_keypair()  # of another computer, which may come in at its own door alone
    assert own_daemon.command("pair", "--add", "desk", zmq.utils.z85.decode(paired).hex()).returncode == 0
    with zmq.Context() as context:
        for words in ({}, {"public": public, "secret": secret}, {"public": paired, "secret": paired_secret}):
            with context.socket(zmq.DEALER) as stranger:
                stranger.linger = 0
                if words:
                    stranger.curve_serverkey = keys.own("server").public
                    stranger.curve_publickey, stranger.curve_secretkey = words["public"], words["secret"]
                stranger.connect(runtime.address())
                stranger.send_multipart(framing.encode(Message("hello")))
                assert not stranger.poll(1000)
    with Client() as client:
        reached(client)


def test_the_file_with_the_address_is_made_again(own_daemon):
    own_daemon.start()
    runtime.socket_path().unlink()
    eventually(runtime.socket_path().exists, 5)
    assert subprocess.run([*DAEMON, "status"], env=own_daemon.environment, capture_output=True).returncode == 0
