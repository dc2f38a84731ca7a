"""One blend from problem to layer."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from blend_daemon.engine import device as devices
from blend_daemon.engine import methods
from blend_daemon.engine.network.losses import STYLE_LAYERS
from blend_daemon.engine.progress import Observer
from blend_daemon.engine.raster.pixels import Box, Raster
from blend_daemon.engine.raster.problem import Problem
from blend_daemon.engine.run import Run, preview
from blend_protocol import __version__
from blend_protocol.errors import BlendError
from blend_protocol.presets import Parameters, Preset


@dataclass(frozen=True)
class Blend:
    """The result.

    Attributes
    ----------
    layer : (height, width, colour channels of the target + 1) raster of the target's dtype; alpha is the mask
    box : (x, y, width, height) of the layer on the target
    start : what was painted on, as a raster like the layer: the object in the target's light and colours; None where nothing was painted
    report : parameters, weights (the trunk's or the user's model's name; None if the method has none), device, versions, timings, losses,
        and notes for the user (sentences), ready for JSON
    """

    layer: Raster
    box: Box
    start: Raster | None
    report: dict[str, Any]


def warm(device: str = "auto") -> str:
    """Load the network for a device, so that the first blend need not wait. Returns the device's name."""
    chosen = devices.choose(device)
    features, _ = devices.features(chosen, devices.precision(chosen))
    features(torch.zeros(1, 3, 64, 64, device=chosen), STYLE_LAYERS)
    return str(chosen)


def sketch(problem: Problem, parameters: Parameters) -> Raster:
    """A first look that follows the parameters, as a uint8 layer raster over `problem.box`: what the method starts from (see
    `harmonise` for `deep`), or its result where that is quick. Raises BlendError `device-*`."""
    run = Run(problem, parameters, parameters.plan(), devices.choose(parameters.device))
    with devices.threads_for(problem.pixels):
        return preview(problem, methods.sketch(run))


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
        `device-*`, `weights-*`, `model-*`, `out-of-memory`
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
    run = Run(problem, parameters, attempt.preset, attempt.device, observe)
    run.notes += attempt.notes + methods.idle(parameters)
    trunk = run.network[1] if methods.needs_vgg(parameters) else None
    loaded = time.monotonic()
    torch.manual_seed(parameters.seed)
    with devices.threads_for(problem.pixels) if methods.quick(parameters) else nullcontext():
        colours = run.carry_out(methods.computing(parameters.method)(run))
    done = time.monotonic()
    report = {
        **asdict(run.parameters),
        "device": str(attempt.device),
        "precision": str(run.features.dtype if trunk else torch.float32).removeprefix("torch."),
        "weights": trunk or run.model,
        "versions": {"blend-daemon": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "box": list(problem.box),
        "seconds": {"load": round(loaded - loading, 3), "blend": round(done - began - (loaded - loading), 3)},
        "evaluations": run.evaluations,
        "losses": run.history,
        "notes": run.notes,
    }
    start = None if run.start is None else problem.layer(run.start)
    return Blend(problem.layer(colours), problem.box, start, report)
