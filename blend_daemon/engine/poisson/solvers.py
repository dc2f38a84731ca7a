"""Poisson's equation on a mask, by three solvers that one may compare.

Each yields its approximations u of the correction, (c, h, w), with a bound for the error that is left, in the unit of the
colours, and an estimate of the steps to come; the last one has none to come and is within half an 8-bit level of the exact one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import ceil, inf, log, pi, sin

import numpy as np
import torch
from scipy import ndimage
from scipy.sparse import coo_matrix, diags_array
from scipy.sparse.linalg import splu
from torch import Tensor

from blend_daemon.engine.poisson.multigrid import PoissonSolver
from blend_protocol.errors import BlendError

Steps = Iterator[tuple[Tensor, float, int]]
TOLERANCE = 0.25 / 255
# Of the error by an iteration of conjugate gradients with a V-cycle, assumed at best: measured 1/4 to 1/15, and 1/2 among thousands of
# known pixels that lie alone.
CONTRACTION = 1 / 5
LOOK = 16  # sweeps of Gauss-Seidel between two looks at the change
MOST_DIRECT = 4_000_000  # unknowns; the factors take about 1 kB for each


def multigrid(unknown: Tensor, known: Tensor, r: Tensor) -> Steps:
    """Conjugate gradients with a multigrid V-cycle as preconditioner (Trottenberg, Multigrid, 7.8), from the coarser grids' solution."""
    solver = PoissonSolver(unknown, known)
    last = inf
    for u, tensor in solver.approach(r):
        change = float(tensor)
        rate = min(max(CONTRACTION, change / last if last else 0.0), 0.9)
        last, left = change, change * rate / (1 - rate)
        steps = ceil(log(left / TOLERANCE) / -log(rate)) if left > TOLERANCE else 0
        yield u, left, steps
        if not steps:
            return


def gauss_seidel(unknown: Tensor, known: Tensor, r: Tensor) -> Steps:
    """Red-black Gauss-Seidel with over-relaxation (Young, 1954). The sweeps that are needed grow with the object's thickness."""
    level = PoissonSolver.finest(unknown, known)
    depth = float(ndimage.distance_transform_edt((~known).cpu().numpy())[unknown.cpu().numpy()].max()) if known.any() else max(r.shape)
    # Optimal for a square of that inner radius.
    omega = 2 / (1 + sin(pi / (2 * depth + 1)))
    y, x = torch.meshgrid(*(torch.arange(n, device=r.device) for n in r.shape[1:]), indexing="ij")
    colours = [omega * level.inverse * ((x + y) % 2 == parity) for parity in (0, 1)]
    u, r, rest = torch.zeros_like(r), r * level.free, torch.empty_like(r)
    before, last = torch.zeros_like(r), 0.0
    while True:
        for _ in range(LOOK):
            for inverse in colours:
                u.addcmul_(inverse, level.left(u, r, rest))
        change = float((u - before).abs().max())
        before.copy_(u)
        # What a geometric series of such changes has still to come, at the rate seen, or in theory if that is slower.
        rate = min(max(change / last if last else 0.9, (omega - 1) ** LOOK), 0.99)
        last, left = change, change * rate / (1 - rate)
        steps = ceil(log(left / TOLERANCE) / -log(rate)) if left > TOLERANCE else 0
        yield u, left, steps
        if not steps:
            return


def direct(unknown: Tensor, known: Tensor, r: Tensor) -> Steps:
    """Sparse LU factors (SuperLU), in double precision. Raises BlendError `solver-too-large`."""
    level = PoissonSolver.finest(unknown, known)
    inside = level.free.cpu().numpy() > 0
    count = int(inside.sum())
    if count > MOST_DIRECT:
        raise BlendError("solver-too-large", f"The direct solver cannot hold {count} unknown pixels.", "Use the solver multigrid.")
    index = np.full(inside.shape, -1)
    index[inside] = np.arange(count)
    edges = []
    for weight, near, far in ((level.right[:, :-1], index[:, :-1], index[:, 1:]), (level.down[:-1], index[:-1], index[1:])):
        values = weight.cpu().numpy().astype(float)
        kept = values > 0
        edges.append((values[kept], near[kept], far[kept]))
    values, near, far = (np.concatenate(x) for x in zip(*edges, strict=True))
    below = coo_matrix((-values, (near, far)), (count, count)).tocsc()
    # Summed anew: in single precision the faint screening of an island is lost in the diagonal.
    diagonal = (level.dirichlet.double() + level.mass.double()).cpu().numpy()[inside] - below.sum(axis=0) - below.sum(axis=1).T
    matrix = (below + below.T + diags_array(np.asarray(diagonal).ravel())).tocsc()
    # A symmetric matrix wants the fill-in of A^T + A, and no pivots.
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    solution = factors.solve(r.cpu().numpy()[:, inside].T.astype(float))
    u = np.zeros(r.shape, np.float32)
    u[:, inside] = solution.T
    yield torch.from_numpy(u).to(r), 0.0, 0


SOLVERS: Mapping[str, Callable[[Tensor, Tensor, Tensor], Steps]] = {
    "multigrid": multigrid, "gauss-seidel": gauss_seidel, "direct": direct,
}  # fmt: skip
