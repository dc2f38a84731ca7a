"""Runs the broker: tells it what happens, and does what it wants."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import zmq
import zmq.asyncio

from blend_daemon.service import events, replies
from blend_daemon.service.broker import TICK, Broker
from blend_daemon.service.endings import Limits
from blend_daemon.service.events import Connection, Event
from blend_daemon.service.io import admission, client_sockets, memory, memory_guard, metrics
from blend_daemon.service.io.client_sockets import ClientSocket
from blend_daemon.service.io.disk import Disk
from blend_daemon.service.io.fleet import Fleet
from blend_daemon.service.io.processes import Processes
from blend_daemon.service.io.systemd import notify
from blend_protocol import __version__, framing, messages, runtime
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message

log = logging.getLogger("blend_daemon")

SLICE = 0.01  # s that clients' messages are read before everything else has its turn
UNFINISHED_SHARE = 0.25  # of the machine's memory, for messages on their way in


class Daemon:
    """One daemon.

    Parameters
    ----------
    devices : for each worker: auto, cpu, cuda, cuda:N, mps or xpu
    limits : of each worker
    idle_exit : s without a word from any client and without a job after which the daemon ends; None: never
    listen : tcp address at which paired computers are served too
    figures : host and port at which Prometheus is answered
    unfinished : bytes that messages may take while they come in; None: a share of the machine's memory
    fleet : cores of each worker in the Ray cluster that this process has joined; None: the workers are processes of this machine
    """

    def __init__(
        self,
        devices: Sequence[str],
        limits: Limits,
        idle_exit: float | None = None,
        listen: str | None = None,
        figures: tuple[str, int] | None = None,
        unfinished: int | None = None,
        fleet: int | None = None,
    ) -> None:
        self._listen, self._figures = listen, figures
        self._unfinished = unfinished or int(memory.PHYSICAL * UNFINISHED_SHARE)
        self._context = zmq.asyncio.Context()
        self._disk = Disk(runtime.results_dir())
        self._processes = Fleet(devices, fleet, self.happen) if fleet else Processes(self._context, devices, self.happen)
        self._began = now = time.monotonic()
        welcome = Message("welcome", {"version": __version__, "pid": os.getpid(), "log": str(runtime.log_path())})
        self._broker = Broker(len(devices), limits, self._disk.entries(), welcome, now, time.time() - now, idle_exit)
        self._sockets: dict[bool, ClientSocket] = {}  # by whether it is for other computers
        self._events: deque[Event] = deque()
        self._stepping = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._one_read = asyncio.Lock()
        self._exit = asyncio.Event()
        self._fault: Exception | None = None  # of the broker, after which nothing of it can be relied on

    async def serve(self) -> bool:
        """Serve until SIGTERM, SIGINT, a client's `shutdown` or an upgrade.

        Returns whether it was an upgrade: whoever keeps the daemon running has to start the new version.
        """
        _remove_sockets()  # left by a daemon that was killed; the lock is ours
        forever = []
        if self._listen or not runtime.unix_sockets():
            forever.append(admission.admit(admission.socket(self._context)))
        if self._listen:
            self._sockets[True] = client_sockets.remote(self._context, self._listen)
            self._listen = self._sockets[True].address
        self._sockets[False] = client_sockets.local(self._context)
        sockets = list(self._sockets.values())
        forever += [self._hear_clients(socket) for socket in sockets]
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.happen, events.Stop())
        log.info("serving %s, version %s, pid %d", " and ".join(filter(None, [runtime.address(), self._listen])), __version__, os.getpid())
        figures = await metrics.serve(self._figures, self._status) if self._figures else None
        notify("READY=1")
        forever.append(self._tick())
        forever.append(memory_guard.watch(sockets, self._unfinished, lambda: self._broker.pictures, lambda: self._broker.served))
        for effect in self._broker.start():
            self._perform(effect)
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(part) for part in forever]
        exit: asyncio.Task[Any] = asyncio.create_task(self._exit.wait())
        done, _ = await asyncio.wait([*tasks, exit], return_when=asyncio.FIRST_COMPLETED)
        if figures:
            figures.close()
        await self._processes.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._tasks, return_exceptions=True)
        self._context.destroy(1000)
        _remove_sockets()
        log.info("stopped")
        for task in done - {exit}:
            task.result()
        if self._fault:
            raise self._fault
        return self._broker.outdated

    def happen(self, event: Event) -> None:
        """Tell the broker what has happened, and do what it wants; then what follows from that."""
        self._events.append(event)
        if self._stepping:
            return
        self._stepping = True
        try:
            while self._events:
                for effect in self._broker.step(self._events.popleft(), time.monotonic()):
                    self._perform(effect)
        except Exception as error:
            self._fault = self._fault or error
            self._events.clear()
            self._exit.set()
        finally:
            self._stepping = False

    def _perform(self, effect: events.Effect) -> None:
        match effect:
            case events.Tell(client, message, job):
                socket = self._sockets[client.remote]
                reached = socket.send(client, message)
                if job:
                    self._events.append(events.Told(job, client, message, reached, 0.0 if reached else socket.grace(client)))
            case events.Spawn(worker):
                self._processes.spawn(worker)
            case events.End(worker):
                self._processes.end(worker)
            case events.Order(worker, message):
                self._processes.order(worker, message)
            case events.Note(job):  # a few hundred bytes into the system's cache: they must be there before the job is accepted
                self._disk.note(job.owner, job.id, job.label)
            case events.Remove(owner, id):
                self._disk.remove(owner, id)
            case events.RemoveNote(owner, id):
                self._disk.remove_note(owner, id)
            case events.Write():
                self._begin(self._write(effect))
            case events.Fetch():
                self._begin(self._read(effect))
            case events.ListModels(client):
                self._begin(self._list_models(client))
            case events.Report(client):
                self._sockets[client.remote].send(client, Message("status", {"status": self._status()}))
            case events.Notify(word):
                notify(word)
            case events.Exit():
                self._exit.set()

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # what takes its time

    async def _hear_clients(self, socket: ClientSocket) -> None:
        rested = time.monotonic()
        while True:
            client, frames = await socket.receive()
            try:
                message = messages.check(framing.decode(frames), messages.FROM_CLIENT)
                self.happen(events.Heard(client, client_sockets.own(message, client.key)))
            except BlendError as error:
                self.happen(events.Refused(client, error))
            if time.monotonic() - rested > SLICE:  # `receive` does not wait while there are messages
                await asyncio.sleep(0)
                rested = time.monotonic()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            for socket in self._sockets.values():
                socket.look_after()
            self.happen(events.Tick(self._processes.memory()))

    async def _write(self, write: events.Write) -> None:
        job, result = write.job, write.result
        try:
            entry = await asyncio.to_thread(self._disk.write, job.owner, job.label, result)
        except Exception as error:  # a full disk above all; whatever it is, the result itself is there
            self.happen(events.Written(job, result, None, str(error)))
        else:
            self.happen(events.Written(job, result, entry))

    async def _read(self, fetch: events.Fetch) -> None:
        outcome: Message | BlendError
        missing = False
        async with self._one_read:
            try:
                outcome = await asyncio.to_thread(self._disk.read, fetch.entry.owner, fetch.entry.job)
            except BlendError as error:
                outcome, missing = error, isinstance(error.__cause__, FileNotFoundError)
            self.happen(events.Read(fetch, outcome, missing))

    async def _list_models(self, client: Connection) -> None:
        models = await asyncio.to_thread(replies.listed_models)
        self._sockets[client.remote].send(client, Message("models", {"models": models}))

    def _status(self) -> dict[str, Any]:
        """What `status` says, see docs/protocol.md: what the broker knows, and what the system tells of the processes."""
        status = self._broker.status()
        of_processes = [self._processes.account(worker) for worker in range(len(status["workers"]))]
        return status | {
            "pid": os.getpid(),
            "memory": memory.held("self"),
            "uptime": round(time.monotonic() - self._began, 1),
            "worker": next(filter(None, (process["pid"] for process in of_processes)), None),
            "workers": [worker | process for worker, process in zip(status["workers"], of_processes, strict=True)],
            "unfit_nodes": self._processes.unfit_nodes(),
            "log": str(runtime.log_path()),
            "listen": self._listen,
        }


def _remove_sockets() -> None:
    for path in [runtime.socket_path(), *runtime.runtime_dir().glob("worker-*")]:
        path.unlink(missing_ok=True)
