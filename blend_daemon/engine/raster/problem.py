"""One blending problem: source, mask and target aligned by an offset, checked and cut to the object's surroundings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from blend_daemon.engine.raster.pixels import DTYPES, Box, Floats, Raster, from_float, grey, split_alpha, to_float
from blend_protocol import scope
from blend_protocol.errors import BlendError
from blend_protocol.methods import CONTEXT
from blend_protocol.presets import Parameters

LARGEST = 65504.0  # of a float raster: the largest half float, which no high dynamic range picture exceeds


@dataclass(frozen=True)
class Problem:
    """Source, mask and target on the target's canvas.

    Attributes
    ----------
    target : (height, width, channels) raster, as given: the canvas, or a part of it
    source : (source height, source width, channels) raster, as given
    mask : (source height, source width) float32 in 0..1: the given mask times the source's alpha
    offset : (x, y) of the source's top-left corner on the canvas
    box : (x, y, width, height), the bounding box of the mask's support on the canvas
    corner : (x, y) of the target's top-left corner on the canvas
    canvas : (width, height)
    samples : raster of pixels that were taken evenly from all of the canvas (see `blend_protocol.scope.stride`), None: there are none
    """

    target: Raster
    source: Raster
    mask: Floats
    offset: tuple[int, int]
    box: Box
    corner: tuple[int, int]
    canvas: tuple[int, int]
    samples: Raster | None = None

    @classmethod
    def from_arrays(
        cls,
        source: Raster,
        target: Raster,
        mask: Raster | None = None,
        offset: tuple[int, int] = (0, 0),
        corner: tuple[int, int] = (0, 0),
        canvas: tuple[int, int] | None = None,
        samples: Raster | None = None,
    ) -> Problem:
        """Align and check the inputs.

        Parameters
        ----------
        source, target : (h, w, c) rasters of any sizes and depths (see `blend_daemon.engine.raster.pixels`)
        mask : (h, w) or (h, w, 1) raster of the source's size, linear; multiplied by the source's alpha. None: the alpha alone
        offset : (x, y) of the source's top-left corner on the canvas; may be negative
        corner, canvas : (x, y) of the target on the canvas, and the canvas's (width, height); None: the target is the canvas
        samples : pixels of all of the canvas, like the target; needed by methods that ask for some, where the target is a part

        Raises
        ------
        BlendError
            `raster-invalid`, `size-mismatch`, `mask-missing`, `mask-empty`, `mask-off-target`, `mask-covers-target`,
            `target-transparent`, `target-misplaced`, `target-cut-off`
        """
        for name, raster in (("source", source), ("target", target), ("samples", samples)):
            if raster is not None:
                _check_raster(name, raster)
        width, height = canvas = canvas or (target.shape[1], target.shape[0])
        if min(corner) < 0 or corner[0] + target.shape[1] > width or corner[1] + target.shape[0] > height:
            raise BlendError(
                "target-misplaced",
                f"{target.shape[1]}x{target.shape[0]} pixels at {corner[0]},{corner[1]} are no part of a canvas of {width}x{height}.",
                "Give its place on the canvas, and the canvas's size.",
            )
        if samples is not None and (samples.dtype != target.dtype or samples.shape[2] != target.shape[2]):
            raise BlendError(
                "raster-invalid",
                f"The samples have {samples.shape[2]} channels of {samples.dtype}, the target {target.shape[2]} of {target.dtype}.",
                "Both are of one kind.",
            )
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
        problem = cls(target, source, support, (int(dx), int(dy)), box, corner, canvas, samples)
        problem._check_boundary()
        return problem

    def cut(self, parameters: Parameters) -> Problem:
        """The same problem with as much of the target as a blend with these parameters looks at: its result is the same."""
        x, y, width, height = scope.part(parameters, self.box, self.canvas)
        samples, most = self.samples, scope.samples(parameters)
        if most:
            samples = self._samples(most)
        left, top = x - self.corner[0], y - self.corner[1]
        part = self.target[top : top + height, left : left + width]
        return replace(self, target=part, corner=(x, y), samples=samples)

    def _check_boundary(self) -> None:
        inside = self.mask_on(self.box)
        if not inside.any():
            raise BlendError("mask-off-target", "The mask lies wholly outside the target.", "Move the object onto the target's canvas.")
        window = self.window(CONTEXT)
        alpha = split_alpha(self._cut_out(window))[1]
        left = np.ones((window[3], window[2]), bool) if alpha is None else alpha > 0
        w, h = self.box[2:]
        x, y = self.box[0] - window[0], self.box[1] - window[1]
        left[y : y + h, x : x + w] &= inside < 1
        if not left.any():
            if (inside < 1).any() or (w, h) != self.canvas:
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
        return scope.grown(self.box, margin, self.canvas)

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
        colours, alpha = split_alpha(self._cut_out(window))
        exists = np.ones(colours.shape[:2], bool) if alpha is None else alpha > 0
        if not exists.any():
            return np.zeros(colours.shape, np.float32), exists
        if not exists.all():
            rows, columns = ndimage.distance_transform_edt(~exists, return_distances=False, return_indices=True)
            colours = colours[rows, columns]
        return to_float(colours), exists

    def palette(self, most: int) -> Floats:
        """Colours of visible pixels of the whole target outside the mask, evenly taken from at most `most` or so, (n, channels)."""
        samples, step = self._samples(most), scope.stride(self.canvas, most)
        colours, alpha = split_alpha(samples)
        seen = np.ones(colours.shape[:2], bool) if alpha is None else alpha > 0
        rows, columns = (
            step // 2 + step * np.arange(count) - start for count, start in zip(seen.shape, reversed(self.offset), strict=True)
        )
        inside = [(at >= 0) & (at < side) for at, side in zip((rows, columns), self.mask.shape, strict=True)]
        seen[np.ix_(*inside)] &= self.mask[np.ix_(rows[inside[0]], columns[inside[1]])] == 0
        return to_float(colours)[seen]

    def _samples(self, most: int) -> Raster:
        width, height = scope.sampled(self.canvas, most)
        if self.samples is not None and self.samples.shape[:2] == (height, width):
            return self.samples
        if self.canvas != (self.target.shape[1], self.target.shape[0]):
            raise _cut_off(f"{width}x{height} samples of the whole target")
        step = scope.stride(self.canvas, most)
        return self.target[step // 2 :: step, step // 2 :: step][:height, :width]

    def _cut_out(self, window: Box) -> Raster:
        """The target over a window of the canvas."""
        x, y, w, h = window[0] - self.corner[0], window[1] - self.corner[1], *window[2:]
        if min(x, y) < 0 or x + w > self.target.shape[1] or y + h > self.target.shape[0]:
            raise _cut_off(f"the {w}x{h} pixels at {window[0]},{window[1]}")
        return self.target[y : y + h, x : x + w]

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


def _cut_off(needed: str) -> BlendError:
    return BlendError(
        "target-cut-off",
        f"This blend needs {needed}, and of the target a smaller part was given.",
        "Give as much of it as the method needs, or the whole target.",
    )


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
