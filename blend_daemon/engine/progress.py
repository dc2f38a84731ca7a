"""What the engine tells its caller between evaluations, and what the caller may answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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


class Clock:
    """Estimates the time left from the cost of what is done and what is planned, in any unit of cost."""

    def __init__(self) -> None:
        self._left = self._done = 0.0
        self._began = time.monotonic()

    def plan(self, cost: float) -> None:
        """From here on `cost` is to be done."""
        self._left = cost

    def advance(self, cost: float) -> float | None:
        """Count `cost` as done and return the seconds left."""
        self._done += cost
        self._left -= cost
        spent = time.monotonic() - self._began
        return None if self._done <= 0 else max(self._left, 0) * spent / self._done
