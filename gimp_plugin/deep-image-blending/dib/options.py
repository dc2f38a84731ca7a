"""The procedure's arguments: their names, labels and limits, and what they mean for one blend. Needs nothing of GIMP's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dib.i18n import _

# (name, text, explanation) of each choice; the first is the default unless said otherwise.
TARGETS = (
    ("layer-below", "Layer below", "Blend into the layer just below the source layer"),
    ("visible-below", "Everything visible below", "Blend into what is visible below the source layer"),
    ("chosen-layer", "A layer of your choice", "Blend into one layer, wherever it stands"),
)
MASKS = (
    ("selection", "Selection", "What is selected; with nothing selected, the layer's transparency"),
    ("alpha", "Layer's transparency", "All that the layer shows, whatever is selected"),
    ("layer-mask", "Layer mask", "The white of the layer's mask, whatever is selected"),
)
METHODS = (
    ("deep", "Deep blending", "The seam closes, and the object takes on light, colours and texture of the target"),
    ("deep-single-stage", "Deep blending, first stage alone", "Without the second stage, which refines the whole blend"),
    ("painterly", "Deep painterly harmonisation", "The object, repainted with strokes from places of the target that are like it"),
    ("copy-paste", "Copy and paste", "The object as it is, with the mask's own edge"),
    ("alpha", "Alpha blending", "The object fades into the target from the mask's edge inwards"),
    ("color-transfer", "Colour transfer", "The object takes on mean and spread of the whole target's colours"),
    ("poisson", "Poisson", "The object's gradients, with the target's colours at the edge: no seam at all"),
    ("poisson-mixed", "Poisson, mixed gradients", "Of object and target the stronger gradient: the target shows through"),
    ("gaussian-poisson", "Gaussian-Poisson", "The object's gradients, with the target's statistics of colour"),
    ("poisson+style", "Poisson, then style transfer", "The Poisson blend, repainted in the target's style"),
    ("style+poisson", "Style transfer, then Poisson", "The object, repainted in the target's style, then blended"),
    ("model", "A learned model", "A harmoniser or blending network that was added to the blend daemon"),
)
PRESETS = (
    ("draft", "Draft", "A first look within seconds"),
    ("standard", "Standard", "The result to keep"),
    ("photo", "Photo", "More of the object, less texture"),
    ("painting", "Painting", "More of the target's texture"),
    ("subtle", "Subtle", "With a light hand"),
    ("strong", "Strong", "With a heavy hand"),
    ("paper", "Paper", "The paper's two algorithms as published: slow, for comparison"),
)
OUTPUTS = (
    ("new-layer", "New layer", "A new layer above the source, as soft at its edge as the mask"),
    ("new-layer-with-mask", "New layer with a layer mask", "A new layer above the source, whose edge can be painted on its mask"),
    (
        "layers",
        "Layers to go on with",
        "A group of the object in the picture's light, and above it the paint, for opacity and mode to tune",
    ),
    ("replace", "Replace the layer", "A new layer in the source's place; the source is removed"),
)
DEVICES = (
    ("auto", "Automatic", "What the daemon was started with, or else the fastest that is there"),
    ("cpu", "Processor", "The main processor"),
    ("cuda", "CUDA", "An NVIDIA card"),
    ("mps", "MPS", "Apple's graphics"),
    ("xpu", "XPU", "Intel's graphics"),
)
CHOICES = (  # (argument, label, explanation, choices, default)
    ("target", "_Target", "What to blend into", TARGETS, "layer-below"),
    ("mask", "M_ask", "What part of the layer is the object", MASKS, "selection"),
    ("method", "_Method", "How to blend", METHODS, "deep"),
    ("preset", "_Preset", "How long to work, and where to put the sliders", PRESETS, "standard"),
    ("output", "_Output", "What becomes of the result", OUTPUTS, "new-layer"),
    ("device", "Device", "What computes", DEVICES, "auto"),
)
SLIDERS = (
    ("style", "St_yle", "How much of the target's texture the object takes on"),
    ("content", "Co_ntent", "How much of the object's own detail stays"),
    ("colour", "Colo_ur", "From the object's own colours to the target's"),
    ("seam", "S_eam", "How wide the transition is"),
)
NUMBERS = (  # (argument, label, explanation, lowest, highest, default)
    ("grow", "Gro_w", "Pixels by which the mask grows; negative: shrinks", -200, 200, 0),
    ("feather", "_Feather", "Pixels over which the mask's edge becomes soft", 0, 200, 0),
    ("seed", "Random seed", "For presets that start from noise", 0, 2**31 - 1, 0),
    ("working-size", "Working size", "Side in pixels of the square that the optimiser works on at most; 0: the preset's", 0, 4096, 0),
    ("iterations", "Iterations", "How often the objective is evaluated; 0: the preset's", 0, 10_000, 0),
)
ENDS = (  # (argument, what is at a slider's left end, at its right end)
    ("grow", "smaller", "larger"),
    ("feather", "hard", "soft"),
    ("style", "as pasted", "painted"),
    ("content", "loose", "detailed"),
    ("colour", "its own", "the picture's"),
    ("seam", "narrow", "wide"),
)
HIDE = ("hide-source", "Hi_de the source", "Hide the source layer, whose surroundings would show around the result")
MODEL = ("model", "Mode_l", "Name of the learned model, with the method of that name")
TARGET_LAYER = ("target-layer", "Layer", "The layer to blend into")
ADDRESS = ("daemon", "Daemon", "Name or address of a blend daemon; empty: this computer's own, started when needed")
FAILED = ("failed", "Failed", "Which of several objects could not be blended and why, a line each; empty: none")
JOB = ("job", "Blend", "Id of the blend; empty: the one that was finished last")

NO_MODEL = "model:"  # the method while none is chosen
NEUTRAL = 50.0
SLIDER_NAMES = tuple(name for name, *_ in SLIDERS)
OF_THE_BLEND = frozenset({"target", "mask", "method", "preset"})  # the choices that a blended layer tells of
OF_THE_MASK = frozenset({"target", "target-layer", "mask", "grow", "feather"})  # what decides on the pixels that are sent


@dataclass(frozen=True)
class Options:
    """The arguments of one call; pixels in `grow` and `feather`. `parameters` are the engine's."""

    target: str
    target_layer: Any
    mask: str
    grow: int
    feather: int
    output: str
    hide_source: bool
    address: str | None
    parameters: Mapping[str, Any]


def read(config: Any, sliders_as_shown: bool) -> Options:
    """The options in a procedure's config.

    Parameters
    ----------
    sliders_as_shown : whether a slider in the middle is the user's wish; else it stands for the preset's own value
    """
    value = config.get_property
    sliders = {name: value(name) for name in SLIDER_NAMES if sliders_as_shown or value(name) != NEUTRAL}
    return Options(
        value("target") or "layer-below",
        value("target-layer"),
        value("mask") or "selection",
        value("grow"),
        value("feather"),
        value("output") or "new-layer",
        value("hide-source"),
        value("daemon") or None,
        used({
            "method": method(config), "preset": value("preset") or "standard", "device": value("device") or "auto",
            "seed": value("seed"), "working_size": value("working-size"), "iterations": value("iterations"), **sliders,
        }),
    )  # fmt: skip


def recalled(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a blended layer's arguments that say what its blend was made of, where they can be what they say.

    They were read from an image, which may be a stranger's: it must not choose the daemon that pixels go to, nor the device.
    """
    choices = {name: {row[0] for row in rows} for name, _label, _about, rows, _default in CHOICES if name in OF_THE_BLEND}
    limits: dict[str, tuple[float, float, type | tuple[type, ...]]] = dict.fromkeys(SLIDER_NAMES, (0, 100, (int, float)))
    limits |= {name: (low, high, int) for name, _label, _about, low, high, _default in NUMBERS}
    limits["target-layer"] = (1, 2**31 - 1, int)
    found = {}
    for name, value in arguments.items():
        if name in choices:
            fits = isinstance(value, str) and value in choices[name]
        elif name in limits:
            low, high, kind = limits[name]
            fits = isinstance(value, kind) and not isinstance(value, bool) and low <= value <= high
        else:
            fits = name == "model" and isinstance(value, str) and is_model(value)
        if fits:
            found[name] = value
    return found


def is_model(name: str) -> bool:
    """Whether a model may have this name."""
    from blend_protocol.methods import find

    return find(f"{NO_MODEL}{name}") is not None


def method(config: Any) -> str:
    """The method in a procedure's config, by the engine's name; `NO_MODEL` where that lacks the model's."""
    chosen = config.get_property("method") or "deep"
    return f"{NO_MODEL}{config.get_property('model') or ''}" if chosen == "model" else chosen


def parsed(parameters: Mapping[str, Any]) -> Any:
    """The engine's parameters, checked. Raises BlendError `no-model`, `parameter-invalid`."""
    from blend_protocol.errors import BlendError
    from blend_protocol.presets import Parameters

    if parameters["method"] == NO_MODEL:
        raise BlendError("no-model", _("There is no model chosen."), _("Choose one, or another method."))
    return Parameters.from_mapping(parameters)


def uses(method: str) -> frozenset[str]:
    """The parameters that a method looks at."""
    # Not at the top: without the plug-in's vendor folder GIMP shall still register it, and hear what is missing when it is called.
    from blend_protocol.methods import find

    known = find(method)  # None: a model's name that cannot be one, which the daemon refuses
    return frozenset({"method", "preset", "seed", "device", *(known.uses if known else ())})


def used(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the parameters that their method looks at."""
    known = uses(parameters["method"])
    return {name: value for name, value in parameters.items() if name in known}


def sliders_of(preset: str) -> dict[str, float]:
    """Where a preset puts the sliders."""
    from blend_protocol.presets import PRESETS as OF_THE_ENGINE

    return {name: OF_THE_ENGINE[preset].sliders.get(name, NEUTRAL) for name in SLIDER_NAMES}
