"""`blend-daemon compare`: methods side by side on the user's own pictures, and the blind test of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from blend_protocol.errors import BlendError
from blend_protocol.methods import METHODS, MODEL
from blend_protocol.presets import PRESETS

if TYPE_CHECKING:
    from blend_daemon.comparison.measure import Trial


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "compare",
        help="methods side by side: pictures, figures, a report, a blind test",
        description="Run methods on cases, folders with source.png, mask.png, target.png and, where wanted, a file `offset` (X,Y): "
        "a picture of each, a contact sheet, a table and a report. With --blind, make a blind test of a comparison; with --tally, "
        "count its votes.",
    )
    parser.add_argument("cases", nargs="*", type=Path, metavar="CASE_OR_FOLDER", help="a case, or a folder of cases")
    parser.add_argument(
        "--methods",
        default="all",
        metavar="A,B",
        help=f"of {', '.join(METHODS)}; model:NAME; quick: those without the network (default: all)",
    )
    parser.add_argument("--preset", choices=PRESETS, default="standard", help="of the methods that have one (default: standard)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps or xpu (default: auto)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="for what starts from noise (default: 0)")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="how many to run at a time (default: one for each two cores)")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="where everything goes; with --tally, the votes as a picture and a table"
    )
    parser.add_argument("--force", action="store_true", help="overwrite what is in the output folder")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--blind", type=Path, metavar="COMPARISON", help="make a blind test of this comparison's folder, in --output")
    parser.add_argument("--pairs", action="store_true", help="with --blind: ask for the better of two, not for the best of all")
    parser.add_argument(
        "--tally", nargs="+", type=Path, metavar=("KEY", "VOTES"), help="open a blind test's key and count files of votes: a ranking"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if sum((bool(args.cases), args.blind is not None, args.tally is not None)) != 1:
        raise BlendError("arguments-invalid", "Name cases to compare, or a comparison with --blind, or a key and votes with --tally.")
    if args.output is None and args.tally is None:
        raise BlendError("arguments-invalid", "There is no --output.", "Name a new folder.")
    return (_tally if args.tally else _blind if args.blind else _compare)(args)


def _compare(args: argparse.Namespace) -> int:
    from blend_daemon import models
    from blend_daemon.comparison import cases, files
    from blend_daemon.comparison.compare import REPORT, compare, cores
    from blend_daemon.engine import Parameters
    from blend_daemon.files import same

    found = cases.find(args.cases)
    methods = _methods(args.methods)
    parameters = {"preset": args.preset, "device": args.device, "seed": args.seed}
    for method in methods:
        Parameters.from_mapping({**parameters, "method": method})
        if model := MODEL.fullmatch(method):
            models.path(model[1])
    if args.jobs < 0:
        raise BlendError("arguments-invalid", f"--jobs is {args.jobs}.", "It is a number from 1, or 0 for one job for each two cores.")
    inside = [case for case in found if Path(same(args.output)) in (case.folder, *case.folder.parents)]
    if inside:
        raise BlendError("output-is-input", f"{args.output} holds the case {inside[0].name}.", "Name another folder.")
    files.prepare_folder(args.output, args.force)
    jobs = min(args.jobs or max(cores() // 2, 1), len(found) * len(methods))
    try:
        show, note = (_nothing, _nothing) if args.quiet else (_show, _note)
        trials = compare(found, methods, parameters, args.output, jobs, show, note)
    except KeyboardInterrupt:
        print(f"blend-daemon: interrupted; {args.output} holds what was finished.", file=sys.stderr)
        return 130
    for trial in trials:
        if trial.failure:
            print(f"blend-daemon: {trial.method} failed on {trial.case}: {trial.failure}", file=sys.stderr)
    if not args.quiet:
        print(args.output / REPORT)
    return int(all(trial.failure for trial in trials))


def _methods(names: str) -> list[str]:
    if names in ("all", "quick"):
        return [name for name, method in METHODS.items() if names == "all" or method.quick]
    return list(dict.fromkeys(name.strip() for name in names.split(",")))


def _nothing(_: object) -> None:
    """For --quiet."""


def _note(line: str) -> None:
    print(f"blend-daemon: {line}", file=sys.stderr)


def _show(trial: Trial) -> None:
    start = f"{trial.case:20} {trial.method:20}"
    if trial.failure:
        print(f"{start} failed", flush=True)
    else:
        figures = " ".join(f"{name} {value:.3f}" for name, value in trial.figures.items())
        print(f"{start} {figures}  {trial.seconds:.2f} s, {trial.peak_mb:.0f} MB", flush=True)


def _blind(args: argparse.Namespace) -> int:
    from blend_daemon.comparison import blind

    if args.force:
        raise BlendError("arguments-invalid", "A blind test is not overwritten: votes would be lost with its key.", "Name a new folder.")
    questions = blind.make(args.blind, args.output, args.pairs)
    if not args.quiet:
        print(f"{questions} questions in {args.output / blind.PAGE}. Keep {args.output / blind.KEY} to yourself until all have voted.")
    return 0


def _tally(args: argparse.Namespace) -> int:
    from blend_daemon.comparison import blind, files, histogram, tally
    from blend_daemon.comparison.ranking import bradley_terry

    key, *papers = args.tally
    if not papers:
        raise BlendError("arguments-invalid", "There are no votes to count.", "Name the key, then the files of votes.")
    votes = tally.read(papers, blind.open_key(key))
    table, ranks = tally.counts(votes), bradley_terry([vote.choice for vote in votes])
    text = tally.text(table, ranks, len(papers))
    if args.output:
        files.prepare_folder(args.output, args.force)
        files.write_text(args.output / "tally.txt", text)
        files.write_text(args.output / "tally.svg", histogram.svg(table, ranks))
    if not args.quiet:
        print(text, end="")
    return 0
