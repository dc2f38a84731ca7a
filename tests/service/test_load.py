"""The short form of two proofs that are commands: broken messages, and many jobs from clients who come and go."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from daemons import wait_for

from blend_protocol import framing
from blend_protocol.client import Client

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("words", [("fuzz.py", "--messages", "4000"), ("soak.py", "--jobs", "40")], ids=lambda words: words[0])
def test_proof(words):
    done = subprocess.run([sys.executable, BENCHMARKS / words[0], *words[1:]], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


FLOOD = f"""
import sys, zmq
socket = zmq.Context().socket(zmq.DEALER)
socket.connect(sys.argv[1])
while True:
    socket.send_multipart({[framing.preamble(), b'{"frames":[],"type":"hello"}']!r})
    while socket.poll(0):
        socket.recv_multipart()
"""


def test_a_client_that_floods_the_daemon_keeps_nobody_from_being_heard(fresh_daemon):
    path = fresh_daemon.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(path))
        end.settimeout(20)
        fresh_daemon.environment["NOTIFY_SOCKET"] = str(path)
        fresh_daemon.start()
        with Client(fresh_daemon.address) as client:
            wait_for(client, lambda status: status["worker"])
            with subprocess.Popen([sys.executable, "-c", FLOOD, fresh_daemon.address]) as flood:
                try:
                    time.sleep(1)
                    heard = []
                    while len(heard) < 4:
                        if end.recv(64) == b"WATCHDOG=1":
                            heard.append(time.monotonic())
                    began = time.monotonic()
                    assert client.status(10)
                    assert time.monotonic() - began < 2
                finally:
                    flood.kill()
        gaps = [later - earlier for earlier, later in pairwise(heard[1:])]
        assert max(gaps) < 2.5, gaps  # systemd is to hear a word each second
