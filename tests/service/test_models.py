"""`model:NAME` by a real daemon: the same result, names alone, and models that do not end."""

from __future__ import annotations

import json
import time

import numpy as np
import onnx_models as made
import pytest
from daemons import Client, Daemon, array, gone, until

from blend_daemon.engine import Parameters, Problem, blend
from blend_daemon.service import replies
from blend_protocol import framing
from blend_protocol.client import Message


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """A daemon with models, whose hang limit is short."""
    daemon = Daemon()
    folder = tmp_path_factory.mktemp("models")
    made.written(folder, "tint", made.tint(), title="A tint")
    made.written(folder, "endless", made.endless(), seconds=1)
    made.written(folder, "patient", made.endless(), seconds=600)
    made.written(folder, "deaf", made.one_long_step(), seconds=0.5)
    daemon.environment["BLEND_DAEMON_MODELS_DIR"] = str(folder)
    daemon.start("--hang-limit", "10")  # no less: where much else runs, a worker that is well may be silent for seconds
    yield daemon
    daemon.remove()


@pytest.fixture
def send(send):
    return lambda client, method: send(client, {"method": method})


def failure(client: Client, job: str) -> dict:
    return until(client, job, "failed", limit=30).header


def test_the_daemon_gives_the_same_as_this_process(serving, send, cat, coffee, disc, model_folder):
    with Client(serving.address) as client:
        result = until(client, send(client, "model:tint"), "result")
    problem = Problem.from_arrays(cat, coffee, disc, (20, 10))
    here = blend(problem, Parameters.from_mapping({"method": "model:tint", "device": "cpu"}))
    assert np.array_equal(array(result.rasters["layer"]), here.layer)
    assert result.header["report"]["weights"] == here.report["weights"]


@pytest.mark.parametrize("name", ["../models/tint", "/etc/hostname", "tint.onnx", "", "tint/../tint", "tint\0"])
def test_no_path_from_the_wire_is_opened(name, serving, send):
    with Client(serving.address) as client:
        failed = failure(client, send(client, f"model:{name}"))
    assert failed["code"] == "parameter-invalid"
    assert "model:NAME" in failed["hint"]


def test_the_daemon_tells_which_models_there_are(serving):
    with Client(serving.address) as client:
        client.ask_models()
        told = until(client, None, "models").header["models"]
    assert told == [{"name": name, "title": "A tint" if name == "tint" else ""} for name in ("deaf", "endless", "patient", "tint")]


def test_more_models_than_a_message_holds_and_one_whose_manifest_is_broken(model_folder):
    (model_folder / "tint.json").write_text("{")
    for number in range(400):
        (model_folder / f"m{number:03}.onnx").touch()
        (model_folder / f"m{number:03}.json").write_text(json.dumps({"title": 200 * "ä"}))
    first = replies.listed_models()
    assert 10 < len(first) < 400
    framing.decode([bytes(frame) for frame in framing.encode(Message("models", {"models": first}))])
    for path in model_folder.glob("m*"):
        path.unlink()
    assert replies.listed_models() == [{"name": "tint", "title": ""}]


def test_a_model_that_the_daemon_does_not_have_is_told(serving, send):
    with Client(serving.address) as client:
        failed = failure(client, send(client, "model:nobody"))
    assert failed["code"] == "model-unknown"
    assert "tint" in failed["hint"]


def test_a_model_that_does_not_end_is_ended_and_the_worker_goes_on(serving, send):
    with Client(serving.address) as client:
        until(client, send(client, "model:tint"), "result")
        worker = client.status()["worker"]
        failed = failure(client, send(client, "model:endless"))
        assert failed["code"] == "model-too-slow"
        assert "1 s" in failed["message"]
        until(client, send(client, "model:tint"), "result")
        assert client.status()["worker"] == worker


def test_a_model_that_runs_can_be_cancelled(serving, send):
    with Client(serving.address) as client:
        job = send(client, "model:patient")
        until(client, job, "progress")
        time.sleep(12)  # longer than the hang limit: its signs of life count
        client.cancel(job)
        until(client, job, "cancelled", limit=5)
        until(client, send(client, "model:tint"), "result")


def test_a_model_that_does_not_even_listen_ends_with_its_worker(serving, send):
    with Client(serving.address) as client:
        until(client, send(client, "model:tint"), "result")
        worker = client.status()["worker"]
        job = send(client, "model:deaf")
        failed = failure(client, job)
        assert failed["code"] == "worker-hung"
        assert "10 s" in failed["message"]
        assert gone(worker)
        until(client, send(client, "model:tint"), "result")
