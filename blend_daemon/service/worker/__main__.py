"""The worker process of a broker on this machine: a `loop.Worker` on a socket."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

import zmq

from blend_daemon.service.worker.loop import Worker
from blend_protocol import framing
from blend_protocol.framing import Message

NICENESS = 5  # the broker, and whatever the user is doing, come first


def main(address: str, device: str) -> None:
    """Serve the broker at `address` until it goes."""
    os.nice(NICENESS)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    from blend_daemon.engine.network import weights  # noqa: F401 - torch takes seconds; only one that is there connects

    socket = zmq.Context().socket(zmq.PAIR)
    socket.linger = 1000
    socket.connect(address)
    Worker(Socket(socket), device).live()


def _die_with_parent() -> None:
    # The broker holds the other end of stdin; it closes however the broker ends.
    os.read(sys.stdin.fileno(), 1)  # unbuffered: no lock of a stream's that would be in the way of an ordinary end
    os._exit(0)


class Socket:
    """A PAIR, connected to the broker, as a `loop.Line`."""

    def __init__(self, socket: zmq.Socket[Any]) -> None:
        self._socket = socket

    def send(self, message: Message) -> None:
        self._socket.send_multipart(framing.encode(message), copy=False)

    def receive(self) -> Message:
        return framing.decode([frame.buffer for frame in self._socket.recv_multipart(copy=False)])

    def waiting(self) -> bool:
        return bool(self._socket.poll(0))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
