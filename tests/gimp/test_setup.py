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


# Stands for make_venv.py: installs nothing, and ends as a test wants its user to see it.
SCRIPTED = """
import json, os, signal, sys, time

def say(**event):
    print(json.dumps(event), flush=True)

def cancelled(*_signal):
    say(failed="interrupted", message="It was interrupted.", hint="")
    sys.exit(130)

signal.signal(signal.SIGTERM, cancelled)
if "--state" in sys.argv:
    say(state=os.environ.get("STATE", "missing"), bytes=1_500_000_000, large=6_500_000_000)
elif "--refuse-large" in sys.argv:
    say(failed="torch-large", message="The small build cannot be reached.", hint="The large one has about 5.7 GB.")
else:
    say(step="torch", text="Its builds for processors cannot be reached.", bytes=5_700_000_000)
    say(fraction=0.3)
    say(line="Collecting torch")
    time.sleep(100)
"""


def unpacked(version: str) -> Gimp:
    """A GIMP with the plug-in from the zip, and nothing else."""
    work = Path(tempfile.mkdtemp(prefix="dib-"))
    gimp = Gimp(version, work)
    pack(work / "plugin.zip")
    with zipfile.ZipFile(work / "plugin.zip") as archive:
        for member in archive.infolist():
            Path(archive.extract(member, gimp.plug_ins)).chmod(member.external_attr >> 16)
    pictures(work)
    gimp.environment |= {"WORK": str(work), "TESTS": str(HERE), "BLEND_DAEMON_VENV_DIR": str(work / "data/venv")}
    return gimp


def use(gimp: Gimp, action: str, patience: int = 0, **environment: str) -> None:
    """Have the user do it."""
    shots, work = os.environ.get("SCREENSHOTS"), Path(gimp.environment["WORK"])
    environment |= {"SCREENSHOTS": shots} if shots else {}
    done = gimp.run(HERE / "dialog.py", screen=True, patience=patience, ACTION=action, **environment)
    for shot in work.glob("dialog-*.png") if shots else ():
        Path(shots).mkdir(parents=True, exist_ok=True)
        shutil.copy(shot, shots)
    outcome, log = work / "dialog.txt", work / "state/daemon.log"
    assert outcome.exists(), done.stdout + done.stderr
    said = outcome.read_text()
    outcome.unlink()
    assert said == "ok", said + done.stderr + (log.read_text() if log.exists() else "")


@pytest.fixture(scope="module", params=[version for version in VERSIONS if "-" not in version])
def alone(request):
    gimp = unpacked(request.param)
    work = Path(gimp.environment["WORK"])
    # This Python, where GIMP sees it too.
    gimp.shared = [folder for folder in map(Path, {sys.base_prefix, sys.prefix}) if not folder.is_relative_to(PROJECT)]
    if gimp._root is not None and Path("/usr") in gimp.shared:
        pytest.skip("this Python is the system's own, of which GIMP's root has another")
    (work / "python").write_text(PYTHON)
    (work / "python").chmod(0o755)
    shutil.copytree(runtime.weights_dir(), work / "weights")
    gimp.environment |= {
        "BLEND_DAEMON_PYTHON": str(work / "python"),
        "BLEND_DAEMON_WEIGHTS_DIR": str(work / "weights"),
    }
    yield gimp
    shutil.rmtree(work, ignore_errors=True)


@pytest.fixture(scope="module", params=[version for version in VERSIONS if "-" not in version])
def scripted(request):
    gimp = unpacked(request.param)
    (gimp.plug_ins / "deep-image-blending/setup/make_venv.py").write_text(SCRIPTED)
    gimp.environment["BLEND_DAEMON_WEIGHTS_DIR"] = str(Path(gimp.environment["WORK"]) / "weights")
    yield gimp
    shutil.rmtree(gimp.environment["WORK"], ignore_errors=True)


def test_its_first_window_installs_and_later_repairs_and_removes(alone):
    use(alone, "set_up", patience=500)


@pytest.mark.parametrize(("scheme", "language"), [("dark", "en_US"), ("light", "de_DE"), ("dark", "fr_FR"), ("light", "es_ES")])
def test_the_large_build_is_asked_for_and_its_size_said(scripted, scheme, language):
    with scripted.setting(f"theme-color-scheme {scheme}"):
        use(scripted, "set_up_large", SCHEME=scheme, **scripted.locale(language))


@pytest.mark.parametrize("language", ["en_US", "de_DE", "fr_FR", "es_ES"])
def test_in_a_flatpak_the_command_is_shown_and_copied(scripted, language):
    """Of the Flatpak there is what the plug-in looks at, the variable FLATPAK_ID, and no more."""
    use(scripted, "set_up_flatpak", FLATPAK_ID="org.gimp.GIMP", SCHEME="dark", **scripted.locale(language))


def test_a_flatpak_tells_what_was_installed_outside(scripted):
    weights = Path(scripted.environment["WORK"]) / "outside"
    weights.mkdir()
    (weights / "network.safetensors").touch()
    use(scripted, "set_up_flatpak_later", FLATPAK_ID="org.gimp.GIMP", STATE="whole", BLEND_DAEMON_WEIGHTS_DIR=str(weights))
