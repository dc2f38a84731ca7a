"""One blend from problem to layer."""

from __future__ import annotations

import platform
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from blend_daemon import __version__
from blend_daemon.engine import device as devices
from blend_daemon.engine import paper, stages
from blend_daemon.engine.features import Features
from blend_daemon.engine.harmonise import Harmony, harmonise, reach
from blend_daemon.engine.pixels import Box, Floats, Raster, from_float
from blend_daemon.engine.poisson import Surroundings
from blend_daemon.engine.problem import Problem
from blend_daemon.engine.progress import Cancelled, Clock, Directive, Observer, Progress
from blend_daemon.errors import BlendError
from blend_daemon.presets import Parameters, Preset

CONTEXT = 48  # px of target around the mask that the network sees; what it sees changes within 46 px of the mask
GRADIENT, CONTENT, STYLE, HISTOGRAM = 0.03, 1.0, 0.1, 0.1  # weights of the losses with all sliders in the middle
SEAM_TAPER = 6.0  # px over which the optimiser gains its freedom from the seam inwards


@dataclass(frozen=True)
class Blend:
    """The result.

    Attributes
    ----------
    layer : (height, width, colour channels of the target + 1) raster of the target's dtype; alpha is the mask
    box : (x, y, width, height) of the layer on the target
    report : preset, weights, seed, device, versions, timings, losses, and notes for the user (sentences), ready for JSON
    """

    layer: Raster
    box: Box
    report: dict[str, Any]


def warm(device: str = "auto") -> str:
    """Load the network for a device, so that the first blend need not wait. Returns the device's name."""
    chosen = devices.choose(device)
    features, _ = devices.features(chosen, devices.precision(chosen))
    features(torch.zeros(1, 3, 64, 64, device=chosen), stages.STYLE_LAYERS)
    return str(chosen)


def sketch(problem: Problem, parameters: Parameters) -> Raster:
    """What the optimiser starts from (see `harmonise`), as a uint8 layer raster over `problem.box`: a first look that follows the
    sliders. Raises BlendError `device-*`."""
    pixels = reach(problem.pixels)
    window = problem.window(pixels)
    around = Surroundings.of(problem, window, devices.choose(parameters.device))
    return _preview(problem, _in_box(harmonise(around, _harmony(parameters), pixels), window, problem.box))


def blend(problem: Problem, parameters: Parameters, observe: Observer | None = None) -> Blend:
    """Blend the source into the target. Where memory runs out the working size steps down, then the CPU computes; a note tells.

    Parameters
    ----------
    problem, parameters : what to blend, and how
    observe : called between evaluations, see `blend_daemon.engine.progress`

    Raises
    ------
    Cancelled
        if `observe` answered CANCEL
    BlendError
        `device-*`, `weights-*`, `out-of-memory`
    """
    began = time.monotonic()
    device = devices.choose(parameters.device)
    for attempt in _attempts(device, parameters.plan(), problem.box[2] * problem.box[3]):
        try:
            return _attempt(problem, parameters, attempt, began, observe)
        except (RuntimeError, MemoryError) as error:
            if not devices.out_of_memory(error):
                raise
        devices.free_memory(attempt.device)  # out here the failed attempt's tensors are no longer held by a traceback
    raise BlendError(
        "out-of-memory",
        "There is not enough memory for this blend, not even at a smaller working size.",
        "Close other programs, or make the selection smaller.",
    )


@dataclass(frozen=True)
class _Attempt:
    device: torch.device
    preset: Preset
    notes: list[str]


def _attempts(device: torch.device, preset: Preset, pixels: int) -> Iterator[_Attempt]:
    """What to try in turn until the memory suffices: smaller working sizes, then the CPU with its own memory."""
    for place in dict.fromkeys((device, torch.device("cpu"))):
        for share in (1, 2, 4, 8):
            size = preset.working_pixels if share == 1 else min(preset.working_pixels, pixels) // share
            stepped_down = place != device or share > 1
            note = f"Memory ran out: computed on {place} at a working size of at most {size} pixels."
            yield _Attempt(place, replace(preset, working_pixels=size), [note] if stepped_down else [])


def _attempt(problem: Problem, parameters: Parameters, attempt: _Attempt, began: float, observe: Observer | None) -> Blend:
    loading = time.monotonic()
    device = attempt.device
    # The published equations are there to be compared with, so they run in the precision they were published in.
    dtype = torch.float32 if parameters.preset == "paper" else devices.precision(device)
    features, trunk = devices.features(device, dtype)
    loaded = time.monotonic()
    torch.manual_seed(parameters.seed)
    run = _Run(problem, parameters, observe)
    method = _paper if parameters.preset == "paper" else _staged
    colours = method(problem, attempt.preset, features, run)
    done = time.monotonic()
    report = {
        **asdict(run.parameters),
        "device": str(device),
        "precision": str(dtype).removeprefix("torch."),
        "weights": trunk,
        "versions": {"blend-daemon": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "box": list(problem.box),
        "seconds": {"load": round(loaded - loading, 3), "blend": round(done - began - (loaded - loading), 3)},
        "evaluations": run.evaluations,
        "losses": run.history,
        "notes": attempt.notes,
    }
    return Blend(problem.layer(colours), problem.box, report)


class _Run:
    """Counts evaluations, tells the observer and hears its word; `parameters` are the present ones."""

    def __init__(self, problem: Problem, parameters: Parameters, observe: Observer | None) -> None:
        self._problem, self.parameters, self._observe = problem, parameters, observe
        self._clock = Clock()
        self.evaluations = 0
        self.history: dict[str, dict[str, float]] = {}

    def plan(self, costs: list[tuple[int, float]]) -> None:
        """Evaluations to come, as (count, cost of each) for each scale."""
        self._costs = deque(cost for count, cost in costs for _ in range(count))
        self._total = self.evaluations + len(self._costs)
        self._clock.plan(sum(self._costs))

    def report(self, stage: str, objective: Any, value: Tensor, colours: Callable[[], Floats]) -> Parameters | bool:
        """Tell of one evaluation; True if the run is to end here and keep its result, parameters to go on for. Raises Cancelled."""
        self.evaluations += 1
        seconds_left = self._clock.advance(self._costs.popleft())
        if self._observe is None and self.evaluations < self._total:
            return False
        losses = {name: float(loss) for name, loss in objective.last.items()}
        self.history[stage] = {**losses, "total": float(value)}
        if self._observe is None:
            return False
        progress = Progress(
            stage, self.evaluations, self._total, float(value), losses, seconds_left, self._problem.box,
            lambda: _preview(self._problem, colours()),
        )  # fmt: skip
        word = self._observe(progress)
        if word is Directive.CANCEL:
            raise Cancelled
        if isinstance(word, Mapping):
            self.parameters = self.parameters.moved(word)
            return self.parameters
        return word is Directive.FINISH


def _preview(problem: Problem, colours: Floats) -> Raster:
    rgb = np.repeat(colours, 3, axis=2) if colours.shape[2] == 1 else colours
    return from_float(np.concatenate([rgb, problem.mask_on(problem.box)[:, :, None]], axis=2), np.dtype(np.uint8))


def _in_box(colours: Tensor, window: Box, box: Box) -> Floats:
    """Cut the box out of (c, h, w) over the window, as (h, w, c)."""
    x, y = box[0] - window[0], box[1] - window[1]
    cut = colours[:, y : y + box[3], x : x + box[2]]
    return np.ascontiguousarray(cut.permute(1, 2, 0).float().cpu().numpy())


def _working_size(height: int, width: int, limit: int) -> tuple[int, int]:
    factor = min(1.0, (limit / (height * width)) ** 0.5)
    return max(round(height * factor), 8), max(round(width * factor), 8)


def _staged(problem: Problem, preset: Preset, features: Features, run: _Run) -> Floats:
    pixels = reach(problem.pixels)
    window = problem.window(max(CONTEXT, pixels))
    around = Surroundings.of(problem, window, features.device)
    height, width = around.mask.shape
    working = _working_size(height, width, preset.working_pixels)
    depth = torch.from_numpy(ndimage.distance_transform_edt(around.unknown.cpu().numpy())).to(around.mask)
    exists = (around.known | around.unknown).to(around.mask)
    freedom = ((depth - 1) / SEAM_TAPER).clamp(0, 1)

    def aim_at(parameters: Parameters) -> tuple[stages.Aim, Tensor]:
        start = harmonise(around, _harmony(parameters), pixels)
        scene = stages.Scene(around.target[None], start[None], *(x[None, None] for x in (around.mask, exists, freedom)))
        return stages.Aim(scene if working == (height, width) else scene.shrunk(*working), _weights(parameters)), start

    aim, start = aim_at(run.parameters)
    steps = zip((0.25, 0.5, 1.0), preset.evaluations, (1, 1, 2), strict=True)
    scales = [stages.Scale(factor, count, stage) for factor, count, stage in steps]
    costs = [(scale.evaluations, scale.factor**2) for scale in scales]
    run.plan(costs)

    def blended(difference: Tensor) -> Floats:
        full = F.interpolate(difference, (height, width), mode="bilinear", align_corners=False)[0]
        return _in_box((start + full).clamp(0, 1) if not _is_float(problem) else start + full, window, problem.box)

    def report(scale: stages.Scale, objective: stages.Objective, x: Tensor, value: Tensor) -> stages.Aim | bool:
        nonlocal start
        word = run.report(f"stage {scale.stage}", objective, value, lambda: blended(objective.difference(x)))
        if isinstance(word, bool):
            return word
        aim, start = aim_at(word)
        run.plan(costs[scales.index(scale) :])
        return aim

    return blended(stages.optimise(features, aim, scales, report))


def _is_float(problem: Problem) -> bool:
    return problem.target.dtype == np.float32


def _harmony(parameters: Parameters) -> Harmony:
    return Harmony(
        colour=_point(parameters.colour, 0.0, 0.7, 1.0),
        width=0.25 * 2 ** ((parameters.seam - 50) / 12.5),
        grain=_point(parameters.style, 0.0, 1.0, 1.0),
    )


def _weights(parameters: Parameters) -> dict[int, stages.Weights]:
    amount = parameters.style / 50
    keep = 4.0 ** ((parameters.content - 50) / 50)
    weights = stages.Weights(
        gradient=GRADIENT * keep, content=CONTENT * keep, style=STYLE * amount**2, histogram=HISTOGRAM * amount**2,
        variation=0, chroma=300, tone=300,
    )  # fmt: skip
    # Sorting every feature map costs as much as the network at the working scale, and changes little there.
    return {1: weights, 2: replace(weights, histogram=0)}


def _point(value: float, low: float, neutral: float, high: float) -> float:
    """A slider's value 0..100 on the straight lines through (0, low), (50, neutral), (100, high)."""
    return low + (neutral - low) * value / 50 if value <= 50 else neutral + (high - neutral) * (value - 50) / 50


def _paper(problem: Problem, preset: Preset, features: Features, run: _Run) -> Floats:
    canvas = (0, 0, problem.target.shape[1], problem.target.shape[0])
    around = Surroundings.of(problem, canvas, features.device)
    source = torch.where(around.sourced, around.source, around.target)
    height, width = source.shape[1:]
    working = _working_size(height, width, preset.working_pixels)
    shrink = lambda x: F.interpolate(x, working, mode="area")
    run.plan([(count, 1.0) for count in preset.evaluations])

    def blended(canvas_colours: Tensor) -> Floats:
        full = F.interpolate(canvas_colours, (height, width), mode="bilinear", align_corners=False)
        return _in_box(full[0].clamp(0, 1), canvas, problem.box)

    def report(stage: str, objective: Any, colours: Callable[[], Tensor], value: Tensor) -> bool:
        # Published as they are, the algorithms have no sliders that could move.
        return run.report(stage, objective, value, lambda: blended(colours())) is True

    generator = torch.Generator().manual_seed(run.parameters.seed)
    return blended(
        paper.optimise(
            features, shrink(around.target[None]), shrink(source[None]), shrink(around.mask[None, None]),
            preset.evaluations, generator, report,
        )
    )  # fmt: skip
