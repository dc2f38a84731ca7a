"""Every message of protocol version 5: who sends it, which fields it must and may have, which rasters it carries."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from blend_protocol.framing import Message, invalid

Check = Callable[[Any], bool]

LABEL_LIMIT = 200  # characters of a picture's or a layer's name


def _whole(value: Any) -> bool:
    return type(value) is int and abs(value) < 2**31


def _number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < math.inf  # false for NaN too


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 4096


def _id(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32}", value) is not None


def _wholes(count: int) -> Check:
    return lambda value: isinstance(value, list) and len(value) == count and all(_whole(v) for v in value)


def _mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _parameters(value: Any) -> bool:
    # Plain values only: what is nested too deep, or NaN, could be read but not sent on to the worker.
    return isinstance(value, dict) and all(isinstance(v, bool) or _text(v) or _number(v) for v in value.values())


def _sliders(value: Any) -> bool:
    return isinstance(value, dict) and len(value) <= 16 and all(_number(v) and 0 <= v <= 100 for v in value.values())


def _label(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"image", "layer"} and all(_text(v) and len(v) <= LABEL_LIMIT for v in value.values())


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _mappings(value: Any) -> bool:
    return isinstance(value, list) and all(_mapping(v) for v in value)


def _models(value: Any) -> bool:
    return _mappings(value) and all(set(v) == {"name", "title"} and all(_text(text) for text in v.values()) for v in value)


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


@dataclass(frozen=True)
class Form:
    """What a message of one type looks like: checks of its required and optional fields, and its rasters."""

    required: dict[str, Check] = field(default_factory=dict)
    optional: dict[str, Check] = field(default_factory=dict)
    rasters: frozenset[str] = frozenset()
    optional_rasters: frozenset[str] = frozenset()


_PLACE: dict[str, Check] = {"corner": _wholes(2), "canvas": _wholes(2)}  # of a target that is a part of the canvas
_OWN_JOB: dict[str, Check] = {"job": _id, "owner": _id}

FROM_CLIENT: dict[str, Form] = {
    "hello": Form(),
    "submit": Form(
        {**_OWN_JOB, "offset": _wholes(2), "parameters": _parameters},
        {**_PLACE, "previews": _truth, "keep": _truth, "label": _label},
        frozenset({"source", "target"}),
        frozenset({"mask", "samples"}),
    ),
    "sketch": Form(
        {"job": _id, "offset": _wholes(2), "parameters": _parameters},
        _PLACE,
        frozenset({"source", "target"}),
        frozenset({"mask", "samples"}),
    ),
    "adjust": Form({**_OWN_JOB, "sliders": _sliders}),
    "finish": Form(_OWN_JOB),
    "cancel": Form(_OWN_JOB),
    "models": Form(),
    "results": Form({"owner": _id}),
    "fetch": Form(_OWN_JOB),
    "release": Form(_OWN_JOB),
    "status": Form(),
    "shutdown": Form(),
}

FROM_DAEMON: dict[str, Form] = {
    "welcome": Form({"version": _text, "pid": _whole, "log": _text}),
    "accepted": Form({"job": _id, "position": _whole, "seconds_to_start": _or_none(_number)}),
    "progress": Form(
        {
            "job": _id,
            "stage": _text,
            "evaluation": _whole,
            "evaluations": _whole,
            "loss": _number,
            "losses": _mapping,
            "seconds_left": _or_none(_number),
        }
    ),
    "preview": Form({"job": _id, "box": _wholes(4)}, rasters=frozenset({"layer"})),
    "sketched": Form({"job": _id, "box": _wholes(4)}, rasters=frozenset({"layer"})),
    "result": Form(
        {"job": _id, "box": _wholes(4), "report": _mapping}, rasters=frozenset({"layer"}), optional_rasters=frozenset({"start"})
    ),
    "failed": Form({"code": _text, "message": _text, "hint": _text}, {"job": _id}),
    "cancelled": Form({"job": _id}),
    "models": Form({"models": _models}),
    "results": Form({"results": _mappings}),
    "released": Form({"job": _id}),
    "status": Form({"status": _mapping}),
}

LAST = ("result", "failed", "cancelled")  # each job ends with exactly one of these
PASSING = ("progress", "preview")  # the next one says more; not sent to who has not read the one before


def check(message: Message, forms: dict[str, Form]) -> Message:
    """The message, if it is of a known type and has the fields of its form. Raises BlendError `message-invalid`."""
    form = forms.get(message.type)
    if form is None:
        raise invalid(f"its type {message.type[:40]!r} is not known")
    for name, fits in form.required.items():
        if name not in message.header or not fits(message.header[name]):
            raise invalid(f"{message.type} lacks a proper {name}")
    for name, value in message.header.items():
        if name not in form.required and not (name in form.optional and form.optional[name](value)):
            raise invalid(f"{message.type} has an unknown or wrong field {name[:40]!r}")
    names = set(message.rasters)
    if not form.rasters <= names or not names <= form.rasters | form.optional_rasters:
        raise invalid(f"{message.type} carries the wrong rasters")
    return message
