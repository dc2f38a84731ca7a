"""Three files that make one problem."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from blend_daemon.engine.raster.pixels import Raster
from blend_daemon.engine.raster.problem import Problem
from blend_daemon.images.colour import in_colours_of
from blend_daemon.images.mask import mask_of, with_alpha_understood
from blend_daemon.images.picture import Picture
from blend_daemon.images.reading import read


class Scene(NamedTuple):
    """Source, mask and target as they were understood.

    Attributes
    ----------
    problem : what the engine blends
    mask : as given to it; None where the source's alpha is the mask
    target : the target's picture, for writing another like it
    notes : for the user
    """

    problem: Problem
    mask: Raster | None
    target: Picture
    notes: list[str]


def read_scene(source: Path, mask: Path | None, target: Path, offset: tuple[int, int]) -> Scene:
    """Read the files. Raises BlendError as `read`, `mask_of`, `in_colours_of` and `Problem.from_arrays` do."""
    canvas, pasted = read(target, "target"), read(source, "source")
    notes = [*canvas.notes, *pasted.notes]
    raster, told = with_alpha_understood(pasted)
    values = None
    if mask is not None:
        drawn = read(mask, "mask")
        values, more = mask_of(drawn)
        notes += [*drawn.notes, *more]
    notes += told
    return Scene(
        Problem.from_arrays(in_colours_of(replace(pasted, raster=raster), canvas), canvas.raster, values, offset), values, canvas, notes
    )
