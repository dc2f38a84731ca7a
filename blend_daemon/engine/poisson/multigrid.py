"""Poisson's equation on a mask by conjugate gradients with a multigrid preconditioner.

For every unknown pixel p, with N(p) its neighbours that exist, sum over q in N(p) of w_pq (u_p - u_q) = r_p, where u_q is 0 for a known
pixel q. Edges of the canvas, and pixels that do not exist, simply have no neighbour (a Neumann boundary).
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

# Weights of Jacobi's steps before a coarser grid is asked (after it in reverse): together they damp what it cannot see, half of the
# spectrum, better than two steps of the one best weight 0.8 (Trottenberg, Multigrid, 2.1; Chebyshev's idea).
JACOBI = (1.4, 0.6)
FAINT = 1e-6  # screening of an island
# Of a coarser grid's edge to known pixels, which are three quarters of a cell nearer than the next cell, so that it loses less than half.
DIRICHLET = 0.6
# A coarser grid knows the mask's edge badly: on the RIMS finest grids, pixels within RIM px of a known one take more steps, of
# Gauss-Seidel, before and after it is asked (Trottenberg, Multigrid, 5.1 ff.).
RIM, RELAXATIONS, RIMS = 3, 3, 3
COARSEST = 64  # unknowns at most that are solved for at once, by their inverse matrix


@dataclass(frozen=True)
class Level:
    right: Tensor  # (h, w) weight of the edge between a pixel and its right neighbour, 0 in the last column
    down: Tensor  # (h, w), 0 in the last row
    dirichlet: Tensor  # (h, w) total weight of the edges to known pixels
    mass: Tensor  # (h, w) screening
    diagonal: Tensor  # (h, w)
    inverse: Tensor  # (h, w), 0 where there is no unknown
    free: Tensor  # (h, w), 1 where there is one

    @classmethod
    def of(cls, right: Tensor, down: Tensor, dirichlet: Tensor, mass: Tensor) -> Level:
        diagonal = (dirichlet + mass).add_(right).add_(down)
        diagonal[:, 1:] += right[:, :-1]
        diagonal[1:] += down[:-1]
        free = (diagonal > 0).to(diagonal)
        return cls(right, down, dirichlet, mass, diagonal, free / diagonal.clamp(min=1e-12), free)

    def apply(self, u: Tensor, out: Tensor) -> Tensor:
        """A u for u of shape (c, h, w)."""
        return self._with_neighbours(torch.mul(self.diagonal, u, out=out), u, -1)

    def left(self, u: Tensor, r: Tensor, out: Tensor) -> Tensor:
        """r - A u for u and r of shape (c, h, w)."""
        return self._with_neighbours(torch.addcmul(r, self.diagonal, u, value=-1, out=out), u, 1)

    def _with_neighbours(self, out: Tensor, u: Tensor, sign: int) -> Tensor:
        # Rows on end: where one breaks, the weight is 0.
        u, flat, width = u.view(len(u), -1), out.view(len(out), -1), out.shape[2]
        for weight, step in ((self.right.view(-1)[:-1], 1), (self.down.view(-1)[:-width], width)):
            flat[:, :-step].addcmul_(weight, u[:, step:], value=sign)
            flat[:, step:].addcmul_(weight, u[:, :-step], value=sign)
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
        right, down = _even(self.right), _even(self.down)
        right = 0.5 * (right[0::2, 1::2] + right[1::2, 1::2])
        down = 0.5 * (down[1::2, 0::2] + down[1::2, 1::2])
        return Level.of(right, down, DIRICHLET * _sum_cells(self.dirichlet), _sum_cells(self.mass))


class Rim:
    """A grid's unknown pixels within `RIM` px of known ones, in the two colours of a chessboard."""

    def __init__(self, level: Level) -> None:
        w = level.free.shape[1]
        near = (level.dirichlet > 0).float()
        for axis in (0, 1):
            here, n = near.clone(), near.shape[axis]
            for step in range(1, min(RIM, n)):
                near.narrow(axis, step, n - step).add_(here.narrow(axis, 0, n - step))
                near.narrow(axis, 0, n - step).add_(here.narrow(axis, step, n - step))
        index = near.mul_(level.free).flatten().nonzero().flatten()
        dark = (index // w + index % w) % 2 > 0
        self.colours = [self._colour(level, index[~dark]), self._colour(level, index[dark])]

    @staticmethod
    def _colour(level: Level, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Indices (n), inverse of the diagonal (n), the four neighbours' indices (4 n) and weights in the pixel's value (4, n)."""
        h, w = level.free.shape
        inverse = level.inverse.take(pixels)
        left, above = pixels - 1, pixels - w  # -1: the last one of all, whose weights are 0
        weights = torch.stack([level.right.take(pixels), level.right.take(left), level.down.take(pixels), level.down.take(above)])
        return pixels, inverse, torch.cat([pixels + 1, left, pixels + w, above]) % (h * w), weights.mul_(inverse)

    def relax(self, u: Tensor, r: Tensor) -> None:
        """Red-black Gauss-Seidel's steps towards A u = r, in place."""
        u, r = u.view(len(u), -1), r.view(len(r), -1)
        steps = [(pixels, r.index_select(1, pixels).mul_(inverse), *rest) for pixels, inverse, *rest in self.colours]
        for pixels, own, neighbours, weights in steps * RELAXATIONS:
            pull = u.index_select(1, neighbours).view(len(u), *weights.shape).mul_(weights)
            u.index_copy_(1, pixels, pull.sum(1).add_(own))


def _lonely(unknown: Tensor, known: Tensor, dirichlet: Tensor) -> Tensor:
    """1 on the islands of `unknown` that touch no known pixel: (h, w) float."""
    lonely = torch.zeros_like(dirichlet)
    cut = unknown.clone()
    cut[1:-1, 1:-1] = False
    if bool((unknown | known).all()) and not bool(cut.any()):
        return lonely  # all around is known
    islands, count = ndimage.label(unknown.cpu().numpy())
    touched = np.zeros(count + 1, bool)
    touched[islands[(dirichlet > 0).cpu().numpy()]] = True
    touched[0] = True
    return lonely if touched.all() else torch.from_numpy(~touched[islands]).to(dirichlet)


def _even(values: Tensor) -> Tensor:
    """(..., h, w) with a row and a column of 0 more where these are odd."""
    h, w = values.shape[-2:]
    return F.pad(values, (0, w % 2, 0, h % 2)) if h % 2 or w % 2 else values


def _sum_cells(values: Tensor) -> Tensor:
    """(..., h, w) to (..., h / 2, w / 2), rounded up."""
    cells = _even(values)
    return (cells[..., 0::2, 0::2] + cells[..., 1::2, 0::2]).add_(cells[..., 0::2, 1::2]).add_(cells[..., 1::2, 1::2])


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
        self._rims = [Rim(level) for level in self.levels[:RIMS]]

    @staticmethod
    def finest(
        unknown: Tensor, known: Tensor, right: Tensor | None = None, down: Tensor | None = None, screening: Tensor | float = 0.0
    ) -> Level:
        """The equations themselves, for the same parameters."""
        free, fixed = unknown.float(), known.float()
        across, along, dirichlet = (torch.zeros_like(free) for _ in range(3))
        for axis, edges, weight in ((1, across, right), (0, along, down)):
            n = free.shape[axis] - 1
            near = lambda x, axis=axis, n=n: x.narrow(axis, 0, n)
            far = lambda x, axis=axis, n=n: x.narrow(axis, 1, n)
            near(edges).add_(1.0 if weight is None else weight)
            near(dirichlet).add_(near(edges) * far(fixed))
            far(dirichlet).add_(near(edges) * near(fixed))
            near(edges).mul_(near(free)).mul_(far(free))
        dirichlet *= free
        # An island that touches no known pixel has no unique solution; a faint pull to the source chooses one. Everywhere, it would
        # be felt within objects of thousands of pixels.
        plain = not isinstance(screening, Tensor) and screening == 0
        mass = FAINT * _lonely(unknown, known, dirichlet) if plain else (free * screening).clamp(min=FAINT) * free
        return Level.of(across, along, dirichlet, mass)

    def solve(self, r: Tensor, iterations: int = 6) -> Tensor:
        """u of shape (c, h, w) after `iterations` of `approach`."""
        return next(islice(self.approach(r), iterations - 1, None))[0]

    def approach(self, r: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Flexible conjugate gradients, each with one V-cycle, without end, from the coarser grids' solution: u of shape (c, h, w), the
        same tensor each time, and the largest change of any pixel by the last iteration."""
        # Memory that is fetched anew for every sum costs more than the sum.
        scratch = [(r.new_empty(len(r), *level.mass.shape), r.new_empty(len(r), *level.mass.shape)) for level in self.levels]
        top, r = self.levels[0], (r * self.unknown).contiguous()
        u = self._start(r, scratch)
        r = top.left(u, r, torch.empty_like(r)).mul_(self.unknown)
        direction, pushed, product = (torch.zeros_like(r) for _ in range(3))
        energy, step = torch.ones_like(r[:, :1, :1]), torch.zeros_like(r[:, :1, :1])
        while True:
            z = self._cycle(0, r, scratch)
            # Polak-Ribiere, exact also for a preconditioner that is not symmetric; step * pushed is by how much r fell.
            beta = -step * _dot(z, pushed, product) / energy
            energy = _dot(z, r, product).clamp(min=1e-20)
            top.apply(direction.mul_(beta).add_(z), pushed)
            step = energy / _dot(direction, pushed, product).clamp(min=1e-20)
            torch.mul(step, direction, out=product)
            yield u.add_(product), torch.stack(torch.aminmax(product)).abs().max()
            r.addcmul_(step, pushed, value=-1)

    def _start(self, r: Tensor, scratch: list[tuple[Tensor, Tensor]]) -> Tensor:
        """A first approximation for the cost of a third of an iteration, (c, h, w): the solution of each coarser grid, beginning with the
        coarsest, is where the next one's single V-cycle starts (Trottenberg, Multigrid, 2.6)."""
        right = [r]
        for level in self.levels[:-1]:
            # A coarser grid's edges to known pixels have less weight, and pull as far with as much less force.
            right.append(_sum_cells(right[-1] * torch.where(level.dirichlet > 0, DIRICHLET, 1.0)))
        u = self._cycle(len(self.levels) - 1, right[-1], scratch)
        for depth in range(len(self.levels) - 2, -1, -1):
            level = self.levels[depth]
            u = _prolong(u, *level.free.shape) * level.free
            if depth:
                u += self._cycle(depth, level.left(u, right[depth], torch.empty_like(u)), scratch)
        # On the finest grid there is no cycle yet, and its edge is where the error is.
        self._relax(0, u, r)
        self._relax(0, u, r)
        return u

    def _cycle(self, depth: int, r: Tensor, scratch: list[tuple[Tensor, Tensor]]) -> Tensor:
        level = self.levels[depth]
        if depth == len(self.levels) - 1:
            return (r.reshape(len(r), -1) @ self._coarsest).view_as(r)
        u, rest = scratch[depth]
        torch.mul(level.inverse, r, out=u).mul_(JACOBI[0])
        level.smooth(u, r, JACOBI[1:], rest)
        self._relax(depth, u, r)
        correction = _prolong(self._cycle(depth + 1, _sum_cells(level.left(u, r, rest)), scratch), *r.shape[1:])
        u.addcmul_(correction, level.free)
        level.smooth(u, r, JACOBI[::-1], rest)
        self._relax(depth, u, r)
        return u

    def _relax(self, depth: int, u: Tensor, r: Tensor) -> None:
        if depth < len(self._rims):
            self._rims[depth].relax(u, r)


def _dot(a: Tensor, b: Tensor, scratch: Tensor) -> Tensor:
    return torch.mul(a, b, out=scratch).sum(dim=(1, 2), keepdim=True)


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
