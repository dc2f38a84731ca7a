"""The worker of a fleet: a `loop.Worker` in a Ray actor, on whatever node there is room. `io.fleet` makes it an actor.

The daemon sends this module's code to the node, which may have another version of the rest or none; so that is imported late.
"""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
        from blend_protocol import framing

        self._orders.put(framing.decode(frames))

    def words(self) -> Iterator[dict[str, Any] | list[bytes]]:
        """Where it lives, then the frames of each word to the broker, as long as it lives."""
        import ray

        version = None
        with suppress(ImportError):
            import blend_protocol

            version = blend_protocol.__version__
        yield {"node": platform.node(), "id": ray.get_runtime_context().get_node_id(), "version": version, "pid": os.getpid()}
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
        from blend_protocol import framing

        self._said.put([bytes(frame) for frame in framing.encode(message)])

    def receive(self) -> Message:
        return self._orders.get()

    def waiting(self) -> bool:
        return not self._orders.empty()
