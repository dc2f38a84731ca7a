"""Words to systemd (sd_notify), where it started the daemon and wants to hear them."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def notify(word: str) -> None:
    """Send "READY=1", "WATCHDOG=1" or "STOPPING=1" to the socket that systemd named; without one, nothing happens.

    See sd_notify(3): a datagram to a Unix socket, whose name begins with @ if it is an abstract one.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] in ("/", "@"):
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end:
            end.setblocking(False)
            end.sendto(word.encode(), "\0" + address[1:] if address[0] == "@" else address)
