"""The nearest-neighbour field: for each place of the object the place of the target that shows the most similar thing.

Features matched to their nearest neighbours put the target's own strokes along the object's forms (Li and Wand, CVPR 2016; Kolkin et al.,
"Neural neighbor style transfer", 2022). One field serves all layers of a scale, so that they ask for the same strokes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from blend_daemon.engine.raster.axes import to_axes
from blend_daemon.engine.raster.filters import blur

Size = tuple[int, int]

GRID = "conv3_1"  # the layer on whose positions the field lives: cells of 4 px
COLOUR_WEIGHTS = (1.5, 2.0, 2.0)  # of a difference in luma and in the two axes of chroma, beside a cosine of 1
FEWEST = 50  # places of the target to choose from, at least
CONTRAST_SIGMA = 3.0  # px: what is finer is texture
LEAST_GAIN, MOST_GAIN = 0.8, 2.5
CHUNK = 500  # cells compared at once


def allowed(share: Tensor, threshold: float) -> Tensor:
    """Indices of the positions of (1, 1, h, w) that are above `threshold`, or the `FEWEST` highest if they are too few."""
    flat = share.flatten()
    highest = flat.topk(min(FEWEST, len(flat))).values[-1]
    return (flat >= highest.clamp(max=threshold)).nonzero()[:, 0]


def on_grid(features: Tensor, size: Size) -> Tensor:
    """Features of any layer at the positions of the field."""
    if features.shape[-1] > size[1]:
        return F.adaptive_avg_pool2d(features, size)
    return F.interpolate(features, size, mode="bilinear", align_corners=False)


def rows(features: Tensor) -> Tensor:
    """A layer's features (1, n, h, w) position by position, (h w, n). That is how channels_last lies in memory, so nothing is copied."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])


def texture(image: Tensor) -> tuple[Tensor, Tensor]:
    """Low-pass picture of (1, c, h, w), and the local deviation of the luma's texture, (1, 1, h, w)."""
    low = blur(image[0], CONTRAST_SIGMA)[None]
    fine = to_axes(image - low)[:, :1]
    return low, blur(fine[0].square(), 1.5 * CONTRAST_SIGMA)[None].clamp(min=0).sqrt()


def with_texture_of(image: Tensor, usual: Tensor, mask: Tensor) -> Tensor:
    """The picture with the mask's texture as strong as the target's `usual` deviation: faint folds and feathers then find strokes too."""
    low, deviation = texture(image)
    gain = ((usual + 0.01) / (deviation + 0.01)).clamp(LEAST_GAIN, MOST_GAIN)
    return torch.where(mask > 0, (low + gain * (image - low)).clamp(0, 1), image)


class Field:
    """A nearest-neighbour field from the cells of a window to those of a bank.

    Parameters
    ----------
    own, bank : features by layer of the window's and of the bank's picture
    layers : the layers that are compared, by the cosine of their features with `means` taken off
    means : of the bank's features, by layer, (channels,)
    colours : the window's and the bank's pictures, (1, c, h, w)
    inside : indices of the window's cells that look for a neighbour
    choice : indices of the bank's cells that may be one
    """

    def __init__(
        self,
        own: Mapping[str, Tensor],
        bank: Mapping[str, Tensor],
        layers: Sequence[str],
        means: Mapping[str, Tensor],
        colours: tuple[Tensor, Tensor],
        inside: Tensor,
        choice: Tensor,
    ) -> None:
        size, whole = ((f.shape[-2], f.shape[-1]) for f in (own[GRID], bank[GRID]))
        asked, offered = [], []
        for name in layers:
            asked.append(F.normalize(rows(on_grid(own[name], size))[inside] - means[name], dim=1))
            offered.append(F.normalize(rows(on_grid(bank[name], whole))[choice] - means[name], dim=1))
        # The squared distance of colours |a - b|^2 without |a|^2, which is the same for all b, is one more product of vectors.
        wanted, had = (
            (rows(to_axes(on_grid(image, grid)))[cells] * image.new_tensor(COLOUR_WEIGHTS[: image.shape[1]])).float()
            for image, grid, cells in ((colours[0], size, inside), (colours[1], whole, choice))
        )
        a = torch.cat([torch.cat(asked, dim=1) / len(layers), 2 * wanted.to(asked[0])], dim=1)
        b = torch.cat([*offered, had.to(offered[0])], dim=1)
        found = choice[_best(a, b, had.square().sum(dim=1))]
        self._size, self._whole = size, whole
        cells = torch.zeros(size[0] * size[1], dtype=torch.long, device=inside.device)
        cells[inside] = found
        self._row, self._column = (cells // whole[1]).view(size), (cells % whole[1]).view(size)

    def positions(self, of: Size, within: Size) -> Tensor:
        """For each position of a layer of size `of` the index of its match in the bank's layer of size `within`, (of[0] of[1],)."""
        rows, columns = (torch.arange(n, device=self._row.device) for n in of)
        y, x = rows * self._size[0] // of[0], columns * self._size[1] // of[1]  # the cells that hold them
        # Within its cell a position keeps its place.
        dy, dx = rows - y * of[0] // self._size[0], columns - x * of[1] // self._size[1]
        cell = (y[:, None], x[None])
        row = (self._row[cell] * of[0] // self._size[0] + dy[:, None]).clamp(max=within[0] - 1)
        column = (self._column[cell] * of[1] // self._size[1] + dx[None]).clamp(max=within[1] - 1)
        return (row * within[1] + column).flatten()


def _best(a: Tensor, b: Tensor, penalty: Tensor) -> Tensor:
    """For each row of `a` the index of the row of `b` with the largest product less its penalty."""
    # Two buffers for all pieces: a new one for each left the freed ones lying in a heap that grew by a gigabyte.
    products = a.new_empty(min(CHUNK, len(a)), len(b))
    scores = products.new_empty(products.shape, dtype=torch.float32)
    found = torch.empty(len(a), dtype=torch.long, device=a.device)
    for part, best in zip(a.split(CHUNK), found.split(CHUNK), strict=True):
        product = torch.mm(part, b.T, out=products[: len(part)])
        best.copy_(torch.sub(product, penalty, out=scores[: len(part)]).argmax(dim=1))
    return found
