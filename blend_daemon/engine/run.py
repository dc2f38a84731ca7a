"""What a method is given, and what carries its steps to the observer: the problem, the parameters as they stand, progress and cancel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from blend_daemon.engine import device as devices
from blend_daemon.engine.network.features import Features
from blend_daemon.engine.optimise.loop import Step, Steps, Word
from blend_daemon.engine.progress import Cancelled, Clock, Directive, Observer, Progress
from blend_daemon.engine.raster.pixels import Box, Floats, Raster, from_float
from blend_daemon.engine.raster.problem import Problem
from blend_protocol.errors import BlendError
from blend_protocol.presets import Parameters, Preset


class Run:
    """One attempt at a blend. Counts evaluations, tells the observer and hears its word.

    Attributes
    ----------
    problem : what to blend
    parameters : the present ones; the observer may have moved sliders
    preset : how to run; its working size may be smaller than the parameters' where memory ran out
    device : where to compute
    notes : sentences for the user
    evaluations, history : how many were made, and the last losses of each stage
    model : name and digest of the user's model that computes, if one does
    start : what the paint lies on, over the box, (h, w, channels), once a method that paints has ended
    """

    def __init__(
        self, problem: Problem, parameters: Parameters, preset: Preset, device: torch.device, observe: Observer | None = None
    ) -> None:
        self.problem, self.parameters, self.preset, self.device, self._observe = problem, parameters, preset, device, observe
        self._clock = Clock()
        self.notes: list[str] = []
        self.model: str | None = None
        self.start: Floats | None = None
        self.evaluations = 0
        self.history: dict[str, dict[str, float]] = {}

    @cached_property
    def network(self) -> tuple[Features, str]:
        """VGG-16 on the device, and its trunk's name. Loaded when a method first asks. Raises BlendError `weights-*`."""
        # The published equations are there to be compared with, so they run in the precision they were published in.
        dtype = torch.float32 if self.parameters.preset == "paper" else devices.precision(self.device)
        return devices.features(self.device, dtype)

    @property
    def features(self) -> Features:
        return self.network[0]

    def plan(self, costs: list[tuple[int, float]]) -> None:
        """Evaluations to come, as (count, cost of each) for each scale."""
        self._total = self.evaluations + sum(count for count, _cost in costs)
        self._clock.plan(costs)

    def carry_out(self, steps: Steps) -> Floats:
        """Run a method to its end: the blended colours over the box. Raises Cancelled, and whatever the method raises."""
        word: Word = None
        while True:
            try:
                step = steps.send(word)
            except StopIteration as done:
                return done.value
            word = self.tell(step)

    def tell(self, step: Step) -> Word:
        """Tell the observer of one step; its word. Raises Cancelled, BlendError `loss-not-finite`."""
        self.evaluations += 1
        seconds_left = self._clock.advance()
        # Each number that is read makes the host wait for the device.
        if self._observe is None and self.evaluations < self._total:
            return None
        numbers = dict(zip(step.losses, torch.stack(list(step.losses.values())).tolist(), strict=True)) if step.losses else {}
        # A point that was tried and refused may be anything; the best so far may not.
        numbers = {name: number for name, number in numbers.items() if math.isfinite(number)}
        value = float(step.value)
        if not math.isfinite(value):
            raise BlendError(
                "loss-not-finite",
                f"The blend went beyond what numbers can hold: its loss is {value} in the stage {step.stage!r}.",
                "Choose another preset, or bring the pictures' values nearer to 0 to 1.",
            )
        self.history[step.stage] = {**numbers, "total": value}
        if self._observe is None:
            return None
        progress = Progress(
            step.stage, self.evaluations, self._total, value, numbers, seconds_left, self.problem.box,
            lambda: preview(self.problem, step.colours()),
        )  # fmt: skip
        word = self._observe(progress)
        if word is Directive.CANCEL:
            raise Cancelled
        if isinstance(word, Mapping):
            self.parameters = self.parameters.moved(word)
            return self.parameters
        return word if word is Directive.FINISH else None


def at_once(run: Run, stage: str, colours: Floats) -> Steps:
    """A result that takes one step."""
    run.plan([(1, 1.0)])
    yield Step(stage, 0.0, lambda: colours)
    return colours


def preview(problem: Problem, colours: Floats) -> Raster:
    """Colours over the box, (h, w, channels), as a uint8 RGBA layer raster."""
    rgb = np.repeat(colours, 3, axis=2) if colours.shape[2] == 1 else colours
    return from_float(np.concatenate([rgb, problem.mask_on(problem.box)[:, :, None]], axis=2), np.dtype(np.uint8))


def in_box(colours: Tensor, window: Box, box: Box) -> Floats:
    """Cut the box out of (c, h, w) over the window, as (h, w, c)."""
    x, y = box[0] - window[0], box[1] - window[1]
    cut = colours[:, y : y + box[3], x : x + box[2]]
    return np.ascontiguousarray(cut.permute(1, 2, 0).float().cpu().numpy())


def working_size(height: int, width: int, limit: int) -> tuple[int, int]:
    """The size, (h, w), of at most `limit` pixels at which to optimise."""
    factor = min(1.0, (limit / (height * width)) ** 0.5)
    return max(round(height * factor), 8), max(round(width * factor), 8)
