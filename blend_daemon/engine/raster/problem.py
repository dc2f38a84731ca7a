"""One blending problem: source, mask and target aligned by an offset, checked and cut to the object's surroundings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from blend_daemon.engine.raster.pixels import DTYPES, Box, Floats, Raster, from_float, grey, split_alpha, to_float
from blend_protocol.errors import BlendError

LARGEST = 65504.0  # of a float raster: the largest half float, which no high dynamic range picture exceeds


@dataclass(frozen=True)
class Problem:
    """Source, mask and target on the target's canvas.

    Attributes
    ----------
    target : (height, width, channels) raster, as given
    source : (source height, source width, channels) raster, as given
    mask : (source height, source width) float32 in 0..1: the given mask times the source's alpha
    offset : (x, y) of the source's top-left corner on the canvas
    box : (x, y, width, height), the bounding box of the mask's support on the canvas
    """

    target: Raster
    source: Raster
    mask: Floats
    offset: tuple[int, int]
    box: Box

    @classmethod
    def from_arrays(cls, source: Raster, target: Raster, mask: Raster | None = None, offset: tuple[int, int] = (0, 0)) -> Problem:
        """Align and check the inputs.

        Parameters
        ----------
        source, target : (h, w, c) rasters of any sizes and depths (see `blend_daemon.engine.raster.pixels`)
        mask : (h, w) or (h, w, 1) raster of the source's size, linear; multiplied by the source's alpha. None: the alpha alone
        offset : (x, y) of the source's top-left corner on the target; may be negative

        Raises
        ------
        BlendError
            `raster-invalid`, `size-mismatch`, `mask-missing`, `mask-empty`, `mask-off-target`, `mask-covers-target`,
            `target-transparent`
        """
        for name, raster in (("source", source), ("target", target)):
            _check_raster(name, raster)
        alpha = split_alpha(source)[1]
        if mask is None:
            if alpha is None:
                raise BlendError(
                    "mask-missing",
                    "There is no mask, and the source has no alpha channel to take its place.",
                    "Give a mask of the source's size, or a source with transparency around the object.",
                )
            support = np.clip(to_float(alpha), 0, 1)
        else:
            mask = mask[:, :, None] if mask.ndim == 2 else mask
            _check_raster("mask", mask, channels=(1,))
            if mask.shape[:2] != source.shape[:2]:
                raise BlendError(
                    "size-mismatch",
                    f"The mask is {mask.shape[1]}x{mask.shape[0]} pixels but the source is {source.shape[1]}x{source.shape[0]}.",
                    "The mask must have the source's size.",
                )
            support = np.clip(to_float(mask)[:, :, 0], 0, 1)
            if alpha is not None:
                support = support * np.clip(to_float(alpha), 0, 1)
        # A float alpha of 1e-9 is a rounding error of some editor, not a wish to blend; half an 8-bit level is the limit.
        support = np.where(support < 0.5 / 255, np.float32(0), support).astype(np.float32)
        rows, columns = support.any(axis=1), support.any(axis=0)
        if not rows.any():
            raise BlendError(
                "mask-empty",
                "The mask is empty: it marks no visible pixel of the source.",
                "Mark the object in white (or select it).",
            )
        dx, dy = offset
        height, width = target.shape[:2]
        ys, xs = np.flatnonzero(rows), np.flatnonzero(columns)
        # Compared without numpy's integers, which an offset may exceed.
        ys, xs = ys[(ys >= -dy) & (ys < height - dy)], xs[(xs >= -dx) & (xs < width - dx)]
        if not len(ys) or not len(xs):
            raise BlendError(
                "mask-off-target",
                "The mask lies wholly outside the target.",
                f"With offset {dx},{dy} the object falls off the target's {width}x{height} canvas; move it onto the canvas.",
            )
        box = (int(xs[0]) + int(dx), int(ys[0]) + int(dy), int(xs[-1] - xs[0] + 1), int(ys[-1] - ys[0] + 1))
        problem = cls(target, source, support, (int(dx), int(dy)), box)
        problem._check_boundary()
        return problem

    def _check_boundary(self) -> None:
        inside = self.mask_on(self.box)
        if not inside.any():
            raise BlendError("mask-off-target", "The mask lies wholly outside the target.", "Move the object onto the target's canvas.")
        height, width = self.target.shape[:2]
        alpha = split_alpha(self.target)[1]
        left = np.ones((height, width), bool) if alpha is None else alpha > 0
        x, y, w, h = self.box
        left[y : y + h, x : x + w] &= inside < 1
        if not left.any():
            if (inside < 1).any() or (w, h) != (width, height):
                raise BlendError(
                    "target-transparent",
                    "The target is transparent around the object, so there is nothing to blend with.",
                    "Blend next to visible pixels of the target, or take the method copy-paste.",
                )
            raise BlendError(
                "mask-covers-target",
                "The mask leaves no pixel of the target to blend with.",
                "Make the selection smaller than the target, so that some of it stays visible.",
            )

    @property
    def channels(self) -> int:
        """Colour channels of the result, the target's: 1 or 3."""
        return 1 if self.target.shape[2] < 3 else 3

    def window(self, margin: int) -> Box:
        """The box grown by `margin` px on each side, cut at the canvas."""
        x, y, w, h = self.box
        height, width = self.target.shape[:2]
        left, top = max(x - margin, 0), max(y - margin, 0)
        return left, top, min(x + w + margin, width) - left, min(y + h + margin, height) - top

    def mask_on(self, window: Box) -> Floats:
        """The mask over a window of the canvas, (h, w) in 0..1; 0 where the source does not reach."""
        return self._place(self.mask[:, :, None], window)[0][:, :, 0]

    def source_on(self, window: Box) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Source colours over a window of the canvas, (h, w, channels), and where they exist, (h, w)."""
        colours, alpha = split_alpha(self.source)
        placed, exists = self._place(colours, window)
        if alpha is not None:
            exists &= self._place(alpha[:, :, None], window)[0][:, :, 0] > 0
        return self._fit(to_float(placed)), exists

    def target_on(self, window: Box) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Target colours over a window of the canvas, (h, w, channels), and where they are not transparent, (h, w).

        What is transparent has the colour of the nearest visible pixel: colours that nobody sees have no say in a blend.
        """
        x, y, w, h = window
        colours, alpha = split_alpha(self.target[y : y + h, x : x + w])
        exists = np.ones((h, w), bool) if alpha is None else alpha > 0
        if not exists.any():
            return np.zeros(colours.shape, np.float32), exists
        if not exists.all():
            rows, columns = ndimage.distance_transform_edt(~exists, return_distances=False, return_indices=True)
            colours = colours[rows, columns]
        return to_float(colours), exists

    def layer(self, colours: Floats) -> Raster:
        """Blended colours over the box, (h, w, channels) floats, as a layer raster of the target's dtype."""
        alpha = self.mask_on(self.box)
        return from_float(np.concatenate([colours, alpha[:, :, None]], axis=2), self.target.dtype)

    @cached_property
    def pixels(self) -> int:
        """Number of pixels in the mask's support on the canvas."""
        return int(np.count_nonzero(self.mask_on(self.box)))

    def _fit(self, colours: Floats) -> Floats:
        if colours.shape[2] == self.channels:
            return colours
        return grey(colours) if self.channels == 1 else np.repeat(colours, 3, axis=2)

    def _place(self, raster: Raster, window: Box) -> tuple[Raster, npt.NDArray[np.bool_]]:
        x, y, w, h = window
        sx, sy = x - self.offset[0], y - self.offset[1]
        height, width = raster.shape[:2]
        placed = np.zeros((h, w, raster.shape[2]), raster.dtype)
        exists = np.zeros((h, w), bool)
        top, bottom = max(0, -sy), min(h, height - sy)
        left, right = max(0, -sx), min(w, width - sx)
        if top < bottom and left < right:
            placed[top:bottom, left:right] = raster[sy + top : sy + bottom, sx + left : sx + right]
            exists[top:bottom, left:right] = True
        return placed, exists


def _check_raster(name: str, raster: Raster, channels: tuple[int, ...] = (1, 2, 3, 4)) -> None:
    if raster.ndim != 3 or raster.shape[2] not in channels or raster.dtype not in DTYPES or 0 in raster.shape:
        raise BlendError(
            "raster-invalid",
            f"The {name} has shape {tuple(raster.shape)} and type {raster.dtype}.",
            "Rasters are (height, width, 1 to 4 channels) of uint8, uint16 or float32.",
        )
    if raster.dtype == np.float32 and not np.isfinite(raster).all():
        raise BlendError(
            "raster-invalid", f"The {name} holds values that are not finite numbers.", "Save it again without NaN or infinity."
        )
    if raster.dtype == np.float32 and (largest := float(max(raster.max(), -raster.min()))) > LARGEST:
        raise BlendError(
            "raster-invalid",
            f"The {name} holds a value of {largest:.3g}; at most {LARGEST:.0f} is understood, where white is 1.",
            "Bring its values nearer to 0 to 1, and save it again.",
        )
