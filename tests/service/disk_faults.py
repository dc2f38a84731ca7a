"""The table of faults: files and disks, and the clock."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

from daemons import DAEMON, Client, kept, until
from scene import Scene, could_not_be_kept, digest, fault, mounted, scene_of_its_own

from blend_daemon.service.jobs import REMEMBERED
from blend_protocol import runtime

FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


def _files(scene: Scene, job: str) -> Path:
    return scene.part(job).with_suffix("")


@fault()
def result_file_torn(scene: Scene) -> None:
    """The answer names the file, which is left alone; other results, and the daemon, are as they were. After a restart too."""
    with scene.client() as client:
        scene.blended(client)
        job = scene.blended(client)
        file = _files(scene, job)
        file.chmod(0o600)
        os.truncate(file, file.stat().st_size - 7)
        del scene.announced[job]
        client.fetch(job)
        failed = until(client, job, "failed")
        assert failed.header["code"] == "result-unknown"
        assert file.name in failed.header["message"]
    scene.again()
    with scene.client() as client:
        assert job not in {entry["job"] for entry in kept(client)}
    assert file.exists()
    assert f"{file.name} is not whole" in scene.daemon.log()
    file.unlink()


@fault()
def note_torn(scene: Scene) -> None:
    """A note that is not whole costs itself alone; the daemon starts."""
    torn = scene.results / "x.accepted"
    torn.write_bytes(b'{"job": "0')
    scene.again()
    with scene.client() as client:
        assert client.status(20)
    torn.unlink()


@fault()
def result_file_removed(scene: Scene) -> None:
    """The answer says that there is none, and it is listed no more."""
    with scene.client() as client:
        job = scene.blended(client)
        _files(scene, job).unlink()
        del scene.announced[job]
        client.fetch(job)
        assert until(client, job, "failed").header["code"] == "result-unknown"
        assert job not in {entry["job"] for entry in kept(client)}


def _cannot_be_written(scene: Scene, client: Client, why: str) -> str:
    """A job whose result is announced with that note, and can be fetched as it was announced."""
    job = scene.send(client, keep=True)
    result = scene.announcement(client, job)
    assert could_not_be_kept(result)
    assert why in result.header["report"]["notes"][-1]
    client.fetch(job)
    assert digest(until(client, job, "result")) == digest(result)
    return job


@fault(root=True)
def disk_full(_: Scene) -> None:
    """The result is announced with a note, and can be fetched until four more have ended; what lay there stays; new ones are kept."""
    with scene_of_its_own() as scene, mounted(scene.results, "512k"):
        scene.up()
        with scene.client() as client:
            scene.blended(client)
            filler = scene.results / "filler"
            with filler.open("wb") as file:
                subprocess.run(["cat", "/dev/zero"], stdout=file, stderr=subprocess.DEVNULL, check=False)
            unwritten = _cannot_be_written(scene, client, "No space left on device")
            filler.unlink()
            for _ in range(REMEMBERED):
                scene.blended(client)
            client.fetch(unwritten)
            assert until(client, unwritten, "failed").header["code"] == "result-unknown"
            assert len(scene.announced) == 1 + REMEMBERED
        scene.again(signal.SIGKILL)
        scene.check()
        scene.daemon.process.terminate()
        scene.daemon.process.wait(20)


@fault()
def file_size_limit(scene: Scene) -> None:
    """As for a full disk: told, and nothing that lay there is lost."""
    with scene.client() as client:
        scene.blended(client)
        pid = scene.daemon.process.pid
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (600, resource.RLIM_INFINITY))
        _cannot_be_written(scene, client, "File too large")
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        scene.blended(client)


@fault(quick=False, root=True)
def disk_becomes_read_only(_: Scene) -> None:
    """New results are announced with a note; those that lie there can be fetched, also by a daemon that starts on it."""
    with scene_of_its_own() as scene, mounted(scene.results, "1m"):
        scene.up()
        with scene.client() as client:
            scene.blended(client)
            subprocess.run(["mount", "-o", "remount,ro", scene.results], check=True)
            _cannot_be_written(scene, client, "Read-only file system")
        scene.again(signal.SIGKILL)
        with scene.client() as client:
            client.fetch(next(iter(scene.announced)))
            assert until(client, next(iter(scene.announced)), "result", "failed").type == "result"
        scene.daemon.process.terminate()
        scene.daemon.process.wait(20)


@fault()
def results_folder_removed(scene: Scene) -> None:
    """What was removed is gone, and said to be; the folder is made again for the next result."""
    with scene.client() as client:
        job = scene.blended(client)
        shutil.rmtree(scene.results)
        scene.announced.clear()
        client.fetch(job)
        assert until(client, job, "failed").header["code"] == "result-unknown"
        scene.blended(client)


@fault()
def results_folder_opened_to_others(scene: Scene) -> None:
    """Nothing is written where others may look; the note says so; what lies there stays."""
    with scene.client() as client:
        scene.blended(client)
        scene.results.chmod(0o755)
        _cannot_be_written(scene, client, "is not private")
        scene.results.chmod(0o700)
        scene.blended(client)


def _refuses_to_start(scene: Scene, code: int, *words: str) -> None:
    done = subprocess.run([*DAEMON, "serve"], env=scene.daemon.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert all(word in done.stderr for word in words), done.stderr


@fault()
def state_folder_cannot_be_made(_: Scene) -> None:
    """The daemon does not start, exits with 2 and names the file."""
    with scene_of_its_own() as scene:
        (scene.daemon.folder / "state").write_text("a file where the folder should be")
        _refuses_to_start(scene, 2, str(scene.daemon.folder / "state"))


@fault()
def runtime_folder_open_to_others(_: Scene) -> None:
    """The daemon does not start, exits with 2 and says what to do."""
    with scene_of_its_own() as scene:
        (scene.daemon.folder / "run").mkdir(mode=0o777)
        (scene.daemon.folder / "run").chmod(0o777)
        _refuses_to_start(scene, 2, "is not private", "chmod 700")


@fault()
def clock_jumps(_: Scene) -> None:
    """A clock set ahead by a month or back by a year while the daemon runs makes no result old."""
    assert FAKETIME, "this fault needs the package libfaketime"
    with scene_of_its_own() as scene:
        clock = scene.daemon.folder / "clock"
        clock.write_text("+0")
        scene.daemon.environment |= {"LD_PRELOAD": str(FAKETIME[0]), "FAKETIME_TIMESTAMP_FILE": str(clock)}
        scene.daemon.environment |= {"FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        scene.up()
        with scene.client() as client:
            scene.blended(client)
            for jump, days in (("+30d", 30), ("-365d", -365)):
                clock.write_text(jump)
                job = scene.blended(client)
                ended = next(entry["ended"] for entry in kept(client) if entry["job"] == job)
                assert abs(ended - time.time() - days * 86400) < 3600, "the daemon's clock has not jumped"
        clock.write_text("+0")
        scene.check()
        scene.again(signal.SIGKILL)
        scene.check()


@fault(quick=False)
def weights_truncated(_: Scene) -> None:
    """The job fails with weights-corrupt and the command that mends it; the daemon serves."""
    with scene_of_its_own() as scene:
        folder = scene.daemon.folder / "weights"
        shutil.copytree(runtime.weights_dir(), folder)
        (file,) = folder.glob("*.safetensors")
        os.truncate(file, file.stat().st_size // 2)
        scene.daemon.environment["BLEND_DAEMON_WEIGHTS_DIR"] = str(folder)
        scene.up()
        with scene.client() as client:
            failed = until(client, scene.send(client), "failed")
            assert failed.header["code"] == "weights-corrupt"
            assert "blend-daemon weights" in failed.header["hint"]
