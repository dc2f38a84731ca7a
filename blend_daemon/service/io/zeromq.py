"""Two things about ZeroMQ's sockets, whoever is at their other end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

import zmq
import zmq.asyncio


def send_at_once(socket: zmq.asyncio.Socket, frames: Sequence[Any], track: bool = False) -> zmq.MessageTracker | None:
    """Send without waiting. Raises zmq.ZMQError, EAGAIN if there is no room."""
    sent = socket.send_multipart(frames, zmq.DONTWAIT, copy=False, track=track)
    assert isinstance(sent, asyncio.Future)  # done already, by DONTWAIT
    return sent.result()


def own_user_only(socket: zmq.Socket[Any]) -> bool:
    """Have a Unix socket refuse other users' processes, before it is bound. False if the system does not tell whose process connects."""
    try:
        socket.setsockopt(zmq.IPC_FILTER_UID, os.getuid())  # root is refused too
    except zmq.ZMQError:  # libzmq was built without SO_PEERCRED and LOCAL_PEERCRED
        return False
    return True
