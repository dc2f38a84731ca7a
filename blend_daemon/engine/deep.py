"""Deep blending: the two stages over the object's window, from the harmonised start; and the paper's algorithms over the canvas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from blend_daemon.engine import paper, stages
from blend_daemon.engine.device import threads_for
from blend_daemon.engine.harmonise import Harmony, harmonise, reach
from blend_daemon.engine.pixels import Floats
from blend_daemon.engine.poisson import Surroundings
from blend_daemon.engine.problem import Problem
from blend_daemon.engine.run import Run, in_box, working_size
from blend_daemon.presets import Parameters

CONTEXT = 48  # px of target around the mask that the network sees; what it sees changes within 46 px of the mask
GRADIENT, CONTENT, STYLE, HISTOGRAM = 0.03, 1.0, 0.1, 0.1  # weights of the losses with all sliders in the middle
SEAM_TAPER = 6.0  # px over which the optimiser gains its freedom from the seam inwards


def deep(run: Run) -> Floats:
    """Both stages. With the preset `paper` those of the paper, else ours."""
    return _paper(run) if run.parameters.preset == "paper" else _staged(run)


def deep_single_stage(run: Run) -> Floats:
    """The first stage alone."""
    run.preset = replace(run.preset, evaluations=(*run.preset.evaluations[:-1], 0))
    return deep(run)


def sketch(run: Run) -> Floats:
    """What the optimiser starts from, over the box."""
    problem = run.problem
    pixels = reach(problem.pixels)
    window = problem.window(pixels)
    around = Surroundings.of(problem, window, run.device)
    return in_box(_start(around, run.parameters, pixels), window, problem.box)


def _staged(run: Run) -> Floats:
    problem, preset, features = run.problem, run.preset, run.features
    pixels = reach(problem.pixels)
    window = problem.window(max(CONTEXT, pixels))
    around = Surroundings.of(problem, window, features.device)
    height, width = around.mask.shape
    size = working_size(height, width, preset.working_pixels)
    depth = torch.from_numpy(ndimage.distance_transform_edt(around.unknown.cpu().numpy())).to(around.mask)
    exists = (around.known | around.unknown).to(around.mask)
    freedom = ((depth - 1) / SEAM_TAPER).clamp(0, 1)
    # A grey picture in RGB stays grey: what the optimiser adds is then one channel for all three.
    used = slice(1) if _colourless(around.source) and _colourless(around.target) else slice(None)

    def aim_at(parameters: Parameters) -> tuple[stages.Aim, Tensor]:
        start = _start(around, parameters, pixels)
        scene = stages.Scene(around.target[None, used], start[None, used], *(x[None, None] for x in (around.mask, exists, freedom)))
        return stages.Aim(scene if size == (height, width) else scene.shrunk(*size), _weights(parameters)), start

    aim, start = aim_at(run.parameters)
    steps = zip((0.25, 0.5, 1.0), preset.evaluations, (1, 1, 2), strict=True)
    scales = [stages.Scale(factor, count, stage) for factor, count, stage in steps]
    costs = [(scale.evaluations, scale.factor**2) for scale in scales]
    run.plan(costs)

    def blended(difference: Tensor) -> Floats:
        full = F.interpolate(difference, (height, width), mode="bilinear", align_corners=False)[0]
        return in_box((start + full).clamp(0, 1) if not _is_float(problem) else start + full, window, problem.box)

    def report(scale: stages.Scale, objective: stages.Objective, x: Tensor, value: Tensor) -> stages.Aim | bool:
        nonlocal start
        word = run.report(f"stage {scale.stage}", value, objective.last, lambda: blended(objective.difference(x)))
        if isinstance(word, bool):
            return word
        aim, start = aim_at(word)
        run.plan(costs[scales.index(scale) :])
        return aim

    return blended(stages.optimise(features, aim, scales, report))


def _start(around: Surroundings, parameters: Parameters, pixels: int) -> Tensor:
    with threads_for(around.mask.numel()):
        return harmonise(around, _harmony(parameters), pixels)


def _colourless(image: Tensor) -> bool:
    return float((image.amax(dim=0) - image.amin(dim=0)).max()) < 0.5 / 255


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
    weights = replace(weights, **dict.fromkeys(_without(parameters), 0.0))
    # Sorting every feature map costs as much as the network at the working scale, and changes little there.
    return {1: weights, 2: replace(weights, histogram=0)}


def _without(parameters: Parameters) -> list[str]:
    return parameters.without.split(",") if parameters.without else []


def _point(value: float, low: float, neutral: float, high: float) -> float:
    """A slider's value 0..100 on the straight lines through (0, low), (50, neutral), (100, high)."""
    return low + (neutral - low) * value / 50 if value <= 50 else neutral + (high - neutral) * (value - 50) / 50


def _paper(run: Run) -> Floats:
    problem, preset, features = run.problem, run.preset, run.features
    canvas = (0, 0, problem.target.shape[1], problem.target.shape[0])
    around = Surroundings.of(problem, canvas, features.device)
    source = torch.where(around.sourced, around.source, around.target)
    height, width = source.shape[1:]
    size = working_size(height, width, preset.working_pixels)
    shrink = lambda x: F.interpolate(x, size, mode="area")
    run.plan([(count, 1.0) for count in preset.evaluations])

    def blended(canvas_colours: Tensor) -> Floats:
        full = F.interpolate(canvas_colours, (height, width), mode="bilinear", align_corners=False)
        return in_box(full[0].clamp(0, 1), canvas, problem.box)

    def report(stage: str, objective: Any, colours: Callable[[], Tensor], value: Tensor) -> bool:
        # Published as they are, the algorithms have no sliders that could move.
        return run.report(stage, value, objective.last, lambda: blended(colours())) is True

    generator = torch.Generator().manual_seed(run.parameters.seed)
    return blended(
        paper.optimise(
            features, shrink(around.target[None]), shrink(source[None]), shrink(around.mask[None, None]),
            preset.evaluations, generator, report, _without(run.parameters),
        )
    )  # fmt: skip
