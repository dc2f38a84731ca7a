from __future__ import annotations

import os

import pytest

from blend_protocol import runtime
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
    assert str(runtime.socket_path()) == "/r/deep-image-blending/socket"
    assert str(runtime.log_path()) == "/s/deep-image-blending/daemon.log"
    assert str(runtime.weights_dir()) == "/d/deep-image-blending/weights"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert str(runtime.runtime_dir()) == f"/tmp/deep-image-blending-{os.getuid()}"
    monkeypatch.setenv("BLEND_DAEMON_WEIGHTS_DIR", "/w")
    assert str(runtime.weights_dir()) == "/w"
