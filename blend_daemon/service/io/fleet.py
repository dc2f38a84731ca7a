"""Workers as actors of a Ray cluster: the same wishes and words as `io.processes`, carried out on other machines.

Ray places, watches and ends the actors and carries the frames, all under its token. What it cannot know stays with the broker: which job
comes next, and which is begun again because an actor was lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from blend_daemon.service.events import Event, Garbled, Gone, Said
from blend_daemon.service.worker import actor
from blend_protocol import __version__, framing
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message

log = logging.getLogger("blend_daemon")

REACH = 5.0  # s in which the cluster's head takes a connection
PROBE = 60.0  # s in which an unauthenticated client is refused
LOOK = 5.0  # s between two looks whether an unfit node is still there
START = "Start it on this machine too: `ray start --address HEAD:PORT`, see docs/fleet.md."


def connect(address: str, unguarded: bool) -> None:
    """Join a cluster as a client of it.

    Parameters
    ----------
    address : HOST:PORT of the head, or "auto" for the cluster that this machine is a node of
    unguarded : also one that lets anybody in

    Raises BlendError `fleet-missing`, `fleet-out-of-reach`, `fleet-refused`, `fleet-unguarded`.
    """
    try:
        import ray
    except ImportError as error:
        hint = 'Run `./install.sh --fleet`, or `pip install "blend-daemon[fleet]"`.'
        raise BlendError("fleet-missing", "Ray, on which a fleet runs, is not installed.", hint) from error
    if address != "auto":
        _knock(address)
        if _refusal(_asked(address, os.environ).stderr):  # of which Ray, when it joins, says nothing, and that after 20 s
            raise _refused(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray's own are of many kinds
        if _refusal(str(error)):
            raise _refused(address) from error
        raise BlendError("fleet-out-of-reach", f"The cluster at {address} cannot be joined: {_first_line(error)}", START) from error
    if not unguarded and not _guarded(ray.get_runtime_context().gcs_address):
        ray.shutdown()
        hint = "Start it with RAY_AUTH_MODE=token, see docs/fleet.md; or, in a network that is all your own, serve with --unguarded."
        raise BlendError(
            "fleet-unguarded",
            f"The cluster at {address} did not refuse one who asked without a token: whoever reaches it could run programs on it.",
            hint,
        )


def leave() -> None:
    """Leave the cluster; the actors end."""
    import ray

    ray.shutdown()


def _knock(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise BlendError("address-invalid", f"{address!r} is no address of a cluster.", "Write HOST:PORT; Ray's own port is 6379.")
    try:
        socket.create_connection((host, int(port)), REACH).close()
    except (OSError, OverflowError) as error:
        raise BlendError(
            "fleet-out-of-reach", f"No cluster answers at {address}: {error}.", "Check the address, and `ray status`."
        ) from error


def _guarded(address: str) -> bool:
    # Ray tells its clients' mode, not the cluster's; so somebody without a token asks. Only a clear refusal counts.
    stranger = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")} | {"RAY_AUTH_MODE": "disabled"}
    return _refusal(_asked(address, stranger).stderr)


def _refused(address: str) -> BlendError:
    hint = "Set RAY_AUTH_MODE=token, and give this machine the cluster's token, in ~/.ray/auth_token or RAY_AUTH_TOKEN."
    return BlendError("fleet-refused", f"The cluster at {address} refused this machine: its token is missing or wrong.", hint)


def _refusal(told: str) -> bool:
    """Whether Ray says that a token is missing or wrong."""
    return "unauth" in told.lower() or "token" in told.lower()


def _asked(address: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A process that reads from a cluster: Ray takes on one mode and one token for each process."""
    code = f"from ray._raylet import GcsClient; GcsClient(address={address!r}).internal_kv_keys(b'', None)"
    words = [sys.executable, "-c", code]
    try:
        return subprocess.run(words, env=dict(environment), capture_output=True, text=True, timeout=PROBE)
    except subprocess.TimeoutExpired as error:
        told = error.stderr or b""
        return subprocess.CompletedProcess(words, 1, "", told.decode(errors="replace") if isinstance(told, bytes) else told)


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


def _wrong(node: str | None, version: str | None) -> str:
    has = f"blend-daemon {version}, not {__version__}" if version else "no blend-daemon"
    return f"node {node} has {has}; run `./install.sh --fleet` of version {__version__} there, then `ray stop` and its `ray start`"


@dataclass(eq=False)
class Seat:
    """A worker's actor, from the wish for it to its end."""

    actor: Any
    sender: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))  # a picture is copied first, which may wait for room
    node: str | None = None
    pid: int | None = None
    lacks: str | None = None  # what no node had when it was wished for


class Fleet:
    """One actor at most for each worker.

    Parameters
    ----------
    devices : one for each worker: cpu, cuda, or auto, which is cuda where the cluster has a GPU
    threads : cores and threads of a worker on cpu
    happen : told of what the actors say and how they end
    """

    def __init__(self, devices: Sequence[str], threads: int, happen: Callable[[Event], None]) -> None:
        import ray
        from ray import cloudpickle

        cloudpickle.register_pickle_by_value(actor)  # so that also a node without this program can tell that it has none
        self._ray = ray
        auto = "cuda" if ray.cluster_resources().get("GPU") else "cpu"
        self._devices = [auto if device == "auto" else device for device in devices]
        self._threads, self._happen = threads, happen
        self._seats: dict[int, Seat] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._unfit: dict[str, str] = {}  # node's id: what is wrong with it
        self._looks: set[asyncio.Task[None]] = set()

    def spawn(self, worker: int) -> None:
        """Have Ray start a worker's actor where there is room, now or later."""
        task = asyncio.create_task(self._live(worker))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def end(self, worker: int) -> None:
        """Kill a worker's actor."""
        if seat := self._seats.get(worker):
            self._ray.kill(seat.actor)

    def order(self, worker: int, message: Message) -> None:
        """Send a worker a word. Never waits: one that has just died takes nothing more, and its end is told of soon."""
        if seat := self._seats.get(worker):
            seat.sender.submit(self._send, seat.actor, framing.encode(message))

    def account(self, worker: int) -> dict[str, Any]:
        """What `status` says of a worker's process: its node, and its number there."""
        seat = self._seats.get(worker)
        return {"node": seat and seat.node, "pid": seat and seat.pid, "memory": None, "lacks": seat and seat.lacks}

    def memory(self) -> dict[int, int]:
        """Of none: each node's Ray watches that its memory suffices."""
        return {}

    def unfit_nodes(self) -> list[str]:
        """What `status` says of the nodes that are given no worker: what is wrong with each, and what to do."""
        return list(self._unfit.values())

    async def close(self) -> None:
        """End all."""
        for look in self._looks:
            look.cancel()
        for worker in list(self._seats):
            self.end(worker)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    @staticmethod
    def _send(actor: Any, frames: Sequence[Any]) -> None:
        try:
            actor.order.options(concurrency_group="orders").remote([bytes(frame) for frame in frames])
        except Exception as error:  # its end is told of by its words
            log.warning("a word did not reach its worker: %s", _first_line(error))

    def _nodes(self, needs: Mapping[str, int]) -> set[str]:
        """The ids of the nodes that have what a worker needs, free or not."""
        of = {"num_gpus": "GPU", "num_cpus": "CPU"}
        nodes = {node["NodeID"]: node["Resources"] for node in self._ray.nodes() if node["Alive"]}
        return {id for id, has in nodes.items() if all(has.get(of[name], 0) >= count for name, count in needs.items())}

    def _leave_out(self, node: str, why: str) -> None:
        """Give no more workers to a node until its Ray is started anew, which makes another node of it."""

        async def look() -> None:
            while node in await asyncio.to_thread(self._nodes, {}):
                await asyncio.sleep(LOOK)
            self._unfit.pop(node)

        if node not in self._unfit:
            self._unfit[node] = why
            task = asyncio.create_task(look())
            self._looks.add(task)
            task.add_done_callback(self._looks.discard)

    async def _live(self, worker: int) -> None:
        try:
            why = await self._run(worker)
        except self._ray.exceptions.RayError as error:
            why = _first_line(error)
        except Exception as error:  # whatever it is, it is this worker's end alone
            log.exception("worker %d", worker)
            why = repr(error)
        if seat := self._seats.pop(worker, None):
            self._ray.kill(seat.actor)
            seat.sender.shutdown(wait=False)
        self._happen(Gone(worker, None, why))

    async def _run(self, worker: int) -> str:
        """An actor from its start to its end; why it ended. Raises RayError for most ends."""
        device = self._devices[worker]
        on_gpu = device.startswith("cuda")
        needs = {"num_gpus": 1, "num_cpus": 1} if on_gpu else {"num_cpus": self._threads}
        made = self._ray.remote(
            **needs, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD", concurrency_groups={"orders": 1},
            label_selector={"ray.io/node-id": f"!in({','.join(self._unfit)})"} if self._unfit else None,
        )(actor.Actor)  # fmt: skip
        seat = self._seats[worker] = Seat(made.remote(device, self._threads))
        nodes = await asyncio.to_thread(self._nodes, needs)
        if nodes and nodes <= self._unfit.keys():
            return self._unfit[min(nodes)]
        if not nodes:
            seat.lacks = "a GPU" if on_gpu else f"{self._threads} cores"
            log.warning("worker %d waits: no node of the cluster has %s", worker, seat.lacks)
        async for word in seat.actor.words.options(num_returns="streaming").remote():
            said = await word
            if isinstance(said, dict):
                seat.node, seat.pid, seat.lacks = said["node"], said["pid"], None
                if said["version"] != __version__:
                    why = _wrong(seat.node, said["version"])
                    self._leave_out(said["id"], why)
                    return why
                continue
            event: Event
            try:
                event = Said(worker, framing.decode(said))
            except BlendError as error:
                event = Garbled(worker, error)
            self._happen(event)
        return "its words ended"
