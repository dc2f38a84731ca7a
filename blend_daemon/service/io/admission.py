"""Who may connect on TCP: from elsewhere the CURVE keys in `keys.clients()`, asked for anew at each connection, on loopback this computer's
own, and nobody else."""

from __future__ import annotations

import logging

import zmq
import zmq.asyncio

from blend_protocol import keys
from blend_protocol.errors import BlendError

log = logging.getLogger("blend_daemon")

HERE, ELSEWHERE = b"here", b"elsewhere"  # domains of CURVE: who may come in at which socket


def socket(context: zmq.asyncio.Context) -> zmq.asyncio.Socket:
    """Where ZeroMQ asks whether a connection to a CURVE socket may be (RFC 27). To be bound before any such socket is."""
    socket = context.socket(zmq.REP)
    socket.linger = 0
    socket.bind("inproc://zeromq.zap.01")
    return socket


async def admit(socket: zmq.asyncio.Socket) -> None:
    """Answer ZeroMQ: yes to a CURVE key that is paired, on loopback to this computer's own alone, no to everything else."""
    while True:
        version, request, domain, address, _identity, mechanism, *credentials = await socket.recv_multipart()
        key = credentials[0].hex() if mechanism == b"CURVE" and len(credentials) == 1 else ""
        name = name_of(key) if domain == ELSEWHERE else _own_name(key)
        log.info("%s from %s", f"{name} connects" if name else "refused a client that is not paired,", address.decode("ascii", "replace"))
        answer = [b"200", b"OK", key.encode()] if name else [b"400", b"not paired", b""]
        await socket.send_multipart([version, request, *answer, b""])


def name_of(key: str) -> str | None:
    """The name of the paired computer with that key; None if there is none."""
    try:
        return keys.clients().get(key)
    except BlendError as error:
        log.error("nobody is let in: %s", error)
        return None


def _own_name(key: str) -> str | None:
    return "a program here" if key == keys.own("client").public.hex() else None
