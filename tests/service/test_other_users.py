"""Other users of this computer, who must get nothing of a daemon that is not theirs. Real processes under another user's id."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import zmq
from daemons import wait_for

from blend_protocol import __version__, framing
from blend_protocol.client import Client

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become a second user")


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
        wait_for(client, lambda status: status["device"] == "impostor")
