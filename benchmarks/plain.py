"""The plain algorithm, to compare with: the published first stage, as directly as it can be written.

float32, the whole canvas, a start from noise, every constant computed again in each evaluation. Its objective is that of the published
code's first stage (1e4 gradient, 1 content, 1e4 style, 1e-6 total variation, colours in 0..255; docs/paper-vs-code.md).
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from quality import part
from torch import Tensor

from blend_daemon.engine.network import weights
from blend_daemon.engine.network.features import Features
from blend_daemon.engine.network.losses import CONTENT_LAYER, STYLE_LAYERS, laplacian

GRADIENT, CONTENT, STYLE, VARIATION = 1e4, 1.0, 1e4, 1e-6
SHIFT = 0.44  # what the published code takes from colours in 0..255 before the network


class Plain:
    """The published first stage on one case.

    Parameters
    ----------
    case : folder with source, mask and target of one size
    """

    def __init__(self, case: Path) -> None:
        self._features = Features(weights.load()[0])
        self._mean = torch.tensor([0.48235, 0.45882, 0.40784]).view(1, 3, 1, 1)
        self.target, self._source = (picture(part(case, name)) for name in ("target", "source"))
        mask = np.array(Image.open(part(case, "mask")).convert("L")) > 127
        self._mask = torch.from_numpy(mask.astype(np.float32))[None, None]

    def objective(self, z: Tensor) -> Tensor:
        """The objective at z, (1, 3, h, w) in 0..255."""
        wanted, grams, content_of_source = self._constants()
        blend = self.compose(z)
        gradient = F.mse_loss(laplacian(blend), wanted)
        of_z = self._look(z, STYLE_LAYERS)
        style = torch.stack([F.mse_loss(_gram(of_z[name]), wanted) for name, wanted in grams.items()]).mean()
        content = F.mse_loss(self._look(blend * self._mask, (CONTENT_LAYER,))[CONTENT_LAYER], content_of_source)
        variation = (z[..., 1:] - z[..., :-1]).abs().mean() + (z[..., 1:, :] - z[..., :-1, :]).abs().mean()
        return GRADIENT * gradient + STYLE * style + CONTENT * content + VARIATION * variation

    def compose(self, z: Tensor) -> Tensor:
        """The blend of z and the target."""
        return z * self._mask + self.target * (1 - self._mask)

    @torch.no_grad()
    def _constants(self) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """The wanted Laplacian, the target's Gram matrices and the source's content."""
        mask, source, target = self._mask, self._source, self.target
        wanted = laplacian(source) * mask + laplacian(target) * (1 - mask)
        grams = {name: _gram(features) for name, features in self._look(target, STYLE_LAYERS).items()}
        return wanted, grams, self._look(source * mask, (CONTENT_LAYER,))[CONTENT_LAYER]

    def _look(self, image: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        return self._features((image - SHIFT) / 255 + self._mean, layers)


def picture(path: Path) -> Tensor:
    """An image file as (1, 3, h, w) in 0..255."""
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None].float()


def _gram(features: Tensor) -> Tensor:
    _, c, h, w = features.shape
    flat = features.reshape(c, h * w)
    return flat @ flat.T / (c * h * w)


def seconds_per_evaluation(plain: Plain, count: int = 4) -> float:
    """The median time of one evaluation and its gradient."""
    taken = []
    z = plain.target.clone().requires_grad_(True)
    for _ in range(count):
        began = time.monotonic()
        torch.autograd.grad(plain.objective(z), z)
        taken.append(time.monotonic() - began)
    return float(np.median(taken))
