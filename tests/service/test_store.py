from __future__ import annotations

import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor

import daemons
import pytest
from daemons import eventually, kept

from blend_daemon.service import store as module
from blend_daemon.service.store import Store
from blend_protocol.client import Client
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message, Raster

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
    assert stat.S_IMODE(file.stat().st_mode) == 0o400  # nobody shortens by mistake what may be mapped


def test_what_grows_too_old_goes_while_the_daemon_runs(fresh_daemon, monkeypatch):
    code = "from blend_daemon.service import server, store; store.AGE_LIMIT, server.TIDY = 4.0, 0.2"
    monkeypatch.setattr(daemons, "DAEMON", daemons.changed(code))
    folder = fresh_daemon.folder / "state/results"
    folder.mkdir(0o700, parents=True)
    folder.parent.chmod(0o700)
    later_on = time.time() + 3600
    with monkeypatch.context() as later:
        later.setattr(time, "time", lambda: later_on)  # its time begins when the daemon has started
        Store(folder).keep(ME, LABEL, result(id(1)))
    fresh_daemon.start()
    with Client(fresh_daemon.address, ME) as client:
        assert [entry["job"] for entry in kept(client)] == [id(1)]
        eventually(lambda: not kept(client), 15)
    assert list(folder.iterdir()) == []


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
    torn.chmod(0o600)
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


def test_results_are_kept_and_released_in_several_threads_at_once(tmp_path):
    store = Store(tmp_path / "results")

    def work(begin: int) -> None:
        for number in range(begin, begin + 40):
            store.begin(id(number), ME, LABEL)
            store.keep(ME, LABEL, result(id(number)))
            assert store.of(ME)
            if number % 2:
                store.release(ME, id(number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(0, 400, 100)))
    assert len(store.of(ME)) == len(list((tmp_path / "results").iterdir())) == 80


def test_a_job_sent_again_after_it_was_cut_off_is_no_longer_listed_as_such(tmp_path):
    Store(tmp_path / "results").begin(id(1), ME, LABEL)
    store = Store(tmp_path / "results")
    assert store.of(ME)
    store.begin(id(1), ME, LABEL)
    assert store.of(ME) == []
    store.cut(id(1), ME, LABEL)
    store.end(id(1), ME)
    assert store.of(ME) == []
    assert not list((tmp_path / "results").iterdir())


def test_a_result_from_a_clock_that_was_ahead_is_kept_no_longer_than_another(tmp_path, monkeypatch):
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(module.time, "time", lambda: now + 1e9)
        Store(tmp_path / "results").keep(ME, LABEL, result(id(1)))
    (entry,) = Store(tmp_path / "results").of(ME)
    assert entry.expires <= time.monotonic() + module.AGE_LIMIT


def test_a_result_from_a_clock_that_was_years_behind_is_kept_for_a_week_from_the_next_start(tmp_path, monkeypatch):
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(module.time, "time", lambda: now - 1e9)
        Store(tmp_path / "results").keep(ME, LABEL, result(id(1)))
    (file,) = (tmp_path / "results").iterdir()
    os.utime(file, (0, now - 1e9))
    assert [entry.job for entry in Store(tmp_path / "results").of(ME)] == [id(1)]
    monkeypatch.setattr(module.time, "time", lambda: now + 8 * 24 * 3600)
    assert Store(tmp_path / "results").of(ME) == []


def test_a_file_under_anothers_name_or_of_another_kind_is_left_alone(tmp_path):
    store = Store(tmp_path / "results")
    store.keep(ME, LABEL, result(id(1)))
    (file,) = (tmp_path / "results").iterdir()
    file.rename(file.with_name(f"{'0' * 16}-{id(1)}.dib"))
    (tmp_path / "results/a.accepted").write_text('{"job": 1, "owner": 2, "label": 3, "ended": 4, "box": null}')
    (tmp_path / "results/b.dib").mkdir()
    assert Store(tmp_path / "results").of(ME) == []
    assert len(list((tmp_path / "results").iterdir())) == 3


def test_a_file_that_is_not_whole_goes_when_it_is_old(tmp_path):
    Store(tmp_path / "results")
    torn = tmp_path / "results/x.dib"
    torn.write_bytes(b"half")
    os.utime(torn, (0, time.time() - module.AGE_LIMIT - 60))
    Store(tmp_path / "results")
    assert not torn.exists()


def test_a_folder_that_cannot_be_listed_is_told(tmp_path, monkeypatch):
    def denied(folder):  # stands for missing rights, which root is not bound by
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.Path, "iterdir", denied)
    with pytest.raises(BlendError, match="cannot be read: Permission denied") as error:
        Store(tmp_path / "results")
    assert error.value.code == "results-unreadable"
