from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time

import pytest
from platformdirs import macos, unix, windows

from blend_protocol import pipe, processes, runtime
from blend_protocol.errors import BlendError


def test_the_runtime_folder_is_made_private(tmp_path):
    folder = runtime.private_dir(tmp_path / "run")
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["open to others", "a link", "a file"])
def test_a_runtime_folder_that_others_could_use_is_refused(kind, tmp_path):
    folder = tmp_path / "run"
    if kind == "open to others":
        folder.mkdir()
        folder.chmod(0o755)
    elif kind == "a link":
        (tmp_path / "real").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "real")
    else:
        folder.touch()
    with pytest.raises(BlendError) as error:
        runtime.private_dir(folder)
    assert error.value.code == "runtime-dir-unsafe"
    assert str(folder) in str(error.value)


def test_another_users_folder_is_refused(tmp_path, monkeypatch):
    folder = runtime.private_dir(tmp_path / "run")
    # Stands for a second user, whose files a test cannot make without being root.
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(BlendError) as error:
        runtime.private_dir(folder)
    assert error.value.code == "runtime-dir-unsafe"


def test_the_overrides_come_first(monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/r")
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    monkeypatch.setenv("BLEND_DAEMON_RUNTIME_DIR", "/one")
    monkeypatch.setenv("BLEND_DAEMON_STATE_DIR", "/two")
    assert runtime.address() == "ipc:///one/socket"
    assert str(runtime.log_path()) == "/two/daemon.log"


def test_folders_follow_the_environment(monkeypatch):
    for name in ("BLEND_DAEMON_RUNTIME_DIR", "BLEND_DAEMON_STATE_DIR", "BLEND_DAEMON_WEIGHTS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/r")
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    monkeypatch.setenv("XDG_DATA_HOME", "/d")
    assert str(runtime.socket_path()) == f"/s/deep-image-blending/run/{socket.gethostname()}/socket"
    assert str(runtime.log_path()) == "/s/deep-image-blending/daemon.log"
    assert str(runtime.weights_dir()) == "/d/deep-image-blending/weights"
    monkeypatch.setenv("BLEND_DAEMON_WEIGHTS_DIR", "/w")
    assert str(runtime.weights_dir()) == "/w"


@pytest.fixture
def usual_folders(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("BLEND_DAEMON_", "XDG_", "HOST_XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/home/me")


def test_a_path_too_long_for_a_socket_is_not_taken(usual_folders, monkeypatch):
    monkeypatch.setenv("HOME", "/home/" + 30 * "ö")  # it is bytes that count
    assert str(runtime.runtime_dir()) == f"/tmp/deep-image-blending-{os.getuid()}"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert str(runtime.runtime_dir()) == "/run/user/1000/deep-image-blending"


def test_the_folder_that_is_taken_holds_every_socket(usual_folders, monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as base:
        for length in range(1, 80):
            monkeypatch.setenv("HOME", f"{base}/{length * 'x'}")
            if runtime.runtime_dir().is_relative_to(base):
                longest = runtime.runtime_dir() / "worker-99999"
        longest.parent.mkdir(parents=True)
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(longest))


def test_a_flatpak_finds_the_folders_of_the_daemon_outside(usual_folders, monkeypatch):
    here = runtime.runtime_dir(), runtime.log_path()
    monkeypatch.setenv("FLATPAK_ID", "org.gimp.GIMP")
    for name in ("STATE", "DATA", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", f"/home/me/.var/app/org.gimp.GIMP/{name}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert (runtime.runtime_dir(), runtime.log_path()) == here
    monkeypatch.setenv("HOST_XDG_STATE_HOME", "/home/me/elsewhere")
    assert str(runtime.log_path()) == "/home/me/elsewhere/deep-image-blending/daemon.log"


def test_a_flatpak_starts_nothing_and_says_the_command(usual_folders, monkeypatch):
    monkeypatch.setenv("FLATPAK_ID", "org.gimp.GIMP")
    with pytest.raises(BlendError, match="cannot start one") as error:
        processes.Starting(["false"])
    assert "`blend-daemon start`" in error.value.hint
    monkeypatch.setattr(runtime, "installed_command", lambda: "/home/me/venv/bin/blend-daemon")
    with pytest.raises(BlendError) as error:
        processes.Starting(["false"])
    assert "`/home/me/venv/bin/blend-daemon start`" in error.value.hint


def test_a_process_that_is_started_has_nothing_of_another_programs_own_libraries(monkeypatch):
    foreign = {
        "LD_PRELOAD": "", "LD_LIBRARY_PATH": "/app/lib", "PYTHONHOME": "/app", "PYTHONPATH": "/app/python", "PYTHONDONTWRITEBYTECODE": "1",
        "GI_TYPELIB_PATH": "/app/gi", "GST_PLUGIN_SYSTEM_PATH": "/app/gst",
    }  # fmt: skip
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KEPT", "yes")
    code = "import json, os; print(json.dumps([dict(os.environ), os.getcwd(), os.getsid(0) == os.getpid()]))"
    process = processes.spawn([sys.executable, "-c", code], stdout=subprocess.PIPE)
    environment, folder, leads_its_session = json.loads(process.communicate()[0])
    assert environment["KEPT"] == "yes"
    assert not foreign.keys() & environment.keys()
    assert (folder, leads_its_session) == ("/", True)


@pytest.mark.parametrize(
    "start", [lambda command: processes.Starting(command)._process, lambda command: pipe.Pipe(command, None)], ids=["daemon", "bridge"]
)
def test_daemon_and_bridge_are_started_so(start, tmp_path, monkeypatch):
    monkeypatch.setenv("BLEND_DAEMON_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", "/app/python")
    noted = tmp_path / "noted"
    process = start(["/bin/sh", "-c", f"env >{noted}.part; mv {noted}.part {noted}; sleep 1"])
    deadline = time.monotonic() + 10
    while not noted.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "PYTHONPATH" not in noted.read_text()
    process.close() if isinstance(process, pipe.Pipe) else process.wait()


@pytest.fixture
def service(usual_folders, monkeypatch, tmp_path):
    """The unit of install.sh is there; a script stands for systemctl, and what is started notes it."""
    unit = tmp_path / ".config/systemd/user/blend-daemon.service"
    unit.parent.mkdir(parents=True)
    unit.touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "r"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def systemctl(script: str) -> None:
        (tmp_path / "systemctl").write_text(f'#!/bin/sh\necho "systemctl $*" >>{tmp_path}/noted\n{script}\n')
        (tmp_path / "systemctl").chmod(0o755)

    return systemctl


def begun(folder) -> list[str]:
    starting = processes.Starting(["sh", "-c", f"echo daemon >>{folder}/noted; sleep 5"])
    for _ in range(20):
        starting.check()
        time.sleep(0.05)
    return (folder / "noted").read_text().splitlines()


def test_where_the_daemon_is_a_service_that_is_started(service, tmp_path):
    service(f'mkdir -p "{runtime.runtime_dir()}"; touch "{runtime.socket_path()}"')
    assert begun(tmp_path) == ["systemctl --user start blend-daemon.service"]


@pytest.mark.parametrize("trouble", ["exit 1", "exit 0"], ids=["no manager", "a service of other folders"])
def test_a_service_that_does_not_serve_here_is_made_up_for(service, tmp_path, trouble):
    service(trouble)
    assert begun(tmp_path) == ["systemctl --user start blend-daemon.service", "daemon"]


def test_a_service_is_left_alone_where_the_folders_are_others(service, tmp_path, monkeypatch):
    service("exit 0")
    monkeypatch.setenv("BLEND_DAEMON_STATE_DIR", str(tmp_path / "state"))
    assert begun(tmp_path) == ["daemon"]


@pytest.mark.parametrize(
    ("system", "folders", "variables"),
    [
        ("linux", unix.Unix, {}),
        ("linux", unix.Unix, {"XDG_STATE_HOME": "/s", "XDG_DATA_HOME": "/d"}),
        ("darwin", macos.MacOS, {}),
        ("darwin", macos.MacOS, {"XDG_STATE_HOME": "/s", "XDG_DATA_HOME": "/d"}),
        ("win32", windows.Windows, {"LOCALAPPDATA": "/home/me/AppData/Local"}),
    ],
)
def test_the_folders_are_where_platformdirs_has_them(usual_folders, monkeypatch, system, folders, variables):
    monkeypatch.setattr(sys, "platform", system)  # stands for systems that are not here
    monkeypatch.setattr(windows, "get_win_folder", windows.get_win_folder_from_env_vars)  # its way without Windows' libraries
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    expected = folders("deep-image-blending", appauthor=False)
    assert str(runtime.state_dir()) == expected.user_state_dir
    assert str(runtime.models_dir().parent) == expected.user_data_dir
