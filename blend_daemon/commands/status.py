"""`blend-daemon status`: what the daemon is doing."""

from __future__ import annotations

import argparse
import json


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("status", help="tell what the daemon is doing (exit code 1 if none runs)")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--daemon", metavar="NAME", help="of a paired daemon on another computer")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from blend_daemon.protocol import runtime
    from blend_daemon.protocol.client import Client

    status = None
    if args.daemon or runtime.socket_path().exists():
        with Client(args.daemon) as client:
            status = client.status()
    if args.json:
        print(json.dumps(status and dict(status)))
    elif status is None and args.daemon:
        print(f"No blend daemon answers at {args.daemon}.")
    elif status is None:
        print(f"No blend daemon is running. The log of the last one is {runtime.log_path()}.")
    else:
        doing = f"blending {status['running'][:8]}" if status["running"] else "idle"
        print(f"The blend daemon {status['version']} is {doing}, {status['waiting']} waiting, {status['ended']} ended.")
        print(f"Device {status['device']}, pid {status['pid']} (worker {status['worker']}), up {status['uptime']:.0f} s.")
        print(f"Log: {status['log']}")
    return 0 if status else 1
