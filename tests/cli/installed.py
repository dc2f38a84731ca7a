"""The installed command, in a process of its own or in this one."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from blend_daemon.cli import main

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


def here(words: Sequence[str]) -> subprocess.CompletedProcess:
    """The command in this process, since loading PyTorch anew takes longer than most commands."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            code = main(words)
        except SystemExit as error:  # argparse's
            code = error.code
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())
