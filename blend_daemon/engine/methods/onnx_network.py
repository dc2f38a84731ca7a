"""A network from an ONNX file that someone brings: checked before it is loaded, and run on the CPU within a limit of time.

ONNX is data, a graph of operators with their constants, so that nothing is unpickled. Two of its features could still reach out of the
file, and are refused: constants that lie in other files, and operators beyond the standard's own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blend_daemon.engine.methods.limited import Failed, Limit, T, TimeIsUp
from blend_daemon.manifest import PLANES, Manifest
from blend_protocol.errors import BlendError

STANDARD = ("", "ai.onnx")  # the domains of the standard's operators


class Network:
    """Composite and mask in, image out.

    Parameters
    ----------
    data : the ONNX file
    manifest : how to speak to it
    name : for errors
    wanted : called now and then while it loads and runs; what it raises ends that

    Raises
    ------
    BlendError
        `model-support-missing`, `model-invalid`, `model-unfit` if manifest and file do not agree, `model-too-slow`
    """

    def __init__(self, data: bytes, manifest: Manifest, name: str, wanted: Callable[[], None]) -> None:
        self._manifest, self._name, self._limit = manifest, name, Limit(manifest.seconds, wanted)
        onnx, self._runtime = _libraries()
        _check(onnx, data, name)
        options = self._runtime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised
        options.intra_op_num_threads = torch.get_num_threads()
        # Threads that spin while they wait would slow whatever else wants the cores, such as GIMP.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.load_model_format", "ONNX")  # as it was checked, and no other that the library knows
        load = lambda: self._runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self._session = self._limited(load, lambda: options.set_load_cancellation_flag(True), "model-invalid", "cannot be loaded")
        self._check_fit()

    def working_sizes(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """See `Manifest.working_sizes`."""
        shape = self._session.get_inputs()[0].shape
        own = tuple(shape[1:3] if self._manifest.layout == "NHWC" else shape[2:])
        return self._manifest.working_sizes(height, width, own if all(isinstance(side, int) for side in own) else None)

    def __call__(self, composite: Tensor, mask: Tensor) -> Tensor:
        """The image that the network makes of a composite, (3, h, w) in 0..1, and its mask, (h, w) in 0..1: (3, h, w) in 0..1.

        Raises
        ------
        BlendError
            `model-failed`, `model-too-slow`
        """
        m = self._manifest
        planes = {"composite": (_scaled(composite, m.range) - _column(m.mean)) / _column(m.std), "mask": _scaled(mask, m.mask_range)[None]}
        feed = {name: self._outwards(torch.cat([planes[plane] for plane in held])) for name, held in m.inputs.items()}
        options = self._runtime.RunOptions()
        options.log_severity_level = 4
        run = lambda: self._session.run([self._output], feed, options)[0]
        out = self._limited(run, lambda: setattr(options, "terminate", True), "model-failed", "failed")
        wanted = self._outwards(composite).shape
        if out.shape != wanted:
            raise self._error("model-failed", f"gave an output of shape {out.shape} where {wanted} was due")
        if not np.isfinite(out).all():
            raise self._error("model-failed", "gave values that are not finite numbers")
        low, high = m.output_range
        image = torch.from_numpy(out[0]).permute(*((2, 0, 1) if m.layout == "NHWC" else (0, 1, 2)))
        return ((image - low) / (high - low)).clamp(0, 1)

    def _outwards(self, image: Tensor) -> np.ndarray:
        """(c, h, w) as the network has it, a batch of one."""
        return np.ascontiguousarray(image.permute(*((1, 2, 0) if self._manifest.layout == "NHWC" else (0, 1, 2)))[None].numpy())

    def _limited(self, work: Callable[[], T], stop: Callable[[], None], code: str, how: str) -> T:
        try:
            return self._limit.run(work, stop)
        except TimeIsUp:
            raise BlendError(
                "model-too-slow",
                f"The model {self._name} took more than {self._manifest.seconds:g} s and was ended.",
                "Make the selection smaller, or raise `seconds` in its manifest.",
            ) from None
        except Failed as error:
            raise self._error(code, f"{how}: {error}") from error

    def _check_fit(self) -> None:
        """That the network has the manifest's inputs and output."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        found, wanted = sorted(end.name for end in inputs), sorted(self._manifest.inputs)
        if found != wanted:
            raise self._error("model-unfit", f"has the inputs {', '.join(found)}, where its manifest names {', '.join(wanted)}")
        named = [end for end in outputs if self._manifest.output in ("", end.name)]
        if len(named) != 1:
            raise self._error("model-unfit", f"has the outputs {', '.join(end.name for end in outputs)}; its manifest must name one")
        self._output = named[0].name
        for end in inputs:
            self._check_end(end, sum(PLANES[plane] for plane in self._manifest.inputs[end.name]))
        self._check_end(named[0], 3)

    def _check_end(self, end: Any, channels: int) -> None:
        shape = end.shape
        found = shape[3 if self._manifest.layout == "NHWC" else 1] if len(shape) == 4 else 0
        # An axis of any length has a name, or None. An output may come without a shape; then it shows when it is there.
        if end.type != "tensor(float)" or (shape and isinstance(found, int) and found != channels):
            due = f"32-bit floats, {self._manifest.layout} with {channels} channels, are due"
            raise self._error("model-unfit", f"has {end.name} as {end.type} {shape}, where {due}")

    def _error(self, code: str, what: str) -> BlendError:
        return _error(code, self._name, what, "See docs/methods.md for what a model and its manifest must be.")


def _error(code: str, name: str, what: str, hint: str) -> BlendError:
    # Words from a file or a library: of any length, on any number of lines.
    return BlendError(code, f"The model {name} {' '.join(what.split()).rstrip('.')[:400]}.", hint)


def _libraries() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise BlendError(
            "model-support-missing",
            f"Models need the Python packages onnx and onnxruntime: {error}.",
            f"Run `{sys.executable} -m pip install onnx onnxruntime`.",
        ) from error
    return onnx, onnxruntime


def _check(onnx: Any, data: bytes, name: str) -> None:
    from google.protobuf.message import DecodeError

    refused = lambda what, hint: _error("model-invalid", name, what, hint)
    if data[:4] == b"PK\3\4" or data[:1] == b"\x80":
        hint = "Save it as ONNX where its code is: torch.onnx.export(network, (composite, mask), 'model.onnx', external_data=False)."
        raise refused("is no ONNX file but an archive as PyTorch writes it, which holds pickled code", hint)
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise refused("is no ONNX file, or it is damaged", "Export it again.") from error
    own = {(function.domain, function.name) for function in model.functions}
    for part in _parts(model):
        if isinstance(part, onnx.TensorProto) and (part.data_location == onnx.TensorProto.EXTERNAL or part.external_data):
            hint = "Make it one file: onnx.save(onnx.load('model.onnx'), 'whole.onnx')."
            raise refused(f"keeps {part.name or 'a constant'!r} in another file", hint)
        if isinstance(part, onnx.NodeProto) and part.domain not in STANDARD and (part.domain, part.op_type) not in own:
            raise refused(f"has the operator {part.domain}.{part.op_type}, which is not of the ONNX standard", "Export it without.")


def _parts(message: Any) -> Iterator[Any]:
    """A message and all in it, at any depth."""
    from google.protobuf.message import Message

    yield message
    for _, value in message.ListFields():
        if isinstance(value, Message):
            yield from _parts(value)
        elif not isinstance(value, str | bytes | int | float):
            for item in value:
                if not isinstance(item, Message):
                    break
                yield from _parts(item)


def _scaled(values: Tensor, ends: tuple[float, float]) -> Tensor:
    return ends[0] + values * (ends[1] - ends[0])


def _column(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1)
