"""What the broker answers about itself and its results: welcome, status, the lists of models and results, notes in a report."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from blend_daemon import models
from blend_daemon.service import memory
from blend_daemon.service.jobs import Queue
from blend_daemon.service.pool import Worker
from blend_daemon.service.store import Entry, Store
from blend_protocol import __version__, framing, runtime
from blend_protocol.framing import Message


def status(workers: Sequence[Worker], queue: Queue, store: Store, ends: Counter[str], uptime: float, listen: str | None) -> dict[str, Any]:
    """What `status` says, see docs/protocol.md.

    Parameters
    ----------
    ends : how many jobs have ended with which message
    uptime : s
    listen : the TCP address, if there is one
    """
    results, size = store.size()
    return {
        "version": __version__,
        "protocol": framing.VERSION,
        "pid": os.getpid(),
        "worker": next((worker.pid for worker in workers if worker.pid), None),
        "uptime": round(uptime, 1),
        "device": ", ".join(dict.fromkeys(worker.device for worker in workers)),
        "running": queue.running[0].id if queue.running else None,
        "waiting": len(queue),
        "ended": ends.total(),
        "ends": dict(ends),
        "worker_starts": sum(worker.starts for worker in workers),
        "memory": memory.resident("self"),
        "workers": [
            {
                "pid": worker.pid, "device": worker.device, "state": worker.state, "job": worker.job and worker.job.id,
                "sketches": len(worker.sketches), "memory": worker.pid and memory.resident(worker.pid), "starts": worker.starts,
            }
            for worker in workers
        ],
        "results": {"count": results, "bytes": size},
        "log": str(runtime.log_path()),
        "listen": listen,
    }  # fmt: skip


def welcome() -> Message:
    """Who this daemon is."""
    return Message("welcome", {"version": __version__, "pid": os.getpid(), "log": str(runtime.log_path())})


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


def _first(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first of the rows, as many as a header holds."""
    first, room = [], framing.HEADER_LIMIT - 256
    for row in rows:
        room -= len(json.dumps(row, separators=(",", ":"))) + 1
        if room < 0:
            break
        first.append(row)
    return first
