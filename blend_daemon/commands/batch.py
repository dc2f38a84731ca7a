"""`blend-daemon batch`: many blends, from a table or a folder of cases; what fails is noted, and what is done is not done again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "batch",
        help="blend many cases, and go on where it was cut off",
        description="Blend every case, each into a file of its own in DIR. What is there already is not done again, so the same command "
        "goes on after an interruption. What fails is a line of DIR/failures.csv, and makes the exit code 1.",
    )
    parser.add_argument(
        "cases",
        type=Path,
        metavar="MANIFEST|FOLDER",
        help="a CSV file with the columns source and target, and where wanted mask, offset, name and any parameter of `blend`, such as "
        "preset; files are looked for beside it. Or a folder of cases, as `compare` reads them",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the blended pictures, made if need be")
    parser.add_argument("--jobs", type=_count, default=1, metavar="N", help="blends that are computed side by side (default: 1)")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.set_defaults(run=run)


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 64:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to 64")
    return value


def run(args: argparse.Namespace) -> int:
    from blend_daemon import batch

    cases = batch.find(args.cases)
    try:
        return int(batch.blend(cases, args.output, args.jobs, args.quiet) > 0)
    except KeyboardInterrupt:
        print("blend-daemon: interrupted. The same command goes on where it was.", file=sys.stderr)
        return 130
