"""A daemon that computes nothing and answers at once, behind a real socket, for tests of what the plug-in makes of the answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils import z85

from blend_protocol import framing, messages
from blend_protocol.framing import Message, Raster

REPORT = {"preset": "draft", "method": "deep", "style": 50, "content": 50, "colour": 50, "seam": 50, "notes": []}
STATUS = {"device": "cpu", "running": None, "waiting": 0}
Play = Callable[[Message], Iterator[Message]]


def layer(message: Message) -> Raster:
    """A grey layer over the whole source of a job."""
    height, width, _channels = message.rasters["source"].shape
    return Raster("uint8", (height, width, 4), bytes([90, 90, 90, 255]) * (width * height))


class ScriptedDaemon:
    """Says welcome, and answers `sketch` and `submit` with a grey layer; or as the test says.

    Parameters
    ----------
    path : of its Unix socket; None: on TCP, to be paired with
    report : of its results
    kept : names of the layers whose blends it keeps
    play, sketch : what it answers to a submit and to a sketch; None: accepted, one progress, the result

    Attributes
    ----------
    heard : every message that came
    key : its public CURVE key, as it is written down
    """

    def __init__(
        self,
        path: Path | None,
        report: Mapping[str, Any] = REPORT,
        kept: Sequence[str] = (),
        play: Play | None = None,
        sketch: Play | None = None,
    ) -> None:
        self.heard: list[Message] = []
        self._path, self._report, self._kept, self._play = path, report, kept, play or self._blend
        self._sketch = sketch or self._look
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ended = False
        self._authenticator: ThreadAuthenticator | None = None
        public, secret = zmq.curve_keypair()
        self.key = z85.decode(public).hex()
        if path is None:
            self._authenticator = ThreadAuthenticator(self._context)
            self._authenticator.start()
            self._authenticator.configure_curve(domain="*", location=zmq.auth.CURVE_ALLOW_ANY)
            self._socket.curve_server, self._socket.curve_secretkey, self._socket.curve_publickey = True, secret, public
            self.address = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        else:
            self.address = f"ipc://{path}"
            self._socket.bind(self.address)

    def __enter__(self) -> ScriptedDaemon:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._thread.join(5)
        if self._authenticator:
            self._authenticator.stop()
        self._context.destroy(0)
        if self._path:
            self._path.unlink(missing_ok=True)

    def sent(self, type: str) -> list[Message]:
        """What came of that type."""
        return [message for message in self.heard if message.type == type]

    def _serve(self) -> None:
        while not self._ended:
            if not self._socket.poll(20):
                continue
            identity, *frames = self._socket.recv_multipart()
            message = messages.check(framing.decode(frames), messages.FROM_CLIENT)
            self.heard.append(message)
            for answer in self._answers(message):
                messages.check(answer, messages.FROM_DAEMON)
                self._socket.send_multipart([identity, *framing.encode(answer)])

    def _answers(self, message: Message) -> Iterator[Message]:
        job = message.header.get("job")
        match message.type:
            case "hello":
                yield Message("welcome", {"version": "1", "pid": 1, "log": "/log"})
            case "status":
                yield Message("status", {"status": STATUS})
            case "models":
                yield Message("models", {"models": []})
            case "sketch":
                yield from self._sketch(message)
            case "submit":
                yield from self._play(message)
            case "release":
                yield Message("released", {"job": job})
            case "results":
                about = {"ended": time.time() + 60, "box": [5, 6, 20, 10]}
                labels = [{"image": "far.xcf", "layer": name} for name in self._kept]
                results = [{**about, "job": f"{number:032x}", "label": label} for number, label in enumerate(labels)]
                yield Message("results", {"results": results})
            case "fetch":
                header = {"job": job, "box": [5, 6, 20, 10], "report": dict(self._report)}
                yield Message("result", header, {"layer": Raster("uint8", (10, 20, 4), bytes([200, 90, 90, 255]) * 200)})

    def _look(self, message: Message) -> Iterator[Message]:
        height, width, _channels = message.rasters["source"].shape
        yield Message("sketched", {"job": message.header["job"], "box": [0, 0, width, height]}, {"layer": layer(message)})

    def _blend(self, message: Message) -> Iterator[Message]:
        yield accepted(message)
        yield progress(message, 1, 2)
        yield result(message, self._report)


def accepted(message: Message) -> Message:
    return Message("accepted", {"job": message.header["job"], "position": 0, "seconds_to_start": None})


def progress(message: Message, evaluation: int, evaluations: int) -> Message:
    header = {
        "stage": "stage 1",
        "evaluation": evaluation,
        "evaluations": evaluations,
        "loss": 1.0 / (evaluation + 1),
        "losses": {},
        "seconds_left": 1.0,
    }
    return Message("progress", {"job": message.header["job"], **header})


def result(message: Message, report: Mapping[str, Any] = REPORT) -> Message:
    left, top = message.header["offset"]
    height, width, _channels = message.rasters["source"].shape
    header = {"job": message.header["job"], "box": [left, top, width, height], "report": dict(report)}
    return Message("result", header, {"layer": layer(message)})
