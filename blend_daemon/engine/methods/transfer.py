"""Neural style transfer (Gatys, Ecker, Bethge, "Image style transfer using convolutional neural networks", CVPR 2016), for the two
baselines that combine it with Poisson's equation. Coarse to fine, from the content picture; losses relative, as in `painting`."""

from __future__ import annotations

from collections.abc import Callable, Generator

import torch
import torch.nn.functional as F
from torch import Tensor

from blend_daemon.engine.network.features import STRIDE, Features
from blend_daemon.engine.network.losses import STYLE_LAYERS, gram, positions
from blend_daemon.engine.optimise.loop import Step, Word, minimise
from blend_daemon.engine.progress import Directive
from blend_daemon.engine.raster.pixels import Floats

CONTENT_LAYER = "conv4_2"
STYLE = 0.3  # weight of the style, the content's being 1
FACTORS = (0.25, 0.5, 1.0)  # of the working scale


class Objective:
    """Content of one picture, Gram matrices of another.

    Parameters
    ----------
    content, style : (1, c, h, w) in 0..1
    visible : (1, 1, h, w), 1 where the style picture counts
    weight : of the style
    """

    def __init__(self, features: Features, content: Tensor, style: Tensor, visible: Tensor, weight: float) -> None:
        self._features, self._shape, self._weight = features, content.shape, weight
        self.last: dict[str, Tensor] = {}
        with torch.no_grad():
            self._content = self._look(content)[CONTENT_LAYER].float()
            of_style = self._look(style)
            self._grams = {k: gram(of_style[k], positions(visible, of_style[k])) for k in STYLE_LAYERS}
            self._energy = self._content.square().sum().clamp(min=1e-6)

    def _look(self, image: Tensor) -> dict[str, Tensor]:
        return self._features(image.expand(-1, 3, -1, -1), (*STYLE_LAYERS, CONTENT_LAYER))

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Value and gradient at the flattened picture."""
        z = x.view(self._shape).detach().requires_grad_(True)
        features = self._look(z)
        style = torch.stack([(gram(features[k]) - g).square().sum() / g.square().sum().clamp(min=1e-6) for k, g in self._grams.items()])
        losses = {
            "content": (features[CONTENT_LAYER].float() - self._content).square().sum() / self._energy,
            "style": self._weight * style.sum(),
        }
        value = torch.stack(list(losses.values())).sum()
        (gradient,) = torch.autograd.grad(value, z)
        self.last = {name: loss.detach() for name, loss in losses.items()}
        return value.detach(), gradient.flatten()


def stylise(
    features: Features,
    content: Tensor,
    style: Tensor,
    visible: Tensor,
    weight: float,
    evaluations: tuple[int, ...],
    shown: Callable[[Tensor], Floats],
) -> Generator[Step, Word, Tensor]:
    """What style transfer adds to the content picture: (1, c, h, w).

    Parameters
    ----------
    content, style, visible, weight : see `Objective`; at the working size
    evaluations : at each of `FACTORS`
    shown : the blend over the box for what has been added so far, at any size
    """
    difference = torch.zeros_like(content)
    height, width = content.shape[-2:]
    deepest = STRIDE[STYLE_LAYERS[-1]]
    for factor, count in zip(FACTORS, evaluations, strict=True):
        size = max(round(height * factor), deepest), max(round(width * factor), deepest)
        at = lambda image, size=size: F.interpolate(image, size, mode="area")
        start = at(content)
        added = lambda x, start=start: shown(x - start)
        objective = Objective(features, start, at(style), at(visible), weight)
        x = start + F.interpolate(difference, size, mode="bilinear", align_corners=False)
        x, word = yield from minimise(objective, x, count, "style", added)
        difference = x - start
        if word is Directive.FINISH:
            break
    return F.interpolate(difference, (height, width), mode="bilinear", align_corners=False)
