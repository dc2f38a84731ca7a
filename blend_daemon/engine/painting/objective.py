"""What the optimiser lowers: the object, painted with the target's matter.

The losses are the paper's (Eq. 7 to 12) with one change that makes them paint. The style of Eq. 8 compares Gram matrices, which average
over the whole target: they know how much of each stroke there is and not where. Here each position of the object is compared with the
position of the target that is most like it (`matching`), so strokes follow the object's forms. docs/engine.md shows both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from blend_daemon.engine.network.features import STRIDE, Features
from blend_daemon.engine.network.losses import positions
from blend_daemon.engine.painting.matching import GRID, Field, allowed, rows, texture, with_texture_of
from blend_daemon.engine.raster.axes import to_axes
from blend_daemon.engine.raster.filters import blur

TONE_SIGMA = 1.5  # px at each scale: below this frequency the start's tones are kept
TONE_CELL = 2
TONE_DOUBT = 0.05  # change of luma at which tone's loss is twice its square: strokes stay about there, blotches go far beyond
BEYOND = 16  # px
PIECE = 16_384  # positions of a layer that are compared at once


@dataclass(frozen=True)
class Layers:
    """Which layers of the network a scale asks.

    Attributes
    ----------
    style : compared with their matched features
    content : held to the start's
    matching : compared to find the match
    """

    style: tuple[str, ...]
    content: str
    matching: tuple[str, ...]


# Stage 1 paints form and strokes; stage 2, at the working scale, only what is finer, which the deep layers do not see.
COARSE = Layers(("conv1_2", "conv2_2", "conv3_1", "conv3_3", "conv4_1"), "conv4_1", ("conv2_2", "conv3_1", "conv3_3", "conv4_1"))
FINE = Layers(("conv1_2", "conv2_2", "conv3_1"), "conv3_1", ("conv2_2", "conv3_1"))


@dataclass(frozen=True)
class Weights:
    """Weights of the losses; each loss is relative, so that they fit every picture and scale.

    Attributes
    ----------
    content : Eq. 7, squared distance of the features to the start's, over their energy
    style : in place of Eq. 8, mean of 1 - cosine to the matched features, summed over the layers
    histogram : in place of Eq. 11, its first moment: squared distance of the features' means to the matched ones', over their energy
    chroma, tone : squared distance of the low-pass chroma and luma to the start's, per pixel of the object: features do not hold low
        frequencies, and an object that is free there loses its light and shade. Luma's grows with the fourth power of large changes
    """

    content: float
    style: float
    histogram: float
    chroma: float
    tone: float


@dataclass(frozen=True)
class Scene:
    """One scale of the problem.

    Attributes
    ----------
    target, start : (1, c, h, w) in 0..1 over the window
    mask : (1, 1, h, w) in 0..1, how much of a pixel the object covers
    bank : (1, c, h', w') in 0..1, the part of the target that strokes come from
    free : (1, 1, h', w') in 0..1, where the bank shows the target and nothing of the mask
    """

    target: Tensor
    start: Tensor
    mask: Tensor
    bank: Tensor
    free: Tensor


class Painting:
    """The weighted sum of losses at one scale, as a function of all pixels of the window.

    Parameters
    ----------
    scene : the scale; `scene.start` gives the wanted content, chroma and tone
    now : (1, c, h, w), the pixels as they are, which the match is made for
    """

    def __init__(self, features: Features, scene: Scene, layers: Layers, weights: Weights, now: Tensor) -> None:
        self._features, self._scene, self._layers, self._weights = features, scene, layers, weights
        self._shape, self._count = scene.start.shape, scene.mask.sum().clamp(min=1e-3)
        self.last: dict[str, Tensor] = {}
        # Where the canvas cuts the object the network would see black beyond; it sees the edge's own colours go on.
        sides = (scene.mask[..., 0], scene.mask[..., -1], scene.mask[..., 0, :], scene.mask[..., -1, :])
        self._beyond = tuple(BEYOND if bool(side.any()) else 0 for side in sides)
        self._asked = tuple(dict.fromkeys((*layers.style, layers.content)))
        self._down, self._across = (_low_pass(side, scene.start) for side in scene.start.shape[-2:])
        with torch.no_grad():
            self._low_start = self._low(scene.start)
            bank = features(scene.bank.expand(-1, 3, -1, -1), (*self._asked, *layers.matching))
            means = {name: rows(f)[allowed(positions(scene.free, f), 0.9)].mean(dim=0) for name, f in bank.items()}
            self._content = self._look(scene.start, (layers.content,))[layers.content]
            self._content_weight = positions(scene.mask, self._content).sqrt().to(self._content)
            spread = self._content - means[layers.content].view(1, -1, 1, 1)
            self._content_energy = _energy(spread, self._content_weight).clamp(min=1e-6)
            self._match(bank, means, self.compose(now))

    def _match(self, bank: Mapping[str, Tensor], means: Mapping[str, Tensor], blend: Tensor) -> None:
        """Set the features that each position of the object is to have."""
        scene, layers = self._scene, self._layers
        usual = texture(scene.bank)[1][scene.free > 0.5]
        shown = with_texture_of(blend, usual.median(), scene.mask) if len(usual) else blend
        own = self._look(shown, (*self._asked, *layers.matching))
        # Only cells whose neighbours, too, show nothing of the mask.
        pure = -F.max_pool2d(-positions(scene.free, bank[GRID]), 3, 1, 1)
        field = Field(
            own, bank, layers.matching, means, (shown, scene.bank), covered(positions(scene.mask, own[GRID]), 0.02), allowed(pure, 0.98)
        )
        self._goals: dict[str, _Goal] = {}
        for name in layers.style:
            inside = covered(positions(scene.mask, own[name]))
            matched = rows(bank[name])[field.positions(_size(own[name]), _size(bank[name]))[inside]]
            mean = matched.mean(dim=0, dtype=torch.float32)
            away = matched.sub_(means[name])
            self._goals[name] = _Goal(inside, means[name], away.div_(_length(away)[:, None]), mean)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Value and gradient at x, the flattened (1, c, h, w) pixels; the gradient is 0 outside the mask."""
        z = x.view(self._shape).detach().requires_grad_(True)
        losses = self.losses(self.compose(z))
        value = torch.stack(list(losses.values())).sum()
        (gradient,) = torch.autograd.grad(value, z)
        self.last = {name: loss.detach() for name, loss in losses.items()}
        return value.detach(), gradient.flatten()

    def compose(self, z: Tensor) -> Tensor:
        """I_B = I_Z * M + I_T * (1 - M)."""
        return self._scene.target + self._scene.mask * (z - self._scene.target)

    def losses(self, blend: Tensor) -> dict[str, Tensor]:
        """Weighted losses by name."""
        w, name = self._weights, self._layers.content
        features = self._look(blend, self._asked)
        unlike, off = zip(*(goal.missed_by(features[k]) for k, goal in self._goals.items()), strict=True)
        low = (self._low(blend) - self._low_start).square()
        luma, chroma = low[:, :1], low[:, 1:]
        per_pixel = TONE_CELL**2 / self._count
        return {
            "content": w.content * _energy(features[name] - self._content, self._content_weight) / self._content_energy,
            "style": w.style * torch.stack(unlike).sum(),
            "histogram": w.histogram * torch.stack(off).sum(),
            "chroma": w.chroma * per_pixel * chroma.sum(),
            "tone": w.tone * per_pixel * (luma * (1 + luma / TONE_DOUBT**2)).sum(),
        }

    def _look(self, image: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        """Features of a picture of the window."""
        if not any(self._beyond):
            return self._features(image.expand(-1, 3, -1, -1), layers)
        left, _, top, _ = self._beyond
        height, width = image.shape[-2:]
        found = self._features(F.pad(image, self._beyond, mode="replicate").expand(-1, 3, -1, -1), layers)
        cut = lambda f, stride: f[..., top // stride : (top + height) // stride, left // stride : (left + width) // stride]
        return {name: cut(f, STRIDE[name]) for name, f in found.items()}

    def _low(self, image: Tensor) -> Tensor:
        return self._down @ (to_axes(image) * self._scene.mask) @ self._across.T


@dataclass(frozen=True)
class _Goal:
    """What a layer's features are to become.

    Attributes
    ----------
    inside : (m,) indices of the object's positions
    mean : (n,), the mean of the bank's features
    wanted : (m, n), the matched features without it, of length 1
    wanted_mean : (n,), the mean of the matched features
    """

    inside: Tensor
    mean: Tensor
    wanted: Tensor
    wanted_mean: Tensor

    def missed_by(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean of 1 - cosine of features (1, n, h, w), and the squared distance of their mean to the wanted one, over that one's energy."""
        unlike, mean = _Compared.apply(rows(features), self)
        return unlike, (mean - self.wanted_mean).square().sum() / self.wanted_mean.square().sum().clamp(min=1e-6)


class _Compared(torch.autograd.Function):
    """Mean of 1 - cosine of a layer's features to the wanted ones, and the features' mean, both over the object's positions.

    Piece by piece, forth and back: the arrays that lie between are as large as the layer, and were a third of a blend's memory.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, goal: _Goal) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(features)
        ctx.goal = goal
        cosines = torch.zeros((), device=features.device)
        total = torch.zeros(features.shape[1], device=features.device)
        for part, wanted in _pieces(goal):
            had = features.index_select(0, part)
            away = had - goal.mean
            cosines += _cosine(away, wanted, _length(away)).sum()
            total += had.sum(dim=0, dtype=torch.float32)
        return 1 - cosines / len(goal.inside), total / len(goal.inside)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (features,), goal = ctx.saved_tensors, ctx.goal
        of_unlike, of_mean = (gradient / len(goal.inside) for gradient in gradients)
        out = torch.zeros_like(features)
        for part, wanted in _pieces(goal):
            away = features.index_select(0, part) - goal.mean
            length = _length(away)
            along = _cosine(away, wanted, length) / length.square()
            gradient = of_unlike * (along[:, None] * away - wanted / length[:, None]) + of_mean
            out.index_copy_(0, part, gradient.to(out))
        return out, None


def _pieces(goal: _Goal) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(goal.inside.split(PIECE), goal.wanted.split(PIECE), strict=True)


def _length(vectors: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vectors, dim=1, dtype=torch.float32).clamp(min=1e-12)


def _cosine(vectors: Tensor, units: Tensor, length: Tensor) -> Tensor:
    return (vectors * units).sum(dim=1, dtype=torch.float32) / length


def _low_pass(side: int, like: Tensor) -> Tensor:
    """The matrix (side / TONE_CELL, side) that blurs a line of so many pixels and takes the means of its cells. A product takes less than
    a tenth of the time of convolutions with one channel, forth and back."""
    lines = blur(torch.eye(side, device=like.device, dtype=like.dtype)[:, :, None], TONE_SIGMA)
    return F.avg_pool2d(lines, (TONE_CELL, 1))[:, :, 0].T


def covered(share: Tensor, least: float = 0.5) -> Tensor:
    """Indices of the positions of (1, 1, h, w) that are the object's: with more than a share `least` of what the most covered one has."""
    flat = share.flatten()
    return (flat > least * flat.max()).nonzero()[:, 0]


def _size(features: Tensor) -> tuple[int, int]:
    return features.shape[-2], features.shape[-1]


def _energy(values: Tensor, root_weight: Tensor) -> Tensor:
    """Weighted sum of squares in float32 of values that may be less precise."""
    return torch.linalg.vector_norm(values * root_weight, dtype=torch.float32).square()
