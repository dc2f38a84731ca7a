from __future__ import annotations

import os
import stat
import time

import pytest

from blend_daemon.errors import BlendError
from blend_daemon.protocol.framing import Message, Raster
from blend_daemon.service import store as module
from blend_daemon.service.store import Store

ME, OTHER = "a" * 32, "b" * 32
LABEL = {"image": "beach.xcf", "layer": "Cat"}


def result(job: str, value: int = 7) -> Message:
    raster = Raster("uint8", (2, 3, 4), bytes([value]) * 24)
    return Message("result", {"job": job, "box": [1, 2, 3, 2], "report": {"notes": []}}, {"layer": raster})


def id(number: int) -> str:
    return f"{number:032x}"


def test_what_was_kept_is_there_after_a_restart(tmp_path):
    Store(tmp_path / "results").keep(ME, LABEL, result(id(1)))
    store = Store(tmp_path / "results")
    (entry,) = store.of(ME)
    assert (entry.job, entry.label, entry.box) == (id(1), LABEL, [1, 2, 3, 2])
    assert store.fetch(ME, id(1)) == result(id(1))
    assert store.of(OTHER) == []
    (file,) = (tmp_path / "results").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_owners_with_jobs_of_one_name_do_not_meet(tmp_path):
    store = Store(tmp_path / "results")
    store.keep(ME, LABEL, result(id(1), 1))
    store.keep(OTHER, LABEL, result(id(1), 2))
    store.release(OTHER, id(1))
    assert store.fetch(ME, id(1)) == result(id(1), 1)


def test_a_job_that_was_cut_off_is_told_of_and_one_that_ended_is_not(tmp_path):
    store = Store(tmp_path / "results")
    for number in (1, 2):
        store.begin(id(number), ME, LABEL)
    store.end(id(2), ME)
    again = Store(tmp_path / "results")
    assert [(entry.job, entry.box) for entry in again.of(ME)] == [(id(1), None)]
    with pytest.raises(BlendError) as error:
        again.fetch(ME, id(1))
    assert error.value.code == "job-cut-off"


@pytest.mark.parametrize("length", [0, 3, 8, 60, -1])
def test_a_torn_file_costs_itself_alone_and_is_left_alone(tmp_path, length):
    store = Store(tmp_path / "results")
    store.keep(ME, LABEL, result(id(1)))
    (torn,) = (tmp_path / "results").iterdir()
    store.keep(ME, LABEL, result(id(2)))
    os.truncate(torn, length if length >= 0 else torn.stat().st_size - 1)
    again = Store(tmp_path / "results")
    assert [entry.job for entry in again.of(ME)] == [id(2)]
    assert again.fetch(ME, id(2)) == result(id(2))
    assert torn.exists()
    with pytest.raises(BlendError) as error:
        store.fetch(ME, id(1))
    assert error.value.code == "result-unknown"


def test_a_part_left_by_a_killed_daemon_goes(tmp_path):
    Store(tmp_path / "results")
    (tmp_path / "results/x.dib.part").write_bytes(b"half")
    Store(tmp_path / "results")
    assert not list((tmp_path / "results").iterdir())


def test_the_oldest_goes_when_there_is_too_much_and_the_newest_never(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SIZE_LIMIT", 1)
    store = Store(tmp_path / "results")
    for number in (1, 2):
        store.keep(ME, LABEL, result(id(number)))
    assert [entry.job for entry in store.of(ME)] == [id(2)]


def test_what_is_too_old_goes_but_a_clock_set_ahead_makes_nothing_old(tmp_path, monkeypatch):
    store = Store(tmp_path / "results")
    store.keep(ME, LABEL, result(id(1)))
    now = time.time()
    monkeypatch.setattr(module.time, "time", lambda: now + 30 * 24 * 3600)
    store.keep(ME, LABEL, result(id(2)))
    assert {entry.job for entry in store.of(ME)} == {id(1), id(2)}
    monkeypatch.setattr(module.time, "time", lambda: now + 8 * 24 * 3600)
    assert [entry.job for entry in Store(tmp_path / "results").of(ME)] == [id(2)]


def test_a_folder_that_was_removed_is_made_again(tmp_path):
    store = Store(tmp_path / "results")
    (tmp_path / "results").rmdir()
    store.keep(ME, LABEL, result(id(1)))
    assert store.fetch(ME, id(1)) == result(id(1))


def test_a_failed_write_leaves_what_lay_there(tmp_path, monkeypatch):
    store = Store(tmp_path / "results")
    store.keep(ME, LABEL, result(id(1)))

    def full(number):  # stands for a full disk
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.keep(ME, LABEL, result(id(1), 9))
    assert store.fetch(ME, id(1)) == result(id(1))
    assert len(list((tmp_path / "results").iterdir())) == 1
