"""The public parameters of a blend and the named points among them. Imports nothing heavy: command lines list the names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import accumulate, pairwise
from typing import Any

from blend_protocol.errors import BlendError
from blend_protocol.methods import CONSTRAINTS, LOSSES, METHODS, MODEL, SLIDERS, SOLVERS

WHOLE = {"seed": 2**31 - 1, "working_size": 4096, "iterations": 10_000}  # largest values; the smallest is 0


@dataclass(frozen=True)
class Parameters:
    """What a user chooses.

    Attributes
    ----------
    preset : a name in `PRESETS`
    method : a name in `METHODS`, or `model:NAME` for a model that the user added
    solver : a name in `SOLVERS`, for the methods that solve Poisson's equation
    constraint : the method in `CONSTRAINTS`, or `model:NAME`, whose colours `gaussian-poisson` takes at low resolution
    without : names in `LOSSES` with commas between, which the optimiser leaves out
    feather : 0..1000 px over which `alpha` fades; 0: a share of the object's size
    seed : 0..2147483647, for the noise that `paper` starts from
    working_size : 0..4096 px, the optimiser works on at most its square in pixels; 0: as the preset has it
    iterations : 0..10000 evaluations in all, shared among the scales as in the preset; 0: as many as the preset has
    device : "auto", "cpu", "cuda", "cuda:N", "mps" or "xpu"
    style : 0..100, how much is painted: nothing at 0, as much as the target is a painting at 50, throughout at 100
    content : 0..100, how much of the object's own detail stays
    colour : 0..100, the object's own colours to the surroundings' colours
    seam : 0..100, width of the zone in which the object's light and colour go over into the target's
    """

    preset: str = "standard"
    method: str = "deep"
    solver: str = "multigrid"
    constraint: str = "color-transfer"
    without: str = ""
    feather: float = 0
    seed: int = 0
    working_size: int = 0
    iterations: int = 0
    device: str = "auto"
    style: float = 50
    content: float = 50
    colour: float = 50
    seam: float = 50

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Parameters:
        """Check values from outside; what is not given comes from the preset. Raises BlendError `parameter-invalid`."""
        names = [field.name for field in fields(cls)]
        for name in given:
            if name not in names:
                raise BlendError("parameter-invalid", f"There is no parameter {name!r}.", f"Known are {', '.join(names)}.")
        chosen: dict[str, Any] = {name: _one_of(names, name, given.get(name, getattr(cls, name))) for name, names in CHOICES.items()}
        parameters = replace(cls(**chosen), **dict[str, Any](PRESETS[chosen["preset"]].sliders))
        whole = {name: given.get(name, 0) for name in WHOLE}
        for name, number in whole.items():
            if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= WHOLE[name]:
                raise BlendError("parameter-invalid", f"The {name} is {number!r}.", f"It is a whole number from 0 to {WHOLE[name]}.")
        device = given.get("device", "auto")
        if not isinstance(device, str):
            raise BlendError("parameter-invalid", f"The device is {device!r}.", "It is a name such as auto, cpu or cuda:0.")
        values = {name: given[name] for name in (*SLIDERS, "feather") if name in given}
        for name, value in values.items():
            top = 1000 if name == "feather" else 100
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= top:
                raise BlendError("parameter-invalid", f"The value of {name} is {value!r}.", f"It is a number from 0 to {top}.")
        without = given.get("without", "")
        for loss in str(without).split(",") if without != "" else ():
            _one_of(LOSSES, "loss", loss)
        return replace(parameters, device=device, without=without, **whole, **values)

    def moved(self, sliders: Mapping[str, Any]) -> Parameters:
        """These parameters with some sliders at other values. Raises BlendError `parameter-invalid`."""
        for name in sliders:
            if name not in SLIDERS:
                raise BlendError("parameter-invalid", f"There is no slider {name!r}.", f"Known are {', '.join(SLIDERS)}.")
        return self.from_mapping({**asdict(self), **sliders})

    def plan(self) -> Preset:
        """The preset with these parameters' own working size and iterations."""
        preset = PRESETS[self.preset]
        if self.working_size:
            preset = replace(preset, working_pixels=self.working_size**2)
        if self.iterations:
            share = self.iterations / sum(preset.evaluations)
            # At least one is the first scale's, which the others go on from.
            ends = (max(round(share * so_far), min(so_far, 1)) for so_far in accumulate(preset.evaluations, initial=0))
            preset = replace(preset, evaluations=tuple(end - begin for begin, end in pairwise(ends)))
        return preset


def _one_of(known: Collection[str], what: str, name: Any) -> str:
    models = what in WITH_MODELS
    if not isinstance(name, str) or (name not in known and not (models and MODEL.fullmatch(name))):
        more = ", and model:NAME for each model of `blend-daemon models list`" if models else ""
        raise BlendError("parameter-invalid", f"There is no {what} {name!r}.", f"Known are {', '.join(known)}{more}.")
    return name


@dataclass(frozen=True)
class Preset:
    """A named way to run.

    Attributes
    ----------
    about : one sentence for a user
    evaluations : evaluations at 1/4, 1/2 and the full working scale (`paper`: in its first and second stage)
    working_pixels : the working scale is at most so large that the window has this many pixels
    sliders : slider values that differ from the neutral 50
    """

    about: str
    evaluations: tuple[int, ...]
    working_pixels: int
    sliders: Mapping[str, float]


WORKING = 512**2
STANDARD = (30, 22, 10)

PRESETS: Mapping[str, Preset] = {
    "draft": Preset("A first look within seconds", (16, 6, 0), WORKING, {}),
    "standard": Preset("The result to keep", STANDARD, WORKING, {}),
    "photo": Preset("Standard for photographs: nothing is painted", STANDARD, WORKING, {"style": 0}),
    "painting": Preset("Standard for paintings: painted throughout", STANDARD, WORKING, {"style": 90}),
    "subtle": Preset("Standard, with a light hand", STANDARD, WORKING, {"style": 25, "content": 65, "colour": 25}),
    "strong": Preset("Standard, with a heavy hand", STANDARD, WORKING, {"style": 100, "content": 35, "colour": 80}),
    "paper": Preset("The paper's two algorithms as published: slow, for comparison", (1000, 1000), 1_000_000, {}),
}
WITH_MODELS = ("method", "constraint")
CHOICES: Mapping[str, Collection[str]] = {"preset": PRESETS, "method": METHODS, "solver": SOLVERS, "constraint": CONSTRAINTS}
