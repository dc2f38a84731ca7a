"""The sockets on which clients come in: this user's own, and with `--listen` a TCP socket for paired computers.

The Unix socket is private twice: by its folder (0700), and by the kernel's word on whose process connects. On TCP the paired computers'
keys are asked for anew with each message, so that a removed client is out at once; who may connect is said by `admission`.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import zmq
import zmq.asyncio

from blend_daemon.service.events import Connection
from blend_daemon.service.io.admission import ELSEWHERE, HERE, name_of
from blend_daemon.service.io.zeromq import own_user_only, send_at_once
from blend_protocol import framing, keys, messages, runtime
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message

log = logging.getLogger("blend_daemon")

HEARTBEAT = 2000  # ms between signs of life on TCP; 5 of them missing, the connection is given up
GRACE = 40.0  # s that a client on TCP may be away before its job is: a cut of 30 s, and the time to connect again
UNSENT = 256  # messages that wait for one client; more are dropped
SMALL = 64 * 1024  # bytes; ZeroMQ copies frames up to this size
LARGE_UNSENT = 3  # messages with larger frames that wait for one client


class ClientSocket:
    """One socket for clients.

    Parameters
    ----------
    socket : ROUTER, bound
    remote : whether clients come from other computers, known by their CURVE keys

    Attributes
    ----------
    heard : for each descriptor that a connection has or had, the moment of the monotonic clock of its last whole message
    """

    def __init__(self, socket: zmq.asyncio.Socket, remote: bool) -> None:
        self._socket, self.remote = socket, remote
        self._unsent: dict[bytes, list[zmq.MessageTracker]] = {}
        self.heard: dict[int, float] = {}

    async def receive(self) -> tuple[Connection, list[Any]]:
        """The next message: whose it is, and its frames."""
        while True:
            identity, *frames = await self._socket.recv_multipart(copy=False)
            descriptor = int(identity.get(zmq.SRCFD))
            self.heard[descriptor] = time.monotonic()
            key = str(frames[-1].get("User-Id")) if self.remote and frames else ""
            if not self.remote or name_of(key):
                return Connection(self.remote, identity.bytes, key, descriptor), [frame.buffer for frame in frames]

    def send(self, client: Connection, message: Message) -> bool:
        """Send without waiting. False if the client has gone or been removed; what one that does not read has no room for is dropped."""
        if _removed(client):
            return False
        frames = framing.encode(message)
        large = any(memoryview(frame).nbytes > SMALL for frame in frames)
        waiting = [tracker for tracker in self._unsent.pop(client.identity, ()) if not tracker.done]
        if waiting:
            self._unsent[client.identity] = waiting
        if large and len(waiting) >= (1 if message.type in messages.PASSING else LARGE_UNSENT):
            return True
        try:
            tracker = send_at_once(self._socket, [client.identity, *frames], track=large)
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                self._unsent.pop(client.identity, None)
                return False
            if error.errno != zmq.EAGAIN:
                raise
        else:
            if tracker:
                self._unsent.setdefault(client.identity, []).append(tracker)
        return True

    def grace(self, client: Connection) -> float:
        """Seconds that a client may be away before its job is given up."""
        return GRACE if self.remote and not _removed(client) else 0.0

    def look_after(self) -> None:
        """What is to be done now and then: forget what has been sent, also to those who have left, and see to the socket's file."""
        for identity, trackers in list(self._unsent.items()):
            if all(tracker.done for tracker in trackers):
                del self._unsent[identity]
        self._mend()

    def _mend(self) -> None:
        """Make the Unix socket's file again if somebody has tidied it away; connections that there are do not notice."""
        if not self.remote and not runtime.socket_path().exists():
            log.warning("the socket's file has gone, and is made again")
            with suppress(zmq.ZMQError, BlendError, OSError):  # its folder may be beyond us: tried again soon
                runtime.private_dir(runtime.runtime_dir())
                if runtime.unix_sockets():
                    self._socket.bind(runtime.address())
                else:
                    runtime.write_private(runtime.socket_path(), self.address)

    @property
    def address(self) -> str:
        """Where it was bound, a port chosen by the system included."""
        bound = bytes(self._socket.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()
        return re.sub(r"\[::ffff:([\d.]+)\]", r"\1", bound)  # an IPv4 address as it was given


def _removed(client: Connection) -> bool:
    """Whether it was a paired client and is none any more. One that cannot be asked about is no reason to give up a job."""
    try:
        return bool(client.key) and client.key not in keys.clients()
    except BlendError:
        return False


def own(message: Message, key: str) -> Message:
    """The message with its owner bound to the CURVE key of who sent it: nobody else can name that owner, even who knows the field."""
    if not key or "owner" not in message.header:
        return message
    bound = hashlib.sha256(f"{key} {message.header['owner']}".encode()).hexdigest()[:32]
    return replace(message, header={**message.header, "owner": bound})


def local(context: zmq.asyncio.Context) -> ClientSocket:
    """The socket of this user: a Unix socket, or one on loopback that lets in this computer's own key; then `admission.admit` must run.

    Raises BlendError `socket-failed`, `keys`.
    """
    try:
        if runtime.unix_sockets():
            return ClientSocket(_router(context, runtime.address()), remote=False)
        socket = ClientSocket(_router(context, "tcp://127.0.0.1:*", **_curve(HERE)), remote=False)
        runtime.write_private(runtime.socket_path(), socket.address)
        return socket
    except zmq.ZMQError as error:
        raise BlendError(
            "socket-failed",
            f"The socket {runtime.socket_path()} cannot be made: {error.strerror}.",
            "Set BLEND_DAEMON_RUNTIME_DIR to a folder on a local disk with a short path, for the daemon and for GIMP.",
        ) from error


def remote(context: zmq.asyncio.Context, address: str) -> ClientSocket:
    """A TCP socket for paired computers; `admission.admit` must run. Raises BlendError `listen-failed`."""
    try:
        return ClientSocket(_router(context, address, **_curve(ELSEWHERE)), remote=True)
    except zmq.ZMQError as error:
        raise BlendError(
            "listen-failed", f"The daemon cannot listen at {address}: {error.strerror}.", "Choose another port or host."
        ) from error


def _curve(domain: bytes) -> dict[str, Any]:
    return {"curve_server": True, "curve_secretkey": keys.own("server").secret, "zap_domain": domain}


def _router(context: zmq.asyncio.Context, address: str, **security: Any) -> zmq.asyncio.Socket:
    socket = context.socket(zmq.ROUTER)
    for option, value in security.items():  # must come before bind
        setattr(socket, option, value)
    socket.router_mandatory = True  # a client that has gone must be noticed: its job would compute for nobody
    socket.maxmsgsize = framing.FRAME_LIMIT
    socket.sndhwm = UNSENT
    socket.linger = 1000
    if security:
        socket.heartbeat_ivl, socket.heartbeat_timeout = HEARTBEAT, 5 * HEARTBEAT
        socket.ipv6 = True
    elif not own_user_only(socket):
        log.warning("this system does not tell whose process connects: the socket's folder alone keeps other users out")
    socket.bind(address)
    return socket


def tells_users() -> bool:
    """Whether the system tells a Unix socket whose process connects, so that other users are refused whatever the folder's mode."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        return own_user_only(socket)
