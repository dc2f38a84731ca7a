"""`blend-daemon stop`: end the daemon."""

from __future__ import annotations

import argparse
import time

LIMIT = 15.0  # s; the daemon itself promises to leave within 10


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("stop", help="stop the daemon")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import os
    import signal

    from blend_daemon.service.io import lock
    from blend_protocol import runtime
    from blend_protocol.errors import BlendError

    # By a signal, not by the protocol: a daemon of another version must be stopped too.
    pid = lock.holder(runtime.runtime_dir())
    if pid is None:
        print("No blend daemon is running.")
        return 0
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + LIMIT
    while lock.holder(runtime.runtime_dir()) == pid:
        if time.monotonic() > deadline:
            raise BlendError(
                "daemon-stuck", "The blend daemon does not stop.", f"End it with `kill -9 {pid}`; its log is {runtime.log_path()}."
            )
        time.sleep(0.05)
    print("The blend daemon has stopped.")
    return 0
