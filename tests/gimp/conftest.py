from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from harness import DAEMON, VERSIONS, Gimp, pictures
from onnx_models import identity, tint, written

from blend_protocol import runtime


def pytest_generate_tests(metafunc):
    if "gimp" in metafunc.fixturenames:
        bridges = [f"{version}-bridge" for version in VERSIONS if f"{version}-bridge" not in VERSIONS and "-" not in version]
        metafunc.parametrize("gimp", VERSIONS + bridges, indirect=True, scope="session")


def pytest_collection_modifyitems(config, items):
    """Of a bridge that nobody asked for run just the cases that are marked so."""
    extra = [
        item for item in items
        if (version := getattr(item, "callspec", None) and item.callspec.params.get("gimp", "")) and version not in VERSIONS
        and not item.get_closest_marker("bridge")
    ]  # fmt: skip
    config.hook.pytest_deselected(items=extra)
    items[:] = [item for item in items if item not in extra]


@pytest.fixture(scope="session")
def gimp(request):
    """A GIMP with the plug-in, two small photographs, two models, and a short folder for its sockets."""
    work = Path(tempfile.mkdtemp(prefix="dib-"))
    gimp = Gimp(request.param, work)
    gimp.environment["BLEND_DAEMON_WEIGHTS_DIR"] = str(runtime.weights_dir())
    gimp.environment["BLEND_DAEMON_MODELS_DIR"] = str(work / "models")
    gimp.environment["WORK"] = str(work)
    gimp.environment["TESTS"] = str(Path(__file__).parent)
    gimp.install()
    shutil.copytree(Path(__file__).parent / "meddler", gimp.plug_ins / "meddler")
    pictures(work)
    (work / "models").mkdir()
    written(work / "models", "plain", identity())
    written(work / "models", "tint", tint(), title="A tint")
    yield gimp
    subprocess.run([*DAEMON, "stop"], env={**os.environ, **gimp.environment, "PATH": os.environ["PATH"]}, check=False)
    shutil.rmtree(work, ignore_errors=True)


@pytest.fixture(scope="session")
def daemon(gimp):
    """A real daemon outside GIMP, as it runs on a user's machine."""
    environment = {**os.environ, **gimp.environment, "PATH": os.environ["PATH"]}
    process = subprocess.Popen([*DAEMON, "serve"], env=environment)
    socket = Path(gimp.environment["BLEND_DAEMON_RUNTIME_DIR"]) / "socket"
    deadline = time.monotonic() + 60
    while not socket.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    yield process
    process.terminate()
    assert process.wait(20) == 0
