"""The worker process: keeps the network warm and computes one job at a time.

It speaks the client's protocol with the broker: `submit`, `cancel` and `finish` come in, the rest goes out. `welcome` tells that
the network is loaded.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

import numpy as np
import zmq

from blend_daemon import __version__
from blend_daemon.engine import Cancelled, Directive, Parameters, Problem, Progress, blend, warm
from blend_daemon.errors import BlendError
from blend_daemon.protocol import framing, runtime
from blend_daemon.protocol.framing import Message, Raster

PROGRESS_INTERVAL = 0.1
PREVIEW_INTERVAL = 0.4


def main(address: str, device: str) -> None:
    """Serve the broker at `address` until it goes."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    socket = zmq.Context().socket(zmq.PAIR)
    socket.linger = 1000
    socket.connect(address)
    try:
        name = warm(device)
    except BlendError as error:
        # Each job will tell the same to its user; a worker that refuses to start could only be restarted for ever.
        name = f"{device} ({error})"
    _send(socket, Message("welcome", {"version": __version__, "pid": os.getpid(), "log": str(runtime.log_path()), "device": name}))
    while True:
        message = framing.decode([frame.buffer for frame in socket.recv_multipart(copy=False)])
        if message.type == "submit":  # a cancel that crossed with the end of its job is late and has nothing to do
            _send(socket, _work(socket, message, device))


def _die_with_parent() -> None:
    # The broker holds the other end of stdin; it closes however the broker ends.
    sys.stdin.buffer.read()
    os._exit(0)


def _work(socket: zmq.Socket, message: Message, device: str) -> Message:
    job = {"job": message.header["job"]}
    try:
        rasters = {name: _array(raster) for name, raster in message.rasters.items()}
        given = dict(message.header["parameters"])
        if given.get("device", "auto") == "auto":
            given["device"] = device
        parameters = Parameters.from_mapping(given)
        problem = Problem.from_arrays(rasters["source"], rasters["target"], rasters.get("mask"), tuple(message.header["offset"]))
        result = blend(problem, parameters, _Observer(socket, message))
    except Cancelled:
        return Message("cancelled", job)
    except BlendError as error:
        return Message("failed", {**job, "code": error.code, "message": str(error), "hint": error.hint})
    return Message("result", {**job, "box": list(result.box), "report": result.report}, {"layer": _raster(result.layer)})


class _Observer:
    def __init__(self, socket: zmq.Socket, message: Message) -> None:
        self._socket, self._job = socket, message.header["job"]
        self._previews = message.header.get("previews", False)
        self._told = self._shown = 0.0

    def __call__(self, progress: Progress) -> Directive | None:
        now = time.monotonic()
        if now - self._told > PROGRESS_INTERVAL or progress.evaluation == progress.evaluations:
            self._told = now
            header = {
                "job": self._job, "stage": progress.stage, "evaluation": progress.evaluation, "evaluations": progress.evaluations,
                "loss": progress.loss, "losses": progress.losses, "seconds_left": progress.seconds_left,
            }  # fmt: skip
            _send(self._socket, Message("progress", header))
        if self._previews and now - self._shown > PREVIEW_INTERVAL:
            self._shown = now
            header = {"job": self._job, "box": list(progress.box)}
            _send(self._socket, Message("preview", header, {"layer": _raster(progress.preview())}))
        directive = None
        while self._socket.poll(0):
            word = framing.decode(self._socket.recv_multipart())
            if word.header.get("job") == self._job and word.type in ("cancel", "finish"):
                directive = Directive(word.type)
        return directive


def _array(raster: Raster) -> Any:
    return np.frombuffer(raster.data, raster.dtype).reshape(raster.shape)


def _raster(array: Any) -> Raster:
    array = np.ascontiguousarray(array)
    return Raster(array.dtype.name, array.shape, array.data.cast("B"))


def _send(socket: zmq.Socket, message: Message) -> None:
    socket.send_multipart(framing.encode(message), copy=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
