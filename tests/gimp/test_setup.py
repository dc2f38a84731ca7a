"""The plug-in alone, from the zip, in a real GIMP that has neither daemon nor environment: its first window installs them.

PyTorch is not fetched: the Python that is found makes environments which find this one's packages. The wheel of the program, pip and the
environment are real, and so is the daemon that the filter then starts.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
from assemble_plugin import pack
from borrowing import PYTHON
from harness import PROJECT, VERSIONS, Gimp, pictures

from blend_protocol import runtime

HERE = Path(__file__).parent


@pytest.fixture(scope="module", params=[version for version in VERSIONS if "-" not in version])
def alone(request):
    work = Path(tempfile.mkdtemp(prefix="dib-"))
    gimp = Gimp(request.param, work)
    pack(work / "plugin.zip")
    with zipfile.ZipFile(work / "plugin.zip") as archive:
        for member in archive.infolist():
            Path(archive.extract(member, gimp.plug_ins)).chmod(member.external_attr >> 16)
    # This Python, where GIMP sees it too.
    gimp.shared = [folder for folder in map(Path, {sys.base_prefix, sys.prefix}) if not folder.is_relative_to(PROJECT)]
    if gimp._root is not None and Path("/usr") in gimp.shared:
        pytest.skip("this Python is the system's own, of which GIMP's root has another")
    (work / "python").write_text(PYTHON)
    (work / "python").chmod(0o755)
    shutil.copytree(runtime.weights_dir(), work / "weights")
    gimp.environment |= {
        "BLEND_DAEMON_PYTHON": str(work / "python"),
        "WORK": str(work),
        "TESTS": str(HERE),
        "BLEND_DAEMON_VENV_DIR": str(work / "data/venv"),
        "BLEND_DAEMON_WEIGHTS_DIR": str(work / "weights"),
    }
    pictures(work)
    yield gimp
    shutil.rmtree(work, ignore_errors=True)


def test_its_first_window_installs_and_later_repairs_and_removes(alone):
    shots, work = os.environ.get("SCREENSHOTS"), Path(alone.environment["WORK"])
    done = alone.run(HERE / "dialog.py", screen=True, patience=500, ACTION="set_up", **({"SCREENSHOTS": shots} if shots else {}))
    for shot in work.glob("dialog-*.png") if shots else ():
        Path(shots).mkdir(parents=True, exist_ok=True)
        shutil.copy(shot, shots)
    outcome, log = work / "dialog.txt", work / "state/daemon.log"
    assert outcome.exists(), done.stdout + done.stderr
    assert outcome.read_text() == "ok", outcome.read_text() + done.stderr + (log.read_text() if log.exists() else "")
