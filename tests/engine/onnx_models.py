"""Small ONNX models, made with ONNX's own helpers: well-behaved ones, and such as nobody should bring."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

SHIFT = np.array([0.12, -0.08, 0.04], np.float32)

node = helper.make_node


def written(folder: Path, name: str, model: ModelProto, **manifest) -> Path:
    """The file of a model, with its manifest beside it."""
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    path.with_suffix(".json").write_text(json.dumps(manifest))
    return path


def model(nodes, constants=(), inputs=None, channels=3, size=("h", "w"), last=False, opsets=(("", 17),)) -> ModelProto:
    """Nodes from the inputs, by default composite and mask, to `out`; `last`: the channels are the last axis."""
    shape = lambda count: [1, *size, count] if last else [1, count, *size]
    inputs = inputs or {"composite": 3, "mask": 1}
    graph = helper.make_graph(
        nodes, "model", [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape(count)) for name, count in inputs.items()],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape(channels))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(*opset) for opset in opsets], ir_version=9)


def tint(**more) -> ModelProto:
    """composite + mask * SHIFT."""
    return model(
        [node("Mul", ["mask", "shift"], ["under"]), node("Add", ["composite", "under"], ["out"])],
        {"shift": SHIFT.reshape(1, 3, 1, 1)},
        **more,
    )


def tint_amid_dark(**more) -> ModelProto:
    """composite + mask * SHIFT - (1 - mask) / 2."""
    nodes = [
        node("Mul", ["mask", "shift"], ["under"]),
        node("Add", ["composite", "under"], ["tinted"]),
        node("Sub", ["mask", "one"], ["around"]),
        node("Mul", ["around", "half"], ["dark"]),
        node("Add", ["tinted", "dark"], ["out"]),
    ]
    return model(nodes, {"shift": SHIFT.reshape(1, 3, 1, 1), "one": np.float32(1), "half": np.float32(0.5)}, **more)


def identity(**more) -> ModelProto:
    return model([node("Identity", ["composite"], ["out"])], **more)


def adding(value: float, **more) -> ModelProto:
    """composite + value."""
    return model([node("Add", ["composite", "value"], ["out"])], {"value": np.float32(value)}, **more)


def one_input(last: bool) -> ModelProto:
    """The same as `tint`, from one input of four channels."""
    axis = 3 if last else 1
    shape = (1, 1, 1, 3) if last else (1, 3, 1, 1)
    return model(
        [
            node("Split", ["both", "parts"], ["composite", "mask"], axis=axis),
            node("Mul", ["mask", "shift"], ["under"]),
            node("Add", ["composite", "under"], ["out"]),
        ],
        {"parts": np.array([3, 1], np.int64), "shift": SHIFT.reshape(shape)},
        inputs={"both": 4},
        last=last,
    )


def endless() -> ModelProto:
    """A loop whose condition stays true."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Identity", ["go"], ["on"]), node("Add", ["image", "none"], ["same"])], "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("image", TensorProto.FLOAT, None)],
        [value("on", TensorProto.BOOL, []), value("same", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.float32(0), "none")],
    )  # fmt: skip
    return model([node("Loop", ["", "true", "composite"], ["out"], body=body)], {"true": np.bool_(True)})


def one_long_step() -> ModelProto:
    """One operator that compares each of 400,000 boxes with all others, a minute or so, and that nothing interrupts."""
    count = 400_000
    left = np.arange(count, dtype=np.float32)
    boxes = np.stack([left, 0 * left, left + 0.5, 0 * left + 1], axis=1)[None]
    return model(
        [
            node("ReduceMax", ["composite"], ["overlap"], keepdims=0),  # so that it is not computed when the model is loaded
            node("NonMaxSuppression", ["boxes", "scores", "all", "overlap"], ["kept"]),
            node("Cast", ["kept"], ["numbers"], to=TensorProto.FLOAT),
            node("ReduceMin", ["numbers"], ["nothing"], keepdims=0),
            node("Add", ["composite", "nothing"], ["out"]),
        ],
        {"boxes": boxes, "scores": np.ones((1, 1, count), np.float32), "all": np.array([count], np.int64)},
    )


def elsewhere(location: str, inside: bool = False) -> ModelProto:
    """`tint` whose constant lies in another file; `inside`: in an attribute of a node in a loop's body."""
    made = tint()
    (tensor,) = made.graph.initializer
    if inside:
        made = endless()
        (tensor,) = made.graph.node[0].attribute[0].g.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, text in (("location", location), ("offset", "0"), ("length", "12")):
        tensor.external_data.add(key=key, value=text)
    return made


def foreign(inside: bool = False) -> ModelProto:
    """With an operator of the runtime's own domain; `inside`: in the body of a loop."""
    made = endless() if inside else model([node("Gelu", ["composite"], ["out"], domain="com.microsoft")])
    if inside:
        made.graph.node[0].attribute[0].g.node[1].domain = "com.microsoft"
    made.opset_import.add(domain="com.microsoft", version=1)
    return made
