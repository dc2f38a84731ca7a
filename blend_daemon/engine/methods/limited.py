"""Work that cannot be trusted to end: in a thread, asked to stop when nobody wants it any more or its time is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import TypeVar

T = TypeVar("T")

TICK = 0.2  # s between two looks


class TimeIsUp(Exception):
    """The limit has passed."""


class Failed(Exception):
    """The work raised an error, which is the cause of this one."""


class Limit:
    """A time that several steps share, and someone who may lose interest.

    Parameters
    ----------
    seconds : for all steps together
    wanted : called while a step runs; what it raises ends the step
    """

    def __init__(self, seconds: float, wanted: Callable[[], None]) -> None:
        self._deadline, self._wanted = time.monotonic() + seconds, wanted

    def run(self, work: Callable[[], T], stop: Callable[[], None]) -> T:
        """The result of `work`. `stop` asks it to end, which is then waited for: what does not listen leaves this process silent, and
        the daemon replaces a worker that is silent for long. Raises TimeIsUp, Failed, and what `wanted` raises."""
        future: Future[T] = Future()
        # A daemon thread, so that it keeps no process alive that wants to end.
        thread = Thread(target=_settle, args=(future, work), daemon=True)
        thread.start()
        try:
            while not wait([future], TICK).done:
                if time.monotonic() > self._deadline:
                    raise TimeIsUp
                self._wanted()
        finally:
            if not future.done():
                stop()
            thread.join()
        if error := future.exception():
            raise Failed(str(error)) from error
        return future.result()


def _settle(future: Future[T], work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # whatever it is, who waits for this thread must hear of it
        future.set_exception(error)
