"""A client's connection through a bridge, `blend-daemon bridge`, which speaks ZeroMQ for a Python that cannot. Standard library only.

Over the bridge's standard input and output go records: one byte that says what it is, the number of its frames (one byte), and for each
frame its length (eight bytes, the largest first) and its bytes.
"""

from __future__ import annotations

import json
import struct
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from queue import SimpleQueue
from typing import IO, Any

from blend_protocol import processes, runtime
from blend_protocol.errors import BlendError
from blend_protocol.framing import FRAME_LIMIT, invalid
from blend_protocol.transport import Event

MESSAGE, EVENT, FAILED = b"M", b"E", b"F"  # the protocol's frames; an event's name; code, message and hint of a BlendError, as JSON
FRAMES_LIMIT = 16  # more than any message of the protocol has

Record = tuple[bytes, list[Any]]


def write(file: IO[bytes], kind: bytes, frames: Sequence[Any]) -> None:
    """Write a record to an unbuffered file."""
    _put(file, kind + bytes([len(frames)]))
    for frame in frames:
        view = memoryview(frame).cast("B")
        _put(file, struct.pack(">Q", view.nbytes))
        _put(file, view)


def read(file: IO[bytes]) -> Record | None:
    """The next record of an unbuffered file, None if it ends before that is whole. Raises BlendError `message-invalid`."""
    head = _get(file, 2)
    if head is None:
        return None
    kind, count = bytes(head[:1]), head[1]
    if kind not in (MESSAGE, EVENT, FAILED) or count > FRAMES_LIMIT:
        raise invalid("what comes through the bridge is no record")
    frames = []
    for _ in range(count):
        length = _get(file, 8)
        if length is None:
            return None
        (size,) = struct.unpack(">Q", length)
        if size > FRAME_LIMIT:
            raise invalid(f"a frame has {size} bytes")
        frame = _get(file, size)
        if frame is None:
            return None
        frames.append(frame)
    return kind, frames


def _put(file: IO[bytes], data: Any) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _get(file: IO[bytes], size: int) -> memoryview | None:
    whole = memoryview(bytearray(size))
    rest = whole
    while rest:
        count = file.readinto(rest)  # type: ignore[attr-defined] # a raw file has it
        if not count:
            return None
        rest = rest[count:]
    return whole


class Pipe:
    """A `Transport` through a bridge, see there.

    Parameters
    ----------
    command : how to start blend-daemon
    address : see `transport.connect`

    Raises
    ------
    BlendError
        `daemon-not-started` if the bridge cannot be started
    """

    def __init__(self, command: Sequence[str], address: str | None) -> None:
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe that nobody empties would fill up, and hold the bridge
        try:
            words = [*command, "bridge", *([address] if address else [])]
            self._bridge = processes.spawn(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints, bufsize=0)
        except OSError as error:
            self._complaints.close()
            culprit = error.filename or command[0]
            raise BlendError(
                "daemon-not-started", f"The bridge to the blend daemon could not be started: {culprit}: {error.strerror}.", runtime.DOCTOR
            ) from error
        self._closed = self._heard = False
        self._outgoing: SimpleQueue[Sequence[Any] | None] = SimpleQueue()
        self._messages: deque[list[Any]] = deque()
        self._events: deque[Event | BlendError] = deque()
        self._arrived = threading.Condition()
        # Threads, because a pipe takes and gives bytes only as fast as the other side does, and Windows cannot wait for one with a limit.
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._write, self._read)]
        for thread in self._threads:
            thread.start()

    def send(self, frames: Sequence[Any]) -> None:
        self._outgoing.put(frames)

    def receive(self) -> list[Any] | None:
        return self._messages.popleft() if self._messages else None

    def events(self) -> list[Event]:
        """See `Transport`. Raises BlendError `daemon-gone` if the bridge has ended, and whatever it tells of."""
        happened = []
        while self._events:
            event = self._events[0]
            if isinstance(event, BlendError):
                raise event
            happened.append(event)
            self._events.popleft()
        return happened

    def wait(self, timeout: float) -> None:
        with self._arrived:
            self._arrived.wait_for(lambda: self._messages or self._events, timeout)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        processes.end(self._bridge)  # it keeps nothing; the daemon sees its connection end
        self._outgoing.put(None)
        for thread in self._threads:
            thread.join()
        for file in (self._bridge.stdin, self._bridge.stdout, self._complaints):
            assert file is not None
            file.close()

    def _write(self) -> None:
        assert self._bridge.stdin is not None
        while (frames := self._outgoing.get()) is not None:
            try:
                write(self._bridge.stdin, MESSAGE, frames)
            except OSError:
                return  # the bridge has ended, which `_read` sees too

    def _read(self) -> None:
        assert self._bridge.stdout is not None
        try:
            while record := read(self._bridge.stdout):
                self._heard = True
                self._hear(*record)
        except (BlendError, OSError, ValueError, KeyError) as error:
            self._note(error if isinstance(error, BlendError) else invalid(f"the bridge says what cannot be read ({error})"))
        else:
            self._note(self._end())

    def _hear(self, kind: bytes, frames: list[Any]) -> None:
        if kind == MESSAGE:
            with self._arrived:
                self._messages.append(frames)
                self._arrived.notify()
        elif kind == EVENT:
            self._note(Event(bytes(frames[0]).decode()))
        else:
            told = json.loads(bytes(frames[0]))
            self._note(BlendError(told["code"], told["message"], told["hint"]))

    def _note(self, event: Event | BlendError) -> None:
        with self._arrived:
            self._events.append(event)
            self._arrived.notify()

    def _end(self) -> BlendError:
        code = self._bridge.wait()
        self._complaints.seek(0)
        lines = self._complaints.read().decode("utf-8", "replace").strip().splitlines()
        why = lines[-1].rstrip(".") if lines else f"it ended with code {code}"
        if not self._heard:
            return BlendError("daemon-not-started", f"The bridge to the blend daemon could not be started: {why}.", runtime.DOCTOR)
        return BlendError("daemon-gone", f"The bridge to the blend daemon has ended: {why}.", "Try again: it is started anew.")
