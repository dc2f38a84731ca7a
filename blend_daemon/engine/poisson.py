"""Poisson image editing (Perez, Gangnet, Blake, SIGGRAPH 2003) by conjugate gradients with a multigrid preconditioner.

For every unknown pixel p, with N(p) its neighbours that exist,

    sum_{q in N(p)} (f_p - f_q) = sum_{q in N(p)} v_pq,

where f_q is the target's value for q outside the mask and v_pq the source's difference. Edges of the canvas, and target
pixels that are transparent, simply have no neighbour (a Neumann boundary), so no dark border can creep in from there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from blend_daemon.engine.pixels import Box
from blend_daemon.engine.problem import Problem

# Weights of Jacobi's steps before a coarser grid is asked (after it in reverse): together they damp what it cannot see, half of the
# spectrum, better than two steps of the one best weight 0.8 (Trottenberg, Multigrid, 2.1; Chebyshev's idea).
JACOBI = (1.4, 0.6)
COARSEST = 4


@dataclass(frozen=True)
class _Level:
    right: Tensor  # (h, w - 1) weight of the edge between a pixel and its right neighbour
    down: Tensor  # (h - 1, w)
    dirichlet: Tensor  # (h, w) total weight of the edges to known pixels
    mass: Tensor  # (h, w) screening
    diagonal: Tensor  # (h, w)
    inverse: Tensor  # (h, w), 0 where there is no unknown
    free: Tensor  # (h, w), 1 where there is one

    @classmethod
    def of(cls, right: Tensor, down: Tensor, dirichlet: Tensor, mass: Tensor) -> _Level:
        diagonal = dirichlet + mass
        diagonal[:, :-1] += right
        diagonal[:, 1:] += right
        diagonal[:-1] += down
        diagonal[1:] += down
        free = (diagonal > 0).to(diagonal)
        return cls(right, down, dirichlet, mass, diagonal, free / diagonal.clamp(min=1e-12), free)

    def apply(self, u: Tensor) -> Tensor:
        """A u for u of shape (c, h, w)."""
        return self._with_neighbours(self.diagonal * u, u, -1)

    def left(self, u: Tensor, r: Tensor) -> Tensor:
        """r - A u for u and r of shape (c, h, w)."""
        return self._with_neighbours(torch.addcmul(r, self.diagonal, u, value=-1), u, 1)

    def _with_neighbours(self, out: Tensor, u: Tensor, sign: int) -> Tensor:
        out[:, :, :-1].addcmul_(self.right, u[:, :, 1:], value=sign)
        out[:, :, 1:].addcmul_(self.right, u[:, :, :-1], value=sign)
        out[:, :-1].addcmul_(self.down, u[:, 1:], value=sign)
        out[:, 1:].addcmul_(self.down, u[:, :-1], value=sign)
        return out

    def coarser(self) -> _Level:
        """The grid of 2x2 cells. Parallel conductances add and twice the length halves them; mass grows with the area."""
        h, w = self.mass.shape
        across = F.pad(self.right, (0, 1 + w % 2, 0, h % 2))
        along = F.pad(self.down, (0, w % 2, 0, 1 + h % 2))
        right = 0.5 * (across[0::2, 1::2] + across[1::2, 1::2])[:, :-1]
        down = 0.5 * (along[1::2, 0::2] + along[1::2, 1::2])[:-1]
        # A known pixel is three quarters of a cell nearer than the next cell, so its edge loses less than half.
        return _Level.of(right, down, 0.6 * _sum_cells(self.dirichlet), _sum_cells(self.mass))


def _sum_cells(values: Tensor) -> Tensor:
    h, w = values.shape
    cells = F.pad(values, (0, w % 2, 0, h % 2))
    return cells[0::2, 0::2] + cells[1::2, 0::2] + cells[0::2, 1::2] + cells[1::2, 1::2]


class PoissonSolver:
    """Minimises `sum_pq w_pq (u_p - u_q)^2 + screening sum_p u_p^2`, that is, solves A u = r, for one mask.

    The hierarchy of grids is built once and serves every right-hand side.

    Parameters
    ----------
    unknown : (h, w) bool, the pixels to solve for
    known : (h, w) bool, pixels with a fixed value (disjoint from `unknown`); all others do not exist
    right, down : (h, w - 1) and (h - 1, w) weights w_pq of the edges between neighbours; None: 1
    screening : 1 / width^2 for a correction that fades within `width` px of the known pixels, one number or (h, w); 0: Poisson's
        equation
    """

    def __init__(
        self, unknown: Tensor, known: Tensor, right: Tensor | None = None, down: Tensor | None = None, screening: Tensor | float = 0.0
    ) -> None:
        free, fixed = unknown.float(), known.float()
        right = free.new_ones(()) if right is None else right
        down = free.new_ones(()) if down is None else down
        dirichlet = torch.zeros_like(free)
        dirichlet[:, :-1] += right * fixed[:, 1:]
        dirichlet[:, 1:] += right * fixed[:, :-1]
        dirichlet[:-1] += down * fixed[1:]
        dirichlet[1:] += down * fixed[:-1]
        dirichlet *= free
        # An island that touches no known pixel has no unique solution; a faint pull to the source chooses one.
        mass = (free * screening).clamp(min=1e-6) * free
        level = _Level.of(right * free[:, 1:] * free[:, :-1], down * free[1:] * free[:-1], dirichlet, mass)
        self.unknown = free
        self.levels = [level]
        while min(level.mass.shape) > COARSEST:
            level = level.coarser()
            self.levels.append(level)

    def solve(self, r: Tensor, iterations: int = 6) -> Tensor:
        """u of shape (c, h, w) after `iterations` of flexible conjugate gradients, each with one V-cycle."""
        top = self.levels[0]
        u = torch.zeros_like(r)
        r = r * self.unknown
        direction = torch.zeros_like(r)
        previous = torch.zeros_like(r)
        energy = torch.ones_like(r[:, :1, :1])
        for _ in range(iterations):
            z = self._cycle(0, r)
            beta = _dot(z, r - previous) / energy  # Polak-Ribiere form: exact also for a preconditioner that is not symmetric
            direction = torch.addcmul(z, beta, direction)
            energy = _dot(z, r).clamp(min=1e-20)
            pushed = top.apply(direction)
            step = _dot(direction, r) / _dot(direction, pushed).clamp(min=1e-20)
            u = torch.addcmul(u, step, direction)
            previous, r = r, torch.addcmul(r, step, pushed, value=-1)
        return u

    def _cycle(self, depth: int, r: Tensor) -> Tensor:
        level = self.levels[depth]
        u = JACOBI[0] * level.inverse * r
        if depth == len(self.levels) - 1:
            return _smooth(level, u, r, JACOBI[::-1] * 4)
        u = _smooth(level, u, r, JACOBI[1:])
        h, w = r.shape[1:]
        correction = _prolong(self._cycle(depth + 1, _restrict(level.left(u, r))), h, w)
        return _smooth(level, torch.addcmul(u, correction, level.free), r, JACOBI[::-1])


def _smooth(level: _Level, u: Tensor, r: Tensor, weights: tuple[float, ...]) -> Tensor:
    for weight in weights:
        u = torch.addcmul(u, level.inverse, level.left(u, r), value=weight)
    return u


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=(1, 2), keepdim=True)


_BILINEAR = torch.tensor([0.25, 0.75, 0.75, 0.25])


def _restrict(r: Tensor) -> Tensor:
    """Transpose of bilinear interpolation: (c, h, w) to (c, ceil(h / 2), ceil(w / 2))."""
    h, w = r.shape[1:]
    kernel = _BILINEAR.to(r)
    weight = (kernel[:, None] * kernel[None, :])[None, None]
    return F.conv2d(F.pad(r, (1, 1 + w % 2, 1, 1 + h % 2))[:, None], weight, stride=2)[:, 0]


def _prolong(u: Tensor, h: int, w: int) -> Tensor:
    """Bilinear interpolation of cell centres: (c, h / 2, w / 2) to (c, h, w)."""
    return F.interpolate(u[None], scale_factor=2, mode="bilinear", align_corners=False)[0, :, :h, :w]


@dataclass(frozen=True)
class Surroundings:
    """A window of the canvas as tensors on one device.

    Attributes
    ----------
    target, source : (channels, h, w) float32; the source is 0 where it does not exist
    mask : (h, w) float32 in 0..1
    unknown, known : (h, w) bool: the mask's support, and the visible target outside it
    sourced : (h, w) bool, where the source exists
    """

    target: Tensor
    source: Tensor
    mask: Tensor
    unknown: Tensor
    known: Tensor
    sourced: Tensor

    @classmethod
    def of(cls, problem: Problem, window: Box, device: torch.device | str = "cpu") -> Surroundings:
        """Cut `window`, (x, y, width, height), which should reach at least 1 px beyond the box, out of the problem."""
        target, exists = problem.target_on(window)
        source, sourced = problem.source_on(window)
        mask = torch.from_numpy(problem.mask_on(window)).to(device)
        unknown = mask > 0
        return cls(
            torch.from_numpy(np.ascontiguousarray(target.transpose(2, 0, 1))).to(device),
            torch.from_numpy(np.ascontiguousarray(source.transpose(2, 0, 1))).to(device),
            mask,
            unknown,
            torch.from_numpy(exists).to(device) & ~unknown,
            torch.from_numpy(sourced).to(device),
        )


def poisson_blend(around: Surroundings, iterations: int = 6) -> Tensor:
    """The Poisson solution where the mask is above 0, the target elsewhere: (channels, h, w). May leave 0..1 slightly."""
    solver = PoissonSolver(around.unknown, around.known)
    u = solver.solve(residual(around, around.source), iterations)
    return torch.where(around.unknown, around.source + u, around.target)


def residual(around: Surroundings, guide: Tensor, right: Tensor | None = None, down: Tensor | None = None) -> Tensor:
    """Right-hand side r for the correction u = f - guide, whose gradients f is to keep: (channels, h, w).

    Where the source exists on both ends of an edge, only known neighbours contribute, `w_pq (target_q - guide_q)`. Where the
    source ends at an edge the wanted difference is 0, so that f goes on level there.
    """
    exists = around.known | around.unknown
    beyond = torch.where(around.known, around.target - guide, 0)
    out = torch.zeros_like(guide)
    for axis, weight in ((2, right), (1, down)):
        n = guide.shape[axis] - 1
        near = lambda x, axis=axis, n=n: x.narrow(axis - 3, 0, n)
        far = lambda x, axis=axis, n=n: x.narrow(axis - 3, 1, n)
        source_ends = ~(near(around.sourced) & far(around.sourced)) & near(exists) & far(exists)
        step = torch.where(source_ends, far(guide) - near(guide), 0)
        pull, push = far(beyond) + step, near(beyond) - step
        near(out).add_(pull if weight is None else pull * weight)
        far(out).add_(push if weight is None else push * weight)
    return out * around.unknown
