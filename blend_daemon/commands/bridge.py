"""`blend-daemon bridge`: a client's connection for a program whose Python has no pyzmq; see `blend_protocol.pipe`."""

from __future__ import annotations

import argparse
from typing import IO, TYPE_CHECKING, Any

from blend_protocol.errors import BlendError

if TYPE_CHECKING:
    import zmq

    from blend_protocol.zeromq import Socket

HERE = "inproc://from-the-program"


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "bridge", help="for GIMP's plug-in: pass on its messages from standard input, and the daemon's to output"
    )
    parser.add_argument("address", nargs="?", help="of the daemon (default: this user's own)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Pass messages on until the program closes its end, or there can be no connection."""
    import json
    import os
    import sys
    from contextlib import suppress

    from blend_protocol import pipe

    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb", 0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever is printed must not get among the records
    with suppress(BrokenPipeError):
        try:
            _serve(args.address, os.fdopen(sys.stdin.fileno(), "rb", 0, closefd=False), out)
        except BlendError as error:
            told = {"code": error.code, "message": str(error), "hint": error.hint}
            pipe.write(out, pipe.FAILED, [json.dumps(told).encode()])
            return 2
    return 0


def _serve(address: str | None, in_: IO[bytes], out: IO[bytes]) -> None:
    import threading

    import zmq

    from blend_protocol import pipe
    from blend_protocol.zeromq import Socket

    socket = Socket(address)
    program = socket.context.socket(zmq.PAIR)
    program.rcvhwm = 1  # what the daemon has not taken yet stays with the program as far as may be
    program.bind(HERE)
    threading.Thread(target=_read, args=(in_, socket), daemon=True).start()
    while True:
        socket.wait(1.0, program)
        while program.poll(0):
            frames = program.recv_multipart(copy=False)
            if not frames[0].bytes:
                return
            socket.send(frames)
        while (answer := socket.receive()) is not None:
            pipe.write(out, pipe.MESSAGE, answer)
        for event in socket.events():
            pipe.write(out, pipe.EVENT, [event.value.encode()])


def _read(in_: IO[bytes], socket: Socket) -> None:
    """Hand on what the program says, in a thread of its own: a pipe cannot be polled together with a socket everywhere. At its end, a
    frame without bytes."""
    import zmq

    from blend_protocol import pipe

    hand: zmq.Socket[Any] = socket.context.socket(zmq.PAIR)
    hand.sndhwm = 1
    hand.connect(HERE)
    try:
        while record := pipe.read(in_):
            hand.send_multipart(record[1], copy=False)
    finally:
        hand.send(b"")
