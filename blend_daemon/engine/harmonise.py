"""The start of the optimiser: the object in the target's colours, with a seam that closes and the target's own grain.

Three closed-form steps, each an answer to something that a Gram matrix and a Laplacian do badly (docs/engine.md):

1. The object's colours move towards the surroundings' by the linear Monge-Kantorovitch map (Pitie, Kokaram, 2007), luma and
   chroma apart. A Gram matrix pulls on colours too, but unevenly, and leaves green and purple clouds.
2. A screened, edge-aware membrane closes the seam. Poisson's membrane carries the colours of the boundary across the whole object;
   this one runs freely through the smooth surroundings that a coarse selection includes and is held back by the object's own edges.
3. The target's grain (canvas, paper, film) under the mask, which continues the grain outside without a seam.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from blend_daemon.engine.poisson import PoissonSolver, Surroundings, residual

# Luma and two chroma axes; rows of an invertible matrix on R'G'B'.
OPPONENT = torch.tensor([[0.299, 0.587, 0.114], [0.5, -0.5, 0.0], [0.25, 0.25, -0.5]])
EDGE = 0.02  # a source step of five 8-bit levels halves and more the membrane's conductance
RING = 4  # px along the mask where the membrane always conducts, so that an edge of the source there cannot keep the seam open
GRAIN_SIGMA = 2.5  # px: what is finer is grain
GRAIN_SEAM = 5.0  # px from the seam within which the grain goes over into the object's own
GRAIN_LIMIT = 0.1  # local standard deviation above which fine detail is a drawn structure, not grain
ITERATIONS = 25


@dataclass(frozen=True)
class Harmony:
    """What `harmonise` is asked for.

    Attributes
    ----------
    colour : 0 (the object's own colours) to 1 (the surroundings' mean and spread of colours)
    width : px within which the seam's correction fades
    grain : 0 to 1, share of the missing grain that is added
    """

    colour: float
    width: float
    grain: float


def reach(pixels: int) -> int:
    """How far around the mask, in px, the target's pixels count as the object's surroundings."""
    return int(min(max(0.25 * pixels**0.5, 24), 200))


def harmonise(around: Surroundings, harmony: Harmony, margin: int) -> Tensor:
    """The harmonised blend over the window: (channels, h, w), the target outside the mask's support.

    Parameters
    ----------
    around : the window, at least 1 px larger than the mask on each side where the canvas allows
    harmony : amounts
    margin : px around the mask whose target pixels give the colours to move to
    """
    distance = ndimage.distance_transform_edt((~around.unknown).cpu().numpy())
    near = around.known & torch.from_numpy(distance <= margin).to(around.mask.device)
    inner = torch.from_numpy(ndimage.distance_transform_edt(around.unknown.cpu().numpy())).to(around.mask)
    inside = around.unknown & around.sourced
    guide = around.source
    if near.sum() >= 16 and inside.sum() >= 16:
        guide = transfer_colours(guide, guide[:, inside], around.target[:, near], harmony.colour)
    right, down = (_conductance(around.source, inner, axis) for axis in (2, 1))
    solver = PoissonSolver(around.unknown, around.known, right, down, 1 / harmony.width**2)
    blend = guide + solver.solve(residual(around, guide, right, down), ITERATIONS)
    if harmony.grain:
        blend = blend + harmony.grain * _missing_grain(blend, around.target, inner)
    return torch.where(around.unknown, blend, around.target)


def transfer_colours(image: Tensor, own: Tensor, other: Tensor, amount: float) -> Tensor:
    """Move (c, h, w) by the affine map that takes the statistics of `own` (c, n) a share `amount` of the way to `other` (c, m).

    The map is the linear Monge-Kantorovitch solution, which of all maps between two Gaussians moves colours least; luma is
    scaled alone, so that a coloured target cannot turn light into hue.
    """
    basis = OPPONENT.to(image) if image.shape[0] == 3 else torch.ones(1, 1).to(image)
    a, b = basis @ own, basis @ other
    mean_a, mean_b = a.mean(dim=1, keepdim=True), b.mean(dim=1, keepdim=True)
    cov_a, cov_b = (_covariance(x) for x in (a, b))
    map_ = torch.zeros_like(cov_a)
    map_[:1, :1] = _monge_kantorovitch(cov_a[:1, :1], cov_b[:1, :1], amount)
    if len(basis) == 3:
        map_[1:, 1:] = _monge_kantorovitch(cov_a[1:, 1:], cov_b[1:, 1:], amount)
    back = torch.linalg.inv(basis)
    shift = mean_a + amount * (mean_b - mean_a) - map_ @ mean_a
    return torch.einsum("ij,jhw->ihw", back @ map_ @ basis, image) + (back @ shift)[:, :, None]


def _covariance(x: Tensor) -> Tensor:
    x = x - x.mean(dim=1, keepdim=True)
    # A flat colour has no spread to scale by; half an 8-bit level is the least that a picture can show.
    return x @ x.T / x.shape[1] + (0.5 / 255) ** 2 * torch.eye(len(x)).to(x)


def _monge_kantorovitch(own: Tensor, other: Tensor, amount: float) -> Tensor:
    other = (1 - amount) * own + amount * other
    root = _root(own)
    inverse = torch.linalg.inv(root)
    return inverse @ _root(root @ other @ root) @ inverse


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def _conductance(source: Tensor, inner: Tensor, axis: int) -> Tensor:
    n = source.shape[axis]
    step = (source.narrow(axis, 1, n - 1) - source.narrow(axis, 0, n - 1)).abs().amax(dim=0)
    depth = torch.minimum(inner.narrow(axis - 1, 1, n - 1), inner.narrow(axis - 1, 0, n - 1))
    return torch.maximum(1 / (1 + (step / EDGE).square()), (1 - depth / RING).clamp(min=0))


def _missing_grain(blend: Tensor, target: Tensor, inner: Tensor) -> Tensor:
    """The target's fine luma detail without drawn structures, as far as the blend lacks it: (1, h, w).

    Beside the seam all of it is added: there the eye compares it with the grain just outside.
    """
    fine = _fine(target)
    fine = fine / (1 + (_deviation(fine) / GRAIN_LIMIT) ** 4)
    wanted, present = _deviation(fine).square(), _deviation(_fine(blend)).square()
    share = (wanted / (wanted + present + 1e-6)).sqrt()
    return fine * torch.maximum(share, torch.exp(-inner / GRAIN_SEAM))


def _fine(image: Tensor) -> Tensor:
    luma = torch.einsum("i,ihw->hw", OPPONENT[0].to(image), image)[None] if image.shape[0] == 3 else image
    return luma - blur(luma, GRAIN_SIGMA)


def _deviation(fine: Tensor) -> Tensor:
    return blur(fine.square(), 2 * GRAIN_SIGMA).clamp(min=0).sqrt()


def blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (c, h, w)."""
    radius = int(3 * sigma + 0.5)
    x = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (x / sigma).square())
    kernel = kernel / kernel.sum()
    padded = F.pad(image[:, None], (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))[:, 0]
