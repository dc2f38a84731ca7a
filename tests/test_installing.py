"""The shell scripts that install and remove, in folders of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A home folder, and nothing in the environment that leads out of it."""
    for name in [name for name in os.environ if name.startswith(("XDG_", "BLEND_DAEMON_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIMP3_DIRECTORY", str(tmp_path / "home/gimp"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def uninstall() -> None:
    subprocess.run([PROJECT / "install.sh", "--uninstall"], check=True, capture_output=True, timeout=60)


OURS = ["lock", "socket", "worker-1", "worker-12"]


def test_removing_takes_only_our_files_from_a_runtime_folder_of_the_users(home, monkeypatch):
    folder = home / "run"
    theirs = ["bus", "worker-notes", "worker-1.txt", "worker-", "folder/file"]
    for name in OURS + theirs:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    monkeypatch.setenv("BLEND_DAEMON_RUNTIME_DIR", str(folder))
    uninstall()
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == sorted(theirs)


def test_removing_leaves_no_empty_runtime_folder_and_follows_no_link(home, monkeypatch):
    folder = home / "run"
    folder.mkdir()
    for name in OURS:
        (folder / name).touch()
    (home / "link").symlink_to(folder)
    monkeypatch.setenv("BLEND_DAEMON_RUNTIME_DIR", str(home / "link"))
    uninstall()
    assert sorted(path.name for path in folder.iterdir()) == OURS
    monkeypatch.setenv("BLEND_DAEMON_RUNTIME_DIR", str(folder))
    uninstall()
    assert not folder.exists()


def test_removing_takes_our_settings_and_no_others_from_gimps_profile(home):
    settings = home / "gimp/plug-in-settings"
    settings.mkdir(parents=True)
    for name in ("plug-in-deep-image-blending.last", "GimpProcedureConfig-plug-in-deep-image-blending-recover.last", "plug-in-blur.last"):
        (settings / name).touch()
    (settings / "plug-in-deep-image-blending").mkdir()
    uninstall()
    assert [path.name for path in settings.iterdir()] == ["plug-in-blur.last"]


PYTHON = """#!/bin/sh
case "$*" in
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
*" pip "*" install "*) echo "$*" >>"$INSTALLED" ;;
esac
"""


@pytest.mark.parametrize("folder", ["plain", "with space", "with  two 'quotes"])
@pytest.mark.parametrize("extra", [[], ["test"]], ids=["program", "tests"])
def test_an_environment_is_refreshed_when_the_program_changed_whatever_its_folder_is_called(folder, extra, tmp_path, monkeypatch):
    project, venv = tmp_path / folder / "project", tmp_path / folder / "venv"
    for name in ("blend_daemon", "blend_protocol", "tools"):
        shutil.copytree(PROJECT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.lock", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, project)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text(PYTHON)
    (tmp_path / "bin/python3").chmod(0o755)
    installed = tmp_path / "installed"
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("INSTALLED", str(installed))

    def refreshed() -> bool:
        installed.write_text("")
        subprocess.run([project / "tools/make_venv.sh", venv, *extra], check=True, capture_output=True, timeout=60)
        return bool(installed.read_text())

    assert refreshed()
    assert not refreshed()
    with (project / "blend_protocol/errors.py").open("a") as file:
        file.write("# changed")
    assert refreshed() == (not extra)  # for tests it is editable
    (project / "blend_protocol/errors.py").rename(project / "blend_protocol/mistakes.py")
    assert refreshed() == (not extra)
    assert not refreshed()
