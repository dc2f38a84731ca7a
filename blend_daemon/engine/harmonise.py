"""The start of the optimiser: the object in the target's colours, with a seam that closes and the target's own grain.

Three closed-form steps, each an answer to something that a Gram matrix and a Laplacian do badly (docs/engine.md):

1. The object's colours move towards the surroundings' by the linear Monge-Kantorovitch map (Pitie, Kokaram, 2007), luma and
   chroma apart. A Gram matrix pulls on colours too, but unevenly, and leaves green and purple clouds.
2. A screened, edge-aware membrane closes the seam. Poisson's membrane carries the colours of the boundary across the whole object;
   this one runs freely through the smooth surroundings that a coarse selection includes and is held back by the object's own edges.
3. The target's grain (canvas, paper, film) under the mask, which continues the grain outside without a seam. In the backdrop that a
   coarse selection includes all the target's detail, so that its strokes go on up to the object.
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
EDGE = 0.04  # a source step of ten 8-bit levels halves and more the membrane's conductance
RING = 4  # px along the mask where the membrane always conducts, so that an edge of the source there cannot keep the seam open
GRAIN_SIGMA = 2.5  # px: what is finer is grain
GRAIN_SEAM = 0.12  # of the thickness: depth from the seam within which the grain goes over into the object's own
GRAIN_LIMIT = 2.0  # times the usual local deviation of the surroundings, above which fine detail is a drawn structure
MOST_GRAIN = 8 / 255  # local deviation above which it is one however usual: strokes, gravel, stars; drawn over an object, it dissolves it
LUMA_REACH = 2.0  # the membrane's width for luma, as a multiple of that for chroma
BACKDROP_REACH = 3.0  # how far a smooth backdrop is followed, as a multiple of the width
CUT = 2  # px around a pixel of the mask's edge within which the source must be smooth for the edge to cut through a backdrop
# Share of its own spread that an object keeps in the flattest surroundings, in luma and chroma, and takes in the most vivid ones. In luma
# it keeps more: an object that has lost its light and shade is lost.
LEAST_LUMA, LEAST_CHROMA, MOST_SPREAD = 0.65, 0.45, 1.3
ITERATIONS = 9


@dataclass(frozen=True)
class Harmony:
    """What `harmonise` is asked for.

    Attributes
    ----------
    colour : 0 (the object's own colours) to 1 (the surroundings' mean and spread of colours)
    width : depth within which the seam's correction fades, as a share of the object's thickness
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
    thickness = float(inner.max())
    inside = around.unknown & around.sourced
    guide = around.source
    if near.sum() >= 16 and inside.sum() >= 16:
        guide = transfer_colours(guide, guide[:, inside], around.target[:, near], harmony.colour)
    right, down = (_conductance(around.source, inner, axis) for axis in (2, 1))
    width = max(harmony.width * thickness, 1.5)
    backdrop = _backdrop(around, right, down, width)
    blend = guide + _membrane(around, residual(around, guide, right, down), right, down, width, backdrop)
    if harmony.grain:
        depth = min(max(GRAIN_SEAM * thickness, 1.5), 5.0)
        all_detail = torch.maximum(torch.exp(-inner / depth), backdrop)
        blend = blend + harmony.grain * _missing_grain(blend, around.target, near | around.unknown, all_detail)
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
    map_[:1, :1] = _monge_kantorovitch(cov_a[:1, :1], cov_b[:1, :1], amount, LEAST_LUMA)
    if len(basis) == 3:
        map_[1:, 1:] = _monge_kantorovitch(cov_a[1:, 1:], cov_b[1:, 1:], amount, LEAST_CHROMA)
    back = torch.linalg.inv(basis)
    shift = mean_a + amount * (mean_b - mean_a) - map_ @ mean_a
    return torch.einsum("ij,jhw->ihw", back @ map_ @ basis, image) + (back @ shift)[:, :, None]


def _covariance(x: Tensor) -> Tensor:
    x = x - x.mean(dim=1, keepdim=True)
    # A flat colour has no spread to scale by; half an 8-bit level is the least that a picture can show.
    return x @ x.T / x.shape[1] + (0.5 / 255) ** 2 * torch.eye(len(x)).to(x)


def _monge_kantorovitch(own: Tensor, other: Tensor, amount: float, least: float) -> Tensor:
    other = (1 - amount) * own + amount * other
    root = _root(own)
    inverse = torch.linalg.inv(root)
    map_ = inverse @ _root(root @ other @ root) @ inverse
    # A clear sky has hardly any spread of colours; an object in front of it has not therefore lost its own.
    values, vectors = torch.linalg.eigh(map_)
    return (vectors * values.clamp(least, MOST_SPREAD)) @ vectors.T


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def _membrane(around: Surroundings, r: Tensor, right: Tensor, down: Tensor, width: float, backdrop: Tensor) -> Tensor:
    """The correction that closes the seam, (c, h, w).

    In the luma the backdrop that a coarse selection includes follows the target wholly: a rim of other brightness is what shows
    most. In the chroma it fades as it does in the object, since a hue that changes within the object shows more.
    """
    luma_screening = (1 - backdrop) * (LUMA_REACH * width) ** -2
    luma = PoissonSolver(around.unknown, around.known, right, down, luma_screening)
    if len(r) == 1:
        return luma.solve(r, ITERATIONS)
    chroma = PoissonSolver(around.unknown, around.known, right, down, width**-2)
    basis = OPPONENT.to(r)
    r = torch.einsum("ij,jhw->ihw", basis, r)
    u = torch.cat((luma.solve(r[:1], ITERATIONS), chroma.solve(r[1:], ITERATIONS)))
    return torch.einsum("ij,jhw->ihw", torch.linalg.inv(basis), u)


def _backdrop(around: Surroundings, right: Tensor, down: Tensor, width: float) -> Tensor:
    """How surely a pixel of the mask belongs to the source's backdrop, not to the object: (h, w) in 0..1.

    A membrane of value 1 where the mask's edge cuts through smooth source stays near 1 as far as no edge of the source stops it. Where the
    source has an edge along the mask's, or ends there, the selection is exact, and what lies within is the object.
    """
    one = (around.known * _goes_on(around))[None]
    flat = Surroundings(one, torch.zeros_like(one), around.mask, around.unknown, around.known, around.sourced, around.visible)
    solver = PoissonSolver(around.unknown, around.known, right, down, (BACKDROP_REACH * width) ** -2)
    influence = solver.solve(residual(flat, flat.source, right, down), ITERATIONS)[0]
    return ((influence - 0.5) / 0.4).clamp(0, 1)


def _goes_on(around: Surroundings) -> Tensor:
    """How smoothly the source goes on across each pixel: (h, w), 1 for a flat neighbourhood, 0 where a neighbour does not exist."""
    size = 2 * CUT + 1
    highest, lowest = (F.max_pool2d(sign * around.source, size, 1, CUT) * sign for sign in (1, -1))
    ends = F.max_pool2d((~around.sourced).float()[None], 3, 1, 1)[0]
    return (1 - ends) / (1 + ((highest - lowest).amax(dim=0) / (CUT * EDGE)).square())


def _conductance(source: Tensor, inner: Tensor, axis: int) -> Tensor:
    n = source.shape[axis]
    step = (source.narrow(axis, 1, n - 1) - source.narrow(axis, 0, n - 1)).abs().amax(dim=0)
    depth = torch.minimum(inner.narrow(axis - 1, 1, n - 1), inner.narrow(axis - 1, 0, n - 1))
    return torch.maximum(1 / (1 + (step / EDGE).square()), (1 - depth / RING).clamp(min=0))


def _missing_grain(blend: Tensor, target: Tensor, seen: Tensor, all_detail: Tensor) -> Tensor:
    """The target's fine luma detail without drawn structures, as far as the blend lacks it: (1, h, w).

    Where `all_detail` is 1, all of it is added, drawn or not: beside the seam and in the backdrop the eye compares it with what goes on
    just outside.
    """
    fine = _fine(target)
    strength = _deviation(fine)
    limit = (GRAIN_LIMIT * strength[:, seen].median()).clamp(1 / 255, MOST_GRAIN)
    grain = fine / (1 + (strength / limit) ** 4)
    wanted, present = _deviation(grain).square(), _deviation(_fine(blend)).square()
    # Variances of independent details add.
    grain = grain * ((wanted - present).clamp(min=0) / (wanted + 1e-6)).sqrt()
    return torch.lerp(grain, fine, all_detail)


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
