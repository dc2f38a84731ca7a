"""`blend-daemon compare` as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COMMAND = str(Path(sys.executable).parent / "blend-daemon")


def run(*words, **options) -> subprocess.CompletedProcess:
    return subprocess.run([COMMAND, "compare", *map(str, words)], capture_output=True, text=True, timeout=120, **options)
