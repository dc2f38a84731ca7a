from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve

from blend_daemon.engine.poisson import solvers
from blend_daemon.engine.poisson.equation import poisson_blend, residual
from blend_daemon.engine.poisson.multigrid import PoissonSolver
from blend_daemon.engine.raster.problem import Problem
from blend_daemon.engine.raster.surroundings import Surroundings

LEVEL = 1 / 255


def exact(around: Surroundings, guide: np.ndarray, right=None, down=None, screening: float = 0.0) -> np.ndarray:
    """The same equations, assembled one by one and solved directly, as (c, h, w)."""
    unknown, known, sourced = (a.numpy() for a in (around.unknown, around.known, around.sourced))
    target = around.target.numpy()
    c, h, w = guide.shape
    index = {p: k for k, p in enumerate(zip(*np.nonzero(unknown), strict=True))}
    matrix, rhs = lil_matrix((len(index), len(index))), np.zeros((len(index), c))
    for (y, x), k in index.items():
        matrix[k, k] += screening
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            v, u = y + dy, x + dx
            if not (0 <= v < h and 0 <= u < w) or not (unknown[v, u] or known[v, u]):
                continue
            weight = 1.0
            if right is not None:
                weight = float(right[y, min(x, u)] if dy == 0 else down[min(y, v), x])
            matrix[k, k] += weight
            wanted = guide[:, y, x] - guide[:, v, u] if sourced[y, x] and sourced[v, u] else np.zeros(c)
            rhs[k] += weight * (wanted - guide[:, y, x])
            if unknown[v, u]:
                matrix[k, index[v, u]] -= weight
                rhs[k] += weight * guide[:, v, u]
            else:
                rhs[k] += weight * target[:, v, u]
    solution = spsolve(matrix.tocsr(), rhs).reshape(len(index), c)
    out = np.where(unknown, guide, target)
    for (y, x), k in index.items():
        out[:, y, x] += solution[k]
    return out


def masks():
    y, x = np.mgrid[:40, :50]
    disc = (y - 20) ** 2 + (x - 25) ** 2 < 15**2
    return {
        "disc": disc,
        "hole": disc & ~((y - 20) ** 2 + (x - 25) ** 2 < 5**2),
        "islands": ((x // 6) % 2 == 0) & ((y // 8) % 2 == 0),
        "at the canvas's edge": (x < 20) & (y > 10),
        "a line of one pixel": (y == 20) & (x > 3) & (x < 45),
        "almost everything": (x > 0) | (y > 0),
    }


def around(mask: np.ndarray, cat, coffee, offset=(0, 0), target=None) -> Surroundings:
    target = coffee[:40, :50] if target is None else target
    problem = Problem.from_arrays(np.ascontiguousarray(cat[:40, :50]), target, mask.astype(np.uint8) * 255, offset)
    return Surroundings.of(problem, (0, 0, 50, 40))


@pytest.mark.parametrize("name", masks())
def test_it_solves_poissons_equation(name, cat, coffee):
    scene = around(masks()[name], cat, coffee)
    error = np.abs(poisson_blend(scene, 14).numpy() - exact(scene, scene.source.numpy()))
    assert error.max() < 0.5 * LEVEL


def test_transparent_target_pixels_and_a_source_off_the_canvas_have_no_say(cat, coffee):
    target = np.dstack([coffee[:40, :50], np.full((40, 50), 255, np.uint8)])
    target[:, 30:, 3] = 0
    scene = around(masks()["disc"], cat, coffee, (6, -8), target)
    error = np.abs(poisson_blend(scene, 14).numpy() - exact(scene, scene.source.numpy()))
    assert error.max() < 0.5 * LEVEL


def test_weights_and_screening(cat, coffee):
    scene = around(masks()["disc"], cat, coffee)
    random = torch.Generator().manual_seed(0)
    right, down = torch.rand(40, 49, generator=random) + 0.05, torch.rand(39, 50, generator=random) + 0.05
    solver = PoissonSolver(scene.unknown, scene.known, right, down, 0.01)
    ours = scene.source + solver.solve(residual(scene, scene.source, right, down), 25)
    error = (ours - torch.from_numpy(exact(scene, scene.source.numpy(), right, down, 0.01))) * scene.unknown
    assert error.abs().max() < 0.5 * LEVEL


def test_gradients_of_a_constant_source_give_a_smooth_membrane(coffee):
    flat = np.full((40, 50, 3), 90, np.uint8)
    target = np.full((40, 50, 3), 200, np.uint8)
    scene = around(masks()["disc"], flat, coffee, target=target)
    assert torch.allclose(poisson_blend(scene, 14), scene.target, atol=0.1 * LEVEL)


HARD = {
    "a disc": lambda y, x: np.hypot(y - 550, x - 550) < 500,
    "at the canvas's edge, with holes": lambda y, x: (x < 900) & (np.hypot(y % 300 - 150, x % 300 - 150) > 40),
    "islands and thin bars": lambda y, x: (y % 90 < 60) & (x % 200 < 197) & (x > 2),
    "an edge of noise": lambda y, x: np.hypot(y - 550, x - 550) < 470 + np.random.default_rng(0).integers(0, 60, y.shape),
}


@pytest.mark.parametrize("name", HARD)
def test_a_large_object_of_any_shape_is_exact_to_half_a_level(name, cat, coffee):
    """Against conjugate gradients on all pixels; the target is noise, so that the membrane is as rough as can be at the edge."""
    y, x = np.mgrid[:1100, :1100]
    target = np.random.default_rng(1).integers(0, 256, (1100, 1100, 1), np.uint8)
    source = np.ascontiguousarray(np.tile(cat[:, :, :1], (18, 14, 1))[:1100, :1100])
    problem = Problem.from_arrays(source, target, HARD[name](y, x).astype(np.uint8) * 255)
    scene = Surroundings.of(problem, (0, 0, 1100, 1100))
    r = residual(scene, scene.source)
    *_, (u, _, left) = solvers.multigrid(scene.unknown, scene.known, r)
    exact = PoissonSolver(scene.unknown, scene.known).solve(r, 10)
    error = (u - exact).abs()[:, scene.unknown]
    assert left == 0
    assert error.max() < 0.5 * LEVEL
