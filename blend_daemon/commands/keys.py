"""`blend-daemon keys`: this computer's public keys, made if there are none."""

from __future__ import annotations

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("keys", help="show this computer's public keys; they are made if there are none")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from blend_protocol import keys

    for side in ("server", "client"):
        print(f"{side} {keys.own(side).public.hex()}")
    return 0
