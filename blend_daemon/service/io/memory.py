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


def resident(pid: int | str, private: bool = False) -> int | None:
    """Resident memory of a process in bytes, with `private` only what is no file's; None where it cannot be told."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123 - several times a second
            _, all_of_it, shared, *_ = map(int, file.read().split())
    except (OSError, ValueError):
        return None
    return (all_of_it - private * shared) * os.sysconf("SC_PAGE_SIZE")


def give_back() -> None:
    """Give what was freed back to the system: glibc keeps small pieces, and the memory seems not to fall."""
    with suppress(AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
