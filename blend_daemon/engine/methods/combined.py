"""Methods that are made of others: Poisson's equation with style transfer, and with another method's colours."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from blend_daemon.engine.methods import gaussian_poisson as gp
from blend_daemon.engine.methods.classical import solve
from blend_daemon.engine.methods.transfer import FACTORS, STYLE, stylise
from blend_daemon.engine.optimise.loop import Step, Steps, Word
from blend_daemon.engine.progress import Directive
from blend_daemon.engine.raster.pixels import Box
from blend_daemon.engine.raster.surroundings import Surroundings
from blend_daemon.engine.run import Run, at_once, in_box, working_size
from blend_protocol import scope
from blend_protocol.methods import CONTEXT


def poisson_then_style(run: Run) -> Steps:
    """The Poisson blend, then style transfer from the target."""
    window = run.problem.window(CONTEXT)
    around = Surroundings.of(run.problem, window, run.device)
    blend = yield from solve(run, around, window)
    run.start = in_box(blend, window, run.problem.box)
    return in_box((yield from _stylised(run, around, window, blend)), window, run.problem.box)


def style_then_poisson(run: Run) -> Steps:
    """Style transfer from the target to the source, then the Poisson blend of that."""
    window = run.problem.window(CONTEXT)
    around = Surroundings.of(run.problem, window, run.device)
    styled = yield from _stylised(run, around, window, torch.where(around.sourced, around.source, around.target))
    blend = yield from solve(run, replace(around, source=styled * around.sourced), window)
    return in_box(blend, window, run.problem.box)


def _stylised(run: Run, around: Surroundings, window: Box, content: Tensor) -> Generator[Step, Word, Tensor]:
    height, width = around.mask.shape
    size = working_size(height, width, run.preset.working_pixels)
    shrink = lambda image: F.interpolate(image, size, mode="area")
    evaluations = run.preset.evaluations
    if len(evaluations) < len(FACTORS):  # the paper's algorithms have two stages, at one scale
        evaluations = (*(0 for _ in FACTORS[1:]), sum(evaluations))
    run.plan([(count, factor**2) for count, factor in zip(evaluations, FACTORS, strict=True)])

    def whole(difference: Tensor) -> Tensor:
        out = content + F.interpolate(difference, (height, width), mode="bilinear", align_corners=False)[0]
        return out if run.problem.target.dtype == np.float32 else out.clamp(0, 1)

    shown = lambda difference: in_box(whole(difference), window, run.problem.box)
    visible = around.visible.float()[None, None]
    weight = STYLE * (run.parameters.style / 50) ** 2
    difference = yield from stylise(
        run.features, shrink(content[None]), shrink(around.target[None]), shrink(visible), weight, evaluations, shown
    )
    return whole(difference)


def gaussian_poisson(run: Run, constraint: Callable[[Run], Steps]) -> Steps:
    """The Gaussian-Poisson equation, with the colours of the method that `constraint` computes at low resolution."""
    window = run.problem.window(scope.around("gaussian-poisson", run.problem.pixels))
    around = Surroundings.of(run.problem, window, run.device)
    blend = yield from solve(run, around, window)
    problem, size = gp.at_low_resolution(around)
    inner = Run(problem, replace(run.parameters, method=run.parameters.constraint), run.preset, run.device)
    shown = lambda: in_box(blend, window, run.problem.box)
    steps = constraint(inner)
    word: Word = None
    while True:
        try:
            step = steps.send(word)
        except StopIteration as done:
            colours = torch.from_numpy(done.value).permute(2, 0, 1).to(run.device)
            break
        run.plan([(2, 1.0)])
        said = yield replace(step, stage=f"low resolution: {step.stage}", colours=shown)
        word = Directive.FINISH if said is Directive.FINISH else None
    run.model = inner.model
    run.notes += inner.notes
    x, y, w, h = problem.box
    wanted = torch.zeros(len(blend), *size, device=run.device)
    wanted[:, y : y + h, x : x + w] = colours - F.interpolate(blend[None], size, mode="area")[0, :, y : y + h, x : x + w]
    wanted *= torch.from_numpy(problem.mask_on((0, 0, size[1], size[0]))).to(run.device) > 0
    return (yield from at_once(run, "Gaussian-Poisson", in_box(blend + gp.correction(around, wanted), window, run.problem.box)))
