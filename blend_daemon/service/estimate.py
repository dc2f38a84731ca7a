"""When a waiting job will start, from what recent ones took."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict, deque
from collections.abc import Sequence
from statistics import median

RECENT = 9  # jobs of a kind that are looked back on


class Durations:
    """What recent jobs took, by their kind."""

    def __init__(self) -> None:
        self._seen: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))

    def learn(self, kind: str, seconds: float) -> None:
        """A job of that kind took so many seconds."""
        self._seen[kind].append(seconds)

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
