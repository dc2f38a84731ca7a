"""`blend-daemon status`: what the daemon is doing."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("status", help="tell what the daemon is doing (exit code 1 if none runs)")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--daemon", metavar="NAME", help="of a paired daemon on another computer")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from blend_protocol import runtime
    from blend_protocol.client import Client

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
        for line in _account(status):
            print(line)
    return 0 if status else 1


def _account(status: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"The blend daemon {status['version']} (pid {status['pid']}) has been up for {timedelta(seconds=round(status['uptime']))}, "
        f"with {_size(status['memory'])} of memory."
    )
    ends = ", ".join(f"{count} {end}" for end, count in sorted(status["ends"].items()))
    yield f"Jobs: {status['waiting']} waiting, {status['ended']} ended" + (f" ({ends})." if ends else ".")
    for number, worker in enumerate(status["workers"]):
        doing = f"blending {worker['job'][:8]}" if worker["job"] else worker["state"]
        about = f", pid {worker['pid']}" if worker["pid"] else ""
        about += f" on node {worker['node']}" if worker.get("node") else ""
        about += f", waits for a node of the cluster with {worker['lacks']}" if worker.get("lacks") else ""
        about += f", {_size(worker['memory'])}" if worker["memory"] else ""
        yield f"Worker {number} on {worker['device']}: {doing}{about}, started {worker['starts']} times."
    for unfit in status.get("unfit_nodes", ()):
        yield f"Not used: {unfit}."
    yield f"Results kept: {status['results']['count']}, {_size(status['results']['bytes'])}."
    if status["listen"]:
        yield f"Paired computers are served at {status['listen']}."
    yield f"Log: {status['log']}"


def _size(count: int | None) -> str:
    return "?" if count is None else f"{count / 1e6:.0f} MB"
