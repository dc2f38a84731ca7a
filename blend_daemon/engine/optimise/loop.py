"""The one loop of all methods that optimise: an objective, lowered by L-BFGS, one evaluation a step.

A method is a generator. It yields a `Step` after each evaluation and is sent the caller's word: None to go on, `Directive.FINISH` to return
what there is, or `Parameters` to go on for. It returns the blended colours over the problem's box.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor

from blend_daemon.engine.optimise.lbfgs import LBFGS
from blend_daemon.engine.progress import Directive
from blend_daemon.engine.raster.pixels import Floats
from blend_protocol.presets import Parameters


@dataclass(frozen=True)
class Step:
    """What one evaluation, or one other step of a method, has brought.

    Attributes
    ----------
    stage : what is being done, in English
    value : the objective at the best point
    colours : computes the present blend over the box, (h, w, channels)
    losses : the objective's parts at the last point tried
    """

    stage: str
    value: Tensor | float
    colours: Callable[[], Floats]
    losses: Mapping[str, Tensor] = field(default_factory=dict)


Word = Parameters | Literal[Directive.FINISH] | None
Steps = Generator[Step, Word, Floats]


class Objective(Protocol):
    """A function from flattened pixels to value and gradient; `last` has its parts."""

    @property
    def last(self) -> Mapping[str, Tensor]: ...

    def __call__(self, x: Tensor, /) -> tuple[Tensor, Tensor]: ...


def minimise(
    objective: Objective, x: Tensor, evaluations: int, stage: str, shown: Callable[[Tensor], Floats]
) -> Generator[Step, Word, tuple[Tensor, Word]]:
    """Lower the objective from x, a tensor of any shape, until the evaluations are spent or the caller says a word.

    Parameters
    ----------
    shown : the blend over the box for pixels of x's shape

    Returns
    -------
    The best pixels, of x's shape, and the caller's last word.
    """
    optimiser = LBFGS(objective, x.flatten())
    best = lambda: optimiser.x.view_as(x)
    word: Word = None
    for _ in range(evaluations):
        optimiser.iterate()
        word = yield Step(stage, optimiser.f, lambda: shown(best()), objective.last)
        if word is not None:
            break
    return best(), word
