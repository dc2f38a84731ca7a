"""Several objects, blended one after another from the lowest up, as one blend. One object is a series of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from blend_protocol.client import Message
from blend_protocol.errors import BlendError
from dib.geometry import Rect
from dib.i18n import _
from dib.job.request import Request
from dib.job.session import Session


class Object(Protocol):
    """What is to be blended.

    Attributes
    ----------
    label : {"image": name, "layer": name}, for the daemon's list of results
    """

    label: Mapping[str, str]

    def request(self) -> Request:
        """What to send, read when its turn comes. Raises BlendError."""

    def lay(self, result: Message, box: Rect) -> None:
        """Have those above see the result, which fills `box` of the canvas."""


class Series:
    """One job of the daemon's after another.

    Parameters
    ----------
    objects : the lowest first
    parameters, address, watch : see `Session`

    Attributes
    ----------
    pieces : (number of the object, its session), of those that are done
    failures : (name of the layer, why it could not be blended)
    """

    def __init__(
        self,
        objects: Sequence[Object],
        parameters: Mapping[str, Any],
        address: str | None = None,
        watch: Callable[[Message], None] | None = None,
    ) -> None:
        self._objects, self._parameters, self._address, self._watch = objects, parameters, address, watch
        self.pieces: list[tuple[int, Session]] = []
        self.failures: list[tuple[str, BlendError]] = []
        self._session: Session | None = None  # that of the object whose turn it is
        self._stopped = self._done = False

    @property
    def result(self) -> Message | None:
        """The last object's `result` message, once all are done."""
        return self.pieces[-1][1].result if self._done else None

    def follow(self) -> Iterator[tuple[str, float] | None]:
        """Steps of the whole, as `Session.follow` has them: (what is being done, fraction of all that is done), or None.

        What fails by itself is left out, and noted in `failures`. Raises BlendError if all fail, and if there is no daemon.
        """
        for number, object_ in enumerate(self._objects):
            if self._stopped:
                error = BlendError("stopped-before", _("Its turn had not come yet."), "")
                self.failures.append((object_.label["layer"], error))
                continue
            try:
                yield from self._blend(number, object_)
            except BlendError as error:
                sent = self._session is not None and self._session.sent
                if len(self._objects) == 1 or error.code == "cancelled" or (self._session is not None and not sent):
                    raise
                self.failures.append((object_.label["layer"], error))
                if self._session is not None:
                    self._session.close()
            self._session = None
        if not self.pieces:
            raise self.failures[0][1]
        self._done = True

    def _blend(self, number: int, object_: Object) -> Iterator[tuple[str, float] | None]:
        count, self._session = len(self._objects), None
        request = object_.request()
        session = self._session = Session(request, self._parameters, object_.label, self._address, self._watch)
        for step in session.follow():
            if step is not None and count > 1:
                text = _("Object {number} of {count}: {text}").format(number=number + 1, count=count, text=step[0])
                step = text, (number + step[1]) / count
            yield step
        object_.lay(session.result, session.place(session.result))
        self.pieces.append((number, session))

    def place(self, message: Message) -> Rect:
        """Where on the canvas the layer of a `preview` of the job that runs belongs."""
        assert self._session is not None
        return self._session.place(message)

    def results(self) -> list[tuple[int, Message, Rect]]:
        """(number of the object, its result, where that belongs on the canvas) of each that is done, the lowest first."""
        return [(number, session.result, session.place(session.result)) for number, session in self.pieces]

    def wait(self, seconds: float) -> None:
        """Sleep until the daemon says something, for at most `seconds`."""
        if self._session:
            self._session.wait(seconds)

    def adjust(self, sliders: Mapping[str, float]) -> bool:
        """Re-aim the running job, and those that follow; False if none has been sent yet."""
        self._parameters = {**self._parameters, **{name: value for name, value in sliders.items() if name in self._parameters}}
        return self._session is not None and self._session.adjust(sliders)

    def finish(self) -> None:
        """Stop: the result of the running job is the best so far, and no other begins."""
        self._stopped = True
        if self._session:
            self._session.finish()

    def release(self) -> None:
        """The results are safe: the daemon need not keep them."""
        for _number, session in self.pieces:
            session.release()

    def cancel(self) -> None:
        """Give it up; the daemon is told at once."""
        if self._session:
            self._session.cancel()

    def close(self) -> None:
        """End the connections."""
        for session in [*(session for _number, session in self.pieces), self._session]:
            if session:
                session.close()
