"""`blend-daemon blend`: image files in, blended image files out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from blend_protocol.errors import BlendError
from blend_protocol.methods import CONSTRAINTS, LOSSES, METHODS, SLIDERS, SOLVERS
from blend_protocol.presets import PRESETS

if TYPE_CHECKING:
    from blend_daemon.engine import Parameters, Problem
    from blend_daemon.engine.raster.pixels import Box, Raster
    from blend_protocol import framing as wire
    from blend_protocol.client import Client

Show = Callable[[str, int, int, float, float | None], None]


class Outcome(NamedTuple):
    """What either way of computing gives back."""

    layer: Raster
    box: Box
    report: dict[str, Any]


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "blend",
        help="blend an object from one image file into another",
        description="Blend the masked part of a source picture into a target picture. Outside the mask the output is the target, "
        "bit for bit.",
    )
    parser.add_argument("--source", type=Path, required=True, metavar="S", help="picture with the object; its alpha counts")
    parser.add_argument(
        "--mask", type=Path, metavar="M", help="grey picture of the source's size, white on the object (default: S's alpha)"
    )
    parser.add_argument("--target", type=Path, required=True, metavar="T", help="picture to blend into")
    parser.add_argument(
        "--offset", default="0,0", metavar="X,Y", help="where the source's top-left corner lies on the target (default: 0,0)"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="OUT", help="blended picture: size, depth and profile are the target's"
    )
    parser.add_argument("--layer", type=Path, metavar="LAYER", help="also write the blended pixels alone, on a transparent canvas")
    presets = "; ".join(f"{name}: {preset.about}" for name, preset in PRESETS.items())
    parser.add_argument("--preset", choices=PRESETS, default="standard", help=f"{presets} (default: standard)")
    methods = "; ".join(f"{name}: {method.about}" for name, method in METHODS.items())
    parser.add_argument("--method", default="deep", metavar="NAME", help=f"{methods}; {MODELS} (default: deep)")
    solvers = "; ".join(f"{name}: {about}" for name, about in SOLVERS.items())
    parser.add_argument("--solver", choices=SOLVERS, default="multigrid", help=f"of Poisson's equation. {solvers} (default: multigrid)")
    parser.add_argument(
        "--constraint",
        default="color-transfer",
        metavar="NAME",
        help=f"whose colours gaussian-poisson takes: {', '.join(CONSTRAINTS)}; {MODELS} (default: color-transfer)",
    )
    parser.add_argument(
        "--without", default="", metavar="LOSSES", help=f"losses that deep leaves out, with commas between: {', '.join(LOSSES)}"
    )
    parser.add_argument(
        "--feather", type=float, default=0, metavar="PX", help="width over which alpha fades (default: a fifth of the way to the middle)"
    )
    for name in SLIDERS:
        parser.add_argument(f"--{name}", type=float, metavar="0..100", help=f"{SLIDER_HELP[name]} (default: the preset's, mostly 50)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps or xpu (default: auto)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="for presets that start from noise (default: 0)")
    parser.add_argument("--working-size", type=int, default=0, metavar="PX", help="work on at most PX x PX pixels (default: the preset's)")
    parser.add_argument("--iterations", type=int, default=0, metavar="N", help="evaluations of the objective (default: the preset's)")
    parser.add_argument("--metadata", type=Path, metavar="OUT.json", help="also write preset, weights, device, timings and losses")
    parser.add_argument(
        "--daemon",
        nargs="?",
        const="",
        metavar="NAME",
        help="let the background daemon compute, started if none runs, or a paired one elsewhere",
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.set_defaults(run=run)


MODELS = "model:NAME: a learned model of `blend-daemon models list`"
SLIDER_HELP = {
    "style": "how much of the target's texture the object takes on",
    "content": "how much of the object's own detail stays",
    "colour": "from the object's own colours to the target's",
    "seam": "how wide the transition is",
}


def run(args: argparse.Namespace) -> int:
    from blend_daemon import files, images
    from blend_daemon.engine import Parameters, composite

    offset = _offset(args.offset)
    fields = ("preset", "method", "solver", "constraint", "without", "feather", "seed", "working_size", "iterations", "device", *SLIDERS)
    given = {name: getattr(args, name) for name in fields if getattr(args, name) is not None}
    parameters = Parameters.from_mapping(given)
    _keep_inputs(args)
    say = (lambda note: None) if args.quiet else (lambda note: print(f"blend-daemon: {note}", file=sys.stderr))
    scene = images.read_scene(args.source, args.mask, args.target, offset)
    target = scene.target
    height, width, channels = target.raster.shape
    colours = 1 if channels < 3 else 3
    for path in filter(None, (args.output, args.layer, args.metadata)):
        files.check_writable(path)
    images.check_format(args.output, target.raster.dtype, channels, width, height)
    if args.layer:
        images.check_format(args.layer, target.raster.dtype, colours + 1, width, height)
    for note in (*scene.notes, *images.losses(args.output, target)):
        say(note)

    problem = scene.problem.cut(parameters)  # what a daemon is sent is what is computed here, too
    with _Bar(args.quiet) as bar:
        outcome = (
            _here(problem, parameters, bar)
            if args.daemon is None
            else _through_daemon(problem, parameters, scene.mask, bar, args.daemon or None)
        )
    for note in outcome.report["notes"]:
        say(note)
    outputs = {args.output: images.encoded(args.output, composite(target.raster, outcome.layer, outcome.box), target)}
    if args.layer:
        import numpy as np

        canvas = np.zeros((height, width, colours + 1), target.raster.dtype)
        x, y, w, h = outcome.box
        canvas[y : y + h, x : x + w] = outcome.layer
        outputs[args.layer] = images.encoded(args.layer, canvas, target)
    if args.metadata:
        names = {name: str(getattr(args, name)) for name in ("source", "mask", "target", "output") if getattr(args, name)}
        report = {**names, "offset": list(offset), **outcome.report, "notes": [*scene.notes, *outcome.report["notes"]]}
        outputs[args.metadata] = (json.dumps(report, indent=2) + "\n").encode()
    files.write(outputs)
    return 0


def _offset(text: str) -> tuple[int, int]:
    try:
        x, y = (int(part) for part in text.split(","))
    except ValueError:
        raise BlendError(
            "offset-invalid", f"The offset {text!r} is not two whole numbers.", "Write it as X,Y, for example 120,-8."
        ) from None
    return x, y


def _keep_inputs(args: argparse.Namespace) -> None:
    from blend_daemon.files import STDOUT, same

    inputs = [same(path) for path in (args.source, args.mask, args.target) if path and path != STDOUT]
    outputs = [path for path in (args.output, args.layer, args.metadata) if path]
    for path in outputs:
        if same(path) in inputs:
            raise BlendError("output-is-input", f"{path} is one of the inputs and would be overwritten.", "Choose another name.")
    if len({same(path) for path in outputs}) < len(outputs):
        raise BlendError("output-twice", "Two outputs have the same name.", "Give each a name of its own.")


def _here(problem: Problem, parameters: Parameters, bar: _Bar) -> Outcome:
    from blend_daemon.engine import blend

    def observe(progress: Any) -> None:
        bar.show(progress.stage, progress.evaluation, progress.evaluations, progress.loss, progress.seconds_left)

    result = blend(problem, parameters, observe)
    return Outcome(result.layer, result.box, result.report)


def raster(array: Any) -> wire.Raster:
    """An array as it is sent."""
    import numpy as np

    from blend_protocol.framing import Raster

    array = np.ascontiguousarray(array)
    return Raster(array.dtype.name, array.shape, array.data.cast("B"))


def submit(client: Client, problem: Problem, mask: Raster | None, parameters: Parameters) -> str:
    """Send a problem, cut or whole, with its mask as it was given. Returns the job's id."""
    from dataclasses import asdict

    from blend_protocol.client import Part

    part = Part(problem.corner, problem.canvas, None if problem.samples is None else raster(problem.samples))
    given = None if mask is None else raster(mask)
    return client.submit(raster(problem.source), raster(problem.target), given, problem.offset, asdict(parameters), part=part)


def array(raster: wire.Raster) -> Raster:
    """The array in what was received."""
    import numpy as np

    return np.frombuffer(raster.data, raster.dtype).reshape(raster.shape)


def _through_daemon(problem: Problem, parameters: Parameters, mask: Raster | None, bar: _Bar, address: str | None) -> Outcome:
    from blend_daemon import COMMAND
    from blend_protocol.client import Client

    with Client(address, command=COMMAND) as client:
        said = False
        for state in client.reach():
            if state == "starting" and not said:
                bar.say("Starting the blend daemon ...")
                said = True
            client.wait(0.05)
        job = submit(client, problem, mask, parameters)
        try:
            for event in client.follow(job):
                if event.type == "progress":
                    h = event.header
                    bar.show(h["stage"], h["evaluation"], h["evaluations"], h["loss"], h["seconds_left"])
                elif event.type == "accepted" and event.header["position"]:
                    seconds = event.header["seconds_to_start"]
                    start = "" if seconds is None else f", {seconds:.0f} s to its start"
                    bar.say(f"Waiting: {event.header['position']} before this one{start}.")
                elif event.type == "result":
                    client.release(job)
                    return Outcome(array(event.rasters["layer"]), tuple(event.header["box"]), event.header["report"])
        except KeyboardInterrupt:
            client.cancel(job)
            raise
    raise BlendError("daemon-gone", "The blend daemon ended the job without a result.", "Run `blend-daemon status`.")


class _Bar:
    """A progress bar on a terminal's stderr, and nothing anywhere else."""

    def __init__(self, quiet: bool) -> None:
        self._shown = sys.stderr.isatty() and not quiet

    def __enter__(self) -> _Bar:
        if self._shown:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            self._progress = Progress(
                TextColumn("{task.fields[stage]}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TextColumn("{task.fields[detail]}"), console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._task = self._progress.add_task("", total=1, stage="preparing", detail="")
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._progress.stop()

    def show(self, stage: str, evaluation: int, evaluations: int, loss: float, seconds_left: float | None) -> None:
        if self._shown:
            left = "" if seconds_left is None else f", {seconds_left:.0f} s left"
            self._progress.update(self._task, completed=evaluation, total=evaluations, stage=stage, detail=f"loss {loss:.4g}{left}")

    def say(self, line: str) -> None:
        if self._shown:
            self._progress.console.print(line)
