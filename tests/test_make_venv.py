"""The private environment: made whole or not at all, whatever goes wrong. With real Pythons and a real pip; PyTorch is not fetched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import make_venv
import pytest
import pythons
from assemble_plugin import NAME, pack
from borrowing import PYTHON
from telling import Failed, Teller

PROJECT = Path(__file__).resolve().parent.parent
SCRIPT = PROJECT / "tools/make_venv.py"


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """Where the environment is to be. Of what the user has set for pip nothing counts."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "BLEND_DAEMON_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text(PYTHON)
    (tmp_path / "bin/python3").chmod(0o755)
    monkeypatch.setenv("PLAIN_PATH", os.environ["PATH"])
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return tmp_path / "data" / "venv"


# A make_venv.py that finds no index, as its user has it who is not connected; without torch, of which the plain Python has none.
OFFLINE = f"""
import os, sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
os.environ |= {{"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1", "PATH": os.environ["PLAIN_PATH"]}}
import make_venv
make_venv.CPU_INDEX = "http://127.0.0.1:9/cpu"
make_venv.large = lambda: False
sys.exit(make_venv.main())
"""


def run_offline(place: Path, *words: str) -> tuple[int, list[dict]]:
    done = subprocess.run([sys.executable, "-c", OFFLINE, str(place), "--events", *words], capture_output=True, text=True, timeout=120)
    assert not done.stderr, done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def run(script: Path, *words: object) -> tuple[int, list[dict]]:
    """The exit code, and what it told."""
    done = subprocess.run([sys.executable, str(script), *map(str, words), "--events"], capture_output=True, text=True, timeout=300)
    assert not done.stderr, done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def state(script: Path, place: Path) -> str:
    said = subprocess.run([sys.executable, str(script), str(place), "--state"], capture_output=True, text=True, check=True).stdout
    return json.loads(said)["state"]


def test_from_the_zip_it_is_whole_and_another_version_is_told(place, tmp_path):
    pack(tmp_path / "plugin.zip")
    with zipfile.ZipFile(tmp_path / "plugin.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    script = tmp_path / "unpacked" / NAME / "setup/make_venv.py"
    assert state(script, place) == "missing"
    code, told = run(script, place)
    assert code == 0, told
    assert told[-1] == {"done": True}
    steps = [event["step"] for event in told if "step" in event]
    assert steps == ["python", "pip", "program"]  # torch is there
    fractions = [event["fraction"] for event in told if "fraction" in event]
    assert fractions == sorted(fractions)
    assert fractions[0] >= 0
    assert fractions[-1] < 1
    assert state(script, place) == "whole"
    assert state(SCRIPT, place) == "whole"  # install.sh installs the same
    version = subprocess.run([place / "bin/blend-daemon", "--version"], capture_output=True, text=True, check=True).stdout
    assert version.startswith("blend-daemon ")
    assert not (place / "tmp").exists()
    (script.parent / "requirements.lock").open("a").write("# another\n")
    assert state(script, place) == "other"

    assert run(script, place)[0] == 0
    assert state(script, place) == "whole"
    # What cannot be had anew stays as it was.
    code, told = run_offline(place, "--anew")
    assert (code, told[-1]["failed"]) == (1, "no-network")
    assert state(script, place) == "whole"
    subprocess.run([place / "bin/blend-daemon", "--version"], capture_output=True, check=True)
    assert run(script, place, "--remove")[0] == 0
    assert list(place.parent.iterdir()) == []


@pytest.mark.parametrize("words", [[], ["--refuse-large"]])
def test_without_a_network_nothing_is_left(place, words):
    code, told = run_offline(place, *words)
    assert (code, told[-1]["failed"]) == (1, "no-network")
    assert "try again" in told[-1]["hint"]
    assert list(place.parent.iterdir()) == []


def test_a_disk_that_fills_up_leaves_nothing(place, tmp_path):
    """On a disk of 12 MB, which the environment's own pip fills, once with and once without the look at it beforehand."""
    for before in ("", "make_venv.SMALL = make_venv.LARGE = 0; "):
        code = f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import make_venv; {before}sys.exit(make_venv.main())"
        place.parent.mkdir(exist_ok=True)
        disk = ["--dev-bind", "/", "/", "--size", str(12 << 20), "--tmpfs", str(place.parent)]
        words = [sys.executable, "-c", code, str(place), "--events"]
        then = 'code=$?; ls -A "$0"; exit $code'
        tried = subprocess.run(["bwrap", *disk, "sh", "-c", f'"$@"; {then}', place.parent, *words], capture_output=True, text=True)
        told = json.loads(tried.stdout.splitlines()[-1])  # nothing is listed behind it
        assert (tried.returncode, told["failed"]) == (1, "disk-full"), tried.stdout
        assert ("are needed" in told["message"]) == (not before)


def test_a_python_without_its_module_venv_is_told_what_to_install(place, tmp_path, monkeypatch):
    (tmp_path / "bin/python3").write_text('#!/bin/sh\necho \'[[3, 12], false, "linux", "/usr"]\'\n')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/nowhere")
    monkeypatch.setattr(pythons, "ELSEWHERE", ())
    with pytest.raises(Failed, match="venv is missing") as error:
        pythons.find_python()
    assert "apt install python3-venv" in error.value.hint


@pytest.mark.parametrize(
    ("said", "refused"),
    [('[[3, 9], true, "linux", "/usr"]', "3.9"), ('[[3, 12], true, "mingw_x86_64", "C:/GIMP"]', "3.12"), ("", "none")],
)
def test_a_python_that_is_too_old_or_gimps_own_is_not_taken(said, refused, place, tmp_path, monkeypatch):
    (tmp_path / "bin/python3").write_text(f"#!/bin/sh\necho '{said}'\n")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/nowhere")
    monkeypatch.setattr(pythons, "ELSEWHERE", ())
    with pytest.raises(Failed, match=f"there is {refused}"):
        pythons.find_python()


def test_an_appimages_python_is_not_taken(place, tmp_path, monkeypatch):
    monkeypatch.setenv("APPDIR", sys.base_prefix)
    monkeypatch.setattr(pythons, "ELSEWHERE", (sys.executable,))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Failed) as error:
        pythons.find_python()
    assert error.value.code == "python-missing"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_one_is_never_taken_for_whole(how, place):
    words = [sys.executable, SCRIPT, place, "--events"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        for line in process.stdout:
            if json.loads(line).get("step") == "pip":
                break
        os.killpg(process.pid, how)
        rest = process.stdout.read()
    if how == signal.SIGTERM:
        assert process.returncode == 130
        assert json.loads(rest.splitlines()[-1])["failed"] == "interrupted"
        assert list(place.parent.iterdir()) == []
    else:
        assert state(SCRIPT, place) == "unfinished"
        assert run(SCRIPT, place, "--remove")[0] == 0
        assert state(SCRIPT, place) == "missing"


def test_two_at_once_do_not_meet(place):
    with make_venv.alone(place):
        code, told = run(SCRIPT, place)
    assert (code, told[-1]["failed"]) == (1, "install-running")


def test_a_flatpak_sees_what_was_installed_outside(place, monkeypatch):
    environment = make_venv.Environment(place, "", Teller(True))
    (place / "bin").mkdir(parents=True)
    (place / "bin/python").symlink_to("/nowhere/python3")
    (place / "stamp").write_text(environment._sum())
    assert environment.state() == "unfinished"
    monkeypatch.setenv("FLATPAK_ID", "org.gimp.GIMP")
    assert environment.state() == "whole"


def test_without_the_small_build_the_large_one_is_asked_for(place, monkeypatch, capsys):
    """PyTorch is not there, its builds for processors are not to be had, and others are."""
    if make_venv.large():
        pytest.skip("here the large build is the right one")
    environment = make_venv.Environment(place, "", Teller(True))
    tried = []

    def pip(*words):
        tried.append(words)
        if make_venv.CPU_INDEX in words:
            raise Failed("no-network", "")

    monkeypatch.setattr(environment, "_pip", pip)
    with pytest.raises(Failed) as error:
        environment._torch(refuse_large=True)
    assert error.value.code == "torch-large"
    assert "--dry-run" in tried[-1]  # nothing was fetched
    monkeypatch.setattr(environment, "_check_room", lambda need: None)
    capsys.readouterr()
    environment._torch(refuse_large=False)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event.get("bytes") for event in told if event.get("step") == "torch"] == [None, 5_700_000_000]
    assert {event["fraction"] for event in told if "fraction" in event} == {0.0}
