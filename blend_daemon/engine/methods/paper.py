"""Algorithms 1 and 2 of the paper as they stand, with the published weights, for comparison.

What the paper leaves open is chosen as the published code has it, see docs/paper-vs-code.md: colours in 0..255, Gram matrices
divided by N_l and the number of positions, alpha_l = beta_l = 1, and gamma_l = 1 / (N_l M_l).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Generator

import torch
from torch import Tensor

from blend_daemon.engine.network.features import Features
from blend_daemon.engine.network.losses import (
    CONTENT_LAYER,
    STYLE_LAYERS,
    content_loss,
    gradient_loss,
    gram,
    histogram_loss,
    laplacian,
    sorted_features,
    style_loss,
    total_variation,
)
from blend_daemon.engine.optimise.loop import Step, Word, minimise
from blend_daemon.engine.progress import Directive
from blend_daemon.engine.raster.pixels import Floats

GRADIENT, CONTENT, STYLE, HISTOGRAM, VARIATION = 10e5, 1.0, 10e5, 1.0, 10e-6
SECOND_STYLE = 10e7
LEVELS = 255.0


class _Objective(ABC):
    """What both stages share: style, histogram and total variation against the target over the whole canvas."""

    def __init__(self, features: Features, target: Tensor, style: float, without: Container[str]) -> None:
        self._features, self._shape, self._style, self._without = features, target.shape, style, without
        self.last: dict[str, Tensor] = {}
        with torch.no_grad():
            of_target = self.look(target)
            self._grams = {name: gram(f) / f.shape[1] for name, f in of_target.items()}
            self._sorted = {name: sorted_features(f, f[0, 0].numel()) for name, f in of_target.items()}

    def look(self, image: Tensor, layers: tuple[str, ...] = STYLE_LAYERS) -> dict[str, Tensor]:
        return self._features(image.expand(-1, 3, -1, -1), layers)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = x.view(self._shape).detach().requires_grad_(True)
        losses = {name: loss * (name not in self._without) for name, loss in self.losses(z).items()}
        value = torch.stack(list(losses.values())).sum()
        (gradient,) = torch.autograd.grad(value, z)
        self.last = {name: loss.detach() for name, loss in losses.items()}
        return value.detach(), gradient.flatten()

    @abstractmethod
    def losses(self, z: Tensor) -> dict[str, Tensor]:
        """Weighted losses by name of the stage's picture z, (1, c, h, w)."""

    def of_target(self, image: Tensor, features: dict[str, Tensor]) -> dict[str, Tensor]:
        style = torch.stack([style_loss(gram(features[k]) / features[k].shape[1], g) for k, g in self._grams.items()]).sum()
        histogram = torch.stack(
            [histogram_loss(features[k].flatten(2)[0], wanted) / wanted.numel() for k, wanted in self._sorted.items()]
        ).sum()
        return {
            "style": self._style * style,
            "histogram": HISTOGRAM * histogram,
            "variation": VARIATION * total_variation(image * LEVELS),
        }


class Preliminary(_Objective):
    """Algorithm 1: the objective of I_Z, (1, c, h, w) over the whole canvas."""

    def __init__(self, features: Features, target: Tensor, source: Tensor, mask: Tensor, without: Container[str] = ()) -> None:
        super().__init__(features, target, STYLE, without)
        self._target, self._mask = target, mask
        inside = (mask > 0).to(mask)
        self._wanted = (laplacian(source) * inside + laplacian(target) * (1 - inside)) * LEVELS
        with torch.no_grad():
            self._content = self.look(source, (CONTENT_LAYER,))[CONTENT_LAYER]
        self._at = torch.nn.functional.adaptive_avg_pool2d(mask, (self._content.shape[-2], self._content.shape[-1]))

    def compose(self, z: Tensor) -> Tensor:
        """I_B = I_Z * M + I_T * (1 - M)."""
        return z * self._mask + self._target * (1 - self._mask)

    def losses(self, z: Tensor) -> dict[str, Tensor]:
        """Eq. 6, 7, 8, 11, 12, weighted."""
        blend = self.compose(z)
        content = content_loss(self.look(z, (CONTENT_LAYER,))[CONTENT_LAYER], self._content, self._at)
        return {
            "gradient": GRADIENT * gradient_loss(blend * LEVELS, self._wanted),
            "content": CONTENT * content,
            **self.of_target(blend, self.look(blend)),
        }


class Refinement(_Objective):
    """Algorithm 2: the objective of I_BR, (1, c, h, w) over the whole canvas."""

    def __init__(self, features: Features, target: Tensor, blend: Tensor, without: Container[str] = ()) -> None:
        super().__init__(features, target, SECOND_STYLE, without)
        with torch.no_grad():
            self._content = self.look(blend, (CONTENT_LAYER,))[CONTENT_LAYER]

    def losses(self, z: Tensor) -> dict[str, Tensor]:
        """Eq. 9, 10, 11, 12, weighted."""
        features = self.look(z)
        return {"content": CONTENT * content_loss(features[CONTENT_LAYER], self._content), **self.of_target(z, features)}


def optimise(
    features: Features,
    target: Tensor,
    source: Tensor,
    mask: Tensor,
    evaluations: tuple[int, ...],
    generator: torch.Generator,
    shown: Callable[[Tensor], Floats],
    without: Container[str] = (),
) -> Generator[Step, Word, Tensor]:
    """Both algorithms in turn. Published as they are, they have no sliders that could move.

    Parameters
    ----------
    target, source : (1, c, h, w) in 0..1 on the whole canvas; mask : (1, 1, h, w)
    evaluations : of the first and of the second stage
    generator : on the CPU, gives the noise that I_Z starts from
    shown : the blend over the box for a picture of the canvas
    without : names of losses that do not count

    Returns
    -------
    (1, c, h, w): I_BR over the whole canvas; what lies outside the mask is the caller's to discard
    """
    first = Preliminary(features, target, source, mask, without)
    noise = torch.rand(target.shape, generator=generator).to(target.device)
    z, word = yield from _steadily(first, noise, evaluations[0], "stage 1", lambda z: shown(first.compose(z)))
    blend = first.compose(z)
    if word is Directive.FINISH:
        return blend
    refined, _ = yield from _steadily(Refinement(features, target, blend, without), blend, evaluations[1], "stage 2", shown)
    return refined


def _steadily(
    objective: _Objective, x: Tensor, evaluations: int, stage: str, shown: Callable[[Tensor], Floats]
) -> Generator[Step, Word, tuple[Tensor, Word]]:
    """`minimise`, deaf to moved sliders."""
    steps = minimise(objective, x, evaluations, stage, shown)
    word: Word = None
    while True:
        try:
            step = steps.send(word if word is Directive.FINISH else None)
        except StopIteration as done:
            return done.value
        word = yield step
