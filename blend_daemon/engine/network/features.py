"""VGG-16 (Simonyan and Zisserman, 2015) up to conv4_3 as a feature extractor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

LAYERS = (
    "conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv4_1", "conv4_2", "conv4_3",
)  # fmt: skip
STRIDE = {name: 2 ** (int(name[4]) - 1) for name in LAYERS}
MEAN = (0.48235, 0.45882, 0.40784)
SCALE = 255.0


class Features:
    """The trunk's activations after ReLU, on one device and in one precision.

    Parameters
    ----------
    weights : `conv1_1.weight` (64, 3, 3, 3), `conv1_1.bias` (64,) and so on, in the convention of torchvision's
        `VGG16_Weights.IMAGENET1K_FEATURES`: RGB, mean `MEAN`, standard deviation 1/255
    device, dtype : where and how the convolutions run; activations are returned in `dtype`
    """

    def __init__(self, weights: Mapping[str, Tensor], device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.device = torch.device(device)
        self.dtype = dtype
        self._layers = {
            name: (
                weights[f"{name}.weight"].to(device, dtype).contiguous(memory_format=torch.channels_last),
                weights[f"{name}.bias"].to(device, dtype),
            )
            for name in LAYERS
        }
        self._mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)

    def __call__(self, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Activations of `layers` for an image (1, 3, h, w) in 0..1: (1, channels, h / stride, w / stride) each."""
        x = ((image - self._mean) * SCALE).to(self.dtype, memory_format=torch.channels_last)
        last = max(LAYERS.index(name) for name in layers)
        out = {}
        for name in LAYERS[: last + 1]:
            if name.endswith("_1") and name != "conv1_1":
                x = F.max_pool2d(x, 2)
            weight, bias = self._layers[name]
            x = F.conv2d(x, weight, bias, padding=1).relu_()
            if name in layers:
                out[name] = x
        return out
