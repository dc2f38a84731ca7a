"""What the proofs of the daemon share: its test helpers, and how much memory and how many descriptors its processes hold."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/service"))

MB = 1024**2


def held(pid: int) -> dict[str, float]:
    """MB of memory, descriptors and threads of a process."""
    gc.collect()
    process = psutil.Process(pid)
    return {"MB": process.memory_info().rss / MB, "descriptors": process.num_fds(), "threads": process.num_threads()}
