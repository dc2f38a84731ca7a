"""Every message of protocol version 2: who sends it, which fields it must and may have, which rasters it carries."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from blend_daemon.protocol.framing import Message, invalid

Check = Callable[[Any], bool]


def _whole(value: Any) -> bool:
    return type(value) is int and abs(value) < 2**31


def _number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < math.inf  # false for NaN too


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 4096


def _job(value: Any) -> bool:
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


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


@dataclass(frozen=True)
class Form:
    """What a message of one type looks like: checks of its required and optional fields, and its rasters."""

    required: dict[str, Check] = field(default_factory=dict)
    optional: dict[str, Check] = field(default_factory=dict)
    rasters: frozenset[str] = frozenset()
    optional_rasters: frozenset[str] = frozenset()


FROM_CLIENT: dict[str, Form] = {
    "hello": Form(),
    "submit": Form(
        {"job": _job, "offset": _wholes(2), "parameters": _parameters},
        {"previews": lambda value: isinstance(value, bool)},
        frozenset({"source", "target"}),
        frozenset({"mask"}),
    ),
    "sketch": Form(
        {"job": _job, "offset": _wholes(2), "parameters": _parameters}, {}, frozenset({"source", "target"}), frozenset({"mask"})
    ),
    "adjust": Form({"job": _job, "sliders": _sliders}),
    "finish": Form({"job": _job}),
    "cancel": Form({"job": _job}),
    "status": Form(),
    "shutdown": Form(),
}

FROM_DAEMON: dict[str, Form] = {
    "welcome": Form({"version": _text, "pid": _whole, "log": _text}),
    "accepted": Form({"job": _job, "position": _whole}),
    "progress": Form(
        {
            "job": _job,
            "stage": _text,
            "evaluation": _whole,
            "evaluations": _whole,
            "loss": _number,
            "losses": _mapping,
            "seconds_left": _or_none(_number),
        }
    ),
    "preview": Form({"job": _job, "box": _wholes(4)}, rasters=frozenset({"layer"})),
    "sketched": Form({"job": _job, "box": _wholes(4)}, rasters=frozenset({"layer"})),
    "result": Form({"job": _job, "box": _wholes(4), "report": _mapping}, rasters=frozenset({"layer"})),
    "failed": Form({"code": _text, "message": _text, "hint": _text}, {"job": _job}),
    "cancelled": Form({"job": _job}),
    "status": Form({"status": _mapping}),
}

LAST = ("result", "failed", "cancelled")  # each job ends with exactly one of these


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
