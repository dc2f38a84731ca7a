"""A client's connection over ZeroMQ."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from blend_protocol import keys, runtime
from blend_protocol.errors import BlendError
from blend_protocol.transport import Event

EVENTS = zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
HANDSHAKES = 3  # that may fail without a reason given before the key is taken for the wrong one


class Socket:
    """A `Transport` to an address, see there.

    Raises
    ------
    BlendError
        `daemon-not-paired`, `keys`
    """

    def __init__(self, address: str | None) -> None:
        paired = keys.paired(address)
        self._address = paired.address if paired else address or runtime.address()
        self._paired = paired is not None
        # Where the daemon is known by its key and a port that it chooses, the connection is made anew until it answers.
        self._seeking = address is None and not runtime.unix_sockets()
        self._unheard: list[Sequence[Any]] = []  # said meanwhile
        self._connected = False
        self._failures = 0
        self.context = zmq.Context()
        self._socket = self.context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.sndhwm = self._socket.rcvhwm = 0
        self._socket.reconnect_ivl = 50
        self._socket.reconnect_ivl_max = 500
        self._monitor = self._socket.get_monitor_socket(EVENTS)
        if paired:
            self._socket.ipv6 = True
            self._socket.heartbeat_ivl, self._socket.heartbeat_timeout = 2000, 10_000  # ms
        if paired or self._seeking:
            self._socket.curve_serverkey = paired.key if paired else keys.own("server").public
            self._socket.curve_publickey, self._socket.curve_secretkey = keys.own("client")
        if self._address:
            self._socket.connect(self._address)

    def send(self, frames: Sequence[Any]) -> None:
        if self._seeking:
            self._unheard.append(frames)
        if self._address:
            with suppress(zmq.Again):  # the daemon refused: ZeroMQ gave up, and would wait for ever. `events` tells
                self._socket.send_multipart(frames, zmq.NOBLOCK, copy=False)

    def _seek(self) -> None:
        """Connect to where the daemon now says that it is."""
        found = runtime.address()
        if not found or found == self._address:
            return
        if self._address:
            self._socket.disconnect(self._address)  # what was said there goes with it
        self._address = found
        self._socket.connect(found)
        for frames in self._unheard:
            self._socket.send_multipart(frames, copy=False)

    def receive(self) -> list[Any] | None:
        if self._seeking:
            self._seek()
        if not self._socket.poll(0, zmq.POLLIN):
            return None
        return [frame.buffer for frame in self._socket.recv_multipart(copy=False)]

    def events(self) -> list[Event]:
        """See `Transport`. Raises BlendError `not-admitted`, `server-key-wrong`."""
        happened = []
        while self._monitor.poll(0, zmq.POLLIN):
            event = recv_monitor_message(self._monitor)["event"]
            if event == zmq.EVENT_DISCONNECTED:
                happened.append(Event.LOST)
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._connected, self._seeking = True, False
                self._unheard.clear()
                happened.append(Event.CONNECTED)
            elif self._paired:
                self._refused(event)
        return happened

    def _refused(self, event: int) -> None:
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            raise BlendError(
                "not-admitted",
                f"The blend daemon at {self._address} does not let this computer in.",
                f"Run `blend-daemon pair --add NAME {keys.own('client').public.hex()}` there.",
            )
        # A daemon that cannot open what was locked with the key that is pinned here says nothing and hangs up.
        self._failures += 1
        if not self._connected and self._failures >= HANDSHAKES:
            raise BlendError(
                "server-key-wrong",
                f"What answers at {self._address} is not the blend daemon that this computer was paired with.",
                "If the daemon was set up anew, remove the pairing with `blend-daemon pair --remove`, and pair again.",
            )

    def wait(self, timeout: float, *others: zmq.Socket[bytes]) -> None:
        """See `Transport`. `others`: sockets whose messages end the sleep too."""
        poller = zmq.Poller()
        for socket in (self._socket, self._monitor, *others):
            poller.register(socket, zmq.POLLIN)
        poller.poll(max(int(timeout * 1000), 1))

    def close(self) -> None:
        if not self._socket.closed:
            self._socket.disable_monitor()
            self.context.destroy(0)
