"""Filters of pictures (channels, h, w)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur; the edges' own values go on beyond them."""
    radius = int(3 * sigma + 0.5)
    x = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (x / sigma).square())
    kernel = kernel / kernel.sum()
    padded = F.pad(image[:, None], (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))[:, 0]


def guided(image: Tensor, guide: Tensor, radius: int, eps: float) -> Tensor:
    """Guided filter (He, Sun, Tang, ECCV 2010) of (1, h, w) by a guide (3, h, w): locally affine in the guide's colours, (1, h, w)."""
    mean = lambda x: F.avg_pool2d(F.pad(x[None], (radius,) * 4, mode="replicate"), 2 * radius + 1, 1)[0]
    of_guide, of_image = mean(guide), mean(image)
    products = torch.stack([mean(guide * guide[k]) - of_guide * of_guide[k] for k in range(3)])  # (3, 3, h, w)
    products = products.permute(2, 3, 0, 1) + eps * torch.eye(3, device=guide.device)
    covariance = (mean(guide * image) - of_guide * of_image).permute(1, 2, 0)
    slope = torch.linalg.solve(products, covariance[..., None])[..., 0].permute(2, 0, 1)
    offset = of_image - (slope * of_guide).sum(dim=0, keepdim=True)
    return (mean(slope) * guide).sum(dim=0, keepdim=True) + mean(offset)


def guided_by_luma(image: Tensor, luma: Tensor, radius: int, eps: float) -> Tensor:
    """The same of (c, h, w) by a guide (1, h, w)."""
    mean = lambda x: F.avg_pool2d(F.pad(x[None], (radius,) * 4, mode="replicate"), 2 * radius + 1, 1)[0]
    of_luma, of_image = mean(luma), mean(image)
    slope = (mean(luma * image) - of_luma * of_image) / (mean(luma * luma) - of_luma * of_luma + eps)
    return mean(slope) * luma + mean(of_image - slope * of_luma)
