"""Whatever frames arrive, decoding says BlendError or gives a message that survives the way back."""

from __future__ import annotations

import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from blend_protocol import framing, messages
from blend_protocol.errors import BlendError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=40), lambda v: st.lists(v, max_size=4)
)
ID = st.just("0" * 32)
FIELDS = {
    "job": ID,
    "owner": ID,
    "offset": st.lists(st.integers(-9, 9), min_size=2, max_size=2),
    "parameters": st.dictionaries(st.text(), VALUES, max_size=3),
    "sliders": st.dictionaries(st.text(), st.integers(0, 100), max_size=3),
    "previews": st.booleans(),
    "keep": st.booleans(),
    "label": st.fixed_dictionaries({"image": st.text(max_size=9), "layer": st.text(max_size=9)}),
}
RASTERS = st.lists(st.sampled_from(["source", "target", "mask", "layer"]), max_size=4)


@st.composite
def frames(draw):
    """A message's frames: of each type with its own fields, some of them spoilt."""
    type = draw(st.sampled_from([*messages.FROM_CLIENT, "unknown"]))
    form = messages.FROM_CLIENT.get(type, messages.Form())
    header = {
        name: draw(FIELDS[name]) for name in [*form.required, *draw(st.sets(st.sampled_from([*form.optional, "job"])))] if name in FIELDS
    }
    header |= draw(st.just({}) | st.dictionaries(st.sampled_from([*FIELDS, "type"]), VALUES, max_size=1))
    names = draw(st.just([*form.rasters]) | RASTERS)
    shape = draw(st.lists(st.integers(1, 3), min_size=3, max_size=3) | VALUES)
    about = [{"name": name, "dtype": "uint8", "shape": shape} for name in names]
    size = math.prod(shape) if isinstance(shape, list) and all(isinstance(n, int) for n in shape) else 1
    text = json.dumps({"type": type, **header, "frames": about}).encode()
    return [draw(st.just(framing.preamble()) | st.binary(max_size=5)), text, *(bytes(min(max(size, 0), 99)) for _ in names)]


@given(frames() | st.lists(st.binary(max_size=200), max_size=4))
@settings(max_examples=400, deadline=None)
def test_any_message(frames):
    try:
        message = messages.check(framing.decode(frames), messages.FROM_CLIENT)
    except BlendError as error:
        if error.code not in ("message-invalid", "image-too-large", "protocol-mismatch"):
            raise
    else:
        assert framing.decode([bytes(frame) for frame in framing.encode(message)]) == message
