"""The two things a worker computes, a blend and a sketch. Each answers with a message whatever happens: an error is its own alone."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from blend_daemon import engine
from blend_daemon.unforeseen import is_of_memory
from blend_protocol import framing, runtime
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message, Raster

if TYPE_CHECKING:
    from blend_daemon.engine import Parameters, Problem, Progress
    from blend_daemon.service.worker.computation import Observe


def blend(message: Message, device: str, observe: Observe) -> Message:
    """The last message of a job."""

    def compute() -> Message:
        problem, parameters, notes = _read(message, device)
        result = engine.blend(problem, parameters, observe)
        result.report["notes"] += notes
        header = {"job": message.header["job"], "box": list(result.box), "report": result.report}
        start = {} if result.start is None else {"start": _raster(result.start)}
        return Message("result", header, {"layer": _raster(result.layer), **start})

    return _answered(message, compute)


def sketch(message: Message, device: str) -> Message:
    """The answer to `sketch`."""

    def compute() -> Message:
        problem, parameters, _notes = _read(message, device)
        layer = engine.sketch(problem, parameters)
        return Message("sketched", {"job": message.header["job"], "box": list(problem.box)}, {"layer": _raster(layer)})

    return _answered(message, compute)


def progress(message: Message, news: Progress) -> Message:
    """What a job's client is told between two evaluations."""
    header = {
        "job": message.header["job"], "stage": news.stage, "evaluation": news.evaluation, "evaluations": news.evaluations,
        "loss": news.loss, "losses": news.losses, "seconds_left": news.seconds_left,
    }  # fmt: skip
    return Message("progress", header)


def preview(message: Message, news: Progress) -> Message:
    """The blend as it stands."""
    return Message("preview", {"job": message.header["job"], "box": list(news.box)}, {"layer": _raster(news.preview())})


def _answered(message: Message, compute: Callable[[], Message]) -> Message:
    """What a task computes, or why it has none."""
    job = {"job": message.header["job"]}
    try:
        answer = compute()
        framing.encode(answer)  # what cannot be sent is an error of this task, too
        return answer
    except engine.Cancelled:
        return Message("cancelled", job)
    except BlendError as error:
        failed = error
    except BaseException as error:
        traceback.print_exc()  # the broker writes it into the log
        failed = _unforeseen(error)
    return Message("failed", {**job, "code": failed.code, "message": str(failed), "hint": failed.hint})


def _unforeseen(error: BaseException) -> BlendError:
    if is_of_memory(error):
        message, hint = "There is not enough memory for this.", "Close other programs, or make the selection smaller."
        return BlendError("out-of-memory", message, hint)
    what = " ".join(f"{type(error).__name__}: {error}".split())
    message = f"The computation met an error that should not happen ({what[:200]})."
    return BlendError("unforeseen", message, f"Please report it with the log, {runtime.log_path()}.")


def _read(message: Message, device: str) -> tuple[Problem, Parameters, list[str]]:
    """What to blend, and what of the mask was understood in one way of several."""
    from blend_daemon.engine.raster.mask import understood_in

    rasters = {name: _array(raster) for name, raster in message.rasters.items()}
    given = dict(message.header["parameters"])
    if given.get("device", "auto") == "auto":
        given["device"] = device
    parameters = engine.Parameters.from_mapping(given)
    source, mask, notes = understood_in(rasters["source"], rasters.get("mask"))
    header = message.header
    canvas = tuple(header["canvas"]) if "canvas" in header else None
    problem = engine.Problem.from_arrays(
        source, rasters["target"], mask, tuple(header["offset"]), tuple(header.get("corner", (0, 0))), canvas, rasters.get("samples")
    )
    return problem, parameters, notes


def _array(raster: Raster) -> Any:
    return np.frombuffer(raster.data, raster.dtype).reshape(raster.shape)


def _raster(array: Any) -> Raster:
    array = np.ascontiguousarray(array)
    return Raster(array.dtype.name, array.shape, array.data.cast("B"))
