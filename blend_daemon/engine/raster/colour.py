"""Colour statistics in the space l-alpha-beta, and pictures that take on another's (Reinhard et al., "Color transfer between images",
IEEE CG&A 21(5), 2001)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from blend_daemon.engine.raster.pixels import Floats, grey

# Reinhard's matrices, for R'G'B' as it is, as in the paper: to cone responses, and from their logarithms to decorrelated axes
# (Ruderman, Cronin, Chiao, 1998).
CONES = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
AXES = np.diag(1 / np.sqrt([3.0, 6.0, 2.0])) @ np.array([[1.0, 1.0, 1.0], [1.0, 1.0, -2.0], [1.0, -1.0, 0.0]])
DARKEST = 1 / 255  # what is darker counts as this: a logarithm has no place for black
LARGEST = 4.0  # logarithm of a cone's response: an outlier of a flat object stays a number
FLATTEST = 1e-3  # spread below which there is none that could be scaled

Statistics = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def statistics(colours: Floats, weights: Floats | None = None) -> Statistics:
    """Mean and standard deviation in l-alpha-beta of (n, 1 or 3) colours, each (3,)."""
    values = _to_axes(colours)
    mean = np.average(values, axis=0, weights=weights)
    return mean, np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))


def transfer(image: Floats, own: Statistics, other: Statistics) -> Floats:
    """(h, w, 1 or 3) with statistics `own` moved and scaled to `other`."""
    ratio = np.where(own[1] > FLATTEST, other[1] / np.maximum(own[1], FLATTEST), 1.0)
    moved = (_to_axes(image.reshape(-1, image.shape[2])) - own[0]) * ratio + other[0]
    rgb = 10 ** np.clip(moved @ np.linalg.inv(AXES).T, -LARGEST, LARGEST) @ np.linalg.inv(CONES).T
    out = rgb.astype(np.float32).reshape(*image.shape[:2], 3)
    return grey(out) if image.shape[2] == 1 else out


def _to_axes(colours: Floats) -> npt.NDArray[np.float64]:
    rgb = np.broadcast_to(colours, (len(colours), 3))
    return np.log10(np.maximum(rgb @ CONES.T, DARKEST)) @ AXES.T
