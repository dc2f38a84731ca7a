"""A real GIMP that is shut in as Flathub's manifest of it has it, and a daemon outside."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from daemons import eventually
from harness import DAEMON, PROJECT, VERSIONS, Gimp, pictures

from blend_protocol import runtime

HERE = Path(__file__).parent
ID = "org.gimp.GIMP"


class Flatpak(Gimp):
    """What the manifest shares is there: network, devices, /tmp and the home folder, the user's own folder of GIMP in the place of the
    sandbox's. Of the folder for sockets, and of the machine's programs, nothing is.

    Stands for a real Flatpak, which cannot be installed where the tests run; the GIMP in it is a real one.
    """

    def __init__(self, version: str, work: Path, home: Path) -> None:
        super().__init__(version, work)
        self._home, self._own = home, home / ".var/app" / ID
        settings = home / ".config/GIMP" / version
        settings.parent.mkdir(parents=True)
        shutil.move(self.profile, settings)
        self.profile, self.plug_ins = settings, settings / "plug-ins"
        (self._own / "config/GIMP").mkdir(parents=True)
        folders = {"CONFIG": "config", "DATA": "data", "CACHE": "cache", "STATE": ".local/state"}
        self.environment = {
            "HOME": str(home),
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "FLATPAK_ID": ID,
            "XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}",
            **{f"XDG_{kind}_HOME": str(self._own / folder) for kind, folder in folders.items()},
            "WORK": str(work),
            "TESTS": str(work / "tests"),
        }

    def _sandbox(self, environment: dict[str, str]) -> list[str]:
        root = self._root or Path("/")
        command = ["bwrap", "--die-with-parent", "--unshare-user", "--unshare-pid", "--dev-bind", "/dev", "/dev", "--proc", "/proc"]
        for folder in ("usr", "etc", "var"):
            command += ["--ro-bind", str(root / folder), f"/{folder}"]
        for folder in ("bin", "lib", "lib64", "sbin"):
            command += ["--symlink", f"usr/{folder}", f"/{folder}"]
        command += ["--tmpfs", "/run", "--dir", environment["XDG_RUNTIME_DIR"], "--tmpfs", "/var/tmp", "--bind", "/tmp", "/tmp"]
        command += ["--bind", str(self._home), str(self._home), "--bind", str(self._home / ".config/GIMP"), str(self._own / "config/GIMP")]
        command += ["--clearenv"]
        for name, value in environment.items():
            command += ["--setenv", name, value]
        return command


@pytest.fixture(scope="module", params=[version for version in VERSIONS if "-" not in version])
def flatpak(request):
    work, home = Path(tempfile.mkdtemp(prefix="dib-", dir="/tmp")), Path(tempfile.mkdtemp(prefix="dib-", dir="/var/tmp"))
    gimp = Flatpak(request.param, work, home)
    gimp.install()
    shutil.copytree(HERE, work / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    pictures(work)
    yield gimp
    for folder in (work, home):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def outside(flatpak, tmp_path):
    """The environment of a terminal outside."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BLEND_DAEMON_", "XDG_"))}
    environment |= {"HOME": flatpak.environment["HOME"], "XDG_RUNTIME_DIR": str(tmp_path)}
    return environment | {"BLEND_DAEMON_WEIGHTS_DIR": str(runtime.weights_dir())}


def blended(flatpak: Flatpak) -> str:
    done = flatpak.run(Path(flatpak.environment["TESTS"]) / "run_cases.py", CASES="without_a_selection_the_alpha_is_the_mask")
    results = Path(flatpak.environment["WORK"]) / "results.json"
    assert results.exists(), done.stdout + done.stderr
    (outcome,) = json.loads(results.read_text()).values()
    results.unlink()
    return outcome


def test_the_sandbox_is_one(flatpak, tmp_path):
    assert tmp_path.is_relative_to("/tmp")  # which is shared
    for there in (PROJECT, Path(DAEMON[0]), Path("/run/systemd"), Path("/host")):
        tried = subprocess.run([*flatpak._sandbox(flatpak.environment), "test", "-e", str(there)])
        assert tried.returncode == 1, there


def test_a_blend_goes_through_to_the_daemon_outside(flatpak, outside):
    daemon = subprocess.Popen([*DAEMON, "serve"], env=outside)
    try:
        eventually(lambda: list(Path(outside["HOME"]).glob(".local/state/deep-image-blending/run/*/socket")))
        assert blended(flatpak) == "ok"
    finally:
        daemon.terminate()
        assert daemon.wait(20) == 0


def test_the_command_that_its_window_shows_is_there_outside(flatpak):
    plug_in = flatpak._own / "config/GIMP" / flatpak.version / "plug-ins/deep-image-blending"  # as it is found inside
    script = flatpak.plug_ins / "deep-image-blending/setup/make_venv.py"
    script.parent.mkdir(exist_ok=True)
    script.touch()  # the zip has it
    code = f"import sys; sys.path[:0] = [{str(plug_in)!r}, {str(plug_in / 'vendor')!r}]; from dib.job import setup; print(setup.by_hand())"
    shown = subprocess.run(
        [*flatpak._sandbox(flatpak.environment), "python3", "-c", code], capture_output=True, text=True, check=True
    ).stdout
    python, shown, venv, *_rest = shlex.split(shown)
    assert python == "python3"
    assert Path(shown).samefile(script)
    assert Path(venv).is_relative_to(flatpak.environment["HOME"])


def test_where_no_daemon_runs_the_one_command_is_told(flatpak):
    assert "cannot start one. Run `blend-daemon start` in a terminal" in blended(flatpak)
