"""What the broker answers: why not, the lists of models and results, notes in a report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from blend_daemon import models
from blend_daemon.service.events import Entry
from blend_protocol import framing
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message


def failed(error: BlendError, job: str | None = None) -> Message:
    """Why something was not done; of a job if it is about one."""
    about = {"job": job} if job else {}
    return Message("failed", {**about, "code": error.code, "message": str(error), "hint": error.hint})


def size(message: Message) -> int:
    """Bytes of a message's pictures."""
    return sum(len(raster.data) for raster in message.rasters.values())


def noted(result: Message, *notes: str) -> Message:
    """A result whose report has these notes besides."""
    report = result.header["report"]
    return Message(result.type, {**result.header, "report": {**report, "notes": [*report.get("notes", ()), *notes]}}, result.rasters)


def listed_models() -> list[dict[str, Any]]:
    """Name and title of the models that the user added, as many as a header holds."""
    return _first({"name": name, "title": models.title(name)} for name in models.names())


def listed_results(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The first of the entries, as many as a header holds."""
    return _first(_about(entry) for entry in entries)


def _about(entry: Entry) -> dict[str, Any]:
    about = {"job": entry.job, "label": dict(entry.label), "ended": entry.ended}
    return about | ({"cut": True} if entry.box is None else {"box": list(entry.box), "bytes": entry.bytes})


def _first(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The first of the rows, as many as a header holds."""
    first, room = [], framing.HEADER_LIMIT - 256
    for row in rows:
        room -= len(json.dumps(row, separators=(",", ":"))) + 1
        if room < 0:
            break
        first.append(dict(row))
    return first
