"""An end to messages that do not end.

ZeroMQ holds the frames of a message until it is whole, and bounds the size of each but not their number; what comes before the handshake
is held too. So the broker watches its own memory. When that outgrows what the waiting pictures explain, connections are closed that are
in the middle of a message: first those on which bytes arrive, then, if that was not enough, all that have finished none for a while.

Why this way: ZeroMQ's own options do not reach it. MAXMSGSIZE bounds a frame, not a message of many; HANDSHAKE_IVL bounds how long a
handshake may take, not how much is held meanwhile; monitor events tell when a connection opens and closes, not what it holds; and no call
closes one peer of a ROUTER. So the connection is shut down underneath, by the descriptor that ZeroMQ has open, which /proc shows.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import socket
import struct
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path

from blend_daemon.service.io import memory
from blend_daemon.service.io.client_sockets import ClientSocket

log = logging.getLogger("blend_daemon")

EVERY = 0.25  # s between two looks
FREEING = 5.0  # s that ZeroMQ takes at most to free what it held for a closed connection
SEEN = 0.2  # s in which bytes that arrive are seen waiting at least once
WHOLE = 0.02  # s after which a message that was just arriving has been heard
PATIENT = 2.0  # s above the limit, after which those that fill the memory slowly are closed too


async def watch(sockets: Sequence[ClientSocket], limit: int, explained: Callable[[], int], spared: Callable[[], Collection[int]]) -> None:
    """Keep the memory that unfinished messages take below about `limit`, for Linux; elsewhere it does nothing.

    Parameters
    ----------
    sockets : whose connections are closed
    limit : bytes
    explained : tells how many bytes are held for good reasons
    spared : tells the descriptors of connections that are never closed
    """
    held = lambda: (memory.held("self") or 0) - explained()
    own = base = held()
    above: float | None = None  # since when
    freeing = -math.inf  # until when closed connections' memory may still come free
    while True:
        await asyncio.sleep(EVERY)
        if time.monotonic() < freeing:
            await asyncio.to_thread(memory.give_back)
        excess = held() - base
        base = max(own, base + min(excess, 0))  # what was nobody's may be given back later
        now = time.monotonic()
        if excess < limit:
            above = None
        elif above is None:
            above = now
        else:
            everybody = now - above > PATIENT
            closed = 0
            with suppress(OSError):  # no descriptor is left to look with
                closed = await _close(sockets, above, everybody, spared())
            if closed:
                log.warning("closed %d connections: unfinished messages held %.0f MB", closed, excess / 1e6)
                freeing = now + FREEING
                await asyncio.sleep(EVERY)  # or the same memory would close others
            else:
                await asyncio.to_thread(memory.give_back)
                if everybody:
                    base = max(base, held() - limit // 2)  # what is left is nobody's message
            if everybody:
                above = None


async def _close(sockets: Sequence[ClientSocket], since: float, everybody: bool, spared: Collection[int]) -> int:
    """Close the connections that have finished no message since then, but those spared; if not everybody, those on which bytes arrive."""
    with ExitStack() as copies:
        found = [(where, number, copies.enter_context(closing(copy))) for where, number, copy in _connections(sockets)]
        unheard = lambda: {copy for where, number, copy in found if number not in spared and where.heard.get(number, since) <= since}
        chosen = unheard()
        if not everybody:
            chosen = await _arriving(chosen)
            await asyncio.sleep(WHOLE)
            chosen &= unheard()
        for copy in chosen:
            with suppress(OSError):  # it has ended by itself
                copy.shutdown(socket.SHUT_RDWR)  # ZeroMQ finds it ended, and drops what it held for it
        return len(chosen)


async def _arriving(connections: set[socket.socket]) -> set[socket.socket]:
    """Those on which bytes arrive: of which some wait to be read. ZeroMQ may be as fast as the sender, so one look often finds none."""
    import fcntl  # only here, where there is a /proc
    import termios

    waiting = lambda connection: struct.unpack("i", fcntl.ioctl(connection, termios.FIONREAD, bytes(4)))[0]
    end = time.monotonic() + SEEN
    while not (found := set(filter(waiting, connections))) and time.monotonic() < end:
        await asyncio.sleep(0.001)
    return found


def _connections(sockets: Sequence[ClientSocket]) -> Iterator[tuple[ClientSocket, int, socket.socket]]:
    """Each connection: where it came in, its descriptor, and a socket on a copy of that, for the caller to close."""
    addresses = {where.address.removeprefix("ipc://"): where for where in sockets}
    ports = {address.rpartition(":")[2]: where for address, where in addresses.items()}
    numbers = [int(link.name) for link in Path("/proc/self/fd").iterdir() if link.is_socket()]  # before there are copies
    for number in numbers:
        with suppress(OSError):  # it has been closed meanwhile, or listens and has no peer
            connection = socket.socket(fileno=os.dup(number))
            with ExitStack() as otherwise:
                otherwise.callback(connection.close)
                connection.getpeername()
                here = connection.getsockname()
                where = addresses.get(here) if isinstance(here, str) else ports.get(str(here[1]))
                if where:
                    otherwise.pop_all()
                    yield where, number, connection
