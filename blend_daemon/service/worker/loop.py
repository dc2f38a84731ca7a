"""What a worker does, whatever carries its words: keeps the network warm and computes one job at a time, and sketches before, after and
between its evaluations.

It speaks the client's protocol with the broker: jobs, sketches and words about the running job come in, the rest goes out. `status` tells
that the network's weights are being fetched, where there are none yet, `welcome` that the network is loaded, `accepted` that a job, or an
`adjust` of it, has been read.
"""

from __future__ import annotations

import os
import time
import traceback
from typing import TYPE_CHECKING, Protocol

from blend_daemon import engine
from blend_daemon.service.worker import tasks
from blend_daemon.service.worker.computation import Computation
from blend_protocol import __version__, runtime
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message

if TYPE_CHECKING:
    from blend_daemon.service.worker.computation import Word

FETCHING = "fetching"  # the device's name while the network's weights are fetched
PROGRESS_INTERVAL = 0.1  # s
PREVIEW_INTERVAL = 0.4  # s


class Line(Protocol):
    """A worker's end of its line to the broker."""

    def send(self, message: Message) -> None:
        """Tell the broker."""

    def receive(self) -> Message:
        """Wait for the broker's next word."""

    def waiting(self) -> bool:
        """Whether there is one."""


class Worker:
    """Does what the broker says, one thing at a time.

    Parameters
    ----------
    line : to the broker
    device : where to compute what names no device of its own
    """

    def __init__(self, line: Line, device: str) -> None:
        self._line, self._device = line, device
        self._told = self._shown = 0.0  # moments of the running job's last progress and preview

    def live(self) -> None:
        """Load the network and serve for ever."""
        from blend_daemon.engine.network import weights  # only now: torch takes seconds to load, in which the broker may go

        try:
            if not weights.path().exists():
                weights.ensure(lambda step: self._line.send(Message("status", {"status": {"device": FETCHING, "step": step}})))
            name = engine.warm(self._device)
        except BlendError as error:
            # Each job will tell the same to its user; a worker that refuses to start could only be restarted for ever.
            name = f"{self._device} ({error})"
        here = {"version": __version__, "pid": os.getpid(), "log": str(runtime.log_path()), "device": name}
        self._line.send(Message("welcome", here))
        while True:
            self._serve(self._line.receive())

    def _serve(self, message: Message) -> None:
        """Do what a word says. A cancel that crossed with the end of its job is late and has nothing to do."""
        if message.type == "submit":
            self._line.send(Message("accepted", {"job": message.header["job"]}))
            self._compute(message)
        elif message.type == "sketch":
            self._line.send(tasks.sketch(message, self._device))

    def _compute(self, message: Message) -> None:
        self._told = self._shown = 0.0
        computation = Computation(lambda observe: tasks.blend(message, self._device, observe))
        while not isinstance(news := computation.news(), Message):
            try:
                self._report(message, news)
            except Exception:  # the next one may succeed; it is no reason to lose the blend
                traceback.print_exc()
            computation.go_on(self._word(message.header["job"]))
        self._line.send(news)

    def _report(self, message: Message, news: engine.Progress) -> None:
        now = time.monotonic()
        if now - self._told > PROGRESS_INTERVAL or news.evaluation == news.evaluations:
            self._told = now
            self._line.send(tasks.progress(message, news))
        if message.header.get("previews", False) and now - self._shown > PREVIEW_INTERVAL:
            self._shown = now
            self._line.send(tasks.preview(message, news))

    def _word(self, job: str) -> Word:
        """What the broker has said meanwhile about the running job. Makes the sketches that it asked for."""
        directive, sliders = None, {}
        while self._line.waiting():
            word = self._line.receive()
            if word.type == "sketch":
                self._serve(word)
            elif word.header.get("job") == job and word.type in ("cancel", "finish"):
                directive = engine.Directive(word.type)
            elif word.header.get("job") == job and word.type == "adjust":
                sliders.update(word.header["sliders"])
        if sliders:  # after the loop, which a client that never stops adjusting must not keep here
            self._line.send(Message("accepted", {"job": job}))
        return directive or sliders or None
