"""Which function computes which method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict

from blend_daemon.engine import classical, combined, deep
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
    "color-transfer": classical.color_transfer,
    "poisson": classical.poisson,
    "poisson-mixed": classical.poisson_mixed,
    "gaussian-poisson": lambda run: combined.gaussian_poisson(run, FUNCTIONS),
    "poisson+style": combined.poisson_then_style,
    "style+poisson": combined.style_then_poisson,
}
EVERYWHERE = ("preset", "method", "seed", "device")  # what every method takes, or what harms none


def quick(parameters: Parameters) -> bool:
    """Whether the method, and the one it takes its colours from, needs no network."""
    return METHODS[parameters.method].quick and (parameters.method != "gaussian-poisson" or METHODS[parameters.constraint].quick)


def sketch(run: Run) -> Floats:
    """A first look, over the box, within a fraction of a second: a quick method's result, what `deep` starts from, else the Poisson
    blend, which is the others' other half."""
    if quick(run.parameters):
        return FUNCTIONS[run.parameters.method](run)
    return deep.sketch(run) if run.parameters.method.startswith("deep") else classical.poisson(run)


def idle(parameters: Parameters) -> list[str]:
    """A sentence about parameters that were set and that the method does not look at."""
    usual = asdict(Parameters.from_mapping({"preset": parameters.preset}))
    used = {*EVERYWHERE, *METHODS[parameters.method].uses}
    unused = [name for name, value in asdict(parameters).items() if value != usual[name] and name not in used]
    return [f"The method {parameters.method} does not use: {', '.join(unused)}."] if unused else []
