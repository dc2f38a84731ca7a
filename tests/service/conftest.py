"""For tests over TCP: a daemon that listens there, and the computers that may be paired with it."""

from __future__ import annotations

import json

import pytest
from daemons import Client, Daemon

from blend_protocol import keys


class Computer:
    """The folders of a client on another computer."""

    def __init__(self, folder, monkeypatch) -> None:
        self._folder, self._monkeypatch = folder, monkeypatch

    def __enter__(self) -> Computer:
        self._monkeypatch.setenv("BLEND_DAEMON_STATE_DIR", str(self._folder))
        return self

    def __exit__(self, *_: object) -> None:
        self._monkeypatch.delenv("BLEND_DAEMON_STATE_DIR")

    def client(self, name: str = "box", key: str | None = None) -> Client:
        with self:
            return Client(name, key)


@pytest.fixture(scope="module")
def listening():
    """A running daemon that also listens on TCP, at `listening.tcp`."""
    daemon = Daemon()
    daemon.start("--listen", "tcp://127.0.0.1:0")
    daemon.tcp = json.loads(daemon.command("status", "--json").stdout)["listen"]
    yield daemon
    daemon.remove()


@pytest.fixture
def computer(tmp_path, monkeypatch):
    return lambda name: Computer(tmp_path / name, monkeypatch)


@pytest.fixture
def paired(listening, computer):
    """A computer that is paired with the daemon, at an address."""

    def pair(name: str, address: str | None = None) -> Computer:
        server_key = listening.command("keys").stdout.split()[1]
        with computer(name) as one:
            keys.add_daemon("box", address or listening.tcp, server_key)
            public = keys.own("client").public.hex()
        assert listening.command("pair", "--add", name, public).returncode == 0
        names.append(name)
        return one

    names: list[str] = []
    yield pair
    for name in names:
        listening.command("pair", "--remove", name)
