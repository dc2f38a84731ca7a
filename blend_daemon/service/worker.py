"""The worker process: keeps the network warm and computes one job at a time.

It speaks the client's protocol with the broker: jobs, sketches and words about the running job come in, the rest goes out. `status` tells
that the network's weights are being fetched, where there are none yet, `welcome` that the network is loaded, `accepted` that a job, or an
`adjust` of it, has been read.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import zmq

from blend_daemon import engine
from blend_protocol import __version__, framing, runtime
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message, Raster

if TYPE_CHECKING:
    from blend_daemon.engine import Directive, Parameters, Problem, Progress

FETCHING = "fetching"  # the device's name while the network's weights are fetched
PROGRESS_INTERVAL = 0.1
PREVIEW_INTERVAL = 0.4
NICENESS = 5  # the broker, and whatever the user is doing, come first


def main(address: str, device: str) -> None:
    """Serve the broker at `address` until it goes."""
    os.nice(NICENESS)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    from blend_daemon.engine.network import weights  # only now: torch takes seconds to load, in which the broker may go

    socket = zmq.Context().socket(zmq.PAIR)
    socket.linger = 1000
    socket.connect(address)
    try:
        if not weights.path().exists():
            weights.ensure(lambda step: _send(socket, Message("status", {"status": {"device": FETCHING, "step": step}})))
        name = engine.warm(device)
    except BlendError as error:
        # Each job will tell the same to its user; a worker that refuses to start could only be restarted for ever.
        name = f"{device} ({error})"
    _send(socket, Message("welcome", {"version": __version__, "pid": os.getpid(), "log": str(runtime.log_path()), "device": name}))
    while True:
        message = framing.decode([frame.buffer for frame in socket.recv_multipart(copy=False)])
        if message.type == "submit":  # a cancel that crossed with the end of its job is late and has nothing to do
            _send(socket, Message("accepted", {"job": message.header["job"]}))
            _send(socket, _work(socket, message, device))
        elif message.type == "sketch":
            _send(socket, _sketch(message, device))


def _die_with_parent() -> None:
    # The broker holds the other end of stdin; it closes however the broker ends.
    os.read(sys.stdin.fileno(), 1)  # unbuffered: no lock of a stream's that would be in the way of an ordinary end
    os._exit(0)


def _work(socket: zmq.Socket, message: Message, device: str) -> Message:
    job = {"job": message.header["job"]}
    try:
        problem, parameters = _task(message, device)
        result = engine.blend(problem, parameters, _Observer(socket, message, device))
    except engine.Cancelled:
        return Message("cancelled", job)
    except BlendError as error:
        return _failed(error, job)
    return Message("result", {**job, "box": list(result.box), "report": result.report}, {"layer": _raster(result.layer)})


def _sketch(message: Message, device: str) -> Message:
    job = {"job": message.header["job"]}
    try:
        problem, parameters = _task(message, device)
        return Message("sketched", {**job, "box": list(problem.box)}, {"layer": _raster(engine.sketch(problem, parameters))})
    except BlendError as error:
        return _failed(error, job)


def _task(message: Message, device: str) -> tuple[Problem, Parameters]:
    rasters = {name: _array(raster) for name, raster in message.rasters.items()}
    given = dict(message.header["parameters"])
    if given.get("device", "auto") == "auto":
        given["device"] = device
    parameters = engine.Parameters.from_mapping(given)
    problem = engine.Problem.from_arrays(rasters["source"], rasters["target"], rasters.get("mask"), tuple(message.header["offset"]))
    return problem, parameters


def _failed(error: BlendError, job: dict[str, str]) -> Message:
    return Message("failed", {**job, "code": error.code, "message": str(error), "hint": error.hint})


class _Observer:
    def __init__(self, socket: zmq.Socket, message: Message, device: str) -> None:
        self._socket, self._job, self._device = socket, message.header["job"], device
        self._previews = message.header.get("previews", False)
        self._told = self._shown = 0.0

    def __call__(self, progress: Progress) -> Directive | Mapping[str, float] | None:
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
        directive, sliders = None, {}
        while self._socket.poll(0):
            word = framing.decode([frame.buffer for frame in self._socket.recv_multipart(copy=False)])
            if word.type == "sketch":
                _send(self._socket, _sketch(word, self._device))
            elif word.header.get("job") == self._job and word.type in ("cancel", "finish"):
                directive = engine.Directive(word.type)
            elif word.header.get("job") == self._job and word.type == "adjust":
                sliders.update(word.header["sliders"])
        if sliders:  # after the loop, which a client that never stops adjusting must not keep here
            _send(self._socket, Message("accepted", {"job": self._job}))
        return directive or sliders or None


def _array(raster: Raster) -> Any:
    return np.frombuffer(raster.data, raster.dtype).reshape(raster.shape)


def _raster(array: Any) -> Raster:
    array = np.ascontiguousarray(array)
    return Raster(array.dtype.name, array.shape, array.data.cast("B"))


def _send(socket: zmq.Socket, message: Message) -> None:
    socket.send_multipart(framing.encode(message), copy=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
