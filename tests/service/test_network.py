"""Over a bad network, or to a client that never reads: real sockets, real processes, and a relay that listens in and cuts the line."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest
import zmq
import zmq.asyncio
from daemons import Client, until, wait_for

from blend_daemon.service.io import client_sockets
from blend_protocol import client as protocol_client
from blend_protocol import messages
from blend_protocol.client import Message, Raster
from blend_protocol.errors import BlendError

DRAFT, LONG = {"preset": "draft"}, {"preset": "paper"}
JOB = "0" * 32


class Relay:
    """A TCP relay on loopback that keeps the bytes that it passes on, and can cut the line."""

    def __init__(self, address: str) -> None:
        self._port = int(address.rpartition(":")[2])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self.seen = bytearray()
        self.whole = True
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                if not self.whole:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._port))
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                self.seen += data
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        self.whole = False
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._ends.clear()

    def mend(self) -> None:
        self.whole = True

    def close(self) -> None:
        self.cut()
        self._listener.close()


def test_a_recorder_between_the_two_sees_neither_pixels_nor_header(paired, listening, send, cat, coffee):
    relay = Relay(listening.tcp)
    label = {"image": "a-secret-name.xcf", "layer": "Cat"}
    with paired("desk", relay.address).client() as client:
        result = list(client.follow(send(client, label=label)))[-1]
    seen = bytes(relay.seen)
    relay.close()
    assert len(seen) > cat.nbytes + coffee.nbytes  # it did see the traffic
    layer = bytes(result.rasters["layer"].data)
    for plain in (cat.tobytes(), coffee.tobytes(), layer):
        pieces = [plain[k : k + 12] for k in range(0, len(plain) - 12, 997)]
        assert not any(piece in seen for piece in pieces if len(set(piece)) > 4)
    for word in (b"submit", b"a-secret-name", b"parameters", b"result"):
        assert word not in seen


@pytest.mark.parametrize("when", ["while it computes", "when it ends"])
def test_a_cut_of_the_network_loses_no_job(paired, listening, send, when):
    relay = Relay(listening.tcp)
    with paired("desk", relay.address).client() as client, Client(listening.address) as near:
        ended = near.status()["ended"]
        job = send(client, LONG if when == "while it computes" else DRAFT)
        until(client, job, "progress")
        relay.cut()
        if when == "when it ends":
            wait_for(near, lambda status: status["ended"] > ended)
        else:
            time.sleep(3)
            assert near.status()["running"] == job
        relay.mend()
        if when == "while it computes":
            until(client, job, "progress", limit=10)
            client.finish(job)
        assert until(client, job, "result", limit=20).rasters["layer"]
        client.release(job)
    relay.close()


def test_a_daemon_that_stays_away_is_told_of(paired, listening, send, monkeypatch):
    monkeypatch.setattr(protocol_client, "AWAY", 1.0)
    relay = Relay(listening.tcp)
    with paired("desk", relay.address).client() as client:
        job = send(client)
        until(client, job, "progress")
        relay.cut()
        with pytest.raises(BlendError) as error:
            until(client, job, "nothing", limit=10)
        assert error.value.code == "daemon-gone"
        assert relay.address in error.value.hint
    relay.close()


def test_a_client_that_never_reads_costs_bounded_memory():
    """A socket of its own: sends 200 previews of 1 MB to a client that reads none, and 2,000 words; what waits is bounded."""

    async def flood() -> tuple[int, int]:
        context = zmq.asyncio.Context()
        clients = client_sockets.ClientSocket(client_sockets._router(context, "tcp://127.0.0.1:0"), remote=False)
        code = "import sys, time, zmq; s = zmq.Context().socket(zmq.DEALER); s.connect(sys.argv[1]); s.send(b'hello'); time.sleep(60)"
        reader = subprocess.Popen([sys.executable, "-c", code, clients.address])
        peer = (await asyncio.wait_for(clients.receive(), 10))[0]
        reader.send_signal(signal.SIGSTOP)
        picture = Message("preview", {"job": JOB, "box": [0, 0, 500, 500]}, {"layer": Raster("uint8", (500, 500, 4), bytes(1_000_000))})
        result = Message("result", {**picture.header, "report": {}}, picture.rasters)
        most = 0
        for message in [picture] * 200 + [result] * 50 + [Message("cancelled", {"job": JOB})] * 2000:
            assert clients.send(peer, message)
            most = max(most, sum(not tracker.done for tracker in clients._unsent.get(peer.identity, ())))
        reader.kill()
        reader.wait()
        context.destroy(0)
        return most, client_sockets.LARGE_UNSENT

    most, limit = asyncio.run(flood())
    assert 0 < most <= limit


def test_nothing_is_remembered_of_a_client_that_left_after_a_large_answer(tmp_path, monkeypatch):
    monkeypatch.setenv("BLEND_DAEMON_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "socket").touch()  # there is nothing to mend

    async def serve() -> int:
        context = zmq.asyncio.Context()
        clients = client_sockets.ClientSocket(client_sockets._router(context, "tcp://127.0.0.1:0"), remote=False)
        layer = Raster("uint8", (500, 500, 4), bytes(1_000_000))
        result = Message("result", {"job": JOB, "box": [0, 0, 500, 500], "report": {}}, {"layer": layer})
        for _ in range(3):
            client = context.socket(zmq.DEALER)
            client.connect(clients.address)
            await client.send(b"hello")
            peer, _frames = await asyncio.wait_for(clients.receive(), 10)
            assert clients.send(peer, result)
            await asyncio.wait_for(client.recv_multipart(), 10)
            client.close(0)
        began = time.monotonic()
        while clients._unsent and time.monotonic() - began < 5:
            await asyncio.sleep(0.05)
            clients.look_after()
        left = len(clients._unsent)
        context.destroy(0)
        return left

    assert asyncio.run(serve()) == 0


def test_every_message_that_may_be_dropped_is_one_that_another_follows():
    assert not set(messages.PASSING) & set(messages.LAST)
