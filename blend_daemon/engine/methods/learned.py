"""The method `model:NAME`: a learned harmoniser or blending network of the user's own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from blend_daemon import models
from blend_daemon.engine.methods.onnx_network import Network
from blend_daemon.engine.optimise.loop import Step, Steps
from blend_daemon.engine.progress import Directive
from blend_daemon.engine.raster.pixels import LUMA
from blend_daemon.engine.raster.surroundings import Surroundings
from blend_daemon.engine.run import Run, at_once, in_box
from blend_daemon.manifest import Manifest
from blend_protocol import scope

EDGE = 4  # power of the mask's weight: a coarse pixel half outside the object says little about it


class _Finish(Exception):
    """The caller takes what is there."""


def model(run: Run, name: str) -> Steps:
    """The source, changed by what the user's model `name` changed in the composite. Raises BlendError `model-*`, `manifest-invalid`."""
    problem = run.problem
    data, manifest = models.load(name)
    run.model = f"{name}, sha256 {hashlib.sha256(data).hexdigest()[:16]}"
    if run.device.type != "cpu":
        run.notes.append("Models compute on the CPU.")
    window = problem.window(scope.around(f"model:{name}", problem.pixels))
    around = Surroundings.of(problem, window)
    # In a transparent target there is nothing but the source to see.
    share = torch.where(around.visible, around.mask, around.unknown.float())
    composite = torch.where(around.unknown, torch.lerp(around.target, around.source, share), around.target)
    pasted = in_box(around.source, window, problem.box)

    def wanted() -> None:
        run.plan([(2, 0.0)])  # nobody knows how long it will take
        # The network is at work meanwhile and cannot yield.
        if run.tell(Step("model", 0.0, lambda: pasted)) is Directive.FINISH:
            raise _Finish

    try:
        difference = change(data, manifest, name, composite, around.mask, wanted)
    except _Finish:
        run.notes.append(f"The model {name} was ended before it was done; the object is as it was pasted.")
        return (yield from at_once(run, "model", pasted))
    return (yield from at_once(run, "model", in_box(around.source + difference, window, problem.box)))


def change(data: bytes, manifest: Manifest, name: str, composite: Tensor, mask: Tensor, wanted: Callable[[], None]) -> Tensor:
    """What a network changes in a composite, (c, h, w) with 1 or 3 channels, under a mask, (h, w): (c, h, w).

    It is brought to the size that the network works at, and the difference between output and input back: detail finer than the network
    sees stays. On the way back the mask weighs, so that what changed outside hardly bleeds in. Raises BlendError `model-*`.
    """
    network = Network(data, manifest, name, wanted)
    height, width = mask.shape
    size, padded = network.working_sizes(height, width)
    fitted = lambda image: F.interpolate(image[None], size, mode="bilinear", align_corners=False, antialias=True)
    given, weight = fitted(composite.clamp(0, 1).expand(3, -1, -1)), fitted(mask[None])
    framed = lambda image: F.pad(image, (0, padded[1] - size[1], 0, padded[0] - size[0]), mode="replicate")[0]
    given, weight = framed(given), framed(weight)
    difference = network(given, weight[0]) - given
    weight = weight**EDGE
    back = lambda image: F.interpolate(image[None, :, : size[0], : size[1]], (height, width), mode="bilinear", align_corners=False)[0]
    difference = back(difference * weight) / back(weight).clamp(min=1e-20)
    return difference if len(composite) == 3 else (difference * torch.from_numpy(LUMA).view(3, 1, 1)).sum(0, keepdim=True)


def trial(data: bytes, manifest: Manifest, name: str) -> None:
    """Run a model once, on a small disc. Raises BlendError `model-*`."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 96), torch.linspace(-1, 1, 128), indexing="ij")
    mask = (x**2 + y**2 < 0.5).float()
    change(data, manifest, name, torch.stack([x, y, x * y]) / 2 + 0.5, mask, lambda: None)
