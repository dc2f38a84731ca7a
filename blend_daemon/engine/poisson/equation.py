"""Poisson image editing (Perez, Gangnet, Blake, SIGGRAPH 2003) as one equation for the correction of the source.

For every unknown pixel p, with N(p) its neighbours that exist,

    sum_{q in N(p)} (f_p - f_q) = sum_{q in N(p)} v_pq,

where f_q is the target's value for q outside the mask and v_pq the source's difference. Edges of the canvas, and target
pixels that are transparent, simply have no neighbour (a Neumann boundary), so no dark border can creep in from there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from blend_daemon.engine.poisson.multigrid import PoissonSolver
from blend_daemon.engine.raster.surroundings import Surroundings


def poisson_blend(around: Surroundings, iterations: int = 6) -> Tensor:
    """The Poisson solution where the mask is above 0, the target elsewhere: (channels, h, w). May leave 0..1 slightly."""
    return corrected(around, PoissonSolver(around.unknown, around.known).solve(residual(around, around.source), iterations))


def corrected(around: Surroundings, u: Tensor) -> Tensor:
    """The source and a correction where the mask is above 0, the target elsewhere: (channels, h, w)."""
    return torch.where(around.unknown, around.source + u, around.target)


def residual(around: Surroundings, guide: Tensor, right: Tensor | None = None, down: Tensor | None = None, mixed: bool = False) -> Tensor:
    """Right-hand side r for the correction u = f - guide, whose gradients f is to keep: (channels, h, w).

    Where the source exists on both ends of an edge, only known neighbours contribute, `w_pq (target_q - guide_q)`. Where the
    source ends at an edge the wanted difference is 0, so that f goes on level there. With `mixed`, an edge wants the larger of
    the guide's and the target's difference, channel by channel (Perez 2003, Eq. 12).
    """
    exists = around.known | around.unknown
    gap = (around.target - guide).mul_(around.known)
    plain = not mixed and bool(around.sourced.all())
    out = torch.zeros_like(guide)
    for axis, weight in ((2, right), (1, down)):
        n = guide.shape[axis] - 1
        near = lambda x, axis=axis, n=n: x.narrow(axis - 3, 0, n)
        far = lambda x, axis=axis, n=n: x.narrow(axis - 3, 1, n)
        both = lambda x, near=near, far=far: near(x) & far(x)
        step = near(gap) - far(gap)
        if not plain:
            own = far(guide) - near(guide)
            wanted = own * both(around.sourced)
            if mixed:
                of_target = (far(around.target) - near(around.target)) * both(around.visible)
                wanted = torch.where(of_target.abs() > wanted.abs(), of_target, wanted)
            step += (wanted - own) * both(exists)
        if weight is not None:
            step *= weight
        near(out).sub_(step)
        far(out).add_(step)
    return out.mul_(around.unknown)
