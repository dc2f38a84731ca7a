from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from blend_daemon.errors import BlendError
from blend_daemon.protocol import framing, messages
from blend_daemon.protocol.framing import Message, Raster

JOB = "0123456789abcdef0123456789abcdef"
GREY = Raster("uint8", (2, 3, 1), bytes(range(6)))
LAYER = Raster("float32", (1, 2, 4), struct.pack("8f", *range(8)))
GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())

MESSAGES = {
    "hello": Message("hello"),
    "submit": Message(
        "submit", {"job": JOB, "offset": [-3, 4], "parameters": {"preset": "draft", "seed": 1}, "previews": True},
        {"source": Raster("uint16", (1, 1, 3), b"\1\0\2\0\3\0"), "target": GREY, "mask": GREY},
    ),
    "finish": Message("finish", {"job": JOB}),
    "cancel": Message("cancel", {"job": JOB}),
    "status?": Message("status"),
    "shutdown": Message("shutdown"),
    "welcome": Message("welcome", {"version": "0.1.0", "pid": 7, "log": "/log"}),
    "accepted": Message("accepted", {"job": JOB, "position": 2}),
    "progress": Message(
        "progress",
        {"job": JOB, "stage": "stage 1", "evaluation": 3, "evaluations": 9, "loss": 0.5, "losses": {"style": 0.25}, "seconds_left": None},
    ),
    "preview": Message("preview", {"job": JOB, "box": [1, 2, 2, 1]}, {"layer": LAYER}),
    "result": Message("result", {"job": JOB, "box": [1, 2, 2, 1], "report": {"seed": 1}}, {"layer": LAYER}),
    "failed": Message("failed", {"job": JOB, "code": "mask-empty", "message": "Empty.", "hint": "Select."}),
    "cancelled": Message("cancelled", {"job": JOB}),
    "status!": Message("status", {"status": {"pid": 7}}),
}  # fmt: skip


def forms(name: str) -> dict:
    client = messages.FROM_CLIENT
    return client if name.rstrip("?") in client and name != "status!" else messages.FROM_DAEMON


@pytest.mark.parametrize("name", MESSAGES)
def test_golden_frames(name):
    frames = [bytes(frame) for frame in framing.encode(MESSAGES[name])]
    assert [frame.hex() if k != 1 else frame.decode() for k, frame in enumerate(frames)] == GOLDEN[name]
    decoded = messages.check(framing.decode(frames), forms(name))
    assert decoded == MESSAGES[name]


def test_every_message_has_golden_frames():
    known = {*messages.FROM_CLIENT, *messages.FROM_DAEMON}
    assert {name.rstrip("?!") for name in GOLDEN} == known


HEAD = b"DIB\x01"


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


WRONG = [
    Message("dance"),
    Message("hello", {"extra": 1}),
    Message("cancel"),
    Message("cancel", {"job": "short"}),
    Message("cancel", {"job": JOB.upper()}),
    Message("cancel", {"job": 5}),
    Message("submit", {"job": JOB, "offset": [0, 0], "parameters": {}}),
    Message("submit", {"job": JOB, "offset": [0], "parameters": {}}, {"source": GREY, "target": GREY}),
    Message("submit", {"job": JOB, "offset": [0, 2**40], "parameters": {}}, {"source": GREY, "target": GREY}),
    Message("submit", {"job": JOB, "offset": [0, 0], "parameters": []}, {"source": GREY, "target": GREY}),
    Message("submit", {"job": JOB, "offset": [0, 0], "parameters": {}, "previews": 1}, {"source": GREY, "target": GREY}),
    Message("submit", {"job": JOB, "offset": [0, 0], "parameters": {}}, {"source": GREY, "target": GREY, "other": GREY}),
    Message("welcome", {"version": "1", "pid": 1, "log": ""}),
]


@pytest.mark.parametrize("message", WRONG, ids=range(len(WRONG)))
def test_messages_that_do_not_fit_their_form_are_refused(message):
    with pytest.raises(BlendError) as error:
        messages.check(message, messages.FROM_CLIENT)
    assert error.value.code == "message-invalid"
