"""A real daemon process with the real engine, over real sockets."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
import zmq
from daemons import Client, array, cancelled, goes_on, idle, kept, loaded, raster, until, wait_for

from blend_daemon.engine import Parameters, Problem, blend, sketch
from blend_protocol import client as protocol_client
from blend_protocol import framing, messages, runtime
from blend_protocol.client import Part
from blend_protocol.errors import BlendError

OTHER = "0" * 32  # another owner's key
DRAFT = {"preset": "draft"}
LONG = {"preset": "paper"}  # a thousand evaluations: as long as a test needs it to be


def hurried(client: Client, job: str):
    """The result of a job that is finished as soon as it computes."""
    until(client, job, "progress")
    client.finish(job)
    return until(client, job, "result")


def test_the_result_is_the_engines_byte_for_byte(daemon, send, cat, coffee, disc):
    with Client(daemon.address) as client:
        *before, last = client.follow(send(client, previews=True))
    assert last.type == "result"
    assert [m.type for m in before].count("accepted") >= 1
    assert any(m.type == "progress" for m in before)
    preview = next(m for m in before if m.type == "preview")
    assert preview.rasters["layer"].shape == (preview.header["box"][3], preview.header["box"][2], 4)
    here = blend(Problem.from_arrays(cat, coffee, disc, (20, 10)), Parameters.from_mapping(DRAFT))
    assert np.array_equal(array(last.rasters["layer"]), here.layer)
    assert tuple(last.header["box"]) == here.box
    assert last.header["report"]["weights"] == here.report["weights"]


def test_of_a_large_canvas_a_part_is_enough_and_its_result_is_kept_with_its_place(fresh_daemon, cat, coffee, disc):
    canvas = np.ascontiguousarray(np.tile(coffee, (6, 6, 1))[:500, :700])
    parameters = Parameters.from_mapping({**DRAFT, "iterations": 4})
    whole = Problem.from_arrays(cat, canvas, disc, (300, 210))
    part = whole.cut(parameters)
    fresh_daemon.start()
    with Client(fresh_daemon.address) as client:
        about = Part(part.corner, part.canvas, raster(part.samples))
        rasters = raster(cat), raster(part.target), raster(disc[:, :, None])
        job = client.submit(*rasters, (300, 210), {**DRAFT, "iterations": 4}, part=about, keep=True)
        last = until(client, job, "result")
        assert np.array_equal(array(last.rasters["layer"]), blend(whole, parameters).layer)
        wrong = client.submit(*rasters, (300, 210), DRAFT, part=Part((699, 0), (700, 500)))
        with pytest.raises(BlendError) as error:
            list(client.follow(wrong))
        assert error.value.code == "target-misplaced"
    fresh_daemon.process.terminate()
    fresh_daemon.process.wait(20)
    fresh_daemon.start()
    with Client(fresh_daemon.address) as client:
        assert [entry["box"] for entry in kept(client)] == [list(whole.box)]
        client.fetch(job)
        assert until(client, job, "result").header["box"] == list(whole.box)


def test_an_error_of_the_engine_comes_back_as_it_is(daemon, cat, coffee, disc):
    with Client(daemon.address) as client:
        job = client.submit(raster(cat), raster(coffee), raster(disc[:, :, None] * 0), (0, 0), DRAFT)
        with pytest.raises(BlendError) as error:
            list(client.follow(job))
    assert error.value.code == "mask-empty"
    assert error.value.hint


@pytest.mark.parametrize("parameters", [{"seed": 10**4000}, {"preset": "none"}, {"unheard": 1}], ids=["seed", "preset", "name"])
def test_a_wrong_parameter_is_told_and_the_worker_lives(parameters, daemon, send):
    with Client(daemon.address) as client:
        worker = client.status()["worker"]
        with pytest.raises(BlendError) as error:
            list(client.follow(send(client, parameters)))
        assert error.value.code == "parameter-invalid"
        assert client.status()["worker"] == worker


def test_cancel_frees_the_worker(daemon, send):
    with Client(daemon.address) as client:
        job = send(client, LONG)
        until(client, job, "progress")
        began = time.monotonic()
        client.cancel(job)
        until(client, job, "cancelled")
        assert time.monotonic() - began < 5
        idle(client)


def test_finish_has_the_best_so_far(daemon, send):
    with Client(daemon.address) as client:
        result = hurried(client, send(client, LONG))
    assert 0 < result.header["report"]["evaluations"] < 1000


def look(client: Client, cat, coffee, disc, **sliders):
    """A sketch's layer."""
    wait_for(client, loaded)  # another test may have had the worker replaced
    id = client.sketch(raster(cat), raster(coffee), raster(disc[:, :, None]), (20, 10), sliders)
    return array(until(client, id, "sketched").rasters["layer"])


def test_a_sketch_follows_the_sliders_also_while_a_job_runs(daemon, send, cat, coffee, disc):
    problem = Problem.from_arrays(cat, coffee, disc, (20, 10))
    with Client(daemon.address) as worker, Client(daemon.address) as client:
        job = send(worker, LONG)
        until(worker, job, "progress")
        first, other = look(client, cat, coffee, disc), look(client, cat, coffee, disc, colour=0)
        assert np.array_equal(first, sketch(problem, Parameters()))
        assert np.array_equal(other, sketch(problem, Parameters(colour=0)))
        assert not np.array_equal(first, other)
        assert client.status()["running"] == job
        worker.cancel(job)
        until(worker, job, "cancelled")


def test_a_sketch_whose_worker_dies_is_told_of(daemon, cat, coffee, disc):
    with Client(daemon.address) as client:
        worker = wait_for(client, loaded)["worker"]
        os.kill(worker, signal.SIGSTOP)
        id = client.sketch(raster(cat), raster(coffee), raster(disc[:, :, None]), (20, 10), {})
        assert client.status()["worker"] == worker  # the daemon has read what came before
        os.kill(worker, signal.SIGKILL)
        assert until(client, id, "failed").header["code"] == "worker-died"


def test_a_sketch_that_cannot_be_made_says_why(daemon, cat, coffee, disc):
    with Client(daemon.address) as client:
        wait_for(client, loaded)
        id = client.sketch(raster(cat), raster(coffee), raster(disc[:, :, None] * 0), (20, 10), {})
        assert until(client, id, "failed").header["code"] == "mask-empty"


def test_adjust_re_aims_a_running_and_a_waiting_job(daemon, send):
    with Client(daemon.address) as client:
        running, waiting = send(client, {"preset": "standard", "style": 100}), send(client)
        until(client, running, "progress")
        for job in (running, waiting):
            client.adjust(job, {"colour": 10})
        client.adjust(running, {"style": 90})
        report = until(client, running, "result").header["report"]
        assert (report["colour"], report["style"], report["preset"]) == (10, 90, "standard")
        assert until(client, waiting, "result").header["report"]["colour"] == 10


def test_adjust_of_anothers_job_does_nothing(daemon, send):
    with Client(daemon.address) as client, Client(daemon.address, OTHER) as other:
        job = send(client, LONG)
        until(client, job, "progress")
        other.adjust(job, {"colour": 10})
        assert other.status()["running"] == job  # the daemon has read what came before
        assert hurried(client, job).header["report"]["colour"] == 50


def test_a_waiting_job_can_be_cancelled_and_finish_leaves_nothing_to_wait_for(daemon, send):
    with Client(daemon.address) as client:
        running, second, third = send(client, LONG), send(client, LONG), send(client, LONG)
        until(client, running, "progress")
        client.cancel(second)
        until(client, second, "cancelled", limit=5)
        client.finish(third)
        until(client, third, "cancelled", limit=5)
        assert client.status()["running"] == running
        client.cancel(running)
        until(client, running, "cancelled")


def test_two_clients_take_turns(daemon, send):
    with Client(daemon.address) as one, Client(daemon.address, OTHER) as two:
        long = send(one, LONG)
        until(one, long, "progress")
        second, third = send(one, LONG), send(one, LONG)
        until(one, third, "accepted")
        other = send(two, LONG)
        assert until(two, other, "accepted").header["position"] == 2
        for client, job in ((one, long), (one, second), (two, other), (one, third)):
            until(client, job, "progress")
            assert two.status()["running"] == job
            client.cancel(job)
            until(client, job, "cancelled")


def test_a_repeated_submit_is_the_same_job_with_one_end(daemon, send):
    job = uuid.uuid4().hex
    with Client(daemon.address) as client:
        ended = idle(client)["ended"]
        for _ in range(3):
            send(client, LONG, job=job)
        one = hurried(client, job)
        client.cancel(job)  # too late, and so of no consequence
        with pytest.raises(AssertionError, match="no "):
            until(client, job, *messages.LAST, limit=0.5)
        send(client, LONG, job=job)
        again = until(client, job, "result")
        assert client.status()["ended"] == ended + 1
    assert array(one.rasters["layer"]).tobytes() == array(again.rasters["layer"]).tobytes()


def test_a_question_or_a_release_takes_no_word_of_a_job_from_who_waits_for_it(daemon, send):
    with Client(daemon.address) as client, Client(daemon.address, OTHER) as other:
        ended = idle(other)["ended"]
        first, second = send(client), send(client)
        wait_for(other, lambda status: status["ended"] == ended + 2)
        assert client.status()
        client.release(first)
        assert [message.header["job"] for message in client.pump() if message.type == "result"] == [first, second]


def test_a_client_cannot_touch_anothers_job(daemon, send):
    with Client(daemon.address) as one, Client(daemon.address, OTHER) as two:
        job = send(one, LONG)
        until(one, job, "progress")
        two.cancel(job)
        two.finish(job)
        assert two.status()["running"] == job  # the daemon has read what came before
        goes_on(one, job)
        one.cancel(job)
        until(one, job, "cancelled")


def test_a_client_that_vanishes_frees_the_worker(daemon, send):
    with Client(daemon.address) as other:
        before = cancelled(idle(other))
        client = Client(daemon.address)
        until(client, send(client, LONG), "progress")
        client.close()
        assert cancelled(idle(other)) == before + 1  # it was given up, not computed to its end


def test_a_result_waits_for_a_client_that_vanished_and_outlives_the_daemon(fresh_daemon, send):
    fresh_daemon.start()
    label = {"image": "beach.xcf", "layer": "Cat"}
    client = Client(fresh_daemon.address)
    job = send(client, keep=True, label=label)
    until(client, job, "progress")
    client.close()
    with Client(fresh_daemon.address) as other:
        idle(other, limit=60)
        (entry,) = kept(other)
        assert (entry["job"], entry["label"]) == (job, label)
        other.fetch(job)
        first = until(other, job, "result")
        cut = send(other, LONG, keep=True, label=label)
        until(other, cut, "progress")
    fresh_daemon.process.kill()
    fresh_daemon.process.wait()
    fresh_daemon.start()
    with Client(fresh_daemon.address, OTHER) as stranger:
        assert kept(stranger) == []
        stranger.fetch(job)
        assert until(stranger, job, "failed").header["code"] == "result-unknown"
        stranger.release(job)
    with Client(fresh_daemon.address) as client:
        assert {entry["job"]: entry.get("cut", False) for entry in kept(client)} == {job: False, cut: True}
        client.fetch(cut)
        assert until(client, cut, "failed").header["code"] == "job-cut-off"
        client.fetch(job)
        again = until(client, job, "result")
        assert bytes(again.rasters["layer"].data) == bytes(first.rasters["layer"].data)
        assert again.header == first.header
        for id in (job, cut):
            client.release(id)
        assert kept(client) == []
    assert not list((fresh_daemon.folder / "state/results").iterdir())


def test_a_socket_whose_file_was_tidied_away_comes_again(fresh_daemon):
    fresh_daemon.start()
    with Client(fresh_daemon.address) as before:
        assert before.status()
        for _ in range(2):
            (fresh_daemon.folder / "run/socket").unlink()
            with Client(fresh_daemon.address) as after:
                assert after.status(timeout=10)
        assert before.status()


def test_status_answers_while_the_worker_computes(daemon, send):
    with Client(daemon.address) as client:
        job = send(client, LONG)
        until(client, job, "progress")
        began = time.monotonic()
        assert client.status()["running"] == job
        assert time.monotonic() - began < 1
        client.cancel(job)
        until(client, job, "cancelled")


def submit_frames(parameters="{}", shape=(1, 1, 3)) -> list[bytes]:
    frames = [{"name": name, "dtype": "uint8", "shape": shape} for name in ("source", "target")]
    header = {"type": "submit", "job": "0" * 32, "owner": "0" * 32, "offset": [0, 0], "parameters": "HERE", "frames": frames}
    return [framing.preamble(), json.dumps(header).replace('"HERE"', parameters).encode(), b"123", b"456"]


GARBAGE = {
    "not of this protocol": ([b"garbage"], "message-invalid"),
    "empty frames": ([b"", b""], "message-invalid"),
    "no type": ([framing.preamble(), b"{}"], "message-invalid"),
    "no fields": ([framing.preamble(), b'{"type":"submit","frames":[]}'], "message-invalid"),
    "another version": ([b"DIB\x63", b"{}"], "protocol-mismatch"),
    "huge picture": (submit_frames(shape=(60_000, 60_000, 4)), "image-too-large"),
    "not a number": (submit_frames(parameters='{"style":NaN}'), "message-invalid"),
    "infinite": (submit_frames(parameters='{"style":1e999}'), "message-invalid"),
    "nested": (submit_frames(parameters='{"a":' + "[" * 900 + "]" * 900 + "}"), "message-invalid"),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_refused_and_the_daemon_lives(daemon, name):
    frames, code = GARBAGE[name]
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.connect(daemon.address)
    socket.send_multipart(frames)
    assert socket.poll(5000)
    answer = messages.check(framing.decode(socket.recv_multipart()), messages.FROM_DAEMON)
    assert (answer.type, answer.header["code"]) == ("failed", code)
    context.destroy(0)
    with Client(daemon.address) as client:
        assert client.status()


def test_a_worker_that_dies_is_told_of_and_replaced(daemon, send):
    with Client(daemon.address) as client:
        job = send(client, LONG)
        until(client, job, "progress")
        worker = client.status()["worker"]
        # The broker is stopped meanwhile, so that it finds a word for the worker and the worker's death at the same time.
        daemon.process.send_signal(signal.SIGSTOP)
        os.kill(worker, signal.SIGKILL)
        client.cancel(job)
        time.sleep(0.2)
        daemon.process.send_signal(signal.SIGCONT)
        failed = until(client, job, "failed", limit=5)
        assert failed.header["code"] == "worker-died"
        assert "SIGKILL" in failed.header["message"]
        assert hurried(client, send(client, LONG))
        assert client.status()["worker"] != worker


def test_a_daemon_that_hangs_is_noticed_and_a_client_that_was_busy_is_not_alarmed(daemon, monkeypatch):
    monkeypatch.setattr(protocol_client, "PING", 0.2)
    monkeypatch.setattr(protocol_client, "SILENCE", 1.0)
    with Client(daemon.address) as client:
        assert client.status()
        time.sleep(1.5)
        client.pump()
        daemon.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(BlendError) as error:
                until(client, "none", limit=5)
        finally:
            daemon.process.send_signal(signal.SIGCONT)
        assert error.value.code == "daemon-gone"
        assert str(runtime.log_path()) in error.value.hint


def test_status_for_people_and_programs(daemon):
    assert str(daemon.folder / "state/daemon.log") in daemon.command("status").stdout
    status = json.loads(daemon.command("status", "--json").stdout)
    assert status["pid"] == daemon.process.pid
    report = daemon.command("doctor").stdout
    assert report.count("daemon: pid") == 1
    assert re.search("ok +self-test: a blend of 4.. pixels by the daemon", report)
    assert str(Path.home()) + "/" not in report
