"""Who gets in on TCP: CURVE keys and pairing, what a paired client may do, and where a daemon listens. Real sockets and processes."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time

import pytest
import zmq
from daemons import DAEMON, Client, cancelled, goes_on, idle, until
from onnx_models import tint, written
from zmq.utils import z85

from blend_protocol import framing, keys
from blend_protocol.errors import BlendError
from blend_protocol.zeromq import Socket

LONG = {"preset": "paper"}
OTHER = "0" * 32


def refused(client: Client, limit: float = 5) -> str:
    """The code of the error with which a client gives up."""
    began = time.monotonic()
    with client, pytest.raises(BlendError) as error:
        all(client.wait(0.05) is None for _ in client.reach())
    assert time.monotonic() - began < limit
    assert error.value.hint
    return error.value.code


def test_pairing_is_one_command_on_each_side_and_taken_back_by_one(listening, computer, tmp_path, send):
    line = listening.command("pair").stdout.splitlines()[-1].split()
    there = {**listening.environment, "BLEND_DAEMON_STATE_DIR": str(tmp_path / "far")}
    words = [*line[2:3], listening.tcp, line[4]]
    done = subprocess.run([*DAEMON, *line[1:2], *words], env=there, capture_output=True, text=True)
    answer = done.stdout.splitlines()[-1].split()
    assert refused(computer("far").client(listening.tcp)) == "not-admitted"
    assert listening.command(*answer[1:3], "far", answer[4]).returncode == 0
    assert f"client far {answer[4]}" in listening.command("pair", "--list").stdout
    status = subprocess.run([*DAEMON, "status", "--json", "--daemon", words[0]], env=there, capture_output=True, text=True)
    assert json.loads(status.stdout)["pid"] == listening.process.pid
    with computer("far").client(listening.tcp) as client:
        before = cancelled(client.status())
        job = send(client, LONG)
        until(client, job, "progress")
        assert listening.command("pair", "--remove", "far").returncode == 0
        assert client.status(0.5) is None  # a connection that was open already is deaf at once
        with Client(listening.address) as local:
            assert cancelled(idle(local)) == before + 1  # and what it had begun is given up
    assert refused(computer("far").client(listening.tcp)) == "not-admitted"


def test_a_paired_client_gets_the_same_bytes(paired, listening, send):
    with paired("desk").client() as far, Client(listening.address) as near:
        one, other = (list(client.follow(send(client)))[-1] for client in (far, near))
    assert bytes(one.rasters["layer"].data) == bytes(other.rasters["layer"].data)


def test_a_paired_client_is_told_of_the_daemons_models(paired, listening):
    (listening.folder / "models").mkdir()
    written(listening.folder / "models", "tint", tint(), title="A tint")
    with paired("desk").client() as client:
        client.ask_models()
        assert until(client, None, "models").header["models"] == [{"name": "tint", "title": "A tint"}]


def test_an_unpaired_address_or_name_is_refused_before_anything_is_sent(computer):
    for name in ("box", "tcp://127.0.0.1:9"):
        with pytest.raises(BlendError) as error:
            computer("new").client(name)
        assert error.value.code == "daemon-not-paired"
        assert "blend-daemon pair" in error.value.hint


def test_a_wrong_server_key_is_told_apart_from_a_client_that_is_not_let_in(listening, computer):
    server_key = listening.command("keys").stdout.split()[1]
    with computer("stranger"):
        keys.add_daemon("box", listening.tcp, server_key)
        keys.add_daemon("impostor", listening.tcp, "ab" * 32)
    assert refused(computer("stranger").client("box")) == "not-admitted"
    assert refused(computer("stranger").client("impostor")) == "server-key-wrong"


@pytest.mark.parametrize("mechanism", ["NULL", "PLAIN", "CURVE with an unknown key"])
def test_nothing_but_a_paired_curve_key_gets_an_answer(listening, mechanism):
    context = zmq.Context()
    raw = context.socket(zmq.DEALER)
    if mechanism == "PLAIN":
        raw.plain_username, raw.plain_password = b"user", b"password"
    elif mechanism != "NULL":
        raw.curve_serverkey = z85.encode(bytes.fromhex(listening.command("keys").stdout.split()[1]))
        raw.curve_publickey, raw.curve_secretkey = zmq.curve_keypair()
    raw.connect(listening.tcp)
    raw.send_multipart([framing.preamble(), b'{"frames":[],"type":"hello"}'])
    assert not raw.poll(700)
    context.destroy(0)


def test_a_client_cannot_touch_anothers_job_even_with_its_owner_key(paired, listening, send):
    """Both send the same owner field: the CURVE key tells them apart. So it does from this computer's own clients."""
    with paired("one").client(key=OTHER) as one, paired("two").client(key=OTHER) as two, Client(listening.address, OTHER) as near:
        job = send(one, LONG)
        until(one, job, "progress")
        for thief in (two, near):
            thief.cancel(job)
            thief.finish(job)
            thief.adjust(job, {"colour": 0})
            thief.fetch(job)
            assert until(thief, job, "failed").header["code"] == "result-unknown"
        goes_on(one, job)
        one.finish(job)
        assert until(one, job, "result").header["report"]["colour"] == 50
        two.fetch(job)
        assert until(two, job, "failed").header["code"] == "result-unknown"
        one.release(job)


def test_a_paired_client_cannot_stop_the_daemon(paired, listening):
    with paired("desk").client() as client:
        client.shutdown()
        assert client.status()["pid"] == listening.process.pid


def test_keys_are_private_from_the_first_byte_and_never_shown(tmp_path):
    environment = {**os.environ, "BLEND_DAEMON_STATE_DIR": str(tmp_path / "state")}
    code = "import os; os.umask(0); from blend_daemon.cli import main; main(['keys']); main(['pair', '--add', 'desk', 'ab' * 32])"
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
    made = [path for path in (tmp_path / "state/keys").rglob("*") if path.is_file()]
    assert {path.name for path in made} == {"server", "client", "desk"}
    for path in made:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        if path.name != "desk":
            assert path.read_text().strip() not in shown


def test_logs_hold_no_keys_and_no_pixels(paired, listening, send):
    one = paired("desk")
    with one.client() as client:
        list(client.follow(send(client)))
    with one:
        public = keys.own("client").public.hex()
    log = listening.log()
    secrets = [path.read_text().strip() for path in (listening.folder / "state/keys").iterdir() if path.is_file()]
    assert "desk connects" in log
    assert secrets
    assert not any(text in log for text in (public, *secrets))
    assert len(max(log.splitlines(), key=len)) < 400  # a picture has thousands of bytes


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1", "tcp://127.0.0.1:99999", "ipc:///tmp/x", "udp://1.2.3.4:5", "inproc://zeromq.zap.01"]
)
def test_an_address_to_listen_at_is_tcp_with_a_port(fresh_daemon, address):
    done = fresh_daemon.command("serve", "--listen", address)
    assert done.returncode == 2
    assert address in done.stderr
    assert not fresh_daemon.folder.joinpath("run").exists()


def test_a_port_that_is_taken_is_told(listening, fresh_daemon):
    done = fresh_daemon.command("serve", "--listen", listening.tcp)
    assert done.returncode == 2
    assert listening.tcp in done.stderr


@pytest.mark.parametrize("words", [["x", "tcp://a:1", "short"], ["../x", "tcp://a:1", "ab" * 32], ["x", "ipc:///a", "ab" * 32], ["x"]])
def test_a_pairing_that_is_none_changes_nothing(fresh_daemon, words):
    done = fresh_daemon.command("pair", *words)
    assert done.returncode == 2
    assert done.stderr.startswith("blend-daemon: ")
    assert not list((fresh_daemon.folder / "state").rglob("*x*"))


def test_what_is_first_sent_after_a_refusal_holds_nobody_up(listening, computer):
    server_key = listening.command("keys").stdout.split()[1]
    with computer("stranger"):
        keys.add_daemon("box", listening.tcp, server_key)
        socket = Socket("box")
        socket.wait(10)  # for the refusal
        for _ in range(20):  # ZeroMQ gives the connection up
            time.sleep(0.02)
            assert socket.receive() is None
        sending = threading.Thread(target=socket.send, args=([b"hello"],), daemon=True)
        sending.start()
        sending.join(5)
        assert not sending.is_alive()
        with pytest.raises(BlendError) as error:
            all(socket.wait(0.1) is None for _ in range(100) if socket.events() is not None)
        socket.close()
    assert error.value.code == "not-admitted"


def test_through_a_bridge_a_refusal_is_told_as_over_a_socket(listening, computer, monkeypatch):
    server_key = listening.command("keys").stdout.split()[1]
    with computer("stranger"):
        keys.add_daemon("box", listening.tcp, server_key)
        public = keys.own("client").public.hex()
        monkeypatch.setitem(sys.modules, "zmq", None)
        monkeypatch.setitem(sys.modules, "blend_protocol.zeromq", None)
        assert keys.public("client", DAEMON) == public
        with Client("box", command=DAEMON) as client, pytest.raises(BlendError) as error:
            all(client.wait(0.05) is None for _ in client.reach())
    assert error.value.code == "not-admitted"
    assert public in error.value.hint
