"""The sockets on which clients come in: the Unix socket, and with `--listen` a TCP socket for paired computers.

The Unix socket is private twice: by its folder (0700), and by the kernel's word on whose process connects. The TCP socket speaks CURVE
alone and lets in nobody but the keys in `keys.clients()`, asked anew for each connection and for each message, so that a removed client
is out at once.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import zmq
import zmq.asyncio

from blend_protocol import framing, keys, limits, messages, runtime
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message

log = logging.getLogger("blend_daemon")

HEARTBEAT = 2000  # ms between signs of life on TCP; 5 of them missing, the connection is given up
GRACE = 40.0  # s that a client on TCP may be away before its job is: a cut of 30 s, and the time to connect again
UNSENT = 256  # messages that wait for one client; more are dropped
SMALL = 64 * 1024  # bytes; ZeroMQ copies frames up to this size
LARGE_UNSENT = 3  # messages with larger frames that wait for one client


class Peer(NamedTuple):
    """A client's connection: its name in the door's socket, its CURVE key ("" on the Unix socket), and its descriptor."""

    door: Door
    identity: bytes
    key: str
    descriptor: int

    @property
    def removed(self) -> bool:
        """Whether it was a paired client and is none any more. One that cannot be asked about is no reason to give up a job."""
        try:
            return bool(self.key) and self.key not in keys.clients()
        except BlendError:
            return False

    @property
    def grace(self) -> float:
        """Seconds that it may be away before its job is given up."""
        return 0.0 if self.removed else self.door.grace


@dataclass(eq=False)
class Door:
    """One socket for clients.

    Attributes
    ----------
    socket : ROUTER, bound
    grace : s that a client may be away before its running job is cancelled
    remote : whether clients come from other computers, known by their CURVE keys
    heard : for each descriptor that a connection has or had, the moment of the monotonic clock of its last whole message
    """

    socket: zmq.asyncio.Socket
    grace: float
    remote: bool

    def __post_init__(self) -> None:
        self._unsent: dict[bytes, list[zmq.MessageTracker]] = {}
        self.heard: dict[int, float] = {}

    async def receive(self) -> tuple[Peer, list[Any]]:
        """The next message: whose it is, and its frames."""
        while True:
            identity, *frames = await self.socket.recv_multipart(copy=False)
            descriptor = int(identity.get(zmq.SRCFD))
            self.heard[descriptor] = time.monotonic()
            key = str(frames[-1].get("User-Id")) if self.remote and frames else ""
            if not self.remote or _name(key):
                return Peer(self, identity.bytes, key, descriptor), [frame.buffer for frame in frames]

    async def send(self, peer: Peer, message: Message) -> bool:
        """Send without waiting. False if the client has gone or been removed; what one that does not read has no room for is dropped."""
        if peer.removed:
            return False
        frames = framing.encode(message)
        large = any(memoryview(frame).nbytes > SMALL for frame in frames)
        waiting = [tracker for tracker in self._unsent.pop(peer.identity, ()) if not tracker.done]
        if waiting:
            self._unsent[peer.identity] = waiting
        if large and len(waiting) >= (1 if message.type in messages.PASSING else LARGE_UNSENT):
            return True
        try:
            tracker = await self.socket.send_multipart([peer.identity, *frames], zmq.DONTWAIT, copy=False, track=large)
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                self._unsent.pop(peer.identity, None)
                return False
            if error.errno != zmq.EAGAIN:
                raise
        else:
            if tracker:
                self._unsent.setdefault(peer.identity, []).append(tracker)
        return True

    def look_after(self) -> None:
        """What is to be done every second: forget what has been sent, also to those who have left, and see to the socket's file."""
        for identity, trackers in list(self._unsent.items()):
            if all(tracker.done for tracker in trackers):
                del self._unsent[identity]
        self._mend()

    def _mend(self) -> None:
        """Make the Unix socket's file again if somebody has tidied it away; connections that there are do not notice."""
        if not self.remote and not runtime.socket_path().exists():
            log.warning("the socket's file has gone, and is made again")
            with suppress(zmq.ZMQError, BlendError):  # its folder may be beyond us: tried again soon
                runtime.private_dir(runtime.runtime_dir())
                self.socket.bind(runtime.address())

    @property
    def address(self) -> str:
        """Where it was bound, a port chosen by the system included."""
        bound = bytes(self.socket.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()
        return re.sub(r"\[::ffff:([\d.]+)\]", r"\1", bound)  # an IPv4 address as it was given


def own(message: Message, key: str) -> Message:
    """The message with its owner bound to the CURVE key of who sent it: nobody else can name that owner, even who knows the field."""
    if not key or "owner" not in message.header:
        return message
    bound = hashlib.sha256(f"{key} {message.header['owner']}".encode()).hexdigest()[:32]
    return replace(message, header={**message.header, "owner": bound})


def local(context: zmq.asyncio.Context) -> Door:
    """The Unix socket of this user."""
    return Door(_router(context, runtime.address()), 0.0, remote=False)


def tells_users() -> bool:
    """Whether the system tells a Unix socket whose process connects, so that other users are refused whatever the folder's mode."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        return own_user_only(socket)


def own_user_only(socket: zmq.Socket[Any]) -> bool:
    """Have a Unix socket refuse other users' processes, before it is bound. False if the system does not tell whose process connects."""
    try:
        socket.setsockopt(zmq.IPC_FILTER_UID, os.getuid())  # root is refused too
    except zmq.ZMQError:  # libzmq was built without SO_PEERCRED and LOCAL_PEERCRED
        return False
    return True


def remote(context: zmq.asyncio.Context, address: str) -> Door:
    """A TCP socket for paired computers; `admit` must run. Raises BlendError `listen-failed`."""
    own = keys.own("server")
    try:
        return Door(
            _router(context, address, curve_server=True, curve_secretkey=own.secret, zap_domain=b"blend-daemon"), GRACE, remote=True
        )
    except zmq.ZMQError as error:
        raise BlendError(
            "listen-failed", f"The daemon cannot listen at {address}: {error.strerror}.", "Choose another port or host."
        ) from error


def _router(context: zmq.asyncio.Context, address: str, **security: Any) -> zmq.asyncio.Socket:
    socket = context.socket(zmq.ROUTER)
    for option, value in security.items():  # must come before bind
        setattr(socket, option, value)
    socket.router_mandatory = True  # a client that has gone must be noticed: its job would compute for nobody
    socket.maxmsgsize = limits.MAX_PIXELS * 4 * 4  # float32, four channels; ZeroMQ refuses a larger frame before it allocates it
    socket.sndhwm = UNSENT
    socket.linger = 1000
    if security:
        socket.heartbeat_ivl, socket.heartbeat_timeout = HEARTBEAT, 5 * HEARTBEAT
        socket.ipv6 = True
    elif not own_user_only(socket):
        log.warning("this system does not tell whose process connects: the socket's folder alone keeps other users out")
    socket.bind(address)
    return socket


def zap(context: zmq.asyncio.Context) -> zmq.asyncio.Socket:
    """Where ZeroMQ asks whether a connection to a CURVE socket may be (RFC 27). To be bound before any such socket is."""
    socket = context.socket(zmq.REP)
    socket.linger = 0
    socket.bind("inproc://zeromq.zap.01")
    return socket


async def admit(socket: zmq.asyncio.Socket) -> None:
    """Answer ZeroMQ: yes to a CURVE key that is paired, no to everything else."""
    while True:
        version, request, _domain, address, _identity, mechanism, *credentials = await socket.recv_multipart()
        key = credentials[0].hex() if mechanism == b"CURVE" and len(credentials) == 1 else ""
        name = _name(key)
        log.info("%s from %s", f"{name} connects" if name else "refused a client that is not paired,", address.decode("ascii", "replace"))
        answer = [b"200", b"OK", key.encode()] if name else [b"400", b"not paired", b""]
        await socket.send_multipart([version, request, *answer, b""])


def _name(key: str) -> str | None:
    try:
        return keys.clients().get(key)
    except BlendError as error:
        log.error("nobody is let in: %s", error)
        return None
