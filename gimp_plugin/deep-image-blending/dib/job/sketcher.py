"""Asks the daemon for sketches, one at a time, of the newest wishes alone, and for the models that it has."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from blend_protocol.client import Client, Message
from blend_protocol.errors import BlendError
from dib.job.request import View

LOADING = "worker-loading"
PAUSE = 0.25  # s between two questions while the network loads


class Sketcher:
    """One connection for sketches, looked after by calls of `step` from the main loop.

    Parameters
    ----------
    command : how to start the daemon
    address : of the daemon, None for this computer's own
    show : called with each sketch's message and the view that it is of
    offer : called with the models, {"name", "title"}, when they have been asked for
    """

    def __init__(
        self,
        command: list[str],
        address: str | None,
        show: Callable[[Message, View], None],
        offer: Callable[[Sequence[Mapping[str, str]]], None] = lambda models: None,
    ) -> None:
        self._client = Client(address, command=command)
        self._reaching: Iterator[str] | None = self._client.reach()
        self._show, self._offer = show, offer
        self._models_wanted = False
        self._wanted: tuple[View, Mapping[str, Any]] | None = None
        self._last = self._wanted
        self._asked: str | None = None
        self._loading_until = 0.0

    def want(self, view: View, parameters: Mapping[str, Any]) -> None:
        """Wish for a sketch; an earlier wish that has not been sent is dropped."""
        self._wanted = view, parameters

    @property
    def wants_sketch(self) -> bool:
        """Whether a sketch is wished for that has not been asked for yet."""
        return self._wanted is not None

    def want_models(self) -> None:
        """Wish for the list of models."""
        self._models_wanted = True

    def step(self) -> str | None:
        """Send and receive what can be without waiting. Returns "starting" or "connecting" while there is no daemon yet, "loading" while
        its network loads, else None. Raises BlendError if there can be no sketch."""
        if self._reaching is not None:
            state = next(self._reaching, None)
            if state is not None:
                return state
            self._reaching = None
        for message in self._client.pump():
            if message.type == "models":
                self._offer(message.header["models"])
                continue
            if message.header.get("job") != self._asked:
                continue
            self._asked = None
            if message.type == "sketched":
                self._show(message, self._last[0])
            elif message.header["code"] == LOADING:
                self._loading_until, self._wanted = time.monotonic() + PAUSE, self._wanted or self._last
            else:
                raise BlendError(message.header["code"], message.header["message"], message.header["hint"])
        if self._models_wanted:
            self._models_wanted = False
            self._client.ask_models()
        loading = time.monotonic() < self._loading_until
        if self._wanted is not None and self._asked is None and not loading:
            self._last, self._wanted = self._wanted, None
            view, parameters = self._last
            self._asked = self._client.sketch(view.source, view.target, view.mask, (0, 0), parameters)
        return "loading" if loading else None

    def close(self) -> None:
        """End the connection."""
        self._client.close()
