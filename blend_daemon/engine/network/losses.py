"""The five losses of Deep Image Blending (Zhang, Wen, Shi, WACV 2020), Eq. 6 to 12.

Images are (1, channels, h, w), features (1, N, h, w) with N filters and M = h * w positions. `weight` arguments, (1, 1, h, w) in
0..1, restrict a sum to the positions that count; the paper's sums over the whole canvas are the case of weight 1.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

STYLE_LAYERS = ("conv1_2", "conv2_2", "conv3_3", "conv4_3")
CONTENT_LAYER = "conv2_2"


def positions(weight: Tensor, features: Tensor) -> Tensor:
    """A weight of each pixel, (1, 1, h, w), at the positions of a layer's features."""
    return F.adaptive_avg_pool2d(weight, (features.shape[-2], features.shape[-1]))


def laplacian(image: Tensor) -> Tensor:
    """4-neighbour Laplacian of (1, c, h, w); beyond an edge the edge's own value goes on."""
    p = F.pad(image, (1, 1, 1, 1), mode="replicate")
    return p[..., 1:-1, :-2] + p[..., 1:-1, 2:] + p[..., :-2, 1:-1] + p[..., 2:, 1:-1] - 4 * image


def gradient_loss(blend: Tensor, wanted: Tensor) -> Tensor:
    """Eq. 6: `1 / (2 H W) * sum (lap I_B - wanted)^2`, with `wanted` = lap I_S inside the mask + lap I_T outside."""
    h, w = blend.shape[-2:]
    return (laplacian(blend) - wanted).square().sum() / (2 * h * w)


def content_loss(features: Tensor, wanted: Tensor, weight: Tensor | None = None) -> Tensor:
    """Eq. 7 and 9 for one layer: `1 / (2 N M) * sum (F * weight - wanted * weight)^2`."""
    difference = features.float() - wanted
    if weight is not None:
        difference = difference * weight
    return difference.square().sum() / (2 * difference.numel())


def gram(features: Tensor, weight: Tensor | None = None) -> Tensor:
    """Gram matrix `G = F F^T`, (N, N), averaged over the positions (each counted by its weight).

    The paper writes the plain sum; the average is the same matrix up to the constant M and keeps a loss weight's meaning
    when the size of the picture changes. Features are multiplied in their own precision and summed in float32.
    """
    # Positions first: that is how channels_last features lie in memory, so nothing is copied.
    flat = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
    if weight is None:
        return _Gram.apply(flat, flat) / len(flat)
    weighted = flat.detach() * weight.reshape(-1, 1).to(flat.dtype)
    return _Gram.apply(flat, weighted) / weight.sum().clamp(min=1e-6)


class _Gram(torch.autograd.Function):
    """`F^T W F` of F and W F, both (M, N), for a diagonal W. The derivative `W F (D + D^T)` is one product where autograd takes two."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor, weighted: Tensor) -> Tensor:
        ctx.save_for_backward(weighted)
        return (weighted.T @ flat).float()

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor, None]:
        (weighted,) = ctx.saved_tensors
        return weighted @ (d + d.T).to(weighted.dtype), None


def style_loss(matrix: Tensor, wanted: Tensor) -> Tensor:
    """Eq. 8 and 10 for one layer: `1 / (2 N^2) * sum (G - wanted)^2` of two Gram matrices (N, N)."""
    n = matrix.shape[0]
    return (matrix - wanted).square().sum() / (2 * n * n)


def sorted_features(features: Tensor, count: int) -> Tensor:
    """The target's side of the histogram loss: each filter's values sorted, resampled to `count` quantiles, (N, count)."""
    values = features.flatten(2)[0].float().sort(dim=1).values
    if values.shape[1] == count:
        return values
    return F.interpolate(values[None], size=count, mode="linear", align_corners=True)[0]


def histogram_match(features: Tensor, target: Tensor) -> Tensor:
    """`R(F)` of Eq. 11: every filter's values replaced by the target's of equal rank. Features (N, M), target sorted (N, M)."""
    rank = features.argsort(dim=1)
    return torch.empty_like(target).scatter_(1, rank, target)


def histogram_loss(features: Tensor, target: Tensor) -> Tensor:
    """Eq. 11 for one layer: `||F - R(F)||_F^2` with R rebuilt from the present F and held constant. Both (N, M)."""
    with torch.no_grad():
        matched = histogram_match(features, target)
    return (features - matched).square().sum()


def total_variation(image: Tensor) -> Tensor:
    """Eq. 12: sum of absolute differences of neighbours, in both directions."""
    return (image[..., 1:, :] - image[..., :-1, :]).abs().sum() + (image[..., 1:] - image[..., :-1]).abs().sum()
