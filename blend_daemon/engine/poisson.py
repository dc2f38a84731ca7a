"""Poisson image editing (Perez, Gangnet, Blake, SIGGRAPH 2003) by conjugate gradients with a multigrid preconditioner.

For every unknown pixel p, with N(p) its neighbours that exist,

    sum_{q in N(p)} (f_p - f_q) = sum_{q in N(p)} v_pq,

where f_q is the target's value for q outside the mask and v_pq the source's difference. Edges of the canvas, and target
pixels that are transparent, simply have no neighbour (a Neumann boundary), so no dark border can creep in from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from blend_daemon.engine.pixels import Box
from blend_daemon.engine.problem import Problem

# Weights of Jacobi's steps before a coarser grid is asked (after it in reverse): together they damp what it cannot see, half of the
# spectrum, better than two steps of the one best weight 0.8 (Trottenberg, Multigrid, 2.1; Chebyshev's idea).
JACOBI = (1.4, 0.6)
FAINT = 1e-6  # screening of an island
# Of a coarser grid's edge to known pixels, which are three quarters of a cell nearer than the next cell, so that it loses less than half.
DIRICHLET = 0.6
COARSEST = 64  # unknowns at most that are solved for at once, by their inverse matrix


@dataclass(frozen=True)
class Level:
    right: Tensor  # (h, w - 1) weight of the edge between a pixel and its right neighbour
    down: Tensor  # (h - 1, w)
    dirichlet: Tensor  # (h, w) total weight of the edges to known pixels
    mass: Tensor  # (h, w) screening
    diagonal: Tensor  # (h, w)
    inverse: Tensor  # (h, w), 0 where there is no unknown
    free: Tensor  # (h, w), 1 where there is one

    @classmethod
    def of(cls, right: Tensor, down: Tensor, dirichlet: Tensor, mass: Tensor) -> Level:
        diagonal = dirichlet + mass
        diagonal[:, :-1] += right
        diagonal[:, 1:] += right
        diagonal[:-1] += down
        diagonal[1:] += down
        free = (diagonal > 0).to(diagonal)
        return cls(right, down, dirichlet, mass, diagonal, free / diagonal.clamp(min=1e-12), free)

    def apply(self, u: Tensor, out: Tensor) -> Tensor:
        """A u for u of shape (c, h, w)."""
        return self._with_neighbours(torch.mul(self.diagonal, u, out=out), u, -1)

    def left(self, u: Tensor, r: Tensor, out: Tensor) -> Tensor:
        """r - A u for u and r of shape (c, h, w)."""
        return self._with_neighbours(torch.addcmul(r, self.diagonal, u, value=-1, out=out), u, 1)

    def _with_neighbours(self, out: Tensor, u: Tensor, sign: int) -> Tensor:
        out[:, :, :-1].addcmul_(self.right, u[:, :, 1:], value=sign)
        out[:, :, 1:].addcmul_(self.right, u[:, :, :-1], value=sign)
        out[:, :-1].addcmul_(self.down, u[:, 1:], value=sign)
        out[:, 1:].addcmul_(self.down, u[:, :-1], value=sign)
        return out

    def smooth(self, u: Tensor, r: Tensor, weights: tuple[float, ...], scratch: Tensor) -> None:
        """Jacobi's steps towards A u = r, in place."""
        for weight in weights:
            u.addcmul_(self.inverse, self.left(u, r, scratch), value=weight)

    def inverted(self) -> Tensor:
        """The inverse of A on all pixels, (h w, h w); 0 where there is no unknown."""
        n = self.mass.numel()
        unit = torch.eye(n, device=self.mass.device).view(n, *self.mass.shape)
        gaps = torch.diag(1 - self.free.flatten())
        return torch.linalg.inv(self.apply(unit, torch.empty_like(unit)).view(n, n) + gaps) - gaps

    def coarser(self) -> Level:
        """The grid of 2x2 cells. Parallel conductances add and twice the length halves them; mass grows with the area."""
        h, w = self.mass.shape
        across = F.pad(self.right, (0, 1 + w % 2, 0, h % 2))
        along = F.pad(self.down, (0, w % 2, 0, 1 + h % 2))
        right = 0.5 * (across[0::2, 1::2] + across[1::2, 1::2])[:, :-1]
        down = 0.5 * (along[1::2, 0::2] + along[1::2, 1::2])[:-1]
        return Level.of(right, down, DIRICHLET * _sum_cells(self.dirichlet), _sum_cells(self.mass))


def _lonely(unknown: Tensor, dirichlet: Tensor) -> Tensor:
    """1 on the islands of `unknown` that touch no known pixel: (h, w) float."""
    islands, count = ndimage.label(unknown.cpu().numpy())
    touched = np.zeros(count + 1, bool)
    touched[islands[(dirichlet > 0).cpu().numpy()]] = True
    touched[0] = True
    return torch.zeros_like(dirichlet) if touched.all() else torch.from_numpy(~touched[islands]).to(dirichlet)


def _sum_cells(values: Tensor) -> Tensor:
    """(..., h, w) to (..., h / 2, w / 2), rounded up."""
    h, w = values.shape[-2:]
    cells = F.pad(values, (0, w % 2, 0, h % 2))
    return cells[..., 0::2, 0::2] + cells[..., 1::2, 0::2] + cells[..., 0::2, 1::2] + cells[..., 1::2, 1::2]


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
        level = self.finest(unknown, known, right, down, screening)
        self.unknown = level.free
        self.levels = [level]
        while level.mass.numel() > COARSEST:
            level = level.coarser()
            self.levels.append(level)
        self._coarsest = level.inverted()

    @staticmethod
    def finest(
        unknown: Tensor, known: Tensor, right: Tensor | None = None, down: Tensor | None = None, screening: Tensor | float = 0.0
    ) -> Level:
        """The equations themselves, for the same parameters."""
        free, fixed = unknown.float(), known.float()
        right = free.new_ones(()) if right is None else right
        down = free.new_ones(()) if down is None else down
        dirichlet = torch.zeros_like(free)
        dirichlet[:, :-1] += right * fixed[:, 1:]
        dirichlet[:, 1:] += right * fixed[:, :-1]
        dirichlet[:-1] += down * fixed[1:]
        dirichlet[1:] += down * fixed[:-1]
        dirichlet *= free
        # An island that touches no known pixel has no unique solution; a faint pull to the source chooses one. Everywhere, it would
        # be felt within objects of thousands of pixels.
        plain = not isinstance(screening, Tensor) and screening == 0
        mass = FAINT * _lonely(unknown, dirichlet) if plain else (free * screening).clamp(min=FAINT) * free
        return Level.of(right * free[:, 1:] * free[:, :-1], down * free[1:] * free[:-1], dirichlet, mass)

    def solve(self, r: Tensor, iterations: int = 6) -> Tensor:
        """u of shape (c, h, w) after `iterations` of `approach`."""
        return next(islice(self.approach(r), iterations - 1, None))[0]

    def start(self, r: Tensor) -> Tensor:
        """A first approximation for the cost of a third of an iteration, (c, h, w): the solution of each coarser grid, beginning with the
        coarsest, is where the next one's single V-cycle starts (Trottenberg, Multigrid, 2.6)."""
        right, scratch = [r * self.unknown], self._scratch(r)
        for level in self.levels[:-1]:
            # A coarser grid's edges to known pixels have less weight, and pull as far with as much less force.
            right.append(_sum_cells(right[-1] * torch.where(level.dirichlet > 0, DIRICHLET, 1.0)))
        u = self._cycle(len(self.levels) - 1, right[-1], scratch)
        for depth in range(len(self.levels) - 2, 0, -1):
            level = self.levels[depth]
            u = _prolong(u, *level.free.shape) * level.free
            u += self._cycle(depth, level.left(u, right[depth], torch.empty_like(u)), scratch)
        return _prolong(u, *self.unknown.shape) * self.unknown if len(self.levels) > 1 else u

    def _scratch(self, r: Tensor) -> list[tuple[Tensor, Tensor]]:
        # Memory that is fetched anew for every sum costs more than the sum.
        return [(r.new_empty(len(r), *level.mass.shape), r.new_empty(len(r), *level.mass.shape)) for level in self.levels]

    def approach(self, r: Tensor, start: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Flexible conjugate gradients, each with one V-cycle, without end, from a start, (c, h, w), or 0: u of shape (c, h, w), the same
        tensor each time, and the largest change of any pixel by the last iteration."""
        top = self.levels[0]
        scratch = self._scratch(r)
        r = r * self.unknown
        u, direction, pushed, product = (torch.zeros_like(r) for _ in range(4))
        if start is not None:
            u.copy_(start)
            r = top.left(u, r, torch.empty_like(r)).mul_(self.unknown)
        energy, step = torch.ones_like(r[:, :1, :1]), torch.zeros_like(r[:, :1, :1])
        while True:
            z = self._cycle(0, r, scratch)
            # Polak-Ribiere, exact also for a preconditioner that is not symmetric; step * pushed is by how much r fell.
            beta = -step * _dot(z, pushed, product) / energy
            energy = _dot(z, r, product).clamp(min=1e-20)
            top.apply(direction.mul_(beta).add_(z), pushed)
            step = energy / _dot(direction, pushed, product).clamp(min=1e-20)
            u.addcmul_(step, direction)
            r.addcmul_(step, pushed, value=-1)
            yield u, torch.mul(step, direction, out=product).abs_().max()

    def _cycle(self, depth: int, r: Tensor, scratch: list[tuple[Tensor, Tensor]]) -> Tensor:
        level = self.levels[depth]
        if depth == len(self.levels) - 1:
            return (r.reshape(len(r), -1) @ self._coarsest).view_as(r)
        u, rest = scratch[depth]
        torch.mul(level.inverse, r, out=u).mul_(JACOBI[0])
        level.smooth(u, r, JACOBI[1:], rest)
        h, w = r.shape[1:]
        correction = _prolong(self._cycle(depth + 1, _restrict(level.left(u, r, rest)), scratch), h, w)
        u.addcmul_(correction, level.free)
        level.smooth(u, r, JACOBI[::-1], rest)
        return u


def _dot(a: Tensor, b: Tensor, scratch: Tensor) -> Tensor:
    return torch.mul(a, b, out=scratch).sum(dim=(1, 2), keepdim=True)


def _restrict(r: Tensor) -> Tensor:
    """Transpose of bilinear interpolation, rows first: (c, h, w) to (c, ceil(h / 2), ceil(w / 2)). Sums are faster than a convolution."""
    h, w = r.shape[1:]
    p = F.pad(r, (1, 1 + w % 2, 1, 1 + h % 2))
    p = torch.add(p[:, :-3:2], p[:, 3::2]).mul_(1 / 3).add_(p[:, 1:-2:2]).add_(p[:, 2:-1:2])
    p = torch.add(p[:, :, :-3:2], p[:, :, 3::2]).mul_(1 / 3).add_(p[:, :, 1:-2:2]).add_(p[:, :, 2:-1:2])
    return p.mul_(9 / 16)


def _prolong(u: Tensor, h: int, w: int) -> Tensor:
    """Bilinear interpolation of cell centres: (c, h / 2, w / 2) to (c, h, w)."""
    c, rows, columns = u.shape
    p = F.pad(u[None], (1, 1, 1, 1), mode="replicate")[0]
    tall = u.new_empty(c, rows, 2, columns + 2)
    torch.lerp(p[:, 1:-1], p[:, :-2], 0.25, out=tall[:, :, 0])
    torch.lerp(p[:, 1:-1], p[:, 2:], 0.25, out=tall[:, :, 1])
    p = tall.view(c, 2 * rows, columns + 2)
    wide = u.new_empty(c, 2 * rows, columns, 2)
    torch.lerp(p[:, :, 1:-1], p[:, :, :-2], 0.25, out=wide[..., 0])
    torch.lerp(p[:, :, 1:-1], p[:, :, 2:], 0.25, out=wide[..., 1])
    return wide.view(c, 2 * rows, 2 * columns)[:, :h, :w]


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
