"""What the proofs of the daemon share: its test helpers, and how much its processes hold."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/service"))

MB = 1024**2


def held(pid: int) -> dict[str, float]:
    """MB of memory and descriptors of a process, each the least of two seconds: what is on its way meanwhile is not held."""
    process, samples = psutil.Process(pid), []
    for _ in range(20):
        samples.append((process.memory_info().rss / MB, process.num_fds()))
        time.sleep(0.1)
    return {"MB": min(sample[0] for sample in samples), "descriptors": min(sample[1] for sample in samples)}
