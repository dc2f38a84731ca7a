"""The methods: which function computes which. `blend_protocol.methods` declares them to users."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial

from blend_daemon.engine.methods import classical, combined, deep, learned, painterly
from blend_daemon.engine.optimise.loop import Steps
from blend_daemon.engine.raster.pixels import Floats
from blend_daemon.engine.run import Run
from blend_protocol.methods import MODEL, Method, find
from blend_protocol.presets import Parameters

FUNCTIONS: Mapping[str, Callable[[Run], Steps]] = {
    "deep": deep.deep,
    "deep-single-stage": deep.deep_single_stage,
    "painterly": painterly.painterly,
    "copy-paste": classical.copy_paste,
    "alpha": classical.alpha,
    "color-transfer": classical.color_transfer,
    "poisson": classical.poisson,
    "poisson-mixed": classical.poisson_mixed,
    "gaussian-poisson": lambda run: combined.gaussian_poisson(run, computing(run.parameters.constraint)),
    "poisson+style": combined.poisson_then_style,
    "style+poisson": combined.style_then_poisson,
}
EVERYWHERE = ("preset", "method", "seed", "device")  # what every method takes, or what harms none


def computing(name: str) -> Callable[[Run], Steps]:
    """The function of the method of that name."""
    if model := MODEL.fullmatch(name):
        return partial(learned.model, name=model[1])
    return FUNCTIONS[name]


def quick(parameters: Parameters) -> bool:
    """Whether the method, and the one it takes its colours from, needs no network."""
    return all(_method(name).quick for name in _names(parameters))


def needs_vgg(parameters: Parameters) -> bool:
    """Whether one of them needs the network of `Run.network`."""
    return any(not _method(name).quick and not MODEL.fullmatch(name) for name in _names(parameters))


def _names(parameters: Parameters) -> list[str]:
    return [parameters.method, parameters.constraint] if parameters.method == "gaussian-poisson" else [parameters.method]


def _method(name: str) -> Method:
    method = find(name)
    assert method  # Parameters.from_mapping has seen to it
    return method


def sketch(run: Run) -> Floats:
    """A first look, over the box, within a fraction of a second: a quick method's result, what `deep` or a model starts from, else the
    Poisson blend, which is the others' other half."""
    method = run.parameters.method
    if quick(run.parameters):
        return run.carry_out(computing(method)(run))
    if MODEL.fullmatch(method):
        return run.carry_out(classical.copy_paste(run))
    return deep.sketch(run) if method.startswith("deep") else run.carry_out(classical.poisson(run))


def idle(parameters: Parameters) -> list[str]:
    """A sentence about parameters that were set and that the method does not look at."""
    usual = asdict(Parameters.from_mapping({"preset": parameters.preset}))
    used = {*EVERYWHERE, *_method(parameters.method).uses}
    unused = [name for name, value in asdict(parameters).items() if value != usual[name] and name not in used]
    return [f"The method {parameters.method} does not use: {', '.join(unused)}."] if unused else []
