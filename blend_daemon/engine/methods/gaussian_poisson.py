"""The Gaussian-Poisson equation (Wu, Zheng, Zhang, Huang, "GP-GAN", ACM MM 2019, Eq. 6 to 9): gradients of the object, colours of
another blend at low resolution.

Over the mask's pixels, with the target fixed around them, the blend f minimises

    |lap f - div v|^2 + beta |g * f - g * x|^2,

v the gradients of the Poisson blend, g a Gaussian, x the constraint. GP-GAN takes x from a network and solves on the whole canvas by
Fourier transforms, which changes the background; here x comes from any method, and conjugate gradients solve inside the mask.
As there, the equation is solved coarse to fine, x being the coarser grid's solution. All is done for u = f - f_Poisson:

    (A^2 + beta M g g M) u = beta M g g M (x - f_Poisson).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from blend_daemon.engine.poisson.multigrid import Level, PoissonSolver
from blend_daemon.engine.raster.problem import Problem
from blend_daemon.engine.raster.surroundings import Surroundings

BETA = 1.0  # as published
LOWEST = 64  # px, side of the grid on which the constraint is made, as in GP-GAN
RESIDUAL = 1e-2  # relative, at which a grid's solution is good enough
MOST = 60  # iterations on one grid; unpreconditioned, the condition number is below 100


def at_low_resolution(around: Surroundings) -> tuple[Problem, tuple[int, int]]:
    """The problem on a window of at most `LOWEST` px a side, and the window's size there, (h, w)."""
    size = sizes(around.mask.shape[0], around.mask.shape[1])[0]
    opacity = around.visible.float()
    shrink = lambda image: F.interpolate(image[None], size, mode="area")[0]
    colours = shrink(around.target * opacity) / shrink(opacity[None]).clamp(min=1e-6)
    source = shrink(torch.where(around.sourced, around.source, around.target))
    mask, alpha = shrink(around.mask[None]), shrink(opacity[None])
    raster = lambda *parts: np.ascontiguousarray(torch.cat(parts).permute(1, 2, 0).cpu().numpy())
    return Problem.from_arrays(raster(source), raster(colours, alpha), raster(mask)), size


def sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Grids from the coarsest, of at most `LOWEST` px a side, to (height, width)."""
    found = [(height, width)]
    while max(found[0]) > LOWEST:
        found.insert(0, (-(-found[0][0] // 2), -(-found[0][1] // 2)))
    return found


def correction(around: Surroundings, wanted: Tensor) -> Tensor:
    """u over the window for a coarsest difference `wanted` = x - f_Poisson, both (c, h, w)."""
    u = wanted
    unknown, known = (x.float()[None, None] for x in (around.unknown, around.known))
    for size in sizes(around.mask.shape[0], around.mask.shape[1]):
        inside = F.interpolate(unknown, size, mode="area")[0, 0] > 0.5
        level = PoissonSolver.finest(inside, ~inside & (F.interpolate(known, size, mode="area")[0, 0] > 0))
        u = solve(level, F.interpolate(u[None], size, mode="bilinear", align_corners=False)[0] * level.free)
    return u


def solve(level: Level, x: Tensor) -> Tensor:
    """The u of one grid for the constraint x - f_Poisson, (c, h, w)."""
    scratch = torch.empty_like(x)

    def apply(u: Tensor) -> Tensor:
        twice = level.apply(level.apply(u, scratch) * level.free, torch.empty_like(u))
        return (twice + BETA * _blurred(_blurred(u))) * level.free

    b = BETA * _blurred(_blurred(x)) * level.free
    u = x.clone()
    r = b - apply(u)
    direction, energy = r.clone(), r.square().sum(dim=(1, 2), keepdim=True)
    enough = RESIDUAL**2 * b.square().sum(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    for _ in range(MOST):
        if bool((energy <= enough).all()):
            break
        pushed = apply(direction)
        step = energy / (direction * pushed).sum(dim=(1, 2), keepdim=True).clamp(min=1e-20)
        u.addcmul_(step, direction)
        r.addcmul_(step, pushed, value=-1)
        new = r.square().sum(dim=(1, 2), keepdim=True)
        direction.mul_(new / energy.clamp(min=1e-20)).add_(r)
        energy = new
    return u


def _blurred(u: Tensor) -> Tensor:
    """(c, h, w) with the binomial filter 1 4 6 4 1, a Gaussian of 1 px; 0 goes on beyond the edges."""
    u = F.pad(u, (2, 2, 2, 2))
    for _ in range(4):
        u = u[:, 1:] + u[:, :-1]
        u = u[:, :, 1:] + u[:, :, :-1]
    return u / 256
