"""`blend-daemon compare` as a user runs it."""

from __future__ import annotations

import subprocess

from installed import COMMAND, here


def run(*words, **options) -> subprocess.CompletedProcess:
    """In this process, unless it is to have a folder or an environment of its own."""
    told = ["compare", *map(str, words)]
    if not options:
        return here(told)
    return subprocess.run([COMMAND, *told], capture_output=True, text=True, errors="surrogateescape", timeout=120, **options)
