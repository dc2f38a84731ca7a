"""Tasks of one worker that cannot hurt each other, and workers that cannot hurt the daemon. Real processes."""

from __future__ import annotations

import os
import signal

import daemons
import numpy as np
import pytest
from daemons import Client, raster, until, wait_for

# A sketch of a colour of 1, 2 or 3 fails, and a blend of a colour of 4.
FAILING = """
import sys
if "blend_daemon.service.worker" in sys.orig_argv:
    import torch
    from blend_daemon.engine import blending
    sketch, blend = blending.sketch, blending.blend
    ERRORS = {1: torch.OutOfMemoryError("out of memory"), 2: MemoryError(), 3: ZeroDivisionError("as the test wants it")}
    def failing(problem, parameters):
        if parameters.colour in ERRORS:
            raise ERRORS[parameters.colour]
        return sketch(problem, parameters)
    def breaking(problem, parameters, observe):
        if parameters.colour == 4:
            raise LookupError("what nobody thought of")
        return blend(problem, parameters, observe)
    blending.sketch, blending.blend = failing, breaking
"""


@pytest.fixture
def failing(fresh_daemon):
    fresh_daemon.meddle(FAILING)
    fresh_daemon.start()
    with Client(fresh_daemon.address) as client:
        wait_for(client, daemons.loaded)
    return fresh_daemon


def sketch(client: Client, cat, coffee, disc, colour: int):
    id = client.sketch(raster(cat), raster(coffee), raster(disc[:, :, None]), (20, 10), {"colour": colour})
    return until(client, id, "sketched", "failed")


def test_a_sketch_that_fails_in_any_way_costs_the_job_beside_it_nothing(failing, send, cat, coffee, disc):
    with Client(failing.address) as one, Client(failing.address, "0" * 32) as other:
        worker = one.status()["worker"]
        alone = until(one, send(one, {"preset": "draft"}), "result")
        job = send(one, {"preset": "draft"})
        until(one, job, "progress")
        for colour, code in ((1, "out-of-memory"), (2, "out-of-memory"), (3, "unforeseen")):
            failed = sketch(other, cat, coffee, disc, colour)
            assert (failed.type, failed.header["code"]) == ("failed", code)
            assert failed.header["hint"]
        assert sketch(other, cat, coffee, disc, 50).type == "sketched"
        result = until(one, job, "result", "failed")
        assert result.type == "result", result.header
        assert result.header["report"]["notes"] == alone.header["report"]["notes"]  # above all it did not begin again, smaller
        assert bytes(result.rasters["layer"].data) == bytes(alone.rasters["layer"].data)
        assert one.status()["worker"] == worker
    assert "ZeroDivisionError: as the test wants it" in failing.log()


def test_an_error_that_nobody_thought_of_fails_its_job_alone(failing, send):
    with Client(failing.address) as client:
        worker = client.status()["worker"]
        failed = until(client, send(client, {"colour": 4}), "failed").header
        assert failed["code"] == "unforeseen"
        assert "what nobody thought of" in failed["message"]
        assert str(failing.folder / "state/daemon.log") in failed["hint"]
        until(client, send(client, {"preset": "draft"}), "result")
        assert client.status()["worker"] == worker
    assert "Traceback" in failing.log()


def test_huge_values_are_refused_and_the_worker_lives(daemon, cat, coffee, disc):
    with Client(daemon.address) as client:
        worker = wait_for(client, daemons.loaded)["worker"]
        huge = np.full(cat.shape, 1e20, np.float32)
        job = client.submit(raster(huge), raster(coffee), raster(disc[:, :, None]), (20, 10), {"preset": "draft"})
        failed = until(client, job, "failed").header
        assert failed["code"] == "raster-invalid"
        assert "1e+20" in failed["message"]
        assert client.status()["worker"] == worker


def test_ctrl_c_on_the_terminal_parks_the_job_with_its_best_so_far(fresh_daemon, send):
    fresh_daemon.start()
    with Client(fresh_daemon.address) as client:
        job = send(client, {"preset": "paper"})
        until(client, job, "progress")
        os.killpg(fresh_daemon.process.pid, signal.SIGINT)  # as a terminal does it
        result = until(client, job, "result", "failed", limit=10)
        assert result.type == "result", result.header
        assert any("was stopped" in note for note in result.header["report"]["notes"])
    assert fresh_daemon.process.wait(10) == 0


def test_a_process_that_cannot_be_started_is_told_and_the_daemon_lives(fresh_daemon, send, monkeypatch):
    monkeypatch.setattr(daemons, "DAEMON", daemons.changed("sys.executable = '/nowhere/python'"))
    fresh_daemon.start()
    with Client(fresh_daemon.address) as client:
        for _ in range(2):
            failed = until(client, send(client), "failed").header
            assert failed["code"] == "worker-died"
            assert "/nowhere/python" in failed["message"]
            assert "doctor" in failed["hint"]
        assert client.status()["pid"] == fresh_daemon.process.pid
