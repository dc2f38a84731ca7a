"""When a waiting job will start, from what recent ones took."""

from __future__ import annotations

import heapq
import json
import math
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from blend_protocol.methods import SLIDERS
from blend_protocol.presets import Parameters

RECENT = 9  # jobs of a kind that are looked back on
KINDS = 256  # that are remembered; clients make up as many as they like
NO_MATTER = {*SLIDERS, "seed"}  # parameters on which the time does not depend


def kind(parameters: Mapping[str, Any], pixels: int) -> str:
    """The kind of a job: all that it asks for that may cost time, and its pixels up to a factor of two."""
    asked = {name: value for name, value in (asdict(Parameters()) | dict(parameters)).items() if name not in NO_MATTER}
    return json.dumps([asked, pixels.bit_length()], sort_keys=True)


class Durations:
    """What recent jobs took, by their kind."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()  # the one that was learned last comes last

    def learn(self, kind: str, seconds: float) -> None:
        """A job of that kind took so many seconds."""
        self._seen.setdefault(kind, deque(maxlen=RECENT)).append(seconds)
        self._seen.move_to_end(kind)
        if len(self._seen) > KINDS:
            self._seen.popitem(last=False)

    def guess(self, kind: str) -> float | None:
        """The median of that kind in s, None if there has been none."""
        return median(self._seen[kind]) if kind in self._seen else None


def starts(left: Sequence[float | None], lengths: Sequence[float | None]) -> list[float | None]:
    """Seconds until each waiting job starts; None where that depends on what is not known.

    Parameters
    ----------
    left : for each worker, s until it is free
    lengths : of the waiting jobs in their order, s
    """
    free = [math.inf if seconds is None else max(seconds, 0.0) for seconds in left]
    heapq.heapify(free)
    moments: list[float | None] = []
    for length in lengths:
        start = heapq.heappop(free) if free else math.inf
        moments.append(None if start == math.inf else start)
        heapq.heappush(free, start + (math.inf if length is None else length))
    return moments
