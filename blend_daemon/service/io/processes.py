"""The workers' processes: started, given orders, listened to, ended. `Gone` tells of each end, however it came."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import zmq
import zmq.asyncio

from blend_daemon.service.events import Event, Garbled, Gone, Said
from blend_daemon.service.io import memory
from blend_daemon.service.io.zeromq import own_user_only, send_at_once
from blend_protocol import framing, runtime
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message

log = logging.getLogger("blend_daemon")

LAST_WORDS = 0.2  # s in which what a process said before its end arrives


@dataclass(eq=False)
class Process:
    """A worker's process, from the wish for it to its end."""

    socket: zmq.asyncio.Socket
    running: asyncio.subprocess.Process | None = None
    killed: bool = False

    @property
    def pid(self) -> int | None:
        return self.running.pid if self.running and self.running.returncode is None else None

    def kill(self) -> None:
        """End it; one that has not begun yet, as soon as it has."""
        self.killed = True
        if self.running and self.running.returncode is None:
            self.running.kill()


class Processes:
    """One process at most for each worker.

    Parameters
    ----------
    context : of ZeroMQ
    devices : one for each worker, as in `blend-daemon serve --device`
    happen : told of what the processes say and how they end
    """

    def __init__(self, context: zmq.asyncio.Context, devices: Sequence[str], happen: Callable[[Event], None]) -> None:
        self._context, self._devices, self._happen = context, devices, happen
        self._processes: dict[int, Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._names = 0
        self._environment = dict(os.environ)
        if len(devices) > 1:
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            # Each a share of the cores: threads that outnumber them wait for one another.
            self._environment.setdefault("OMP_NUM_THREADS", str(max(cores // len(devices), 1)))

    def spawn(self, worker: int) -> None:
        """Start a worker's process."""
        task = asyncio.create_task(self._live(worker))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def end(self, worker: int) -> None:
        """Kill a worker's process."""
        if process := self._processes.get(worker):
            process.kill()

    def order(self, worker: int, message: Message) -> None:
        """Send a worker a word. Never waits: one that has just died takes nothing more, and its end is told of soon."""
        if process := self._processes.get(worker):
            with suppress(zmq.ZMQError):
                send_at_once(process.socket, framing.encode(message))

    def pid(self, worker: int) -> int | None:
        """The process of a worker, None if it has none now."""
        process = self._processes.get(worker)
        return process.pid if process else None

    def account(self, worker: int) -> dict[str, int | None]:
        """What `status` says of a worker's process."""
        pid = self.pid(worker)
        return {"pid": pid, "memory": pid and memory.held(pid)}

    def memory(self) -> dict[int, int]:
        """What memory the processes that there are hold, bytes; of none where it cannot be told."""
        pids = {worker: pid for worker in self._processes if (pid := self.pid(worker))}
        return {worker: size for worker, pid in pids.items() if (size := memory.held(pid))}

    def unfit_nodes(self) -> list[str]:
        """Of none: all are on this machine."""
        return []

    async def close(self) -> None:
        """End all."""
        for process in self._processes.values():
            process.kill()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    async def _live(self, worker: int) -> None:
        code, why = None, ""
        try:
            code = await self._run(worker)
        except (OSError, zmq.ZMQError) as error:
            why = str(error)
        except Exception as error:  # whatever it is, it is this process's end alone
            log.exception("worker %d", worker)
            why = repr(error)
        self._processes.pop(worker, None)
        self._happen(Gone(worker, code, why))

    async def _run(self, worker: int) -> int:
        """A process from its start to its end; its exit code. Raises OSError, zmq.ZMQError if it cannot be started."""
        socket = self._context.socket(zmq.PAIR)
        socket.linger = 0
        process = self._processes[worker] = Process(socket)
        try:
            own_user_only(socket)
            # As many names as there have been processes: what a dead one left is not met by the next.
            self._names += 1
            address = f"ipc://{runtime.runtime_dir() / f'worker-{self._names}'}"
            socket.bind(address)
            running = process.running = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "blend_daemon.service.worker", address, self._devices[worker]),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
                env=self._environment, start_new_session=True,  # Ctrl+C on the daemon's terminal is the broker's: it parks the job
            )  # fmt: skip
            if process.killed:
                running.kill()
            hearing, reading = asyncio.create_task(self._hear(worker, socket)), asyncio.create_task(self._log(worker, running))
            try:
                code = await running.wait()
                await asyncio.wait([hearing], timeout=LAST_WORDS)
                await asyncio.wait([reading], timeout=1)
            finally:
                hearing.cancel()
                reading.cancel()
            return code
        finally:
            socket.close(0)

    async def _hear(self, worker: int, socket: zmq.asyncio.Socket) -> None:
        while True:
            frames = await socket.recv_multipart(copy=False)
            event: Event
            try:
                event = Said(worker, framing.decode([frame.buffer for frame in frames]))
            except BlendError as error:
                event = Garbled(worker, error)
            self._happen(event)

    async def _log(self, worker: int, running: asyncio.subprocess.Process) -> None:
        # Into the log, which rotates; a stream of the daemon's own would go on into a file that has been moved away.
        assert running.stderr
        while chunk := await running.stderr.read(65536):
            for line in chunk.decode(errors="replace").splitlines():
                log.warning("worker %d: %s", worker, line)
