"""A quick first approximation of the membrane that imported gradients leave: Poisson's equation whose right-hand side is 0 but beside
known pixels.

Such a u is harmonic inside: at depth d it bends by no more than about half its amplitude over d^2. So only a band along the edge needs
the finest grid; further in, interpolation from a grid twice as coarse is as good, and so on inwards (Brandt, "Multi-level adaptive
solutions to boundary-value problems", 1977, 3; Agarwala, "Efficient gradient-domain compositing using quadtrees", 2007). Bands are
lists of cells, so that the work grows with the edge's length.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from blend_daemon.engine.poisson import DIRICHLET, Level, PoissonSolver, prolong

TILE = 16  # cells that a band reaches inwards at least
SMALL = 64**2  # cells of a grid that is one band
# Weights of Jacobi's steps, 1 / the roots of Chebyshev's polynomial of degree 4 over 0.3 to 2, where the eigenvalues lie that a coarser
# grid cannot see or, beside an irregular edge, sees wrongly.
CHEBYSHEV = (2.74, 1.21, 0.678, 0.517)
BILINEAR = torch.tensor([9.0, 3.0, 3.0, 1.0]) / 16


@dataclass(frozen=True)
class Band:
    """Cells of one grid, a row of a table each: n are solved for, then m - n interpolated; row m, which is 0, stands for all others.

    Attributes
    ----------
    y, x : (m,) places in the grid
    rows : (h + 2, w + 2) row of each of the grid's cells, and of a margin
    beside : (n, 4) rows of the neighbours
    weights : (n, 4) of the edges to them, over the diagonal
    diagonal, inverse : (n, 1)
    """

    y: Tensor
    x: Tensor
    rows: Tensor
    beside: Tensor
    weights: Tensor
    diagonal: Tensor
    inverse: Tensor

    @classmethod
    def of(cls, level: Level, needed: Tensor) -> Band:
        """The band along the edge of a grid's unknowns. What it needs further in, and `needed`, (h, w) bool, is interpolated."""
        h, w = level.free.shape
        free = level.free > 0
        solved = free
        if free.numel() > SMALL:
            edge = F.max_pool2d(1 - level.free[None], TILE, ceil_mode=True)
            near = F.max_pool2d(edge, 3, 1, 1)[0] > 0
            solved = free & near.repeat_interleave(TILE, 0)[:h].repeat_interleave(TILE, 1)[:, :w]
        for axis, size in ((0, h - 1), (1, w - 1)):
            needed.narrow(axis, 1, size).logical_or_(solved.narrow(axis, 0, size))
            needed.narrow(axis, 0, size).logical_or_(solved.narrow(axis, 1, size))
        own, other = solved.nonzero(), (needed & free & ~solved).nonzero()
        y, x = torch.cat((own, other)).T.contiguous()
        rows = torch.full((h + 2, w + 2), len(y), dtype=torch.int32)
        rows[y + 1, x + 1] = torch.arange(len(y), dtype=torch.int32)
        n = len(own)
        at = (y[:n], x[:n])
        inverse = level.inverse[at][:, None]
        sides = ((level.right, (0, 1)), (level.right, (1, 0)), (level.down, (0, 0, 0, 1)), (level.down, (0, 0, 1, 0)))
        weights = torch.stack([F.pad(edges, beyond)[at] for edges, beyond in sides], 1) * inverse
        return cls(y, x, rows, _rows(rows, *at, ((0, 1), (0, -1), (1, 0), (-1, 0))), weights, level.diagonal[at][:, None], inverse)

    def smooth(self, u: Tensor, r: Tensor, order: int) -> None:
        """Jacobi's steps towards A u = r, in place, with the weights in that order (1) or in reverse (-1)."""
        right = r * self.inverse
        for weight in CHEBYSHEV[::order]:
            u[: len(r)].lerp_(self._beside(u).add_(right), weight)

    def left(self, u: Tensor, r: Tensor) -> Tensor:
        """r - A u."""
        return self._beside(u).sub_(u[: len(r)]).mul_(self.diagonal).add_(r)

    def _beside(self, u: Tensor) -> Tensor:
        return F.embedding_bag(self.beside, u, mode="sum", per_sample_weights=self.weights)


@dataclass(frozen=True)
class Link:
    """Between the bands of two grids.

    Attributes
    ----------
    parents, shares : (m, 4) rows of the coarser grid that a row is interpolated from (bilinear), and their weights
    children : (n of the coarser, 4) rows that are summed; n for those that are not solved for
    """

    parents: Tensor
    shares: Tensor
    children: Tensor

    @classmethod
    def of(cls, fine: Band, coarse: Band) -> Link:
        h, w = (size - 2 for size in coarse.rows.shape)
        beyond = lambda i, size: (i // 2 + i % 2 * 2 - 1).clamp(0, size - 1)
        ys, xs = (fine.y // 2, beyond(fine.y, h)), (fine.x // 2, beyond(fine.x, w))
        parents = torch.stack([coarse.rows[y + 1, x + 1] for y in ys for x in xs], 1)
        n = len(coarse.beside)
        children = _rows(fine.rows, 2 * coarse.y[:n], 2 * coarse.x[:n], ((0, 0), (0, 1), (1, 0), (1, 1)))
        return cls(parents, BILINEAR.repeat(len(parents), 1), children.clamp(max=len(fine.beside)))

    def up(self, u: Tensor) -> Tensor:
        return F.embedding_bag(self.parents, u, mode="sum", per_sample_weights=self.shares)

    def down(self, r: Tensor) -> Tensor:
        return F.embedding_bag(self.children, F.pad(r, (0, 0, 0, 1)), mode="sum")


def _rows(rows: Tensor, y: Tensor, x: Tensor, steps: tuple[tuple[int, int], ...]) -> Tensor:
    """(n, number of steps) rows at so many cells from the places."""
    places = (y + 1) * rows.shape[1] + x + 1
    return rows.view(-1)[torch.stack([places + dy * rows.shape[1] + dx for dy, dx in steps], 1)]


class Membrane:
    """The bands of a solver's grids, and the solution on them.

    Parameters
    ----------
    solver : of the equation on all pixels, on the CPU
    r : (c, h, w) right-hand side
    """

    def __init__(self, solver: PoissonSolver, r: Tensor) -> None:
        self._unknown = solver.unknown
        self._sizes = [(level.free.shape[0], level.free.shape[1]) for level in solver.levels]
        self._bands: list[Band] = []
        self._links: list[Link] = []
        needed = torch.zeros_like(solver.levels[0].free, dtype=torch.bool)
        for level in solver.levels:
            band = Band.of(level, needed)
            self._links += [Link.of(fine, band) for fine in self._bands[-1:]]
            self._bands.append(band)
            needed = F.max_pool2d((band.rows[None, 1:-1, 1:-1] < len(band.y)).float(), 2, ceil_mode=True)
            needed = F.max_pool2d(needed, 3, 1, 1)[0] > 0
        places = band.y * self._sizes[-1][1] + band.x
        self._inverse = solver.inverse[places][:, places]
        first = self._bands[0]
        n = len(first.beside)
        self._right = r[:, first.y[:n], first.x[:n]].T.contiguous()
        self._u = [r.new_zeros(len(band.y) + 1, len(r)) for band in self._bands]
        beside = self._right[solver.levels[0].dirichlet[first.y[:n], first.x[:n]] > 0]
        self.fits = bool(beside.count_nonzero() == r.count_nonzero())  # the right-hand side is 0 but beside known pixels

    def solve(self) -> Tensor:
        """u on all pixels, (c, h, w), 0 where there is none to solve for: the right-hand side's solution but for some three 8-bit levels at
        single pixels, a third of one in the mean. Each grid's solution is where the next finer one's V-cycle starts."""
        right = [self._right]
        for link in self._links:
            right.append(DIRICHLET * link.down(right[-1]))
        self._cycle(len(self._links), right[-1])
        for depth in reversed(range(len(self._links))):
            self._u[depth][:-1] = self._links[depth].up(self._u[depth + 1])
            self._cycle(depth, self._bands[depth].left(self._u[depth], right[depth]))
        return self._everywhere()

    def _cycle(self, depth: int, r: Tensor) -> Tensor:
        """Add to u on this and coarser grids what a V-cycle finds for the defect r, (n, c). Returns what was added on this grid."""
        u = torch.zeros_like(self._u[depth])
        if depth == len(self._links):
            u[:-1] = self._inverse @ r
        else:
            band, link = self._bands[depth], self._links[depth]
            band.smooth(u, r, 1)
            u[:-1] += link.up(self._cycle(depth + 1, link.down(band.left(u, r))))
            band.smooth(u, r, -1)
        self._u[depth] += u
        return u

    def _everywhere(self) -> Tensor:
        u = self._u[0].new_zeros(self._u[0].shape[1], *self._sizes[-1])
        for (h, w), band, rows in zip(reversed(self._sizes), reversed(self._bands), reversed(self._u), strict=True):
            u = u if band is self._bands[-1] else prolong(u, h, w).contiguous()
            u[:, band.y, band.x] = rows[:-1].T
        return u * self._unknown
