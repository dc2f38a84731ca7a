"""`blend-daemon serve`: the daemon in the foreground."""

from __future__ import annotations

import argparse
import sys


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("serve", help="run the daemon in the foreground")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps or xpu (default: auto)")
    parser.add_argument(
        "--listen",
        metavar="tcp://HOST:PORT",
        help="also serve the computers that `blend-daemon pair` has let in; HOST is this computer's, or *",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until stopped. Returns 3 if another daemon is running already."""
    import asyncio
    import logging
    import resource
    from logging.handlers import RotatingFileHandler

    from blend_daemon.errors import BlendError
    from blend_daemon.protocol import keys, runtime
    from blend_daemon.service import server

    if args.listen:
        keys.tcp(args.listen)
    folder = runtime.private_dir(runtime.runtime_dir())
    try:
        held = server.lock(folder)
    except server.AlreadyRunning as error:
        print(f"blend-daemon: {error} {error.hint}", file=sys.stderr)
        return 3
    try:
        runtime.log_path().parent.mkdir(parents=True, exist_ok=True)
        handlers: list[logging.Handler] = [RotatingFileHandler(runtime.log_path(), maxBytes=1_000_000, backupCount=3)]
    except OSError as error:
        raise BlendError("log-unwritable", f"The log {runtime.log_path()} cannot be written: {error.strerror}.", runtime.DOCTOR) from error
    if sys.stderr.isatty():
        handlers.append(logging.StreamHandler())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=handlers)
    # Each connection takes a descriptor; with the usual 1024, a few hundred idle ones would leave none to write a result with.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with held:
        asyncio.run(_serve(args.device, args.listen))
    return 0


async def _serve(device: str, listen: str | None) -> None:
    from blend_daemon.service.server import Server

    await Server(device, listen).serve()
