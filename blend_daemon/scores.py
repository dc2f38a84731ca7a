"""Six figures of a blend, without any neural network, so that no optimiser can be its own judge. numpy and scipy only.

Pictures are (height, width, 3) uint8 RGB of one size and origin: the `result`, the `target` and the `source`, which is the
target's pixels where the source does not reach. The `mask` is (height, width), bool or float in 0..1. M is where it exceeds 1/2.
A figure that the mask is too small to have is NaN.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

FIGURES = {
    "background": "Share of the pixels outside the mask that are the target's, bit for bit. 1 is right.",
    "seam": "How much the step across the mask's edge differs from the steps beside it. 0 cannot be seen.",
    "style": "Distance of the object's texture to the surroundings', as a share of copy-and-paste's. Lower is closer.",
    "content": "Correlation of the object with the source. Higher keeps more of it.",
    "presence": "Share of the object's own light and shade that is left. Below 0.8 it looks like fog or glass.",
    "stain": "Unevenness of the object's shift in colour. Lower is cleaner.",
}
HIGHER_IS_BETTER = ("background", "content", "presence")

SCALES = (1, 2, 4)
PATCH = 7  # px, side
PATCHES = 4000  # drawn from each side
DIRECTIONS = 64
QUANTILES = (np.arange(512) + 0.5) / 512
NEIGHBOURHOOD = 30  # px around the mask that count as the target's style
BANDS = (4, 8, 16)  # px, of light and shade
LEAST_CORE = 50  # px
STAIN_SIGMA = 12.0  # px of the low-pass of colour
STABILISER = 29.0  # levels squared: a variance below it is noise, not content

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]


def score(result: Bytes, target: Bytes, source: Bytes, mask: npt.NDArray) -> dict[str, float]:
    """All of `FIGURES`. `background` looks where the mask is 0, so that a soft edge is the object's; `style` is 1 for copy-and-paste."""
    inside = mask > 0.5
    pasted = np.where(inside[:, :, None], source, target)
    own, plain = style(result, target, inside), style(pasted, target, inside)
    return {
        "background": background(result, target, mask > 0),
        "seam": seam(result, inside),
        "style": own / plain if plain > 0 else float("nan"),
        "content": content(result, source, inside),
        "presence": presence(result, source, inside),
        "stain": stain(result, source, inside),
    }


def background(result: Bytes, target: Bytes, mask: Bools) -> float:
    """Share of the pixels outside the mask at which all channels of result and target are equal, 0..1."""
    return _mean((result == target).all(axis=2)[~mask])


def seam(result: Bytes, mask: Bools) -> float:
    """|ln(across / beside)|, >= 0.

    Along each of the four directions, take runs of four pixels a, p | q, b with a, p inside the mask and q, b outside. `across` is the
    mean of |p - q|, `beside` the mean of (|a - p| + |q - b|) / 2, both summed over the channels. Runs nearer than 3 px to the canvas's
    edge are left out.
    """
    across, beside = [], []
    for turns in range(4):
        pixels, inside = np.rot90(result, turns).astype(np.float64), np.rot90(mask, turns)
        steps = np.abs(np.diff(pixels, axis=1)).sum(axis=2)
        edge = inside[:, :-3] & inside[:, 1:-2] & ~inside[:, 2:-1] & ~inside[:, 3:]
        # The run's p is one to the right of its first pixel, and it is p that keeps its distance from the canvas's edge.
        edge[:3], edge[-3:], edge[:, :2], edge[:, -1:] = False, False, False, False
        across.append(steps[:, 1:-1][edge])
        beside.append(((steps[:, :-2] + steps[:, 2:]) / 2)[edge])
    step, usual = _mean(np.concatenate(across)), _mean(np.concatenate(beside))
    return float(np.abs(np.log(max(step, 1e-9) / max(usual, 1e-9)))) if np.isfinite(step) else float("nan")


def style(result: Bytes, target: Bytes, mask: Bools) -> float:
    """Sliced Wasserstein-1 distance of 7x7 RGB patches centred in the mask to the target's patches outside it and near it.

    The mean over `SCALES`, random directions of unit length and quantiles of the difference between the projections' quantile
    functions, of values in 0..1 (Bonneel et al., Sliced and Radon Wasserstein Barycenters of Measures, 2015). The same draw each time.
    """
    distances = []
    for level, factor in enumerate(SCALES):
        ours, theirs = shrink(result / 255.0, factor), shrink(target / 255.0, factor)
        share = shrink(mask, factor)
        reach = 2 * NEIGHBOURHOOD // factor | 1
        near = ndimage.maximum_filter(share > 0.5, size=reach, mode="constant")
        projections = np.random.default_rng(level).normal(size=(DIRECTIONS, 3 * PATCH**2))
        projections /= np.linalg.norm(projections, axis=1, keepdims=True)
        inside, outside = _patches(ours, share > 0.99), _patches(theirs, (share < 0.01) & near)
        if not len(inside) or not len(outside):
            return float("nan")
        spread = [np.quantile(patches @ projections.T, QUANTILES, axis=0) for patches in (inside, outside)]
        distances.append(np.abs(spread[0] - spread[1]).mean())
    return float(np.mean(distances))


def content(result: Bytes, source: Bytes, mask: Bools) -> float:
    """Local correlation of the luminances of result and source in Gaussian windows of 1.5 px, in -1..1.

    (cov + c) / (sd_result sd_source + c), averaged over the mask eroded by 2 px, then over `SCALES`.
    """
    core = ndimage.minimum_filter(mask, size=5, mode="constant")
    window = lambda values: ndimage.gaussian_filter(values, 1.5)
    correlations = []
    for factor in SCALES:
        x, y = (shrink(picture @ np.array([0.299, 0.587, 0.114]), factor) for picture in (result, source))
        mean_x, mean_y = window(x), window(y)
        variances = np.maximum(window(x * x) - mean_x**2, 0) * np.maximum(window(y * y) - mean_y**2, 0)
        correlation = (window(x * y) - mean_x * mean_y + STABILISER) / (np.sqrt(variances) + STABILISER)
        inside = shrink(core, factor) > 0.99
        if inside.any():
            correlations.append(correlation[inside].mean())
    return _mean(np.array(correlations))


def presence(result: Bytes, source: Bytes, mask: Bools) -> float:
    """Standard deviation of the luma's bands of 4, 8 and 16 px inside the mask, the result's over the source's, each at most 1: 0..1.

    A correlation is blind to contrast; this is not.
    """
    core = ndimage.binary_erosion(mask, iterations=4)
    core = core if core.sum() >= LEAST_CORE else mask
    if not core.any():
        return float("nan")

    def spread(picture: Bytes, sigma: int) -> float:
        luma = picture @ np.array([0.299, 0.587, 0.114])
        return float((ndimage.gaussian_filter(luma, sigma) - ndimage.gaussian_filter(luma, 2 * sigma))[core].std())

    return float(np.mean([min(spread(result, sigma) / max(spread(source, sigma), 1e-6), 1.0) for sigma in BANDS]))


def stain(result: Bytes, source: Bytes, mask: Bools) -> float:
    """Standard deviation inside the mask of the shift from source to result in CIELAB's a and b, low-passed inside the mask, >= 0.

    A uniform shift of colour costs nothing; clouds of green or purple do.
    """
    weight = mask.astype(np.float64)
    blur = lambda values: ndimage.gaussian_filter(values, STAIN_SIGMA)
    share = np.maximum(blur(weight), 1e-6)
    shift = chroma(result) - chroma(source)
    low = np.stack([(blur(shift[:, :, k] * weight) / share)[mask] for k in range(2)])
    return float(np.sqrt(low.var(axis=1).sum())) if low.size else float("nan")


def chroma(picture: Bytes) -> Floats:
    """CIELAB's a and b of 8-bit sRGB under D65, (height, width, 2). IEC 61966-2-1 and CIE 15."""
    coded = picture / 255.0
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    white = np.array([0.9505, 1.0, 1.089])
    ratios = linear @ to_xyz.T / white
    x, y, z = np.moveaxis(np.where(ratios > 0.008856, np.cbrt(ratios), 7.787 * ratios + 16 / 116), 2, 0)
    return np.stack([500 * (x - y), 200 * (y - z)], axis=2)


def shrink(values: npt.NDArray, factor: int) -> Floats:
    """Means of factor x factor blocks as float32; rows and columns beyond the last whole block are left out."""
    height, width = values.shape[0] // factor, values.shape[1] // factor
    values = values[: height * factor, : width * factor].astype(np.float32)
    return values.reshape(height, factor, width, factor, *values.shape[2:]).mean(axis=(1, 3))


def _patches(picture: Floats, centres: Bools) -> Floats:
    """At most `PATCHES` flattened patches, (count, 3 * PATCH^2), drawn without replacement around the centres."""
    if min(picture.shape[:2]) < PATCH:
        return np.empty((0, 3 * PATCH**2))
    windows = np.lib.stride_tricks.sliding_window_view(picture, (PATCH, PATCH), axis=(0, 1))
    rim = PATCH // 2
    rows, columns = np.nonzero(centres[rim:-rim, rim:-rim])
    if not len(rows):
        return np.empty((0, 3 * PATCH**2))
    drawn = np.random.default_rng(1).choice(len(rows), min(PATCHES, len(rows)), replace=False)
    return windows[rows[drawn], columns[drawn]].reshape(len(drawn), -1)


def _mean(values: npt.NDArray) -> float:
    return float(values.mean()) if values.size else float("nan")
