from __future__ import annotations

import re

import numpy as np
import pytest
from daemons import Daemon, raster
from onnx_models import tint, written
from skimage import data
from skimage.transform import resize
from xdist.scheduler import LoadScopeScheduling

import blend_daemon.engine  # noqa: F401 - before torch, whose threads it tells how to wait


class LongestFirst(LoadScopeScheduling):
    """How several processes share the tests: each takes a file, or one of the dialog's tests, each of which starts a GIMP, or the cases
    of one GIMP without a screen, which it runs in one go, or all of the comparison's, which look at one run."""

    def _split_scope(self, nodeid):
        file = nodeid.partition("::")[0]
        if file.endswith("/test_dialog.py"):
            return nodeid
        if file.endswith("/test_headless.py"):
            version = re.search(r"\[\d\.\d(-bridge)?", nodeid)
            return file + version[0] if version else file
        return file.rpartition("/")[0] if "/comparison/" in file else file


def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False
    return LongestFirst(config, log)


def pytest_collection_modifyitems(items):
    """What takes longest comes first, so that none of the processes has much to do when the others have ended."""
    items.sort(key=lambda item: {"gimp": 0, "service": 1}.get(item.path.parent.name, 2))


def photo(name: str, height: int, width: int) -> np.ndarray:
    """A photograph of scikit-image's as (height, width, 3) uint8."""
    return np.rint(resize(getattr(data, name)(), (height, width), anti_aliasing=True) * 255).astype(np.uint8)


@pytest.fixture(scope="session")
def cat() -> np.ndarray:
    return photo("chelsea", 64, 80)


@pytest.fixture(scope="session")
def coffee() -> np.ndarray:
    return photo("coffee", 96, 128)


@pytest.fixture(scope="session")
def disc() -> np.ndarray:
    """A mask for the cat, (64, 80) uint8."""
    y, x = np.mgrid[:64, :80]
    return (((y - 32) ** 2 + (x - 40) ** 2 < 24**2) * 255).astype(np.uint8)


@pytest.fixture
def model_folder(tmp_path, monkeypatch):
    """The folder of models, with `tint` in it."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("BLEND_DAEMON_MODELS_DIR", str(folder))
    written(folder, "tint", tint())
    return folder


@pytest.fixture
def send(cat, coffee, disc):
    """Submits the cat over the coffee, as a draft if nothing else is said, and returns the job's id."""

    def submit(client, parameters=None, **more) -> str:
        return client.submit(raster(cat), raster(coffee), raster(disc[:, :, None]), (20, 10), parameters or {"preset": "draft"}, **more)

    return submit


@pytest.fixture
def fresh_daemon():
    """Folders for a daemon that the test starts itself."""
    daemon = Daemon()
    yield daemon
    daemon.remove()


@pytest.fixture(scope="module")
def daemon():
    """A running daemon that the module's tests share."""
    daemon = Daemon()
    daemon.start()
    yield daemon
    daemon.remove()
