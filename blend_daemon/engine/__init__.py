"""The arithmetic of a blend. Knows no socket, no file format and no GIMP.

The names are imported when they are first used, so that a command line can be read without loading torch.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from blend_protocol.presets import Parameters

# Read by torch's OpenMP when it is loaded. Threads that spin for long while they wait make a blend many times slower as soon as
# anything else, such as GIMP, wants the cores; threads that never spin make it a fifth slower when nothing does.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

if TYPE_CHECKING:
    from blend_daemon.engine.blending import Blend, blend, sketch, warm
    from blend_daemon.engine.poisson.preview import poisson_preview
    from blend_daemon.engine.progress import Cancelled, Directive, Progress
    from blend_daemon.engine.raster.pixels import composite
    from blend_daemon.engine.raster.problem import Problem

_HOME = {
    "Blend": "blending", "blend": "blending", "sketch": "blending", "warm": "blending", "composite": "raster.pixels",
    "poisson_preview": "poisson.preview", "Problem": "raster.problem", "Cancelled": "progress", "Directive": "progress",
    "Progress": "progress",
}  # fmt: skip
__all__ = [
    "Blend", "Cancelled", "Directive", "Parameters", "Problem", "Progress", "blend", "composite", "poisson_preview", "sketch", "warm",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
