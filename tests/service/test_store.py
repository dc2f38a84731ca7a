"""Results on disk: files that are whole or not there, what a start finds, and what may go."""

from __future__ import annotations

import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor

import daemons
import pytest
from daemons import Client, eventually, kept

from blend_daemon.service import archive, events
from blend_daemon.service.archive import Archive
from blend_daemon.service.io import disk as module
from blend_daemon.service.io.disk import Disk
from blend_daemon.service.jobs import Job
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message, Raster

ME, OTHER = "a" * 32, "b" * 32
LABEL = {"image": "beach.xcf", "layer": "Cat"}


def result(job: str, value: int = 7) -> Message:
    raster = Raster("uint8", (2, 3, 4), bytes([value]) * 24)
    return Message("result", {"job": job, "box": [1, 2, 3, 2], "report": {"notes": []}}, {"layer": raster})


def id(number: int) -> str:
    return f"{number:032x}"


@pytest.fixture
def disk(tmp_path):
    return Disk(tmp_path / "results")


def found(tmp_path) -> Archive:
    """What a daemon that starts takes over; what is too old goes at once."""
    disk = Disk(tmp_path / "results")
    wanted: list[events.Effect] = []
    kept = Archive(disk.entries(), 0.0, wanted.append)
    kept.tidy(time.monotonic())
    for removal in wanted:
        disk.remove(removal.owner, removal.job)
    return kept


def jobs(kept: Archive, owner: str = ME) -> list[str]:
    return [entry.job for entry in kept.of(owner)]


def test_what_was_written_is_there_after_a_restart(tmp_path, disk):
    disk.write(ME, LABEL, result(id(1)))
    kept = found(tmp_path)
    (entry,) = kept.of(ME)
    assert (entry.job, entry.label, entry.box) == (id(1), LABEL, [1, 2, 3, 2])
    assert Disk(tmp_path / "results").read(ME, id(1)) == result(id(1))
    assert kept.of(OTHER) == []
    (file,) = (tmp_path / "results").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o400  # nobody shortens by mistake what may be mapped


def test_what_grows_too_old_goes_while_the_daemon_runs(fresh_daemon, monkeypatch):
    code = "from blend_daemon.service import archive; archive.AGE_LIMIT = 4.0"
    monkeypatch.setattr(daemons, "DAEMON", daemons.changed(code))
    folder = fresh_daemon.folder / "state/results"
    folder.mkdir(0o700, parents=True)
    folder.parent.chmod(0o700)
    later_on = time.time() + 3600
    with monkeypatch.context() as later:
        later.setattr(time, "time", lambda: later_on)  # its time begins when the daemon has started
        Disk(folder).write(ME, LABEL, result(id(1)))
    fresh_daemon.start()
    with Client(fresh_daemon.address, ME) as client:
        assert [entry["job"] for entry in kept(client)] == [id(1)]
        eventually(lambda: not kept(client), 15)
    assert list(folder.iterdir()) == []


def test_owners_with_jobs_of_one_name_do_not_meet(disk):
    disk.write(ME, LABEL, result(id(1), 1))
    disk.write(OTHER, LABEL, result(id(1), 2))
    disk.remove(OTHER, id(1))
    assert disk.read(ME, id(1)) == result(id(1), 1)


def test_a_job_that_was_cut_off_is_found_and_one_that_ended_is_not(tmp_path, disk):
    for number in (1, 2):
        disk.note(ME, id(number), LABEL)
    disk.remove_note(ME, id(2))
    again = found(tmp_path)
    assert [(entry.job, entry.box) for entry in again.of(ME)] == [(id(1), None)]
    with pytest.raises(BlendError) as error:
        again.fetch(events.Connection(False, b""), ME, id(1))
    assert error.value.code == "job-cut-off"


@pytest.mark.parametrize("length", [0, 3, 8, 60, -1])
def test_a_torn_file_costs_itself_alone_and_is_left_alone(tmp_path, disk, length):
    disk.write(ME, LABEL, result(id(1)))
    (torn,) = (tmp_path / "results").iterdir()
    disk.write(ME, LABEL, result(id(2)))
    torn.chmod(0o600)
    os.truncate(torn, length if length >= 0 else torn.stat().st_size - 1)
    assert jobs(found(tmp_path)) == [id(2)]
    assert disk.read(ME, id(2)) == result(id(2))
    assert torn.exists()
    with pytest.raises(BlendError) as error:
        disk.read(ME, id(1))
    assert error.value.code == "result-unknown"


def test_a_part_left_by_a_killed_daemon_goes(tmp_path, disk):
    (tmp_path / "results/x.dib.part").write_bytes(b"half")
    assert jobs(found(tmp_path)) == []
    assert not list((tmp_path / "results").iterdir())


def test_the_oldest_goes_when_there_is_too_much_and_the_newest_never(tmp_path, disk, monkeypatch):
    monkeypatch.setattr(archive, "SIZE_LIMIT", 1)
    wanted: list[events.Effect] = []
    kept = Archive([], 0.0, wanted.append)
    for number in (1, 2):
        job = Job(id(number), ME, None, None)
        kept.write(job, result(id(number)))
        kept.written(events.Written(job, result(id(number)), disk.write(ME, LABEL, result(id(number)))), time.monotonic())
    assert jobs(kept) == [id(2)]
    assert events.Remove(ME, id(1)) in wanted


def test_what_is_too_old_goes_but_a_clock_set_ahead_makes_nothing_old(tmp_path, disk, monkeypatch):
    now = time.time()
    first = disk.write(ME, LABEL, result(id(1)))
    monkeypatch.setattr(module.time, "time", lambda: now + 30 * 24 * 3600)
    kept = Archive([first, disk.write(ME, LABEL, result(id(2)))], 0.0, [].append)
    kept.tidy(time.monotonic())
    assert set(jobs(kept)) == {id(1), id(2)}
    monkeypatch.setattr(module.time, "time", lambda: now + 8 * 24 * 3600)
    assert jobs(found(tmp_path)) == [id(2)]
    assert len(list((tmp_path / "results").iterdir())) == 1


def test_a_folder_that_was_removed_is_made_again(tmp_path, disk):
    (tmp_path / "results").rmdir()
    disk.write(ME, LABEL, result(id(1)))
    assert disk.read(ME, id(1)) == result(id(1))


def test_a_failed_write_leaves_what_lay_there(tmp_path, disk, monkeypatch):
    disk.write(ME, LABEL, result(id(1)))

    def full(number):  # stands for a full disk
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        disk.write(ME, LABEL, result(id(1), 9))
    assert disk.read(ME, id(1)) == result(id(1))
    assert len(list((tmp_path / "results").iterdir())) == 1


def test_results_are_written_and_removed_in_several_threads_at_once(tmp_path, disk):
    def work(begin: int) -> None:
        for number in range(begin, begin + 40):
            disk.note(ME, id(number), LABEL)
            disk.write(ME, LABEL, result(id(number)))
            assert disk.read(ME, id(number))
            if number % 2:
                disk.remove(ME, id(number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(0, 400, 100)))
    assert len(jobs(found(tmp_path))) == len(list((tmp_path / "results").iterdir())) == 80


def test_a_job_sent_again_after_it_was_cut_off_is_no_longer_listed_as_such(tmp_path, disk):
    disk.note(ME, id(1), LABEL)
    kept = found(tmp_path)
    assert jobs(kept) == [id(1)]
    kept.begin(Job(id(1), ME, None, None))
    assert jobs(kept) == []


def test_a_result_from_a_clock_that_was_ahead_is_kept_no_longer_than_another(tmp_path, disk, monkeypatch):
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(module.time, "time", lambda: now + 1e9)
        disk.write(ME, LABEL, result(id(1)))
    (entry,) = disk.entries()
    assert entry.expires <= time.monotonic() + archive.AGE_LIMIT


def test_a_result_from_a_clock_that_was_years_behind_is_kept_for_a_week_from_the_next_start(tmp_path, disk, monkeypatch):
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(module.time, "time", lambda: now - 1e9)
        disk.write(ME, LABEL, result(id(1)))
    (file,) = (tmp_path / "results").iterdir()
    os.utime(file, (0, now - 1e9))
    assert jobs(found(tmp_path)) == [id(1)]
    monkeypatch.setattr(module.time, "time", lambda: now + 8 * 24 * 3600)
    assert jobs(found(tmp_path)) == []


def test_a_file_under_anothers_name_or_of_another_kind_is_left_alone(tmp_path, disk):
    disk.write(ME, LABEL, result(id(1)))
    (file,) = (tmp_path / "results").iterdir()
    file.rename(file.with_name(f"{'0' * 16}-{id(1)}.dib"))
    (tmp_path / "results/a.accepted").write_text('{"job": 1, "owner": 2, "label": 3, "ended": 4, "box": null}')
    (tmp_path / "results/b.dib").mkdir()
    assert jobs(found(tmp_path)) == []
    assert len(list((tmp_path / "results").iterdir())) == 3


def test_a_file_that_is_not_whole_goes_when_it_is_old(tmp_path, disk):
    torn = tmp_path / "results/x.dib"
    torn.write_bytes(b"half")
    os.utime(torn, (0, time.time() - archive.AGE_LIMIT - 60))
    assert disk.entries() == []
    assert not torn.exists()


def test_a_folder_that_cannot_be_listed_is_told(disk, monkeypatch):
    def denied(folder):  # stands for missing rights, which root is not bound by
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.Path, "iterdir", denied)
    with pytest.raises(BlendError, match="cannot be read: Permission denied") as error:
        disk.entries()
    assert error.value.code == "results-unreadable"
