from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from harness import DAEMON, Gimp
from onnx_models import identity, tint, written
from PIL import Image
from skimage import data

from blend_protocol import runtime


@pytest.fixture(scope="session", params=os.environ.get("GIMP_VERSIONS", "3.0").split(","))
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
    Image.fromarray(data.chelsea()).resize((160, 120)).save(work / "object.png")
    Image.fromarray(data.coffee()).resize((200, 150)).save(work / "picture.png")
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
