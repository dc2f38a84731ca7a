"""The worker of a fleet: a `loop.Worker` in a Ray actor, on whatever node there is room. `io.fleet` makes it an actor."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import Any

from blend_protocol import __version__, framing
from blend_protocol.framing import Message


class Actor:
    """`words` is called once, `order` for each word of the broker's, in a thread of its own, so that the two are at work side by side.

    Parameters
    ----------
    device : as in `blend-daemon serve --device`
    threads : how many compute
    """

    def __init__(self, device: str, threads: int) -> None:
        self._device, self._threads = device, threads
        self._orders: SimpleQueue[Message] = SimpleQueue()
        self._said: SimpleQueue[list[bytes] | BaseException] = SimpleQueue()

    def order(self, frames: Sequence[Any]) -> None:
        """The broker's next word."""
        self._orders.put(framing.decode(frames))

    def words(self) -> Iterator[dict[str, Any] | list[bytes]]:
        """Where it lives, then the frames of each word to the broker, as long as it lives."""
        yield {"node": platform.node(), "version": __version__, "pid": os.getpid()}
        threading.Thread(target=self._live, daemon=True).start()
        while not isinstance(frames := self._said.get(), BaseException):
            yield frames
        raise frames

    def _live(self) -> None:
        try:
            import torch

            from blend_daemon.service.worker.loop import Worker

            torch.set_num_threads(self._threads)
            Worker(self, self._device).live()
        except BaseException as error:
            self._said.put(error)

    # a `loop.Line`

    def send(self, message: Message) -> None:
        self._said.put([bytes(frame) for frame in framing.encode(message)])

    def receive(self) -> Message:
        return self._orders.get()

    def waiting(self) -> bool:
        return not self._orders.empty()
