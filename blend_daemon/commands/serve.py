"""`blend-daemon serve`: the daemon in the foreground."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from blend_protocol.errors import BlendError

CPUS = 4  # of a worker in a fleet
RETRIES = 3  # of a job whose worker was lost: nodes come and go, but what kills a fourth is the job
OUTDATED = 75  # exit code that asks for another start (EX_TEMPFAIL); 0 would have systemd leave the daemon down


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("serve", help="run the daemon in the foreground")
    parser.add_argument(
        "--device", action="append", dest="devices", metavar="DEVICE",
        help="auto, cpu, cuda, cuda:N, mps or xpu (default: auto); once for each worker",
    )  # fmt: skip
    parser.add_argument("--workers", type=_count, default=1, metavar="N", help="workers on each device (default: 1)")
    parser.add_argument(
        "--hang-limit",
        type=_positive,
        default=600,
        metavar="S",
        help="seconds of silence after which a worker that computes is replaced (default: 600)",
    )
    parser.add_argument(
        "--memory-limit",
        type=_positive,
        metavar="MB",
        help="memory of a worker, beyond which it is replaced (default: its share of three quarters of the machine's, in a fleet none)",
    )
    parser.add_argument(
        "--unfinished-limit",
        type=_positive,
        metavar="MB",
        help="memory of messages on their way in, beyond which their connections are closed (default: a quarter of the machine's)",
    )
    parser.add_argument(
        "--idle-release",
        type=_positive,
        default=5,
        metavar="MIN",
        help="minutes without a job after which workers end and give their memory back (default: 5)",
    )
    parser.add_argument(
        "--idle-exit",
        type=_positive,
        metavar="MIN",
        help="minutes without a word from anybody after which the daemon ends (default: never)",
    )
    parser.add_argument(
        "--listen",
        metavar="tcp://HOST:PORT",
        help="also serve the computers that `blend-daemon pair` has let in; HOST is this computer's, or *",
    )
    parser.add_argument("--metrics", metavar="127.0.0.1:PORT", help="answer Prometheus there, for this computer alone")
    add_engine(parser)
    parser.set_defaults(run=run)


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Where the workers are: on this machine, or in a Ray cluster."""
    fleet = parser.add_argument_group("a fleet", "Workers on the machines of a Ray cluster, see docs/fleet.md.")
    fleet.add_argument("--engine", choices=("local", "ray"), default="local", help="where the workers are (default: on this machine)")
    fleet.add_argument("--ray-address", metavar="HOST:PORT", help="the cluster's head (default: of the cluster that this machine is in)")
    fleet.add_argument("--worker-cpus", type=_count, metavar="N", help="cores of a worker without a GPU (default: 4)")
    fleet.add_argument("--unguarded", action="store_true", help="also with a cluster that lets anybody run programs on it")


def check_engine(args: argparse.Namespace, devices: Sequence[str]) -> None:
    """Raise BlendError `option-conflict` for what does not go together."""
    given = {"--ray-address": args.ray_address, "--worker-cpus": args.worker_cpus, "--unguarded": args.unguarded}
    if args.engine == "local" and (alone := [name for name, value in given.items() if value]):
        raise BlendError("option-conflict", f"{alone[0]} is for a fleet alone.", "Add --engine ray.")
    if args.engine == "ray" and (wrong := set(devices) - {"auto", "cpu", "cuda"}):
        raise BlendError("option-conflict", f"A worker of a fleet cannot be on {min(wrong)}.", "Ray places them: give auto, cpu or cuda.")


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 64:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to 64")
    return value


def run(args: argparse.Namespace) -> int:
    """Serve until stopped. Returns 3 if another daemon is running already, `OUTDATED` if another version has been installed."""
    import asyncio
    import logging
    import resource
    from logging.handlers import RotatingFileHandler

    from blend_daemon.service.io import lock
    from blend_protocol import keys, runtime

    if args.listen:
        keys.tcp(args.listen)
    check_engine(args, args.devices or [])
    folder = runtime.private_dir(runtime.runtime_dir())
    try:
        held = lock.take(folder)
    except lock.AlreadyRunning as error:
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
        if args.engine == "local":
            return OUTDATED if asyncio.run(_serve(args)) else 0
        from blend_daemon.service.io import fleet

        fleet.connect(args.ray_address or "auto", args.unguarded)
        try:
            return OUTDATED if asyncio.run(_serve(args)) else 0
        finally:
            fleet.leave()


async def _serve(args: argparse.Namespace) -> bool:
    from blend_daemon.service.endings import Limits
    from blend_daemon.service.io import memory, metrics
    from blend_daemon.service.io.daemon import Daemon

    devices = [device for device in args.devices or ["auto"] for _ in range(args.workers)]
    most = int(args.memory_limit * 1e6) if args.memory_limit else memory.share(len(devices))
    fleet = (args.worker_cpus or CPUS) if args.engine == "ray" else None
    limits = Limits(args.hang_limit, most, args.idle_release * 60, RETRIES if fleet else 0)
    figures = metrics.address(args.metrics) if args.metrics else None
    unfinished = args.unfinished_limit and int(args.unfinished_limit * 1e6)
    return await Daemon(devices, limits, args.idle_exit and args.idle_exit * 60, args.listen, figures, unfinished, fleet).serve()
