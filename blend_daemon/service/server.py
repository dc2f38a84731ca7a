"""The broker: takes jobs from clients, hands them to the worker one by one, and passes its words back. It computes nothing,
so it answers at once whatever the worker does."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import zmq
import zmq.asyncio

from blend_daemon import __version__
from blend_daemon.errors import BlendError
from blend_daemon.protocol import framing, messages, runtime
from blend_daemon.protocol.framing import Message
from blend_daemon.service import doors
from blend_daemon.service.doors import Door, Peer
from blend_daemon.service.jobs import ENDED, IN_ALL, Job, Queue, State
from blend_daemon.service.store import Entry, Store

log = logging.getLogger("blend_daemon")

ID_TAKEN = ("message-invalid", "A job and a preview have the same id.", "Choose another at random.")
STATE_OF = {"result": State.DONE, "failed": State.FAILED, "cancelled": State.CANCELLED}


class AlreadyRunning(BlendError):
    """Another daemon holds the lock."""


def lock(folder: Path) -> IO[str]:
    """Take the one lock of a runtime folder; it is free again when its holder ends, however it ends.

    Raises
    ------
    AlreadyRunning
        if another daemon has it
    """
    file = (folder / "lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise AlreadyRunning("daemon-running", "A blend daemon is running already.", "`blend-daemon status` tells of it.") from None
    return file


def _remove_sockets() -> None:
    for path in [runtime.socket_path(), *runtime.runtime_dir().glob("worker-*")]:
        path.unlink(missing_ok=True)


class Server:
    """One daemon.

    Parameters
    ----------
    device : for the worker: auto, cpu, cuda, cuda:N, mps or xpu
    listen : tcp address at which paired computers are served too
    """

    def __init__(self, device: str, listen: str | None = None) -> None:
        self._device = device
        self._listen = listen
        self._device_found = "loading"
        self._queue = Queue()
        self._store = Store(runtime.results_dir())
        self._keeping: set[asyncio.Task[None]] = set()
        self._fetching: set[asyncio.Task[None]] = set()
        self._one_fetch = asyncio.Lock()
        self._began = time.monotonic()
        self._ended = 0
        self._starts = 0
        self._ready = False
        self._sketches: dict[str, Peer] = {}  # who asked for which
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    async def serve(self) -> None:
        """Serve until SIGTERM, SIGINT or a client's `shutdown`."""
        self._context = zmq.asyncio.Context()
        tasks: list[asyncio.Task[Any]] = []
        _remove_sockets()  # left by a daemon that was killed; the lock is ours
        if self._listen:
            tasks.append(asyncio.create_task(doors.admit(doors.zap(self._context))))
            door = doors.remote(self._context, self._listen)
            self._listen = door.address
            tasks.append(asyncio.create_task(self._hear_clients(door)))
        tasks.append(asyncio.create_task(self._hear_clients(doors.local(self._context))))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        log.info("serving %s, version %s, pid %d", " and ".join(filter(None, [runtime.address(), self._listen])), __version__, os.getpid())
        tasks.append(asyncio.create_task(self._keep_worker()))
        stop = asyncio.create_task(self._stopping.wait())
        done, _ = await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
        await self._give_up("The daemon was stopped.")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._keeping, *self._fetching, return_exceptions=True)
        self._context.destroy(1000)
        _remove_sockets()
        log.info("stopped")
        for task in done - {stop}:
            task.result()

    async def _give_up(self, why: str) -> None:
        running = self._queue.running if not self._keeping else None
        for job in [*([running] if running else []), *self._queue.waiting()]:
            await self._fail(job, "daemon-stopped", why, "Try again.")

    # clients

    async def _hear_clients(self, door: Door) -> None:
        while True:
            client, frames, key = await door.receive()
            try:
                message = messages.check(framing.decode(frames), messages.FROM_CLIENT)
                await self._answer(client, doors.own(message, key))
            except BlendError as error:
                # Names in it are the sender's: no line break and no broken character of theirs goes into the log.
                log.warning("refused a message: %s", ascii(str(error))[:300])
                await self._tell(client, Message("failed", {"code": error.code, "message": str(error), "hint": error.hint}))

    async def _answer(self, client: Peer, message: Message) -> None:
        match message.type:
            case "hello":
                header = {"version": __version__, "pid": os.getpid(), "log": str(runtime.log_path())}
                await self._tell(client, Message("welcome", header))
            case "status":
                await self._tell(client, Message("status", {"status": self._status()}))
            case "shutdown":
                if client.door.remote:
                    raise BlendError("not-permitted", "A blend daemon can be stopped only from its own computer.", "Stop it there.")
                log.info("asked to stop")
                self._stopping.set()
            case "submit":
                await self._submit(client, message)
            case "sketch":
                await self._sketch(client, message)
            case "adjust" | "cancel" | "finish":
                await self._steer(message)
            case "results":
                await self._tell(client, Message("results", {"results": _listed(self._store.of(message.header["owner"]))}))
            case "fetch":
                await self._fetch(client, message.header["owner"], message.header["job"])
            case "release":
                self._store.release(message.header["owner"], message.header["job"])
                self._queue.forget(message.header["owner"], message.header["job"])
                await self._tell(client, Message("released", {"job": message.header["job"]}))

    async def _submit(self, client: Peer, message: Message) -> None:
        id, owner = message.header["job"], message.header["owner"]
        job = self._queue.find(owner, id)
        if job is None and (entry := self._store.find(owner, id)) and entry.box is not None:
            await self._fetch(client, owner, id)
            return
        if job is None and id in self._sketches:
            await self._refuse(client, id, *ID_TAKEN)
            return
        if job is None:
            header = message.header
            job = Job(id, owner, client, message, header.get("keep", False), header.get("label", {}))
            try:
                self._queue.add(job)
            except BlendError as error:
                await self._refuse(client, id, error.code, str(error), error.hint)
                return
            self._store.begin(id, owner, job.label)
            log.info("job %s queued: %s", id[:8], {name: raster.shape for name, raster in message.rasters.items()})
        job.client = client  # its owner may have come back on another connection
        if job.state in ENDED:
            await (self._tell(client, job.last) if job.last else self._fetch(client, owner, id))
            return
        await self._tell(client, Message("accepted", {"job": id, "position": self._queue.position(job)}))
        await self._dispatch()

    async def _fetch(self, client: Peer, owner: str, id: str) -> None:
        # In a task: others are answered while the disk is read, by one at a time.
        if len(self._fetching) >= IN_ALL:
            await self._refuse(client, id, "queue-full", "Too many results are asked for at once.", "Ask again in a moment.")
            return
        task = asyncio.create_task(self._hand_out(client, owner, id))
        self._fetching.add(task)
        task.add_done_callback(self._fetching.discard)

    async def _hand_out(self, client: Peer, owner: str, id: str) -> None:
        job = self._queue.find(owner, id)
        if job and job.last and job.last.type == "result":  # it could not be written, but is not forgotten yet
            await self._tell(client, job.last)
            return
        async with self._one_fetch:
            try:
                result = await asyncio.to_thread(self._store.fetch, owner, id)
            except BlendError as error:
                await self._refuse(client, id, error.code, str(error), error.hint)
            else:
                await self._tell(client, result)

    async def _steer(self, message: Message) -> None:
        job = self._queue.find(message.header["owner"], message.header["job"])
        if job is None or job.state in ENDED:
            return  # it crossed with the job's last message
        if job.state is State.RUNNING:
            await self._order(message)
        elif message.type == "adjust":
            work = job.work
            parameters = {**work.header["parameters"], **message.header["sliders"]}
            job.work = Message(work.type, {**work.header, "parameters": parameters}, work.rasters)
        else:
            await self._end(job, Message("cancelled", {"job": job.id}))

    async def _sketch(self, client: Peer, message: Message) -> None:
        # Not queued: the worker makes it between two evaluations of whatever job runs.
        id = message.header["job"]
        if not self._ready:
            await self._refuse(client, id, "worker-loading", "The blend daemon is still loading its network.", "Ask again in a moment.")
        elif id in self._sketches or self._queue.holds(id):
            await self._refuse(client, id, *ID_TAKEN)
        elif len(self._sketches) >= IN_ALL:
            await self._refuse(client, id, "queue-full", "Too many previews are asked for at once.", "Ask again in a moment.")
        else:
            self._sketches[id] = client
            await self._order(message)

    async def _refuse(self, client: Peer, job: str, code: str, message: str, hint: str) -> None:
        await self._tell(client, Message("failed", {"job": job, "code": code, "message": message, "hint": hint}))

    async def _tell(self, client: Peer, message: Message) -> bool:
        return await client.door.send(client, message)

    def _status(self) -> dict[str, Any]:
        running = self._queue.running
        return {
            "version": __version__,
            "protocol": framing.VERSION,
            "pid": os.getpid(),
            "worker": self._process.pid if self._process and self._process.returncode is None else None,
            "uptime": round(time.monotonic() - self._began, 1),
            "device": self._device_found,
            "running": running.id if running else None,
            "waiting": len(self._queue),
            "ended": self._ended,
            "worker_starts": self._starts,
            "log": str(runtime.log_path()),
            "listen": self._listen,
        }

    # worker

    async def _keep_worker(self) -> None:
        while True:
            process = await self._start_worker()
            died = asyncio.create_task(process.wait())
            hearing = asyncio.create_task(self._hear_worker())
            try:
                await asyncio.wait([died, hearing], return_when=asyncio.FIRST_COMPLETED)
                if hearing.done():
                    hearing.result()
            finally:
                hearing.cancel()
                died.cancel()
                if process.returncode is None:
                    process.kill()
                code = await process.wait()
                loaded, self._ready = self._ready, False
                self._worker.close(0)
            log.error("the worker ended with code %s", code)
            how = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
            for id, client in self._sketches.items():
                await self._refuse(client, id, "worker-died", "The process that computes has ended.", f"The log is {runtime.log_path()}.")
            self._sketches.clear()
            if self._queue.running and not self._keeping:
                hint = f"Try again, with a smaller selection or the preset draft. The log is {runtime.log_path()}."
                await self._fail(self._queue.running, "worker-died", f"The process that computes was ended by {how}.", hint)
            if not loaded:
                # The next one would most likely end in the same way: those who wait must hear of it.
                for job in self._queue.waiting():
                    await self._fail(job, "worker-died", f"The process that computes could not start: {how}.", runtime.DOCTOR)
            await asyncio.sleep(1.0)  # a worker that dies at once must not make the machine busy

    async def _start_worker(self) -> asyncio.subprocess.Process:
        self._starts += 1
        self._worker = self._context.socket(zmq.PAIR)
        self._worker.linger = 0
        address = f"ipc://{runtime.runtime_dir() / f'worker-{self._starts}'}"
        self._worker.bind(address)
        command = [sys.executable, "-m", "blend_daemon.service.worker", address, self._device]
        self._process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)
        return self._process

    async def _hear_worker(self) -> None:
        while True:
            frames = await self._worker.recv_multipart(copy=False)
            message = framing.decode([frame.buffer for frame in frames])
            if message.type == "welcome":
                self._ready, self._device_found = True, message.header["device"]
                log.info("worker %d ready on %s", message.header["pid"], self._device_found)
                await self._dispatch()
                continue
            asker = self._sketches.pop(message.header["job"], None)
            if asker:
                await self._tell(asker, message)
                continue
            job = self._queue.running
            if job is None or message.header["job"] != job.id:
                continue
            if message.type == "result":
                # A task of its own: a worker that dies now takes no finished result with it.
                task = asyncio.create_task(self._keep(job, message))
                self._keeping.add(task)
                await asyncio.shield(task)
            elif message.type in messages.LAST:
                await self._end(job, message)
            elif await self._tell(job.client, message):
                job.missed = None
            elif not job.keep and self._has_gone(job):
                log.info("job %s: its client has gone", job.id[:8])
                await self._order(Message("cancel", {"job": job.id, "owner": job.owner}))

    @staticmethod
    def _has_gone(job: Job) -> bool:
        """Whether the job's client has been away for longer than a connection of its kind may be."""
        now = time.monotonic()
        job.missed = job.missed or now
        return now - job.missed >= job.client.door.grace

    async def _keep(self, job: Job, result: Message) -> None:
        """Write a result to disk, then announce it. One that cannot be written is announced all the same: it is all there is of it."""
        try:
            await asyncio.to_thread(self._store.keep, job.owner, job.label, result)
        except (OSError, BlendError) as error:
            log.error("job %s: its result cannot be kept: %s", job.id[:8], error)
            note = f"The blend daemon could not keep a copy of this result ({error})."
            report = {**result.header["report"], "notes": [*result.header["report"].get("notes", ()), note]}
            result = Message(result.type, {**result.header, "report": report}, result.rasters)
        finally:
            self._keeping = {task for task in self._keeping if task is not asyncio.current_task()}
        await self._end(job, result)

    async def _order(self, message: Message) -> None:
        # Never waits: a worker that has just died takes nothing more, and `_keep_worker` tells what became of its job.
        with suppress(zmq.ZMQError):
            await self._worker.send_multipart(framing.encode(message), zmq.DONTWAIT, copy=False)

    async def _dispatch(self) -> None:
        if not self._ready:
            return
        job = self._queue.next()
        if job:
            log.info("job %s started", job.id[:8])
            await self._order(job.work)
            for waiting in self._queue.waiting():
                await self._tell(waiting.client, Message("accepted", {"job": waiting.id, "position": self._queue.position(waiting)}))

    async def _fail(self, job: Job, code: str, message: str, hint: str) -> None:
        await self._end(job, Message("failed", {"job": job.id, "code": code, "message": message, "hint": hint}))

    async def _end(self, job: Job, last: Message) -> None:
        entry = self._store.find(job.owner, job.id)
        kept = last.type == "result" and entry is not None and entry.box is not None
        self._queue.end(job, STATE_OF[last.type], None if kept else last)
        self._ended += 1
        log.info("job %s: %s %s", job.id[:8], last.type, last.header.get("message", ""))
        told = await self._tell(job.client, last)
        if not kept and not told and job.keep:
            self._store.cut(job.id, job.owner, job.label)
        elif not kept:
            self._store.end(job.id, job.owner)
        await self._dispatch()


def _listed(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The first of the entries, as many as a header holds."""
    listed, room = [], framing.HEADER_LIMIT - 256
    for entry in entries:
        about = {"job": entry.job, "label": dict(entry.label), "ended": entry.ended}
        about |= {"cut": True} if entry.box is None else {"box": list(entry.box), "bytes": entry.bytes}
        room -= len(json.dumps(about, separators=(",", ":"))) + 1
        if room < 0:
            break
        listed.append(about)
    return listed
