"""What the engine tells its caller between evaluations, and what the caller may answer."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from blend_daemon.engine.raster.pixels import Box, Raster


class Directive(Enum):
    """A caller's answer: go on, stop and keep the best so far, or stop and forget. Sliders, by name, re-aim the run instead."""

    CONTINUE = "continue"
    FINISH = "finish"
    CANCEL = "cancel"


class Cancelled(Exception):
    """The caller answered CANCEL."""


@dataclass(frozen=True)
class Progress:
    """The state between two evaluations.

    Attributes
    ----------
    stage : what is being done, in English
    evaluation, evaluations : evaluations made and planned, over all stages
    loss : the objective at the best point of this stage and scale
    losses : its parts at the last point tried
    seconds_left : estimate, or None while there is nothing to estimate from
    box : (x, y, width, height) of the layer on the target
    preview : computes the present blend as a uint8 layer raster
    """

    stage: str
    evaluation: int
    evaluations: int
    loss: float
    losses: dict[str, float]
    seconds_left: float | None
    box: Box
    preview: Callable[[], Raster]


Observer = Callable[[Progress], Directive | Mapping[str, float] | None]


# What a scale takes to begin, in evaluations at the full scale: its features, the places that match. Measured on a processor.
BEGINNING = 2.0


class Clock:
    """Estimates the time left from how long evaluations take, and what each costs, in any unit.

    The first evaluation of each scale takes the beginning of that scale along, which says nothing of the others.
    """

    def __init__(self) -> None:
        self._costs: deque[float] = deque()
        self._firsts: deque[bool] = deque()
        self._spent = self._done = 0.0
        self._last = time.monotonic()

    def plan(self, scales: Sequence[tuple[int, float]]) -> None:
        """From here on these evaluations are to be made: (count, cost of each) for each scale, 1 at the full one."""
        self._costs = deque(cost for count, cost in scales for _ in range(count))
        self._firsts = deque(number == 0 for count, _cost in scales for number in range(count))
        self._last = time.monotonic()

    def advance(self) -> float | None:
        """Count the next evaluation as done; the seconds left, None while there is nothing to tell them from."""
        now = time.monotonic()
        spent, self._last = now - self._last, now
        cost, first = self._costs.popleft(), self._firsts.popleft()
        if not self._costs:
            return 0.0
        if not first:
            self._spent, self._done = self._spent + spent, self._done + cost
        if self._done <= 0:
            return None
        return (sum(self._costs) + BEGINNING * sum(self._firsts)) * self._spent / self._done
