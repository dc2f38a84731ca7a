"""`blend-daemon stop`: end the daemon."""

from __future__ import annotations

import argparse
import time

LIMIT = 10.0


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("stop", help="stop the daemon")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from blend_daemon.errors import BlendError
    from blend_daemon.protocol import runtime
    from blend_daemon.protocol.client import Client

    if not runtime.socket_path().exists():
        print("No blend daemon is running.")
        return 0
    with Client() as client:
        if client.status() is None:
            print("No blend daemon is running.")
            return 0
        client.shutdown()
        deadline = time.monotonic() + LIMIT
        while runtime.socket_path().exists():
            if time.monotonic() > deadline:
                raise BlendError("daemon-stuck", "The blend daemon does not stop.", f"End it by its pid, see {runtime.log_path()}.")
            time.sleep(0.05)
    print("The blend daemon has stopped.")
    return 0
