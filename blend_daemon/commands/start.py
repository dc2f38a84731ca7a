"""`blend-daemon start`: start the daemon in the background."""

from __future__ import annotations

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("start", help="start the daemon in the background, as GIMP does when it needs it")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from blend_daemon import COMMAND
    from blend_protocol.client import Client

    with Client(command=COMMAND) as client:
        started = False
        for state in client.reach():
            started = state == "starting"
            client.wait(0.05)
        assert client.welcome is not None  # `reach` has ended
        print(f"The blend daemon {'runs now' if started else 'was running already'}, pid {client.welcome['pid']}.")
    return 0
