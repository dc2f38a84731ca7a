"""Which function computes which method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict

from blend_daemon.engine import classical, deep
from blend_daemon.engine.pixels import Floats
from blend_daemon.engine.run import Run
from blend_daemon.methods import METHODS
from blend_daemon.presets import Parameters

# Each gives the colours over the box, (h, w, channels), and tells of its progress through `Run.report`.
FUNCTIONS: Mapping[str, Callable[[Run], Floats]] = {
    "deep": deep.deep,
    "deep-single-stage": deep.deep_single_stage,
    "copy-paste": classical.copy_paste,
    "alpha": classical.alpha,
    "poisson": classical.poisson,
}
EVERYWHERE = ("preset", "method", "seed", "device")  # what every method takes, or what harms none


def sketch(run: Run) -> Floats:
    """A first look, over the box, within a fraction of a second."""
    if METHODS[run.parameters.method].quick:
        return FUNCTIONS[run.parameters.method](run)
    return deep.sketch(run)


def idle(parameters: Parameters) -> list[str]:
    """A sentence about parameters that were set and that the method does not look at."""
    usual = asdict(Parameters.from_mapping({"preset": parameters.preset}))
    used = {*EVERYWHERE, *METHODS[parameters.method].uses}
    unused = [name for name, value in asdict(parameters).items() if value != usual[name] and name not in used]
    return [f"The method {parameters.method} does not use: {', '.join(unused)}."] if unused else []
