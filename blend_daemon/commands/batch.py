"""`blend-daemon batch`: many blends, from a table or a folder of cases; what fails is noted, and what is done is not done again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from blend_daemon.commands import serve


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
    serve.add_engine(parser)
    parser.set_defaults(run=run)


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 64:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to 64")
    return value


def run(args: argparse.Namespace) -> int:
    from blend_daemon import batch

    serve.check_engine(args, [])
    cases = batch.find(args.cases)
    options = {"--ray-address": args.ray_address, "--worker-cpus": args.worker_cpus and str(args.worker_cpus)}
    engine = ["--engine", args.engine, *(word for name, value in options.items() if value for word in (name, value))]
    if args.unguarded:
        engine.append("--unguarded")
    try:
        return int(batch.blend(cases, args.output, args.jobs, args.quiet, engine) > 0)
    except KeyboardInterrupt:
        print("blend-daemon: interrupted. The same command goes on where it was.", file=sys.stderr)
        return 130
