"""What memory a process has, where there is a /proc, and giving back what it has freed."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

PHYSICAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # bytes of the machine's memory
WORKERS_SHARE = 0.75  # of it, for all workers together


def share(workers: int) -> int:
    """Bytes that each of so many workers may have."""
    return int(PHYSICAL * WORKERS_SHARE / workers)


def held(pid: int | str) -> int | None:
    """Resident memory of a process in bytes, None where it cannot be told.

    Pages of files, and shared memory with them, are left out: the system takes files' pages back when it needs them, and of PyTorch's
    libraries alone they are 0.2 to 0.6 GB, more or less as the build and the machine would have it.
    """
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123 - several times a second
            _, all_of_it, shared, *_ = map(int, file.read().split())
    except (OSError, ValueError):
        return None
    return (all_of_it - shared) * os.sysconf("SC_PAGE_SIZE")


def give_back() -> None:
    """Give what was freed back to the system: glibc keeps small pieces, and the memory seems not to fall."""
    with suppress(AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
