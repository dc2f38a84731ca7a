"""One blend from the request to its result: connect, submit, follow, steer, keep."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from blend_protocol import messages
from blend_protocol.client import Client, Message, failure
from blend_protocol.errors import BlendError
from dib.geometry import Rect
from dib.i18n import _
from dib.job.daemon import command
from dib.job.request import Request

STAGES = {"stage 1": lambda: _("first stage"), "stage 2": lambda: _("second stage"), "style": lambda: _("style transfer")}
PREPARING = {
    "loading": lambda: _("The blend daemon is loading its network"),
    "fetching": lambda: _("The blend daemon is fetching its network's weights, about 50 MB, once"),
}
ASK = 1.0  # s between questions for the daemon's state


class Session:
    """One job of the daemon's.

    Parameters
    ----------
    request : what to blend
    parameters : how, as the engine takes them
    label : {"image": name, "layer": name}, for the list of results
    address : of the daemon; None: this computer's own
    watch : called with each `progress` and `preview` of the job; None: no previews are asked for

    Attributes
    ----------
    pixels : of the object with its surroundings
    result : the daemon's `result` message, once it is there
    """

    def __init__(
        self,
        request: Request,
        parameters: Mapping[str, Any],
        label: Mapping[str, str],
        address: str | None = None,
        watch: Callable[[Message], None] | None = None,
    ) -> None:
        self._request: Request | None = request
        self.pixels = request.pixels
        self._parameters, self._label = parameters, label
        self._address, self._watch = address, watch
        self._client: Client | None = None
        self._job: str | None = None
        self._device = ""
        self._asking, self._ask_at = True, 0.0  # for the daemon's state, until the job makes progress
        self.result: Message | None = None

    def follow(self) -> Iterator[tuple[str, float] | None]:
        """Steps of the job: (what is being done, fraction done), or None when there is nothing to do but wait.

        Ends when the result is there. Raises BlendError.
        """
        self._client = Client(self._address, command=command())
        said = None
        for state in self._client.reach():
            if state != said:
                said = state
                yield (_("Starting the blend daemon") if state == "starting" else _("Connecting to the blend daemon")), 0.0
            yield None
        self._job = self._submit()
        while self.result is None:
            arrived = self._client.pump()
            for message in arrived:
                step = self._hear(message)
                if step:
                    yield step
            if not arrived:
                if self._asking and time.monotonic() > self._ask_at:
                    self._ask_at = time.monotonic() + ASK
                    self._client.ask_status()
                yield None

    @property
    def sent(self) -> bool:
        """Whether the daemon was reached, and the job sent."""
        return self._job is not None

    def _submit(self) -> str:
        assert self._client
        request, self._request = self._request, None  # its pixels are not needed any more
        assert request
        return self._client.submit(
            request.source, request.target, request.mask, request.offset, self._parameters,
            self._watch is not None, label=self._label, part=request.part,
        )  # fmt: skip

    def place(self, message: Message) -> Rect:
        """Where on the canvas the layer of a `preview` or `result` belongs."""
        x, y, width, height = message.header["box"]
        return x, y, width, height

    def _hear(self, message: Message) -> tuple[str, float] | None:
        header = message.header
        if message.type == "status":
            known, self._device = self._device, header["status"]["device"]
            return (self._preparing(), 0.0) if self._asking and known != self._device else None
        if header.get("job", self._job) != self._job:
            return None
        if self._watch and message.type in ("progress", "preview"):
            self._watch(message)
        if message.type == "failed":
            raise failure(message)
        if message.type == "cancelled":
            raise BlendError("cancelled", _("The blend was cancelled."), "")
        if message.type == "accepted":
            return (_waiting(header) if header["position"] else self._preparing()), 0.0
        if message.type == "progress":
            self._asking = False
            return self._told(header), header["evaluation"] / max(header["evaluations"], 1)
        if message.type == "result":
            self.result = message
        return None

    def _preparing(self) -> str:
        return PREPARING.get(self._device, lambda: _("Preparing the blend"))()

    def _told(self, header: Mapping[str, Any]) -> str:
        stage = STAGES.get(header["stage"], lambda: header["stage"])()
        text = _("Blending, {stage}: {evaluation} of {evaluations}").format(
            stage=stage, evaluation=header["evaluation"], evaluations=header["evaluations"]
        )
        if self._device not in ("", *PREPARING):
            text = _("{text}, on {device}").format(text=text, device=self._device)
        if header["seconds_left"] is not None:
            text = _("{text}, {seconds} s left").format(text=text, seconds=round(header["seconds_left"]))
        return text

    def wait(self, seconds: float) -> None:
        """Sleep until the daemon says something, for at most `seconds`."""
        if self._client:
            self._client.wait(seconds)

    def adjust(self, sliders: Mapping[str, float]) -> bool:
        """Re-aim the running job; False if it has not been sent yet."""
        if self._client is None or self._job is None:
            return False
        self._client.adjust(self._job, sliders)
        return True

    def finish(self) -> None:
        """Stop the running job; its result is the best so far."""
        if self._client and self._job is not None:
            self._client.finish(self._job)

    def release(self) -> None:
        """The result is safe: the daemon need not keep it."""
        if self._client and self._job is not None:
            self._client.release(self._job)

    def cancel(self) -> None:
        """Give the job up; the daemon is told at once."""
        if self._client and self._job and self.result is None:
            self._client.cancel(self._job)
            # The socket is closed next and must not take the word with it; the daemon's answer says that it arrived.
            for _step in range(20):
                self._client.wait(0.05)
                try:
                    if any(message.type in messages.LAST for message in self._client.pump()):
                        break
                except BlendError:
                    break

    def close(self) -> None:
        """End the connection."""
        if self._client:
            self._client.close()
            self._client = None


def _waiting(header: Mapping[str, Any]) -> str:
    text = _("Waiting for {count} other blends").format(count=header["position"])
    left = header["seconds_to_start"]
    return text if left is None else _("{text}, about {seconds} s").format(text=text, seconds=round(left))
