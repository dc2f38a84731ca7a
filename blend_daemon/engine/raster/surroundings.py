"""A window of the canvas as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from blend_daemon.engine.raster.pixels import Box
from blend_daemon.engine.raster.problem import Problem


@dataclass(frozen=True)
class Surroundings:
    """A window of the canvas as tensors on one device.

    Attributes
    ----------
    target, source : (channels, h, w) float32; the source is 0 where it does not exist
    mask : (h, w) float32 in 0..1
    unknown, known : (h, w) bool: the mask's support, and the visible target outside it
    sourced, visible : (h, w) bool, where the source exists, and where the target is not transparent
    """

    target: Tensor
    source: Tensor
    mask: Tensor
    unknown: Tensor
    known: Tensor
    sourced: Tensor
    visible: Tensor

    @classmethod
    def of(cls, problem: Problem, window: Box, device: torch.device | str = "cpu") -> Surroundings:
        """Cut `window`, (x, y, width, height), which should reach at least 1 px beyond the box, out of the problem."""
        target, exists = problem.target_on(window)
        source, sourced = problem.source_on(window)
        mask = torch.from_numpy(problem.mask_on(window)).to(device)
        unknown, visible = mask > 0, torch.from_numpy(exists).to(device)
        return cls(
            torch.from_numpy(np.ascontiguousarray(target.transpose(2, 0, 1))).to(device),
            torch.from_numpy(np.ascontiguousarray(source.transpose(2, 0, 1))).to(device),
            mask,
            unknown,
            visible & ~unknown,
            torch.from_numpy(sourced).to(device),
            visible,
        )
