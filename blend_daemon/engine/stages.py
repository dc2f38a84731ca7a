"""The two stages of Deep Image Blending on the object's surroundings, coarse to fine, from the harmonised start.

Stage 1 (Algorithm 1) runs at 1/4 and 1/2 of the working scale: gradients and content of the harmonised object against the
target's style. Stage 2 (Algorithm 2) runs at the working scale: content of the first stage's blend against the target's style. What
travels up the scales is the difference to the harmonised start, so fine detail stays the source's own. Only pixels of the mask
are variables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from blend_daemon.engine.features import STRIDE, Features
from blend_daemon.engine.harmonise import OPPONENT
from blend_daemon.engine.lbfgs import LBFGS
from blend_daemon.engine.losses import gram, histogram_loss, laplacian, sorted_features, total_variation

STYLE_LAYERS = ("conv1_2", "conv2_2", "conv3_3", "conv4_3")
CONTENT_LAYER = "conv2_2"
TONE_CELL = 8  # px: below this frequency the tone of the start is kept


@dataclass(frozen=True)
class Weights:
    """Weights of the losses. Each loss is divided by what it measures on the target, so that a weight means the same
    for every picture, scale and trunk.

    Attributes
    ----------
    gradient : Eq. 6 per pixel of the mask, relative to the target's usual Laplacian: a smooth target allows little new texture
    content : Eq. 7 or 9, relative to the energy of the wanted features
    style : Eq. 8 or 10, each layer relative to the energy of the target's Gram matrix
    histogram : Eq. 11, relative to the energy of the target's features
    variation : Eq. 12 per pixel of the mask
    chroma : squared distance of the chroma to the start's, per pixel of the mask: texture is painted in light, not in hue
    tone : the same for the low-pass luma: a Laplacian does not hold low frequencies and a Gram matrix pulls on them
    """

    gradient: float
    content: float
    style: float
    histogram: float
    variation: float
    chroma: float
    tone: float


@dataclass(frozen=True)
class Scene:
    """One scale of the problem.

    Attributes
    ----------
    target, start : (1, c, h, w) in 0..1
    mask : (1, 1, h, w) in 0..1
    exists : (1, 1, h, w), 1 where the target is not transparent
    freedom : (1, 1, h, w) in 0..1, how far a pixel may leave the start: 0 at the seam, which the start has closed, so that no
        ring can grow there
    """

    target: Tensor
    start: Tensor
    mask: Tensor
    exists: Tensor
    freedom: Tensor

    def shrunk(self, height: int, width: int) -> Scene:
        """The scene area-averaged to another size."""
        parts = (self.target, self.start, self.mask, self.exists, self.freedom)
        return Scene(*(F.interpolate(x, (height, width), mode="area") for x in parts))


class Objective:
    """The weighted sum of losses at one scale, as a function of all pixels of the window.

    Parameters
    ----------
    scene : the scale; `scene.start` gives the wanted gradients, content, chroma and tone
    """

    def __init__(self, features: Features, scene: Scene, weights: Weights) -> None:
        self._features, self._scene, self._weights = features, scene, weights
        self._count = scene.mask.sum().clamp(min=1e-3)
        self._shape = scene.start.shape
        with torch.no_grad():
            of_target = self._look(scene.target)
            self._at = {name: positions(scene.mask, f) for name, f in of_target.items()}
            seen = {name: positions(scene.exists, f) for name, f in of_target.items()}
            self._grams = {name: gram(of_target[name], seen[name]) for name in STYLE_LAYERS}
            of_start = self._look(scene.start)
            # Relative to both: a flat target has a tiny Gram matrix, and dividing by that alone would let it flatten any object.
            self._gram_energy = {
                name: (g.square().sum() + gram(of_start[name], self._at[name]).square().sum()).clamp(min=1e-6) / 2
                for name, g in self._grams.items()
            }
            self._laplacian = laplacian(scene.start)
            rough = laplacian(scene.target).abs().amax(dim=1, keepdim=True)[scene.exists > 0]
            # The median, so that a few hard edges in a smooth sky do not allow texture in the sky.
            self._roughness = rough.median().clamp(min=1 / 255).square()
            self._chroma = _chroma(scene.start)
            self._tone = self._low(scene.start)
            self._inside, self._sorted = {}, {}
            if weights.histogram:
                for name in STYLE_LAYERS:
                    inside = (self._at[name].flatten() > 0.5).nonzero()[:, 0]
                    outside = (seen[name].flatten() > 0.5).nonzero()[:, 0]
                    if len(inside) and len(outside):
                        wanted = sorted_features(of_target[name].flatten(2)[:, :, outside, None], len(inside))
                        # A few positions may see nothing at all (some 1e5 a position are usual): no histogram to be like.
                        if wanted.square().sum() > len(inside):
                            self._inside[name], self._sorted[name] = inside, wanted

        self.keep_content(scene.start)

    @torch.no_grad()
    def keep_content(self, wanted: Tensor) -> None:
        """Take the content to keep from (1, c, h, w): the start in stage 1 (Eq. 7), the first stage's blend in stage 2 (Eq. 9)."""
        self._content = self._look(wanted, (CONTENT_LAYER,))[CONTENT_LAYER]
        self._content_weight = self._at[CONTENT_LAYER].sqrt().to(self._content)
        self._content_energy = _energy(self._content, self._content_weight).clamp(min=1e-6)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Value and gradient at x, the flattened (1, c, h, w) pixels; the gradient is 0 outside the mask."""
        z = x.view(self._shape).detach().requires_grad_(True)
        losses = self.losses(self.compose(z))
        value = torch.stack(list(losses.values())).sum()
        (gradient,) = torch.autograd.grad(value, z)
        self.last = {name: loss.detach() for name, loss in losses.items()}
        return value.detach(), gradient.flatten()

    def compose(self, z: Tensor) -> Tensor:
        """I_B = I_Z * M + I_T * (1 - M), with I_Z held to the start where it is not free."""
        scene = self._scene
        return scene.target + scene.mask * (scene.start + scene.freedom * (z - scene.start) - scene.target)

    def difference(self, x: Tensor) -> Tensor:
        """How far x, the flattened pixels, leaves the start: (1, c, h, w)."""
        return self._scene.freedom * (x.view(self._shape) - self._scene.start) * (self._scene.mask > 0)

    def losses(self, blend: Tensor) -> dict[str, Tensor]:
        """Weighted losses by name."""
        w, mask, n = self._weights, self._scene.mask, self._count
        features = self._look(blend)
        losses = {
            "gradient": w.gradient * ((laplacian(blend) - self._laplacian).square() * (mask > 0)).sum() / n / self._roughness,
            "content": w.content * _energy(features[CONTENT_LAYER] - self._content, self._content_weight) / self._content_energy,
            "style": w.style
            * torch.stack(
                [(gram(features[k], self._at[k]) - g).square().sum() / self._gram_energy[k] for k, g in self._grams.items()]
            ).sum(),
            "chroma": w.chroma * ((_chroma(blend) - self._chroma).square() * mask).sum() / n,
            "tone": w.tone * (self._low(blend) - self._tone).square().sum() / n,
        }
        if w.histogram and self._sorted:
            losses["histogram"] = (
                w.histogram
                * torch.stack(
                    [
                        histogram_loss(features[k].flatten(2)[0][:, self._inside[k]].float(), wanted) / wanted.square().sum()
                        for k, wanted in self._sorted.items()
                    ]
                ).sum()
            )
        if w.variation:
            losses["variation"] = w.variation * total_variation(blend) / n
        return losses

    def _look(self, image: Tensor, layers: tuple[str, ...] = STYLE_LAYERS) -> dict[str, Tensor]:
        return self._features(image.expand(-1, 3, -1, -1), layers)

    def _low(self, image: Tensor) -> Tensor:
        h, w = image.shape[-2:]
        luma = _luma(image) * self._scene.mask
        # Summed, not averaged, over a cell: n cells of k x k px then weigh as much as their pixels.
        return F.avg_pool2d(F.pad(luma, (0, -w % TONE_CELL, 0, -h % TONE_CELL)), TONE_CELL) * TONE_CELL


def _energy(values: Tensor, root_weight: Tensor) -> Tensor:
    """Weighted sum of squares in float32 of values that may be less precise."""
    return torch.linalg.vector_norm(values * root_weight, dtype=torch.float32).square()


def positions(weight: Tensor, features: Tensor) -> Tensor:
    """A weight, (1, 1, h, w), at the positions of a layer's features."""
    return F.adaptive_avg_pool2d(weight, (features.shape[-2], features.shape[-1]))


def _luma(image: Tensor) -> Tensor:
    if image.shape[1] == 1:
        return image
    return torch.einsum("k,nkhw->nhw", OPPONENT[0].to(image), image)[:, None]


def _chroma(image: Tensor) -> Tensor:
    if image.shape[1] == 1:
        return image.new_zeros(1, 1, 1, 1)
    return torch.einsum("ck,nkhw->nchw", OPPONENT[1:].to(image), image)


@dataclass(frozen=True)
class Scale:
    """One stop on the way: the factor of the working scale, evaluations to spend, and the stage."""

    factor: float
    evaluations: int
    stage: int


@dataclass(frozen=True)
class Aim:
    """What the run is after: the window at the working scale, and the loss weights of stage 1 and stage 2."""

    scene: Scene
    weights: dict[int, Weights]


Report = Callable[[Scale, Objective, Tensor, Tensor], "Aim | bool"]


def optimise(features: Features, aim: Aim, scales: list[Scale], report: Report) -> Tensor:
    """Run the scales in order.

    Parameters
    ----------
    aim : what to run for
    report : called after every evaluation with the scale, the objective, the best x and its value. True ends the run;
        another aim, with a scene of the same size, goes on from the difference reached so far, with all evaluations of the scale

    Returns
    -------
    (1, c, h, w): the difference to the last aim's `scene.start` at the working scale, 0 where the mask is 0
    """
    height, width = aim.scene.target.shape[-2:]
    deepest = STRIDE[STYLE_LAYERS[-1]]
    difference = torch.zeros_like(aim.scene.start)
    for scale in (scale for scale in scales if scale.evaluations):
        h, w = max(round(height * scale.factor), deepest), max(round(width * scale.factor), deepest)
        word: Aim | bool = aim
        while isinstance(word, Aim):
            aim = word
            level = aim.scene if (h, w) == (height, width) else aim.scene.shrunk(h, w)
            x = level.start + F.interpolate(difference, (h, w), mode="bilinear", align_corners=False)
            objective = Objective(features, level, aim.weights[scale.stage])
            if scale.stage == 2:
                objective.keep_content(objective.compose(x))
            optimiser = LBFGS(objective, x.flatten())
            for _ in range(scale.evaluations):
                optimiser.iterate()
                word = report(scale, objective, optimiser.x, optimiser.f)
                if word:
                    break
            difference = (optimiser.x.view_as(level.start) - level.start) * (level.mask > 0)
        if word:
            break
    return aim.scene.freedom * F.interpolate(difference, (height, width), mode="bilinear", align_corners=False)
