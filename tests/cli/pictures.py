"""Picture files for the tests, written and read by libvips alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyvips


def save(path: Path, array: np.ndarray, **fields) -> Path:
    """Write a picture with libvips; `fields` are metadata."""
    array = np.ascontiguousarray(array)
    names = {1: ("b-w", "grey16"), 2: ("b-w", "grey16"), 3: ("srgb", "rgb16"), 4: ("srgb", "rgb16")}
    channels = array.shape[2] if array.ndim == 3 else 1
    image = pyvips.Image.new_from_array(array, interpretation=names[channels][array.dtype == np.uint16])
    for name, (kind, value) in fields.items():
        image.set_type(getattr(pyvips.GValue, kind), name.replace("_", "-"), value)
    image.write_to_file(str(path))
    return path


def load(path: Path) -> np.ndarray:
    array = pyvips.Image.new_from_file(str(path)).numpy()
    return array[:, :, None] if array.ndim == 2 else array
