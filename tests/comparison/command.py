"""`blend-daemon compare` as a user runs it."""

from __future__ import annotations

import subprocess

from installed import COMMAND


def run(*words, **options) -> subprocess.CompletedProcess:
    command = [COMMAND, "compare", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, errors="surrogateescape", timeout=120, **options)
