"""What a model's author declares in the JSON beside its ONNX file: what goes in, in which form, and what comes out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from blend_protocol.errors import BlendError

PLANES = {"composite": 3, "mask": 1}  # what a model can be given, and its channels
LAYOUTS = ("NCHW", "NHWC")
DOC = "docs/methods.md describes it."


@dataclass(frozen=True)
class Manifest:
    """How a model is spoken to. All has a default.

    Attributes
    ----------
    title, licence : for lists
    inputs : what each input of the network holds, names in `PLANES` along its channels
    output : the name of the output with the image; "": it has one alone
    layout : "NCHW" or "NHWC", of all inputs and the output
    range : values of the composite's black and white
    mean, std : of RGB, in the units of `range`, by which the composite is then normalised
    mask_range : values of the mask outside and inside
    output_range : values of the output's black and white; not given: as `range`
    size : (height, width) that the model works at; None: its own if its input has one, else any
    multiple : the sides are multiples of this, where there is no `size`
    largest : px, a longer side is made smaller for the model, where there is no `size`
    seconds : how long it may take to load and to run
    """

    title: str = ""
    licence: str = ""
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"composite": ("composite",), "mask": ("mask",)})
    output: str = ""
    layout: str = "NCHW"
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    mask_range: tuple[float, float] = (0.0, 1.0)
    output_range: tuple[float, float] = (0.0, 1.0)
    size: tuple[int, int] | None = None
    multiple: int = 1
    largest: int = 1024
    seconds: float = 300.0

    @classmethod
    def parse(cls, text: bytes | str, culprit: str) -> Manifest:
        """Read and check. Raises BlendError `manifest-invalid`, which names the file `culprit`."""
        try:
            given = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BlendError("manifest-invalid", f"{culprit} is not JSON: {error}.", DOC) from error
        if not isinstance(given, dict):
            raise BlendError("manifest-invalid", f"{culprit} does not hold a JSON object.", DOC)
        for name, value in given.items():
            if name not in _FORMS:
                known = ", ".join(key.name for key in fields(cls))
                raise BlendError("manifest-invalid", f"{culprit} has an unknown key {name[:40]!r}.", f"Known are {known}.")
            fits, form = _FORMS[name]
            if not fits(value):
                raise BlendError("manifest-invalid", f"In {culprit}, {name} is {json.dumps(value)[:80]}.", f"It is {form}.")
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        if "inputs" in values:
            values["inputs"] = {name: tuple(planes) for name, planes in values["inputs"].items()}
        return cls(**{"output_range": values.get("range", cls.range), **values})

    def working_sizes(self, height: int, width: int, own: tuple[int, int] | None) -> tuple[tuple[int, int], tuple[int, int]]:
        """The sizes, (h, w), to which a window of `height` x `width` px is brought, and to which that is then padded.

        Parameters
        ----------
        own : the size that the network's input has, None where it takes any
        """
        if fixed := self.size or own:
            return fixed, fixed
        share = min(1.0, self.largest / max(height, width))
        sides = max(round(height * share), 1), max(round(width * share), 1)
        return sides, (-(-sides[0] // self.multiple) * self.multiple, -(-sides[1] // self.multiple) * self.multiple)


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) <= 1e6


def _whole(lowest: int, highest: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and lowest <= value <= highest


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 200 and value.isprintable()


def _list_of(fits: Callable[[Any], bool], count: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and len(value) == count and all(fits(v) for v in value)


def _range(value: Any) -> bool:
    return _list_of(_number, 2)(value) and value[0] != value[1]


def _inputs(value: Any) -> bool:
    if not isinstance(value, dict) or not all(isinstance(planes, list) and planes for planes in value.values()):
        return False
    planes = [plane for planes in value.values() for plane in planes]
    return planes in (["composite"], ["composite", "mask"], ["mask", "composite"])


_TEXT = (_text, "a text of at most 200 characters")
_RANGE = (_range, "two different numbers, for black and for white")
_FORMS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "title": _TEXT,
    "licence": _TEXT,
    "inputs": (_inputs, 'the input\'s names with lists of what they hold, each once: {"image": ["composite"], "mask": ["mask"]}'),
    "output": _TEXT,
    "layout": (lambda value: value in LAYOUTS, " or ".join(LAYOUTS)),
    "range": _RANGE,
    "mean": (_list_of(_number, 3), "three numbers"),
    "std": (_list_of(lambda value: _number(value) and value > 0, 3), "three numbers above 0"),
    "mask_range": (_range, "two different numbers, outside and inside"),
    "output_range": _RANGE,
    "size": (_list_of(_whole(1, 4096), 2), "a height and a width in pixels, 1 to 4096"),
    "multiple": (_whole(1, 1024), "a whole number from 1 to 1024"),
    "largest": (_whole(16, 4096), "a whole number of pixels from 16 to 4096"),
    "seconds": (lambda value: _number(value) and 0 < value <= 3600, "a number above 0, at most 3600"),
}
