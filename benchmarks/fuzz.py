"""Broken messages against a real daemon: it must not crash, hang or grow, and serve its valid clients throughout.

    python benchmarks/fuzz.py [--messages N] [--seed N]

Golden messages of every type are mutated in bytes (flipped, cut, doubled, removed frames), in JSON (fields dropped, replaced by nasty
values, nested) and in their raster descriptions, and sent from connections that come and go. Meanwhile a valid client asks for the status
every 500 messages, and has a picture blended every 5000, which must be the one blended before the fuzzing began. `shutdown` alone is not
among the types: it ends the daemon, as it should. Memory is compared with that after a tenth of the messages. The last line has the
figures; the exit code is 1 if anything was not as it must be.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from typing import Any

import load
import zmq

# isort: split
from daemons import until
from scene import Scene, scene_of_its_own
from wire_faults import dealer, submission

from blend_protocol import framing
from blend_protocol.framing import Message

GROWTH = 5.0  # % of the broker's memory, after a tenth of the messages
WARM = 100_000  # messages below which growth is told and not judged: the first ten thousand make the allocator take a few MB once
SLOWEST = 5.0  # s for a status, with all that the fuzzer has sent before it
NASTY: list[Any] = [None, True, -1, 0, 2**31, 10**400, 0.5, -0.0, 1e308, [], [[]], [0, 0], [10**9, -(10**9)], {}, {"a": {"b": []}}]
NASTY += ["", "\0", "\ud800", "a" * 5000, "0" * 32, "../../etc/passwd", {"style": 200}, {"preset": "draft", "iterations": 1}]


def seeds() -> list[list[bytes]]:
    """A proper message of each type, of a job that nobody has."""
    own = {"job": "1" * 32, "owner": "2" * 32}
    words = [Message("hello"), Message("status"), Message("models"), Message("results", {"owner": own["owner"]})]
    words.append(Message("adjust", {**own, "sliders": {"style": 3}}))
    words += [Message(word, own) for word in ("finish", "cancel", "fetch", "release")]
    submit = submission(own["job"], own["owner"])
    sketch = json.loads(submit[1]) | {"type": "sketch"}
    del sketch["owner"]
    return [*([bytes(f) for f in framing.encode(word)] for word in words), submit, [submit[0], json.dumps(sketch).encode(), *submit[2:]]]


def mutate(frames: list[bytes], chance: random.Random) -> list[bytes]:
    """One to three changes to a message."""
    frames = list(frames)
    for _ in range(chance.randint(1, 3)):
        way = chance.choice(("bytes", "cut", "header", "header", "header", "frames", "shape"))
        k = chance.randrange(len(frames)) if frames else 0
        if way == "bytes" and frames and frames[k]:
            data = bytearray(frames[k])
            for _ in range(chance.randint(1, 8)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            frames[k] = bytes(data)
        elif way == "cut" and frames:
            frames[k] = frames[k][: chance.randint(0, len(frames[k]))]
        elif way == "frames":
            frames.insert(k, chance.choice([b"", b"DIB", b"{}", b"[" * 60_000, *frames]))
            if frames and chance.random() < 0.3:
                del frames[chance.randrange(len(frames))]
        elif len(frames) > 1:
            frames[1] = _header(frames[1], way, chance)
    return frames


def _header(text: bytes, way: str, chance: random.Random) -> bytes:
    try:
        header = json.loads(text)
        where = chance.choice(header["frames"]) if way == "shape" else header
        name = chance.choice([*where, "unknown"])
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return text
    if not isinstance(where, dict):
        return text
    if chance.random() < 0.2:
        where.pop(name, None)
    else:
        where[name] = chance.choice(NASTY)
    return json.dumps(header).encode()


class Valid:
    """A client with nothing but proper messages."""

    def __init__(self, scene: Scene) -> None:
        self._client = scene.client()
        self._scene = scene
        self.slowest = 0.0
        self.picture = self._blend()

    def _blend(self) -> bytes:
        job = self._scene.send(self._client)
        result = until(self._client, job, "result", limit=60)
        self._client.release(job)
        return bytes(result.rasters["layer"].data)

    def ask(self, blend: bool) -> None:
        """A status, and perhaps a blend."""
        began = time.monotonic()
        assert self._client.status(60), "no status within a minute"
        self.slowest = max(self.slowest, time.monotonic() - began)
        if blend:
            assert self._blend() == self.picture, "another picture than before"


def fuzz(scene: Scene, messages: int, seed: int) -> tuple[str, bool]:
    """A line of figures, and whether all is well."""
    chance = random.Random(seed)
    scene.up()
    pid = scene.daemon.process.pid
    valid = Valid(scene)
    originals, fuzzer, answers, early = seeds(), dealer(scene), 0, {}
    began = time.monotonic()
    for count in range(1, messages + 1):
        frames = mutate(chance.choice(originals), chance)
        if frames:
            fuzzer.send_multipart(frames)
        if count % 100 == 0:
            while fuzzer.poll(0):
                fuzzer.recv_multipart(zmq.DONTWAIT)
                answers += 1
        if count % 500 == 0:
            valid.ask(blend=count % 5000 == 0)
        if count % 2000 == 0:
            fuzzer.context.destroy(0)
            fuzzer = dealer(scene)
        if count == messages // 10:
            early = load.held(pid)
    valid.ask(blend=True)
    fuzzer.context.destroy(0)
    late = load.held(pid)
    growth = 100 * (late["MB"] / early["MB"] - 1)
    same = scene.daemon.process.pid == pid and scene.daemon.process.poll() is None
    line = f"{messages} messages in {time.monotonic() - began:.0f} s, {answers} answers read, broker alive: {same}, "
    line += f"slowest status {valid.slowest:.2f} s, memory {early['MB']:.0f} -> {late['MB']:.0f} MB ({growth:+.1f} %), "
    line += f"descriptors {early['descriptors']:.0f} -> {late['descriptors']:.0f}"
    return line, same and (growth < GROWTH or messages < WARM) and valid.slowest < SLOWEST


def main() -> int:
    """Returns 1 if anything was not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with scene_of_its_own() as scene:
        line, well = fuzz(scene, args.messages, args.seed)
    print(line)
    return int(not well)


if __name__ == "__main__":
    raise SystemExit(main())
