"""Who gets in, over real sockets, with real daemon processes: the Unix socket's privacy, CURVE and pairing on TCP, a network that is
cut."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest
import zmq
import zmq.asyncio
from daemons import until, wait_for
from onnx_models import tint, written
from zmq.utils import z85

from blend_daemon import __version__
from blend_daemon.errors import BlendError
from blend_daemon.protocol import client as protocol_client
from blend_daemon.protocol import framing, keys, messages
from blend_daemon.protocol.client import Client, Raster

DRAFT, LONG = {"preset": "draft"}, {"preset": "paper"}
OTHER = "0" * 32


class Relay:
    """A TCP relay on loopback that keeps the bytes that it passes on, and can cut the line."""

    def __init__(self, address: str) -> None:
        self._port = int(address.rpartition(":")[2])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self.seen = bytearray()
        self.whole = True
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                if not self.whole:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._port))
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                self.seen += data
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        self.whole = False
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._ends.clear()

    def mend(self) -> None:
        self.whole = True

    def close(self) -> None:
        self.cut()
        self._listener.close()


class Computer:
    """The folders of a client on another computer."""

    def __init__(self, folder, monkeypatch) -> None:
        self._folder, self._monkeypatch = folder, monkeypatch

    def __enter__(self) -> Computer:
        self._monkeypatch.setenv("BLEND_DAEMON_STATE_DIR", str(self._folder))
        return self

    def __exit__(self, *_: object) -> None:
        self._monkeypatch.delenv("BLEND_DAEMON_STATE_DIR")

    def client(self, name: str = "box", key: str | None = None) -> Client:
        with self:
            return Client(name, key)


@pytest.fixture
def computer(tmp_path, monkeypatch):
    return lambda name: Computer(tmp_path / name, monkeypatch)


@pytest.fixture
def paired(listening, computer):
    """A computer that is paired with the daemon, at an address."""

    def pair(name: str, address: str | None = None) -> Computer:
        server_key = listening.command("keys").stdout.split()[1]
        with computer(name) as one:
            keys.add_daemon("box", address or listening.tcp, server_key)
            public = keys.own("client").public.hex()
        assert listening.command("pair", "--add", name, public).returncode == 0
        names.append(name)
        return one

    names: list[str] = []
    yield pair
    for name in names:
        listening.command("pair", "--remove", name)


def refused(client: Client, limit: float = 5) -> str:
    """The code of the error with which a client gives up."""
    began = time.monotonic()
    with client, pytest.raises(BlendError) as error:
        all(client.wait(0.05) is None for _ in client.reach(["false"]))
    assert time.monotonic() - began < limit
    assert error.value.hint
    return error.value.code


def test_pairing_is_one_command_on_each_side_and_taken_back_by_one(listening, computer, tmp_path, send):
    line = listening.command("pair").stdout.splitlines()[-1].split()
    there = {**listening.environment, "BLEND_DAEMON_STATE_DIR": str(tmp_path / "far")}
    words = [*line[2:3], listening.tcp, line[4]]
    command = [sys.executable, "-m", "blend_daemon.cli"]
    done = subprocess.run([*command, *line[1:2], *words], env=there, capture_output=True, text=True)
    answer = done.stdout.splitlines()[-1].split()
    assert refused(computer("far").client(listening.tcp)) == "not-admitted"
    assert listening.command(*answer[1:3], "far", answer[4]).returncode == 0
    assert f"client far {answer[4]}" in listening.command("pair", "--list").stdout
    status = subprocess.run([*command, "status", "--json", "--daemon", words[0]], env=there, capture_output=True, text=True)
    assert json.loads(status.stdout)["pid"] == listening.process.pid
    with computer("far").client(listening.tcp) as client:
        job = send(client, LONG)
        until(client, job, "progress")
        assert listening.command("pair", "--remove", "far").returncode == 0
        assert client.status(0.5) is None  # a connection that was open already is deaf at once
        with Client(listening.address) as local:
            deadline = time.monotonic() + 5
            while local.status()["running"]:  # and what it had begun is given up
                assert time.monotonic() < deadline
                time.sleep(0.1)
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
        until(one, job, "progress")
        one.finish(job)
        assert until(one, job, "result").header["report"]["colour"] == 50
        two.fetch(job)
        assert until(two, job, "failed").header["code"] == "result-unknown"
        one.release(job)


def test_a_paired_client_cannot_stop_the_daemon(paired, listening):
    with paired("desk").client() as client:
        client.shutdown()
        assert client.status()["pid"] == listening.process.pid


def test_a_recorder_between_the_two_sees_neither_pixels_nor_header(paired, listening, send, cat, coffee):
    relay = Relay(listening.tcp)
    label = {"image": "a-secret-name.xcf", "layer": "Cat"}
    with paired("desk", relay.address).client() as client:
        result = list(client.follow(send(client, label=label)))[-1]
    seen = bytes(relay.seen)
    relay.close()
    assert len(seen) > cat.nbytes + coffee.nbytes  # it did see the traffic
    layer = bytes(result.rasters["layer"].data)
    for plain in (cat.tobytes(), coffee.tobytes(), layer):
        pieces = [plain[k : k + 12] for k in range(0, len(plain) - 12, 997)]
        assert not any(piece in seen for piece in pieces if len(set(piece)) > 4)
    for word in (b"DIB", b"submit", b"a-secret-name", b"parameters", b"result"):
        assert word not in seen or len(word) < 4  # three letters may be chance


@pytest.mark.parametrize("when", ["while it computes", "when it ends"])
def test_a_cut_of_the_network_loses_no_job(paired, listening, send, when):
    relay = Relay(listening.tcp)
    with paired("desk", relay.address).client() as client:
        job = send(client, LONG if when == "while it computes" else DRAFT)
        until(client, job, "progress")
        with Client(listening.address) as near:
            starts = near.status()["ended"]
            relay.cut()
            time.sleep(3)
            if when == "when it ends":
                deadline = time.monotonic() + 20
                while near.status()["ended"] == starts and time.monotonic() < deadline:
                    time.sleep(0.1)
            else:
                assert near.status()["running"] == job
        relay.mend()
        if when == "while it computes":
            until(client, job, "progress", limit=10)
            client.finish(job)
        assert until(client, job, "result", limit=20).rasters["layer"]
        client.release(job)
    relay.close()


def test_a_daemon_that_stays_away_is_told_of(paired, listening, send, monkeypatch):
    monkeypatch.setattr(protocol_client, "AWAY", 1.0)
    relay = Relay(listening.tcp)
    with paired("desk", relay.address).client() as client:
        job = send(client)
        until(client, job, "progress")
        relay.cut()
        with pytest.raises(BlendError) as error:
            until(client, job, "nothing", limit=10)
        assert error.value.code == "daemon-gone"
        assert relay.address in error.value.hint
    relay.close()


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


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become a second user")
def test_another_local_user_cannot_connect_or_read(listening):
    (listening.folder).chmod(0o755)  # so that it is the daemon's own folders that keep the other out
    code = (
        "import os, socket, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "def tried(f, *a):\n"
        "    try: f(*a); return 'in'\n"
        "    except PermissionError: return 'out'\n"
        "base = sys.argv[1]; s = socket.socket(socket.AF_UNIX)\n"
        "print(tried(s.connect, base + '/run/socket'), *(tried(open, f'{base}/{n}') for n in sys.argv[2:]))"
    )
    files = ["state/keys/server", "run/lock", "state/results/x"]
    done = subprocess.run([sys.executable, "-c", code, str(listening.folder), *files], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["out"] * 4


def asked_as(uid: int, address: str, kind: str = "DEALER", header: str = '{"frames":[],"type":"hello"}') -> str:
    """What a process of that user gets for such a message, by default a hello: the header of the answer, or nothing."""
    code = (
        "import os, sys, zmq\n"
        "os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))\n"
        "s = zmq.Context().socket(getattr(zmq, sys.argv[3])); s.linger = 0; s.connect(sys.argv[2])\n"
        f"s.send_multipart([{framing.preamble()}, sys.argv[4].encode()])\n"
        "if s.poll(2000): print(s.recv_multipart()[1].decode())"
    )
    command = [sys.executable, "-c", code, str(uid), address, kind, header]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become a second user")
def test_another_users_id_is_refused_even_where_the_folder_lets_him_in(fresh_daemon):
    fresh_daemon.folder.chmod(0o711)
    fresh_daemon.start()
    (fresh_daemon.folder / "run").chmod(0o711)
    (fresh_daemon.folder / "run/socket").chmod(0o666)
    assert "welcome" in asked_as(0, fresh_daemon.address)
    assert asked_as(65534, fresh_daemon.address) == ""
    bare = zmq.Context()
    router = bare.socket(zmq.ROUTER)  # the same socket without the check: it is the check that refused
    router.bind(f"ipc://{fresh_daemon.folder}/run/bare")
    (fresh_daemon.folder / "run/bare").chmod(0o666)
    asked_as(65534, f"ipc://{fresh_daemon.folder}/run/bare")
    assert router.poll(2000)
    bare.destroy(0)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become a second user")
def test_another_users_process_cannot_pose_as_a_worker_even_where_the_folder_lets_him_in(fresh_daemon, tmp_path):
    (tmp_path / "torch.py").write_text("import time\ntime.sleep(60)")  # the real one does not come to connect
    fresh_daemon.environment["PYTHONPATH"] = str(tmp_path)
    fresh_daemon.folder.chmod(0o711)
    fresh_daemon.start()
    address = f"ipc://{fresh_daemon.folder}/run/worker-1"
    welcome = json.dumps({"type": "welcome", "version": __version__, "pid": 1, "log": "", "device": "impostor", "frames": []})
    with Client(fresh_daemon.address) as client:
        wait_for(client, lambda status: status["worker"])
        (fresh_daemon.folder / "run").chmod(0o711)
        (fresh_daemon.folder / "run/worker-1").chmod(0o666)
        asked_as(65534, address, "PAIR", welcome)
        assert client.status()["device"] == "loading"
        asked_as(0, address, "PAIR", welcome)
        assert client.status()["device"] == "impostor"


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


def test_a_client_that_never_reads_costs_bounded_memory():
    """A door of its own: sends 200 previews of 1 MB to a client that reads none, and 2,000 words; what waits is bounded, nothing blocks."""
    from blend_daemon.protocol.framing import Message
    from blend_daemon.service import doors

    async def flood() -> tuple[int, int]:
        context = zmq.asyncio.Context()
        door = doors.Door(doors._router(context, "tcp://127.0.0.1:0"), 0.0, remote=False)
        code = "import sys, time, zmq; s = zmq.Context().socket(zmq.DEALER); s.connect(sys.argv[1]); s.send(b'hello'); time.sleep(60)"
        reader = subprocess.Popen([sys.executable, "-c", code, door.address])
        peer = (await asyncio.wait_for(door.receive(), 10))[0]
        reader.send_signal(signal.SIGSTOP)
        picture = Message("preview", {"job": OTHER, "box": [0, 0, 500, 500]}, {"layer": Raster("uint8", (500, 500, 4), bytes(1_000_000))})
        result = Message("result", {**picture.header, "report": {}}, picture.rasters)
        most = 0
        for message in [picture] * 200 + [result] * 50 + [Message("cancelled", {"job": OTHER})] * 2000:
            assert await asyncio.wait_for(door.send(peer, message), 1)
            most = max(most, sum(not tracker.done for tracker in door._unsent.get(peer.identity, ())))
        reader.kill()
        reader.wait()
        context.destroy(0)
        return most, doors.LARGE_UNSENT

    most, limit = asyncio.run(flood())
    assert 0 < most <= limit


def test_every_message_that_may_be_dropped_is_one_that_another_follows():
    assert not set(messages.PASSING) & set(messages.LAST)
