"""What is built holds what the command needs, and says what it is."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the wheel and the sdist, built from a copy, so that nothing is left in the source tree."""
    copy, out = tmp_path_factory.mktemp("copy") / "project", tmp_path_factory.mktemp("dist")
    tracked = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout.splitlines()
    for name in tracked:
        if not name.startswith(("examples/", "docs/images/")) and (PROJECT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((PROJECT / name).read_bytes())
    code = f"from setuptools import build_meta as b; b.build_sdist({str(out)!r}); b.build_wheel({str(out)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, capture_output=True)
    return out


def test_wheel_and_sdist_hold_the_whole_package(built):
    needed = {
        path.relative_to(PROJECT).as_posix()
        for package in ("blend_daemon", "blend_protocol")
        for path in (PROJECT / package).rglob("*")
        if path.is_file()
    }
    needed = {name for name in needed if "__pycache__" not in name}
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        assert needed <= set(archive.namelist())
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert needed | {"README.md", "CHANGELOG.md", "LICENSE", "requirements.lock", "install.sh", "tests/conftest.py"} <= names


def test_the_wheel_says_what_it_is(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        told = message_from_bytes(archive.read(name))
        (points,) = (name for name in archive.namelist() if name.endswith("/entry_points.txt"))
        assert "blend-daemon = blend_daemon.cli:main" in archive.read(points).decode()
    assert told["License-Expression"] == "GPL-3.0-or-later"
    assert told["Description-Content-Type"] == "text/markdown"
    assert told.get_all("Classifier")


def test_every_dependency_is_pinned_and_bounded_below():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(word for words in project["optional-dependencies"].values() for word in words)]
    pinned = {line.split("==")[0].replace("_", "-") for line in (PROJECT / "requirements.lock").read_text().splitlines() if "==" in line}
    for word in wanted:
        name, bound, _ = word.partition(">=")
        assert bound, word
        assert name.partition("[")[0] in pinned, word
