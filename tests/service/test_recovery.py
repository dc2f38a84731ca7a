"""Results that nobody took are found wherever they were computed. Real daemons, one of this computer and one of another."""

from __future__ import annotations

import time

from daemons import Client, idle, until

from blend_protocol import client as protocol_client
from blend_protocol import keys
from blend_protocol.recovery import kept_everywhere


def test_every_daemon_is_asked_and_one_that_is_out_of_reach_is_named(paired, fresh_daemon, send, monkeypatch):
    monkeypatch.setattr(protocol_client, "FAR", 2.0)
    fresh_daemon.start()
    monkeypatch.setenv("BLEND_DAEMON_RUNTIME_DIR", fresh_daemon.environment["BLEND_DAEMON_RUNTIME_DIR"])
    with paired("desk"):
        keys.add_daemon("attic", "tcp://127.0.0.1:1", keys.own("client").public.hex())
        jobs = {}
        for name in (None, "box"):
            with Client(name) as client:
                jobs[name] = send(client, {"method": "copy-paste"}, keep=True, label={"image": f"{name}.xcf", "layer": "Cat"})
                until(client, jobs[name], "result")
                idle(client)
        began = time.monotonic()
        found = {}
        for kept in kept_everywhere(["false"]):
            if kept:
                found[kept.daemon] = kept
            else:
                time.sleep(0.05)
        assert time.monotonic() - began < 5
    for name, job in jobs.items():
        (entry,) = found[name].results
        assert (entry["job"], entry["label"]["image"]) == (job, f"{name}.xcf")
        assert found[name].trouble is None
    assert found["attic"].trouble.code == "daemon-unreachable"
    assert "tcp://127.0.0.1:1" in str(found["attic"].trouble)
