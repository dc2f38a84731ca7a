"""The installed command, in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMMAND = str(Path(sys.executable).parent / "blend-daemon")


@contextmanager
def started(*words, **options) -> Iterator[subprocess.Popen]:
    """The command as a terminal's shell starts it, for Ctrl+C to end; killed if it goes on for longer than it is used."""
    # What runs in the background, such as these tests perhaps, has been made to ignore SIGINT, and a child inherits that.
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen([COMMAND, *map(str, words)], preexec_fn=heed, **options) as process:
        try:
            yield process
        finally:
            process.kill()
