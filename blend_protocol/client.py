"""The client's end of the protocol, for a command line that may block and for a GTK main loop that may not."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from blend_protocol import framing, keys, messages, owner, processes, runtime, transport
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message, Raster
from blend_protocol.transport import Event

__all__ = ["Client", "Message", "Raster"]

PATIENCE = 1.0  # s that a running daemon is given to say welcome before another is started
FAR = 10.0  # s that a daemon at an address of the user's is given
PING = 2.0  # s of silence after which the daemon is asked for a sign of life
SILENCE = 20.0  # s without an answer to that question after which it is taken for dead
AWAY = 35.0  # s that a daemon on another computer may be out of reach: a cut of 30 s, and the time to connect again


@dataclass(frozen=True)
class Part:
    """What a target is a part of.

    Attributes
    ----------
    corner : (x, y) of the target on the canvas
    canvas : (width, height)
    samples : of all of the canvas, where `blend_protocol.scope.samples` asks for some
    """

    corner: tuple[int, int]
    canvas: tuple[int, int]
    samples: Raster | None = None


class Client:
    """One connection to the daemon. Not for use by several threads.

    Parameters
    ----------
    address : "ipc://" and a path, or the name or tcp address of a paired daemon; None: the daemon of this user
    key : owner key, 32 hexadecimal digits; None: this user's (see `owner`)
    command : how to start blend-daemon, for `reach`, and for a bridge where there is no pyzmq

    Raises
    ------
    BlendError
        `address-invalid`, `daemon-not-paired`, `keys`, `owner-key`, `daemon-not-started`
    """

    def __init__(self, address: str | None = None, key: str | None = None, command: Sequence[str] | None = None) -> None:
        paired = keys.paired(address)
        self._key = key or owner.key()
        self._command = command
        self.welcome: Mapping[str, Any] | None = None
        self._heard = self._asked = time.monotonic()
        self._address = paired.address if paired else address or runtime.address()
        self._local = address is None
        self._remote = paired is not None
        self._lost: float | None = None  # when the connection to a daemon on another computer was lost
        self._jobs: dict[str, Message] = {}  # sent there, to be sent again after a cut
        self._arrived: list[Message] = []  # and not handed out yet
        self._transport = transport.connect(address, command)
        self._send(Message("hello"))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; a job that still runs is given up by the daemon. A second time does nothing."""
        self._transport.close()

    def reach(self) -> Iterator[str]:
        """Reach the daemon, starting this user's own by its command if it does not answer.

        Yields "connecting" or "starting" until the daemon has said welcome; between two steps call `wait`, or return to the
        main loop for about 50 ms.

        Raises
        ------
        BlendError
            `daemon-not-started`, `daemon-not-running`, `daemon-unreachable`, `not-admitted`, `server-key-wrong`, `protocol-mismatch`
        """
        starting: processes.Starting | None = None
        began = time.monotonic()
        while self.welcome is None:
            self.pump()
            if self.welcome is not None:
                return
            spent = time.monotonic() - began
            if not (self._local and self._command) and spent > FAR:
                raise BlendError(
                    "daemon-unreachable",
                    f"No blend daemon answers at {self._address}.",
                    "Check the address, and that the daemon runs there; without an address this computer's own is used.",
                )
            if self._local and self._command and starting is None and (spent > PATIENCE or not runtime.socket_path().exists()):
                starting = processes.Starting(self._command)
            if starting is not None:
                starting.check()
            yield "connecting" if starting is None else "starting"

    def submit(
        self,
        source: Raster,
        target: Raster,
        mask: Raster | None,
        offset: tuple[int, int],
        parameters: Mapping[str, Any],
        previews: bool = False,
        job: str | None = None,
        keep: bool = False,
        label: Mapping[str, str] | None = None,
        part: Part | None = None,
    ) -> str:
        """Send a job and return its id. Sending the same id again asks for the same job, not for another.

        Parameters
        ----------
        source, target, mask, offset : see `blend_daemon.engine.Problem.from_arrays`
        parameters : see `blend_daemon.engine.Parameters.from_mapping`
        previews : whether to send the blend as it grows
        keep : whether the job is to go on if this client vanishes
        label : {"image": name, "layer": name}, for the list of results
        part : where the target is on the canvas, if it is a part of it; `offset` and the boxes of the answers are the canvas's
        """
        header = {**self._own(job or uuid.uuid4().hex), "previews": previews, "keep": keep}
        if label:
            header["label"] = {name: text[: messages.LABEL_LIMIT] for name, text in label.items()}
        return self._send_work("submit", source, target, mask, offset, parameters, header, part)

    def sketch(self, source: Raster, target: Raster, mask: Raster | None, offset: tuple[int, int], parameters: Mapping[str, Any]) -> str:
        """Ask for a first look at a blend, without the optimiser, and return its id; `sketched` answers, soon also while a job runs.

        Parameters as for `submit`; send small rasters.
        """
        return self._send_work("sketch", source, target, mask, offset, parameters, {"job": uuid.uuid4().hex})

    def adjust(self, job: str, sliders: Mapping[str, float]) -> None:
        """Re-aim a job that waits or runs: the sliders named take new values, and the optimiser goes on from where it is."""
        if job in self._jobs:
            sent = self._jobs[job]
            self._jobs[job] = replace(sent, header={**sent.header, "parameters": {**sent.header["parameters"], **sliders}})
        self._send(Message("adjust", {**self._own(job), "sliders": dict(sliders)}))

    def cancel(self, job: str) -> None:
        """Stop the job and forget it."""
        self._jobs.pop(job, None)
        self._send(Message("cancel", self._own(job)))

    def finish(self, job: str) -> None:
        """Stop the job and have the best so far as its result."""
        self._send(Message("finish", self._own(job)))

    def ask_models(self) -> None:
        """Ask which models the daemon's user added there; a `models` message answers."""
        self._send(Message("models"))

    def ask_results(self) -> None:
        """Ask which results of this owner the daemon keeps; a `results` message answers."""
        self._send(Message("results", {"owner": self._key}))

    def fetch(self, job: str) -> None:
        """Ask for a kept result; it comes as `result`, or `failed` says why not."""
        self._send(Message("fetch", self._own(job)))

    def release(self, job: str, timeout: float = 1.0) -> None:
        """Tell the daemon that the result is safe and need not be kept, and wait at most `timeout` s for its `released`.

        One that is never released goes when it is a week old.
        """
        self._send(Message("release", self._own(job)))
        with suppress(BlendError):  # a daemon that has gone keeps it
            self._await(timeout, lambda message: message.type == "released" and message.header["job"] == job)

    def shutdown(self) -> None:
        """Ask the daemon to end."""
        self._send(Message("shutdown"))

    def ask_status(self) -> None:
        """Ask the daemon for its account of itself; a `status` message answers."""
        self._send(Message("status"))

    def status(self, timeout: float = 2.0) -> Mapping[str, Any] | None:
        """The daemon's account of itself, None if none answers within `timeout` s."""
        self.ask_status()
        answer = self._await(timeout, lambda message: message.type == "status")
        return answer.header["status"] if answer else None

    def wait(self, timeout: float) -> None:
        """Sleep until there is something for `pump`, for at most `timeout` s."""
        if not self._arrived:
            self._transport.wait(timeout)

    def pump(self) -> list[Message]:
        """Everything that has arrived and was not the answer to `status` or `release`, without waiting.

        Raises
        ------
        BlendError
            `daemon-gone` if the daemon has died, or one elsewhere was out of reach for AWAY s; `not-admitted`,
            `server-key-wrong`, `protocol-mismatch`, `message-invalid`
        """
        self._receive()
        if not self._arrived:
            self._watch()
        arrived, self._arrived = self._arrived, []
        return arrived

    def follow(self, job: str) -> Iterator[Message]:
        """The messages of one job until its last, waiting for each. Raises BlendError for `failed`."""
        while True:
            self.wait(0.5)
            for message in self.pump():
                if message.header.get("job", job) != job:
                    continue
                if message.type == "failed":
                    raise failure(message)
                yield message
                if message.type in messages.LAST:
                    return

    def _own(self, job: str) -> dict[str, Any]:
        return {"job": job, "owner": self._key}

    def _await(self, timeout: float, wanted: Callable[[Message], bool]) -> Message | None:
        """The first message that is wanted; what else arrives, another job's result perhaps, is left for `pump`."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            self._transport.wait(left)
            self._receive()
            if answer := next((message for message in self._arrived if wanted(message)), None):
                self._arrived = [message for message in self._arrived if message is not answer]
                return answer
            self._watch()
        return None

    def _receive(self) -> None:
        while (frames := self._transport.receive()) is not None:
            message = messages.check(framing.decode(frames), messages.FROM_DAEMON)
            self._heard = time.monotonic()
            if message.type in messages.LAST:
                self._jobs.pop(message.header.get("job", ""), None)
            if message.type == "welcome":
                self.welcome = message.header
            else:
                self._arrived.append(message)

    def _watch(self) -> None:
        now = time.monotonic()
        for event in self._transport.events():
            self._notice(event, now)
        if self.welcome is None:
            return
        unanswered = self._asked > self._heard  # a client that was busy itself has not asked yet
        silent = unanswered and now - self._asked > (AWAY if self._remote else SILENCE)
        if silent or (self._lost is not None and now - self._lost >= (AWAY if self._remote else 0)):
            again = f"Try again: it is started anew. Its log is {runtime.log_path()}."
            hint = f"Check the network, and the daemon at {self._address}." if self._remote else again
            raise BlendError("daemon-gone", "The blend daemon has ended or does not answer any more.", hint)
        if not unanswered and now - self._heard > PING:
            self._asked = now
            self._send(Message("hello"))

    def _notice(self, event: Event, now: float) -> None:
        if event is Event.LOST:
            self._lost = self._lost or now
            return
        if self._lost is not None and self._remote:
            for message in (Message("hello"), *self._jobs.values()):  # what was under way is lost; the daemon knows a job by its id
                self._send(message)
        if self._remote or self.welcome is None:
            self._lost = None  # on this computer a daemon that answers anew is another one

    def _send_work(
        self,
        type: str,
        source: Raster,
        target: Raster,
        mask: Raster | None,
        offset: tuple[int, int],
        parameters: Mapping[str, Any],
        header: Mapping[str, Any],
        part: Part | None = None,
    ) -> str:
        rasters = {"source": source, "target": target} | ({} if mask is None else {"mask": mask})
        if part is not None:
            header = {**header, "corner": list(part.corner), "canvas": list(part.canvas)}
            rasters |= {} if part.samples is None else {"samples": part.samples}
        message = Message(type, {**header, "offset": list(offset), "parameters": dict(parameters)}, rasters)
        if self._remote and type == "submit":
            self._jobs[header["job"]] = message
        self._send(message)
        return str(header["job"])

    def _send(self, message: Message) -> None:
        self._transport.send(framing.encode(message))


def failure(message: Message) -> BlendError:
    """The error that a `failed` message tells of."""
    return BlendError(message.header["code"], message.header["message"], message.header["hint"])
