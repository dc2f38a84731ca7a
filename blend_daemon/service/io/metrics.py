"""Figures of the daemon for Prometheus, in its text format, version 0.0.4.

Written by hand: a dozen gauges and counters that the status has anyway are less to keep than a library with a registry and threads.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from blend_protocol.errors import BlendError

REQUEST_LIMIT = 8192  # bytes
ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})  # of a label's value
PATIENCE = 5.0  # s that a client of this door is given to say what it wants


def address(text: str) -> tuple[str, int]:
    """Host and port of "127.0.0.1:PORT". Raises BlendError `metrics-address` for anything that is not this computer's loopback."""
    host, _, port = text.rpartition(":")
    with suppress(ValueError):
        if ipaddress.ip_address(host.strip("[]")).is_loopback and 0 <= int(port) < 2**16:
            return host.strip("[]"), int(port)
    raise BlendError(
        "metrics-address", f"{text!r} is no address for metrics.", "It looks like 127.0.0.1:9753; other computers are not served."
    )


async def serve(where: tuple[str, int], status: Callable[[], Mapping[str, Any]]) -> asyncio.Server:
    """Answer `GET /metrics`. Raises BlendError `metrics-address` if it cannot listen there."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                request = await reader.readuntil(b"\r\n\r\n")
                found = request.startswith(b"GET /metrics ")
                body = text(status()).encode() if found else b"See /metrics.\n"
                head = f"HTTP/1.1 {'200 OK' if found else '404 Not Found'}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
                await writer.drain()
        writer.close()

    try:
        return await asyncio.start_server(answer, *where, limit=REQUEST_LIMIT)
    except OSError as error:
        message = f"The metrics cannot be served at {where[0]}:{where[1]}: {error.strerror}."
        raise BlendError("metrics-address", message, "Choose another port.") from error


def text(status: Mapping[str, Any]) -> str:
    """A status in the text format."""
    lines: list[str] = []

    def labels(**values: object) -> str:
        return "{" + ",".join(f'{name}="{str(value).translate(ESCAPES)}"' for name, value in values.items()) + "}"

    def metric(name: str, kind: str, help: str, values: Mapping[str, float | None]) -> None:
        lines.extend([f"# HELP blend_daemon_{name} {help}", f"# TYPE blend_daemon_{name} {kind}"])
        lines.extend(f"blend_daemon_{name}{whose} {value}" for whose, value in values.items() if value is not None)

    workers = {labels(worker=number, device=worker["device"]): worker for number, worker in enumerate(status["workers"])}
    metric("info", "gauge", "Version of the daemon.", {labels(version=status["version"]): 1})
    metric("uptime_seconds", "gauge", "Time since the daemon started.", {"": status["uptime"]})
    metric("jobs_waiting", "gauge", "Jobs that wait.", {"": status["waiting"]})
    ends = {labels(end=end): status["ends"].get(end, 0) for end in ("result", "failed", "cancelled")}
    metric("jobs_ended_total", "counter", "Jobs that ended, by how.", ends)
    metric("results_kept", "gauge", "Results on disk that wait for their owners.", {"": status["results"]["count"]})
    metric("results_kept_bytes", "gauge", "Their size.", {"": status["results"]["bytes"]})
    metric("broker_memory_bytes", "gauge", "The broker's own memory.", {"": status["memory"]})
    metric("worker_memory_bytes", "gauge", "A worker's own memory.", {who: worker["memory"] for who, worker in workers.items()})
    metric("worker_computing", "gauge", "1 while a worker computes.", {who: int(w["state"] == "computing") for who, w in workers.items()})
    metric("worker_starts_total", "counter", "Processes that a worker has had.", {who: worker["starts"] for who, worker in workers.items()})
    return "\n".join(lines) + "\n"
