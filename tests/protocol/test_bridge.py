"""A client without pyzmq: a real bridge process, real pipes, a real daemon."""

from __future__ import annotations

import io
import os
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from daemons import DAEMON, Client, array, eventually, goes_on, idle, raster, until

from blend_protocol import framing, pipe
from blend_protocol.errors import BlendError

LONG = {"preset": "paper"}  # a thousand evaluations: as long as a test needs it to be


@pytest.fixture
def without_pyzmq(monkeypatch):
    """From here on this process is as a Python that has none."""
    monkeypatch.setitem(sys.modules, "zmq", None)
    monkeypatch.setitem(sys.modules, "blend_protocol.zeromq", None)


@pytest.fixture
def bridged(without_pyzmq, daemon, monkeypatch):
    """A client through a bridge."""
    client = Client(daemon.address, command=DAEMON)
    yield client
    client.close()


@pytest.fixture
def own_folders(fresh_daemon, monkeypatch):
    """The daemon of this user is `fresh_daemon`."""
    for name in ("BLEND_DAEMON_RUNTIME_DIR", "BLEND_DAEMON_STATE_DIR"):
        monkeypatch.setenv(name, fresh_daemon.environment[name])


def bridge_of(client: Client) -> int:
    return client._transport._bridge.pid


def reached(client: Client) -> list[str]:
    return [client.wait(0.05) or state for state in client.reach()]


def test_the_blend_is_the_same_as_over_a_socket(daemon, send, request):
    with Client(daemon.address) as direct:
        expected = until(direct, send(direct), "result").rasters["layer"]
    bridged = request.getfixturevalue("bridged")
    events = list(bridged.follow(send(bridged, previews=True)))
    kinds = [event.type for event in events]
    assert "progress" in kinds
    assert "preview" in kinds
    assert bytes(events[-1].rasters["layer"].data) == bytes(expected.data)


def test_status_cancel_finish_and_adjust_reach_the_daemon(bridged, daemon, send):
    assert bridged.status()["pid"] == daemon.process.pid
    job = send(bridged, LONG)
    until(bridged, job, "progress")
    bridged.adjust(job, {"style": 5})
    goes_on(bridged, job)
    bridged.finish(job)
    assert until(bridged, job, "result").header["report"]["style"] == 5
    bridged.release(job)
    job = send(bridged, LONG)
    bridged.cancel(job)
    until(bridged, job, "cancelled")


def test_large_pictures_pass_whole(bridged):
    source = np.random.default_rng(0).integers(0, 256, (2400, 3600, 4), np.uint8)
    source[:, :, 3] = 255
    target = np.zeros((2600, 3800, 3), np.uint8)
    job = bridged.submit(raster(source), raster(target), None, (100, 100), {"method": "copy-paste"})
    layer = until(bridged, job, "result").rasters["layer"]
    assert np.array_equal(array(layer), source)


def test_what_the_daemon_refuses_is_told_in_its_words(bridged, send):
    with pytest.raises(BlendError, match="no preset 'none'"):
        list(bridged.follow(send(bridged, {"preset": "none"})))


def test_a_bridge_that_is_killed_is_told_and_its_job_is_given_up(bridged, daemon, send):
    job = send(bridged, LONG)
    until(bridged, job, "progress")
    os.kill(bridge_of(bridged), signal.SIGKILL)
    with pytest.raises(BlendError, match="The bridge to the blend daemon has ended: it ended with code -9") as error:
        until(bridged, job, "result")
    assert error.value.code == "daemon-gone"
    with Client(daemon.address, command=DAEMON) as again:
        idle(again)


PROGRAM = """
import sys, time
sys.modules["zmq"] = None
from blend_protocol.client import Client, Raster
client = Client(sys.argv[1], command=sys.argv[2:])
picture = Raster("uint8", (64, 64, 3), bytes(range(192)) * 64)
mask = Raster("uint8", (64, 64, 1), (bytes(16) + b"\\xff" * 32 + bytes(16)) * 64)
for message in client.follow(client.submit(picture, picture, mask, (0, 0), {"preset": "paper"})):
    print(message.type, flush=True)
"""


def test_a_program_that_is_killed_takes_its_bridge_and_its_job_along(bridged, daemon):
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, daemon.address, *DAEMON], stdout=subprocess.PIPE, text=True)
    while program.stdout.readline() != "progress\n":
        assert program.poll() is None
    assert bridged.status()["running"]
    children = f"/proc/{program.pid}/task/{program.pid}/children"
    bridge = int(Path(children).read_text())
    program.kill()
    program.wait()
    program.stdout.close()
    idle(bridged, 5)
    eventually(lambda: not Path(f"/proc/{bridge}").exists(), 5)


def test_a_daemon_that_dies_is_noticed(without_pyzmq, fresh_daemon, send):
    fresh_daemon.start()
    with Client(fresh_daemon.address, command=DAEMON) as client:
        assert client.status()
        fresh_daemon.process.kill()
        fresh_daemon.process.wait()
        with pytest.raises(BlendError, match="blend daemon has ended") as error:
            until(client, "none", limit=5)
        assert error.value.code == "daemon-gone"


def test_where_no_daemon_runs_one_is_started(without_pyzmq, own_folders, fresh_daemon):
    with Client(command=DAEMON) as client:
        assert "starting" in reached(client)
        assert client.status()
    assert fresh_daemon.command("stop").returncode == 0


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["/nowhere/blend-daemon"], "/nowhere/blend-daemon: No such file"),
        ([sys.executable, "-c", "import torch_of_another_world"], "No module named 'torch_of_another_world'"),
        (["false"], "it ended with code 1"),
    ],
)
def test_a_bridge_that_cannot_start_is_told_with_the_cause_and_the_remedy(without_pyzmq, own_folders, fresh_daemon, command, words):
    fresh_daemon.start()
    with pytest.raises(BlendError, match=re.escape(words)) as error, Client(command=command) as client:
        reached(client)
    assert error.value.code == "daemon-not-started"
    assert "bridge" in str(error.value)
    assert "blend-daemon doctor" in error.value.hint


def test_an_address_that_is_not_paired_is_refused(without_pyzmq, own_folders):
    with pytest.raises(BlendError) as error:
        Client("tcp://127.0.0.1:1", command=DAEMON)
    assert error.value.code == "daemon-not-paired"


def test_what_the_bridge_itself_refuses_is_told(daemon, without_pyzmq, tmp_path):
    bridge = pipe.Pipe(DAEMON, "no address")
    try:
        bridge.wait(20)
        for _ in range(2):  # it stays so
            with pytest.raises(BlendError) as error:
                bridge.events()
            assert error.value.code == "address-invalid"
    finally:
        bridge.close()


def test_nothing_that_is_printed_gets_among_the_records(daemon, without_pyzmq):
    noisy = [sys.executable, "-c", "import sys, zmq; zmq.Context.destroy; from blend_daemon import cli; print('hm', flush=True); "
             "import blend_protocol.zeromq as z; s = z.Socket.__init__; z.Socket.__init__ = lambda *a: print('hm', flush=True) or s(*a); "
             "sys.exit(cli.main())"]  # fmt: skip
    # What is printed before the command runs is no record, and is told as that; what is printed later goes to the log of errors.
    with Client(daemon.address, command=noisy) as client, pytest.raises(BlendError, match="no record"):
        reached(client)
    noisy[2] = noisy[2].replace("print('hm', flush=True); ", "")
    with Client(daemon.address, command=noisy) as client:
        assert client.status(20)


def written(kind: bytes, frames: list[bytes]) -> bytes:
    file = io.BytesIO()
    pipe.write(file, kind, frames)
    return file.getvalue()


def test_records_come_back_as_they_were():
    frames = [b"DIB\x04", b"", bytes(100_000)]
    kind, back = pipe.read(io.BytesIO(written(pipe.MESSAGE, frames)))
    assert (kind, [bytes(frame) for frame in back]) == (pipe.MESSAGE, frames)


def test_a_record_that_is_cut_off_is_none():
    whole = written(pipe.MESSAGE, [b"DIB\x04", b"{}"])
    for end in range(len(whole)):
        assert pipe.read(io.BytesIO(whole[:end])) is None


@pytest.mark.parametrize(
    "record",
    [b"X\1", b"M\xff", b"M\1" + struct.pack(">Q", framing.FRAME_LIMIT + 1)],
    ids=["unknown kind", "too many frames", "frame too long"],
)
def test_what_is_no_record_is_refused_before_memory_is_taken_for_it(record):
    with pytest.raises(BlendError) as error:
        pipe.read(io.BytesIO(record))
    assert error.value.code == "message-invalid"
