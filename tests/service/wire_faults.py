"""The table of faults: what comes over the wire."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Sequence

import numpy as np
import psutil
import zmq
from daemons import cancelled, goes_on, idle, kept, raster, until, wait_for
from scene import LONG, MASK, ME, OTHER, SOURCE, TARGET, Scene, digest, fault, new_id, scene_of_its_own

from blend_protocol import framing, messages
from blend_protocol.framing import Message

MB = 1024**2
GREETING = b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00NULL" + bytes(48)  # ZMTP 3.0
CURVE = GREETING.replace(b"NULL\0", b"CURVE")


def raw(scene: Scene) -> socket.socket:
    """A connection on which no ZeroMQ speaks."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(scene.daemon.folder / "run/socket"))
    connection.settimeout(5)
    return connection


def speaker(scene: Scene) -> socket.socket:
    """A raw connection past ZeroMQ's handshake."""
    connection = raw(scene)
    connection.sendall(GREETING)
    time.sleep(0.2)
    ready = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
    connection.sendall(bytes([4, len(ready)]) + ready)
    return connection


def dealer(scene: Scene) -> zmq.Socket:
    """A connection on which no client of ours speaks."""
    context = zmq.Context()
    connection = context.socket(zmq.DEALER)
    connection.linger = 0
    connection.connect(scene.daemon.address)
    return connection


def answer(connection: zmq.Socket, frames: Sequence[bytes]) -> Message:
    connection.send_multipart(frames)
    assert connection.poll(20_000), "no answer"
    return messages.check(framing.decode(connection.recv_multipart()), messages.FROM_DAEMON)


def submission(job: str, owner: str = ME) -> list[bytes]:
    header = {"job": job, "owner": owner, "offset": [8, 8], "parameters": {"iterations": 4}}
    rasters = {"source": raster(SOURCE), "target": raster(TARGET), "mask": raster(MASK)}
    return [bytes(frame) for frame in framing.encode(Message("submit", header, rasters))]


def memory(scene: Scene) -> int:
    """Bytes of the broker."""
    return psutil.Process(scene.daemon.process.pid).memory_info().rss


@fault()
def wrong_protocol_version(scene: Scene) -> None:
    """Each other version is answered with protocol-mismatch and the remedy."""
    connection = dealer(scene)
    for version in (0, framing.VERSION - 1, framing.VERSION + 1, 255):
        failed = answer(connection, [framing.MAGIC + bytes([version]), b"{}"])
        assert failed.header["code"] == "protocol-mismatch"
        assert "blend-daemon stop" in failed.header["hint"]
    connection.context.destroy(0)


@fault()
def messages_with_frames_missing(scene: Scene) -> None:
    """Each is answered with message-invalid, and computes nothing."""
    whole = submission(new_id())
    connection = dealer(scene)
    with scene.client() as client:
        ended = client.status(20)["ended"]
        for count in range(1, len(whole)):
            assert answer(connection, whole[:count]).header["code"] == "message-invalid"
        for cut in (1, len(whole[-1]) // 2):
            assert answer(connection, [*whole[:-1], whole[-1][:-cut]]).header["code"] == "message-invalid"
        assert client.status(20)["ended"] == ended
    connection.context.destroy(0)


@fault()
def names_that_would_spoil_the_log(scene: Scene) -> None:
    """Line breaks and broken characters of a sender are refused, and told in the log in one line of plain letters."""
    whole = submission(new_id())
    connection = dealer(scene)
    for name in ('"source\\nforged line"', '"\\ud800"'):
        header = whole[1].replace(b'"source"', name.encode())
        failed = answer(connection, [whole[0], header, b"short", *whole[3:]])
        assert failed.header["code"] == "message-invalid"
        assert ascii(failed.header["message"])[:300] in scene.daemon.log()
    assert not any(line.startswith("forged") for line in scene.daemon.log().splitlines())
    connection.context.destroy(0)


@fault()
def half_a_handshake(scene: Scene) -> None:
    """Peers that say half of ZeroMQ's greeting, or something else, hold nobody up."""
    connections = [raw(scene) for _ in range(12)]
    for k, connection in enumerate(connections):
        connection.sendall(GREETING[: 5 * k] if k < 11 else b"GET / HTTP/1.1\r\n\r\n")
    with scene.client() as client:
        scene.blended(client)
    for connection in connections:
        connection.close()


@fault()
def half_a_message(scene: Scene) -> None:
    """A connection that ends in the middle of a frame, after saying that gigabytes follow, costs nothing and starts nothing."""
    before = memory(scene)
    connection = speaker(scene)
    connection.sendall(b"\x01\x04" + framing.preamble())  # more follows
    connection.sendall(b"\x02" + (1_500_000_000).to_bytes(8, "big") + bytes(1000))
    with scene.client() as client:
        assert client.status(20)["running"] is None
        assert memory(scene) - before < 100 * MB
        connection.close()
        scene.blended(client)


def _pour(connection: socket.socket, piece: bytes, most: int) -> bool:
    """Send a piece again and again, up to `most` bytes; whether the daemon hung up."""
    try:
        for _ in range(most // len(piece)):
            connection.sendall(piece)
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


def _hung_up(connection: socket.socket) -> bool:
    """Whether the daemon has closed a connection on which it has nothing more to say."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        pass
    return True


@fault()
def messages_that_never_end(_: Scene) -> None:
    """Who sends frame after frame, also ahead of the handshake, or fills the memory and then waits, is closed; others go on."""
    large = b"\x03" + (MB).to_bytes(8, "big") + bytes(MB)  # "more follows"
    small = b"\x01\x04abcd" * 20_000  # each takes ten times its bytes
    with scene_of_its_own() as scene:
        scene.daemon.start("--unfinished-limit", "100", "--listen", "tcp://127.0.0.1:0")
        with scene.client() as client:
            job = scene.send(client, LONG)
            until(client, job, "accepted")  # its worker loads meanwhile
            before = memory(scene)
            for piece, most in ((large, 6000 * MB), (small, 600 * MB)):
                assert _pour(speaker(scene), piece, most)
                assert memory(scene) - before < 2000 * MB
            remote = client.status(20)["listen"].rpartition(":")[2]
            for early, greeting in ((raw(scene), GREETING), (socket.create_connection(("127.0.0.1", remote)), CURVE)):
                early.sendall(greeting)
                assert _pour(early, b"\x06" + (1_500_000_000).to_bytes(8, "big") + bytes(MB), 1400 * MB)
            until(client, job, "progress")
            waits = speaker(scene)
            _pour(waits, large, 130 * MB)
            deadline = time.monotonic() + 20
            while not _hung_up(waits):
                assert time.monotonic() < deadline
                assert client.status(20)["running"] == job  # who speaks is not closed
                time.sleep(0.1)
            # Each was closed for this reason, a slow one perhaps twice; the log and the memory follow a moment later.
            deadline = time.monotonic() + 20
            closed = lambda: sum(map(int, re.findall(r"closed (\d+) connections: unfinished", scene.daemon.log())))
            while closed() < 5 or memory(scene) - before > 100 * MB:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            client.finish(job)
            assert until(client, job, "result")


@fault()
def duplicate_submits_from_two_connections(scene: Scene) -> None:
    """They are one job with one end."""
    job = new_id()
    with scene.client() as one, scene.client() as two:
        idle(one)
        ended = one.status(20)["ended"]
        for client in (one, two, one):
            scene.send(client, job=job)
        one.status(20)  # the result goes to who submitted last, which between two connections is decided by their arrival
        scene.send(two, job=job)
        scene.announcement(two, job)
        idle(one)
        assert one.status(20)["ended"] == ended + 1
        scene.send(one, job=job)
        assert digest(until(one, job, "result")) == scene.announced[job]


@fault()
def cut_connection_that_is_read_late(scene: Scene) -> None:
    """Who came back on another connection goes on hearing of its job when the lost one's submit is read after its own."""
    job, mark = new_id(), new_id()
    with scene.client() as client:
        idle(client)
        ends = cancelled(client.status(20))
        late = dealer(scene)
        answer(late, framing.encode(Message("hello")))
        late.linger = 20_000  # ms
        scene.daemon.process.send_signal(signal.SIGSTOP)
        for frames in [framing.encode(Message("status"))] * 50:  # the daemon reads a word of each in turn
            late.send_multipart(frames)
        for id in (job, mark):
            late.send_multipart(submission(id))
        late.context.destroy()
        scene.send(client, LONG, job=job)
        time.sleep(0.2)
        scene.daemon.process.send_signal(signal.SIGCONT)
        until(client, job, "progress")
        wait_for(client, lambda status: cancelled(status) > ends)  # the lost one's own job, which nobody waits for
        goes_on(client, job)
        client.finish(job)
        scene.announcement(client, job)


@fault()
def replayed_messages(scene: Scene) -> None:
    """A whole session said once more by another connection: nothing is computed or lost; the kept result comes back."""
    job = new_id()
    own = {"job": job, "owner": ME}
    session = [framing.encode(Message("hello")), submission(job)]
    session += [framing.encode(Message(word, own)) for word in ("finish", "cancel", "fetch")]
    with scene.client() as client:
        scene.send(client, job=job)
        scene.announcement(client, job)
        idle(client)
        ended = client.status(20)["ended"]
        other = dealer(scene)
        for _ in range(3):
            for frames in session:
                other.send_multipart(frames)
        results = 0
        while results < 6:
            assert other.poll(20_000)
            results += framing.decode(other.recv_multipart()).type == "result"
        assert client.status(20)["ended"] == ended
        other.context.destroy(0)


@fault()
def idle_connections(scene: Scene) -> None:
    """Others are served; the memory of each is bounded and given back; no descriptor is left."""
    process = psutil.Process(scene.daemon.process.pid)
    with scene.client() as client:
        scene.worker(client)
        time.sleep(0.2)
        before, descriptors = memory(scene), process.num_fds()
        connections = [raw(scene) for _ in range(200 * min(scene.scale, 50))]
        try:
            scene.blended(client)
            began = time.monotonic()
            assert client.status(20)
            assert time.monotonic() - began < 2
            assert (memory(scene) - before) / len(connections) < 0.2 * MB
        finally:
            for connection in connections:
                connection.close()
        deadline = time.monotonic() + 60
        while process.num_fds() > descriptors + 10:
            assert time.monotonic() < deadline, "descriptors are left open"
            time.sleep(0.1)


@fault()
def client_that_never_reads(scene: Scene) -> None:
    """Others are served at once, and what waits for it in the daemon is bounded."""
    connection = dealer(scene)
    connection.rcvhwm = 1
    with scene.client() as client:
        job = scene.blended(client)
        before = memory(scene)
        fetch = framing.encode(Message("fetch", {"job": job, "owner": ME}))
        status = framing.encode(Message("status"))
        for _ in range(3000 * min(scene.scale, 10)):
            connection.send_multipart(fetch)
            connection.send_multipart(status)
        began = time.monotonic()
        assert client.status(20)
        assert time.monotonic() - began < 10  # it waits for its turn behind those
        scene.blended(client)
        assert memory(scene) - before < 64 * MB
    connection.context.destroy(0)


@fault(quick=False)
def client_that_never_reads_large_results(scene: Scene) -> None:
    """At most three large messages wait for it in the daemon's memory."""
    connection = dealer(scene)
    connection.rcvhwm = 1
    source = raster(SOURCE.repeat(110, 0).repeat(110, 1))  # 1760 x 2200 pixels, a result of 15 MB
    mask = np.zeros((1760, 2200, 1), np.uint8)
    mask[40:-40, 40:-40] = 255
    with scene.client() as client:
        job = client.submit(source, source, raster(mask), (0, 0), {"method": "copy-paste"})
        scene.announcement(client, job, limit=120)
        before, most = memory(scene), 0
        for _ in range(60):
            connection.send_multipart(framing.encode(Message("fetch", {"job": job, "owner": ME})))
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            assert client.status(20)
            most = max(most, memory(scene) - before)
            time.sleep(0.05)
        assert most < 60 * MB, most  # three of 14 MB
        largest = max(sum(map(len, connection.recv_multipart())) for _ in range(2) if connection.poll(10_000))
        assert largest > 14e6  # they were on their way, indeed
    connection.context.destroy(0)


@fault()
def stranger_touches_a_job(scene: Scene) -> None:
    """Another owner's words about a job, waiting, running or done, change nothing and tell nothing."""
    with scene.client() as one, scene.client(OTHER) as two:
        done = scene.blended(one)
        running, waiting = scene.send(one, LONG), scene.send(one, LONG)
        until(one, running, "progress")
        for job in (done, running, waiting):
            two.cancel(job)
            two.finish(job)
            two.adjust(job, {"style": 1})
            two.release(job)
            two.fetch(job)
            assert until(two, job, "failed").header["code"] == "result-unknown"
        assert kept(two) == []
        status = one.status(20)
        assert (status["running"], status["waiting"]) == (running, 1)
        for job in (waiting, running):
            one.cancel(job)
            until(one, job, "cancelled")


@fault()
def preview_under_the_id_of_a_job(scene: Scene) -> None:
    """It is refused; the job's result reaches the job's client."""
    with scene.client() as client, scene.client(OTHER) as other:
        scene.worker(client)
        job = scene.send(client, LONG)
        until(client, job, "progress")
        header = {"job": job, "offset": [8, 8], "parameters": {}}
        rasters = {"source": raster(SOURCE), "target": raster(TARGET), "mask": raster(MASK)}
        for _ in range(20):
            other._send(Message("sketch", header, rasters))
        assert until(other, job, "failed").header["code"] == "message-invalid"
        client.finish(job)
        scene.announcement(client, job)
        idle(client)


@fault()
def queue_overfull(scene: Scene) -> None:
    """What does not fit is refused with queue-full; what was accepted ends."""
    with scene.client() as client:
        jobs = [scene.send(client, LONG), *(scene.send(client) for _ in range(12))]
        ends: dict[str, Message] = {}

        def hear(enough: int, limit: float) -> None:
            deadline = time.monotonic() + limit
            while len(ends) < enough:
                assert time.monotonic() < deadline, ends
                client.wait(0.1)
                ends.update({message.header["job"]: message for message in client.pump() if message.type in messages.LAST})

        hear(4, 20)
        client.cancel(jobs[0])
        hear(len(jobs), 300)
        refused = {job for job, end in ends.items() if end.header.get("code") == "queue-full"}
        assert 4 <= len(refused) <= 5  # one less waits if the first one runs by then
        assert refused <= set(jobs[8:])
        assert ends[jobs[0]].type == "cancelled"
        for job in jobs[1:]:
            if job not in refused:
                scene.announce(ends[job])


@fault()
def more_results_than_a_list_holds(scene: Scene) -> None:
    """The newest are listed, as many as one message holds; the older ones follow when those are released."""
    from blend_daemon.service.io.disk import Disk

    with scene.client() as client:
        job = scene.blended(client)
    scene.daemon.process.terminate()
    scene.daemon.process.wait(20)
    disk = Disk(scene.results)
    label = {"image": "ü" * 200, "layer": "ü" * 200}
    notes = [new_id() for _ in range(80)]
    for note in notes:
        disk.note(ME, note, label)
    scene.daemon.start()
    with scene.client() as client:
        for _ in range(20):
            listed = kept(client)
            if job in {entry["job"] for entry in listed}:
                break
            assert len(listed) > 10
            for entry in listed:
                client.release(entry["job"])
        else:
            raise AssertionError("the older result never came up")
