from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from blend_protocol import framing, messages
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message, Raster

JOB = "0123456789abcdef0123456789abcdef"
OWNER = "f" * 32
OWN = {"job": JOB, "owner": OWNER}
LABEL = {"image": "beach.xcf", "layer": "Cat"}
GREY = Raster("uint8", (2, 3, 1), bytes(range(6)))
LAYER = Raster("float32", (1, 2, 4), struct.pack("8f", *range(8)))
GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())

MESSAGES = {
    "hello": Message("hello"),
    "submit": Message(
        "submit",
        {**OWN, "offset": [-3, 4], "parameters": {"preset": "draft", "seed": 1}, "previews": True, "keep": True, "label": LABEL},
        {"source": Raster("uint16", (1, 1, 3), b"\1\0\2\0\3\0"), "target": GREY, "mask": GREY},
    ),
    "sketch": Message("sketch", {"job": JOB, "offset": [0, 1], "parameters": {"style": 20.5}}, {"source": GREY, "target": GREY}),
    "submit?": Message(
        "submit",
        {**OWN, "offset": [5, 6], "parameters": {}, "corner": [4, 5], "canvas": [600, 400]},
        {"source": GREY, "target": GREY, "samples": GREY},
    ),
    "adjust": Message("adjust", {**OWN, "sliders": {"style": 20.5}}),
    "finish": Message("finish", OWN),
    "cancel": Message("cancel", OWN),
    "models?": Message("models"),
    "results?": Message("results", {"owner": OWNER}),
    "fetch": Message("fetch", OWN),
    "release": Message("release", OWN),
    "status?": Message("status"),
    "shutdown": Message("shutdown"),
    "welcome": Message("welcome", {"version": "0.1.0", "pid": 7, "log": "/log"}),
    "accepted": Message("accepted", {"job": JOB, "position": 2, "seconds_to_start": 30.5}),
    "progress": Message(
        "progress",
        {"job": JOB, "stage": "stage 1", "evaluation": 3, "evaluations": 9, "loss": 0.5, "losses": {"style": 0.25}, "seconds_left": None},
    ),
    "preview": Message("preview", {"job": JOB, "box": [1, 2, 2, 1]}, {"layer": LAYER}),
    "sketched": Message("sketched", {"job": JOB, "box": [1, 2, 2, 1]}, {"layer": LAYER}),
    "result": Message("result", {"job": JOB, "box": [1, 2, 2, 1], "report": {"seed": 1}}, {"layer": LAYER, "start": LAYER}),
    "failed": Message("failed", {"job": JOB, "code": "mask-empty", "message": "Empty.", "hint": "Select."}),
    "cancelled": Message("cancelled", {"job": JOB}),
    "models!": Message("models", {"models": [{"name": "tint", "title": "A tint"}]}),
    "results!": Message("results", {"results": [{"job": JOB, "label": LABEL, "ended": 1.5, "box": [1, 2, 2, 1], "bytes": 32}]}),
    "released": Message("released", {"job": JOB}),
    "status!": Message("status", {"status": {"pid": 7}}),
}  # fmt: skip


def forms(name: str) -> dict:
    client = messages.FROM_CLIENT
    return client if name.rstrip("?") in client else messages.FROM_DAEMON


@pytest.mark.parametrize("name", MESSAGES)
def test_golden_frames(name):
    frames = [bytes(frame) for frame in framing.encode(MESSAGES[name])]
    assert [frame.hex() if k != 1 else frame.decode() for k, frame in enumerate(frames)] == GOLDEN[name]
    decoded = messages.check(framing.decode(frames), forms(name))
    assert decoded == MESSAGES[name]


def test_every_message_has_golden_frames():
    known = {*messages.FROM_CLIENT, *messages.FROM_DAEMON}
    assert {name.rstrip("?!") for name in GOLDEN} == known


HEAD = framing.preamble()


def header(**changes) -> bytes:
    about = {"type": "submit", "frames": [{"name": "source", "dtype": "uint8", "shape": [2, 3, 1]}]}
    return json.dumps({**about, **changes}).encode()


def frame(**changes) -> bytes:
    return header(frames=[{"name": "source", "dtype": "uint8", "shape": [2, 3, 1], **changes}])


BROKEN = {
    "no frames": [],
    "another protocol": [b"HTTP", header(), bytes(6)],
    "no header": [HEAD],
    "not JSON": [HEAD, b"{", bytes(6)],
    "not an object": [HEAD, b"[]", bytes(6)],
    "deeply nested": [HEAD, b"[" * 30000, bytes(6)],
    "no type": [HEAD, header(type=None), bytes(6)],
    "no list of frames": [HEAD, header(frames={}), bytes(6)],
    "too long a header": [HEAD, header(x="x" * 70000), bytes(6)],
    "a frame too few": [HEAD, header()],
    "a frame too many": [HEAD, header(), bytes(6), bytes(6)],
    "too few bytes": [HEAD, header(), bytes(5)],
    "too many bytes": [HEAD, header(), bytes(7)],
    "an unknown dtype": [HEAD, frame(dtype="object"), bytes(6)],
    "a list as dtype": [HEAD, frame(dtype=[]), bytes(6)],
    "a negative side": [HEAD, frame(shape=[-2, -3, 1]), bytes(6)],
    "no side": [HEAD, frame(shape=[0, 3, 1]), b""],
    "a side that is true": [HEAD, frame(shape=[True, 6, 1]), bytes(6)],
    "a fractional side": [HEAD, frame(shape=[2.0, 3, 1]), bytes(6)],
    "two sides": [HEAD, frame(shape=[2, 3]), bytes(6)],
    "an extra key": [HEAD, frame(path="/etc/passwd"), bytes(6)],
    "two of one name": [HEAD, header(frames=[{"name": "a", "dtype": "uint8", "shape": [1, 1, 1]}] * 2), b"1", b"2"],
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_frames_are_refused(name):
    with pytest.raises(BlendError) as error:
        framing.decode(BROKEN[name])
    assert error.value.code == "message-invalid"


@pytest.mark.parametrize("shape", [[10001, 10000, 1], [70000, 1, 1], [1, 1, 5]])
def test_too_large_a_raster_is_refused_by_its_header(shape):
    with pytest.raises(BlendError) as error:
        framing.decode([HEAD, frame(shape=shape), b""])
    assert error.value.code == "image-too-large"


def test_another_version_is_told_apart():
    with pytest.raises(BlendError) as error:
        framing.decode([b"DIB\x02", header(), bytes(6)])
    assert error.value.code == "protocol-mismatch"
    assert "version 2" in str(error.value)


NAN, INFINITE = float("nan"), float("inf")
NO_TEXT = [None, 5, [], "x" * 4097]
NO_WHOLE = [None, True, 1.0, "1", 2**31, -(2**31)]
NO_NUMBER = [True, "1", [], NAN, INFINITE]
NO_PAIR = [None, 5, [0], [0, 0, 0], [0, 0.5], [0, True], [0, 2**31]]
NO_MAPPING = [None, [], "{}", 5]
WRONG = {
    "job": [*NO_TEXT, "", "short", JOB.upper(), JOB + "0", JOB + "\n"],
    "owner": [*NO_TEXT, "", "short", OWNER + "0"],
    "label": [*NO_MAPPING, {}, {"image": "a"}, {**LABEL, "path": "b"}, {**LABEL, "layer": 5}, {**LABEL, "layer": "x" * 201}],
    "models": [None, {}, "[]", [5], [{}], [{"name": "tint"}], [{"name": "tint", "title": 5}]],
    "results": [None, {}, "[]", [5]],
    "keep": [None, 1, "yes"],
    **dict.fromkeys(["offset", "corner", "canvas"], NO_PAIR),
    "box": [None, 5, [0, 0, 1], [0, 0, 1, 1, 1], [0, 0, 1, "1"]],
    "parameters": [*NO_MAPPING, *({"style": value} for value in (NAN, INFINITE, None, [], {}, "x" * 4097))],
    "sliders": [*NO_MAPPING, *({"style": value} for value in (NAN, None, "5", True, -1, 101))],
    "previews": [None, 1, "yes"],
    "loss": [None, *NO_NUMBER],
    "seconds_left": NO_NUMBER,
    "seconds_to_start": NO_NUMBER,
    **dict.fromkeys(["version", "log", "stage", "code", "message", "hint"], NO_TEXT),
    **dict.fromkeys(["pid", "position", "evaluation", "evaluations"], NO_WHOLE),
    **dict.fromkeys(["losses", "report", "status"], NO_MAPPING),
}
FIELDS = [(name, field) for name, message in MESSAGES.items() for field in message.header]


def refused(name: str, header: dict, rasters: dict) -> None:
    with pytest.raises(BlendError) as error:
        messages.check(Message(MESSAGES[name].type, header, rasters), forms(name))
    assert error.value.code == "message-invalid"


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_every_field_is_checked(name, field):
    header, rasters = MESSAGES[name].header, MESSAGES[name].rasters
    for value in WRONG[field]:
        refused(name, {**header, field: value}, rasters)
    if field not in forms(name)[MESSAGES[name].type].optional:
        refused(name, {k: v for k, v in header.items() if k != field}, rasters)


@pytest.mark.parametrize("name", MESSAGES)
def test_nothing_beyond_the_form_is_accepted(name):
    message = MESSAGES[name]
    refused(name, {**message.header, "extra": 1}, message.rasters)
    refused(name, message.header, {**message.rasters, "extra": GREY})
    for needed in message.rasters.keys() - {"mask", "samples", "start"}:
        refused(name, message.header, {k: v for k, v in message.rasters.items() if k != needed})


@pytest.mark.parametrize("name", ["dance", "welcome", "progress", "result", ""])
def test_a_client_can_send_a_clients_messages_only(name):
    with pytest.raises(BlendError) as error:
        messages.check(Message(name), messages.FROM_CLIENT)
    assert error.value.code == "message-invalid"


@pytest.mark.parametrize("value", [0, -1.5, 10**400, "draft", True])
def test_any_plain_parameter_is_left_to_the_engine(value):
    submit = MESSAGES["submit"]
    message = Message("submit", {**submit.header, "parameters": {"style": value}}, submit.rasters)
    assert messages.check(message, messages.FROM_CLIENT) is message
