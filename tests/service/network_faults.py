"""The table of faults: a cable that is pulled between two computers, which are network namespaces of this one."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from unittest import mock

from daemons import Client, idle, until
from scene import LONG, Scene, fault, scene_of_its_own

from blend_protocol import keys

CUT = 30.0  # s


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)


@contextmanager
def _two_computers() -> Iterator[tuple[Scene, Client, Callable[[str], None]]]:
    """A daemon in a network of its own, a paired client in this one, and the switch ("up" or "down") of the cable. For root."""
    there = f"dib{os.getpid()}"
    with scene_of_its_own() as scene:
        _ip(f"netns add {there}")
        try:
            _ip(f"link add {there} type veth peer name cable netns {there}")  # TEST-NET-2 is nobody's
            _ip(f"addr add 198.51.100.1/30 dev {there}")
            _ip(f"link set {there} up")
            _ip(f"-n {there} addr add 198.51.100.2/30 dev cable")
            switch = lambda state: _ip(f"-n {there} link set cable {state}")
            switch("up")
            scene.daemon.within = ["ip", "netns", "exec", there]
            scene.daemon.start("--listen", "tcp://198.51.100.2:4711")
            server_key = scene.daemon.command("keys").stdout.split()[1]
            with mock.patch.dict(os.environ, BLEND_DAEMON_STATE_DIR=str(scene.daemon.folder / "far")):
                keys.add_daemon("box", "tcp://198.51.100.2:4711", server_key)
                assert scene.daemon.command("pair", "--add", "desk", keys.own("client").public.hex()).returncode == 0
                client = Client("box")
            with client:
                yield scene, client, switch
        finally:
            _ip(f"link del {there}")
            _ip(f"netns del {there}")


def _cut(_: Scene, ends: bool) -> None:
    with _two_computers() as (scene, client, switch), scene.client() as near:
        job = scene.send(client, LONG | {"iterations": 40} if ends else LONG)
        until(client, job, "progress")
        switch("down")
        assert near.status(20)["running"] == job
        deadline = time.monotonic() + CUT
        while time.monotonic() < deadline:
            client.wait(0.2)
            client.pump()
        assert near.status(20)["running"] == (None if ends else job)
        switch("up")
        if not ends:
            until(client, job, "progress", limit=15)
            client.finish(job)
        assert until(client, job, "result", limit=15).rasters["layer"]
        assert near.status(20)["ends"] == {"result": 1}


def _away(_: Scene, cut: bool) -> None:
    with _two_computers() as (scene, client, switch), scene.client() as near:
        job = scene.send(client, LONG)
        until(client, job, "progress")
        if cut:
            switch("down")
        else:
            client.close()
        began = time.monotonic()
        # Nobody can tell one who has gone from one who will be back: of either a cut of CUT is survived.
        while (away := time.monotonic() - began) < CUT:
            assert near.status(20)["running"] == job, f"the job is given up after {away:.0f} s"
            time.sleep(1)
        idle(near, 60 - CUT)
        assert near.status(20)["ends"] == {"cancelled": 1}


PROMISE = "The client, back within 35 s, gets its result, which was computed once."
fault("network cut for 30 s, job running", PROMISE, quick=False, root=True)(partial(_cut, ends=False))
fault("network cut for 30 s, job ends meanwhile", PROMISE, quick=False, root=True)(partial(_cut, ends=True))
GIVEN_UP = "Its job goes on for as long as a cut may last, and is given up within a minute."
fault("network cut for good", GIVEN_UP, quick=False, root=True)(partial(_away, cut=True))
fault("client on another computer ended", GIVEN_UP, quick=False, root=True)(partial(_away, cut=False))
