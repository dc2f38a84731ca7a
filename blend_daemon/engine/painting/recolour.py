"""The object's new palette: for each of its own colours the colour that was found for it, the same wherever it stands.

Kernel regression (Nadaraya 1964, Watson 1964) of the found chroma on the object's colour and, loosely, its place.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from blend_daemon.engine.raster.axes import from_axes, to_axes

COLOUR = 0.06  # width of the kernel over luma; chroma counts half as much again
CHROMA_WEIGHT = 1.5
PLACE = 0.35  # width of the kernel over places, as a share of the window
SAMPLES = 800
MOST_SATURATION = 1.4  # times: an average of many colours is greyer than each of them
LARGEST = 65_000  # pixels at which the change is computed; on all of them it is interpolated
CHUNK = 20_000


def shift(colours: Tensor, unknown: Tensor, before: Tensor, mask: Tensor, found: Tensor) -> Tensor:
    """The change of chroma, (3, h, w), that takes the object from its colours to its new palette.

    Parameters
    ----------
    colours : (3, h, w), the object
    unknown : (h, w) bool, where it is
    before, found : (1, 3, h', w') the object at a smaller scale, and the same painted
    mask : (1, 1, h', w')
    """
    inside = (mask.flatten() > 0.7 * mask.max()).nonzero()[:, 0]
    inside = inside[torch.linspace(0, len(inside) - 1, min(SAMPLES, len(inside)), device=inside.device).long()]
    own, new = (to_axes(image)[0].flatten(1).T[inside].float() for image in (before, found))
    h, w = mask.shape[-2:]
    scale = min(1.0, (LARGEST / unknown.numel()) ** 0.5)
    size = max(round(unknown.shape[0] * scale), 1), max(round(unknown.shape[1] * scale), 1)
    small = F.interpolate(colours[None].clamp(0, 1), size, mode="bilinear", align_corners=False)[0]
    widths = own.new_tensor([1, CHROMA_WEIGHT, CHROMA_WEIGHT]) / COLOUR
    keys = torch.cat((own * widths, _places(h, w, own)[inside] / PLACE), dim=1)
    asked = torch.cat((to_axes(small).flatten(1).T * widths, _places(*size, own) / PLACE), dim=1)
    chroma = new[:, 1:]
    mean = lambda queries: torch.softmax(-0.5 * torch.cdist(queries, keys).square(), dim=1) @ chroma
    saturation = (chroma.norm(dim=1).mean() / mean(keys).norm(dim=1).mean().clamp(min=1e-6)).clamp(1, MOST_SATURATION)
    palette = saturation * torch.cat([mean(part) for part in asked.split(CHUNK)])
    change = torch.zeros_like(small)
    change[1:] = palette.T.view(2, *size) - to_axes(small)[1:]
    return F.interpolate(from_axes(change)[None], unknown.shape, mode="bilinear", align_corners=False)[0] * unknown


def _places(h: int, w: int, like: Tensor) -> Tensor:
    """(h w, 2) positions in 0..1."""
    y, x = torch.meshgrid(torch.arange(h, device=like.device) / h, torch.arange(w, device=like.device) / w, indexing="ij")
    return torch.stack((y.flatten(), x.flatten()), dim=1).to(like)
