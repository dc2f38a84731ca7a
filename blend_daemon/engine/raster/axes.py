"""Luma and two axes of chroma of R'G'B' colours."""

from __future__ import annotations

import torch
from torch import Tensor

# Rows: luma (Rec. 601), red against green, yellow against blue; an invertible matrix.
OPPONENT = torch.tensor([[0.299, 0.587, 0.114], [0.5, -0.5, 0.0], [0.25, 0.25, -0.5]])


def to_axes(image: Tensor) -> Tensor:
    """(..., 3, h, w) colours as luma and chroma; (..., 1, h, w) is luma already."""
    return torch.einsum("ij,...jhw->...ihw", OPPONENT.to(image), image) if image.shape[-3] == 3 else image


def from_axes(axes: Tensor) -> Tensor:
    """The inverse of `to_axes`."""
    return torch.einsum("ij,...jhw->...ihw", torch.linalg.inv(OPPONENT).to(axes), axes) if axes.shape[-3] == 3 else axes
