"""How a client's frames reach the daemon: over ZeroMQ, or, where Python has no pyzmq, through a bridge. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Protocol


class Event(Enum):
    """What happens to a connection."""

    CONNECTED = "connected"  # the daemon answers; again after each cut
    LOST = "lost"


class Transport(Protocol):
    """One connection to a daemon. Not for use by several threads."""

    def send(self, frames: Sequence[Any]) -> None:
        """Send a message, without waiting and without a copy: its bytes must stay as they are."""

    def receive(self) -> list[Any] | None:
        """The frames of the next message that has arrived, None if there is none yet."""

    def events(self) -> list[Event]:
        """What has happened to the connection since the last call. Raises BlendError if there can be no connection any more."""

    def wait(self, timeout: float) -> None:
        """Sleep until a message or an event has arrived, for at most `timeout` s."""

    def close(self) -> None:
        """End the connection; what has not been sent is dropped. A second time does nothing."""


def connect(address: str | None, command: Sequence[str] | None) -> Transport:
    """A connection to the daemon at an address, see `keys.paired`.

    Parameters
    ----------
    command : how to start blend-daemon, for a bridge; None: pyzmq is here
    """
    try:
        from blend_protocol.zeromq import Socket
    except ImportError:  # there is none, or one for another Python
        if command is None:
            raise
    else:
        return Socket(address)
    from blend_protocol.pipe import Pipe

    return Pipe(command, address)
