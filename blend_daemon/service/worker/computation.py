"""A job on a stack of its own, which stands still while anything else is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import TYPE_CHECKING

from blend_protocol.framing import Message

if TYPE_CHECKING:
    from blend_daemon.engine import Directive, Progress

    Word = Directive | Mapping[str, float] | None
    Observe = Callable[[Progress], Word]


class Computation:
    """Runs a function that is given an observer, in a thread. Of that thread and the caller's one is at work, never both.

    So what the caller does between two evaluations, such as a sketch of somebody else's, is not inside the job: no exception of it can be
    taken for the job's own.

    Parameters
    ----------
    compute : returns the job's last message; raises nothing
    """

    def __init__(self, compute: Callable[[Observe], Message]) -> None:
        self._news: SimpleQueue[Progress | Message] = SimpleQueue()
        self._words: SimpleQueue[Word] = SimpleQueue()
        threading.Thread(target=lambda: self._news.put(compute(self._observe)), daemon=True).start()

    def _observe(self, progress: Progress) -> Word:
        self._news.put(progress)
        return self._words.get()

    def news(self) -> Progress | Message:
        """Wait for the end of an evaluation, after which `go_on` is to be called, or for the job's last message."""
        return self._news.get()

    def go_on(self, word: Word) -> None:
        """Have it compute the next evaluation, as the word says."""
        self._words.put(word)
