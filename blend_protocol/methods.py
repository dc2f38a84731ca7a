"""The methods of blending by name, for a user to choose from. Standard library only: command lines and the plug-in list them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

SOLVERS = {
    "multigrid": "conjugate gradients with a multigrid V-cycle: the fastest",
    "gauss-seidel": "red-black Gauss-Seidel with over-relaxation: the textbook's, slow for large objects",
    "direct": "a sparse factorisation: exact, more memory",
}
LOSSES = ("gradient", "content", "style", "histogram", "variation", "chroma", "tone")
SLIDERS = ("style", "content", "colour", "seam")

CONTEXT = 32  # px of target around the mask that networks see, and whose colours are the object's surroundings
SURROUNDINGS = -1  # as `around`: as many px as `scope.reach` says of the object's size
PALETTE, STATISTICS = 50_000, 250_000  # pixels that stand for the whole target's colours


@dataclass(frozen=True)
class Method:
    """A way to blend.

    Attributes
    ----------
    label : its name in a list for users
    about : one sentence for a user
    quick : whether it is in closed form, without any network: within a second on a megapixel
    uses : the parameters, beyond preset, seed and device, that it looks at
    around : px of the target around the object's bounding box that it looks at, or SURROUNDINGS
    bank : whether it takes strokes from more of the target, see `scope.bank`
    samples : pixels at most, evenly taken from the whole target, whose colours it looks at; 0: none
    """

    label: str
    about: str
    quick: bool
    uses: tuple[str, ...] = ()
    around: int = CONTEXT
    bank: bool = False
    samples: int = 0


_OPTIMISER = ("working_size", "iterations")

METHODS: Mapping[str, Method] = {
    "deep": Method(
        "Deep blending",
        "Two stages of optimisation: the seam closes, and the object takes on light, colours and texture of the target.",
        False,
        ("without", *SLIDERS, *_OPTIMISER),
        bank=True,
        samples=PALETTE,
    ),
    "deep-single-stage": Method(
        "Deep blending, first stage alone",
        "Without the second stage, which refines the whole blend: for comparison.",
        False,
        ("without", *SLIDERS, *_OPTIMISER),
        bank=True,
        samples=PALETTE,
    ),
    "painterly": Method(
        "Deep painterly harmonisation",
        "The object, repainted with strokes from places of the target that are like it.",
        False,
        ("style", *_OPTIMISER),
        bank=True,
    ),
    "copy-paste": Method("Copy and paste", "The object as it is, with the selection's own edge.", True, around=0),
    "alpha": Method("Alpha blending", "The object fades into the target from the selection's edge inwards.", True, ("feather",), around=1),
    "color-transfer": Method(
        "Colour transfer", "The object takes on mean and spread of the whole target's colours.", True, around=0, samples=STATISTICS
    ),
    "poisson": Method(
        "Poisson", "The object's gradients, with the target's colours at the edge: no seam at all.", True, ("solver",), around=1
    ),
    "poisson-mixed": Method(
        "Poisson, mixed gradients", "Of object and target the stronger gradient: the target shows through.", True, ("solver",), around=1
    ),
    "gaussian-poisson": Method(
        "Gaussian-Poisson",
        "The object's gradients, with another method's colours.",
        True,
        ("solver", "constraint", "feather"),
        around=SURROUNDINGS,
    ),
    "poisson+style": Method(
        "Poisson, then style transfer", "The Poisson blend, repainted in the target's style.", False, ("solver", "style", *_OPTIMISER)
    ),
    "style+poisson": Method(
        "Style transfer, then Poisson",
        "The object, repainted in the target's style, then blended.",
        False,
        ("solver", "style", *_OPTIMISER),
    ),
}
CONSTRAINTS = tuple(name for name in METHODS if name != "gaussian-poisson")
MODEL = re.compile(r"model:([A-Za-z0-9][A-Za-z0-9_-]{0,62})")  # a model that the user added; the name is a file's, so no path


def find(name: str) -> Method | None:
    """The method of that name: one in `METHODS`, or `model:NAME`; None if there is none."""
    if MODEL.fullmatch(name):
        return Method(f"Model {name.removeprefix('model:')}", "A learned model of the user's own.", False, around=SURROUNDINGS)
    return METHODS.get(name)
