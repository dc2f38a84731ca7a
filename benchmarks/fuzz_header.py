"""The header parser under coverage-guided fuzzing: nothing but BlendError may come out of it.

    pip install atheris
    python benchmarks/fuzz_header.py [-max_total_time=60] [-runs=1000000] [other options of libFuzzer]

A message is decoded and checked as the broker does it, from an input that holds the header and a raster. What is accepted is encoded and
decoded once more, and must be the same. libFuzzer's last lines have the count of runs; an exception ends it with exit code 77.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports():
    from blend_protocol import framing, messages
    from blend_protocol.errors import BlendError


def one(data: bytes) -> None:
    """Decode, check, and encode what is accepted."""
    header, _, pixels = data.partition(b"\n")
    frames = [framing.preamble(), header, *([pixels[: len(pixels) // 2], pixels[len(pixels) // 2 :]] if pixels else [])]
    try:
        message = messages.check(framing.decode(frames), messages.FROM_CLIENT)
    except BlendError as error:
        if error.code not in ("message-invalid", "image-too-large"):
            raise
        return
    assert framing.decode(framing.encode(message)) == message


JOB = b'"job":"' + b"0" * 32 + b'","owner":"' + b"1" * 32 + b'",'
SEEDS = [
    b'{"type":"hello","frames":[]}',
    b'{"type":"cancel",' + JOB + b'"frames":[]}',
    b'{"type":"submit",' + JOB + b'"offset":[1,-2],"parameters":{"preset":"draft","style":5},"label":{"image":"a","layer":"b"},"keep":true,'
    b'"frames":[{"name":"source","dtype":"uint8","shape":[1,1,3]},{"name":"target","dtype":"uint8","shape":[1,1,3]}]}\n123456',
]


def main() -> None:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory(prefix="dib-corpus-") as corpus:
        for k, seed in enumerate(SEEDS):
            (Path(corpus) / str(k)).write_bytes(seed)
        atheris.Setup([*sys.argv, corpus], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
