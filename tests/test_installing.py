"""The shell scripts that install and remove, in folders of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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


# Stands for a Python that installs nothing: with it a test sees what is asked for, in seconds.
PYTHON = f"""#!/bin/sh
case "$*" in
*/make_venv.py*) exec {sys.executable} "$@" ;;
"-c import importlib.util"*) echo '[[3, 11], true, "linux", "/usr"]' ;;
"-m venv "*)
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python"
    printf '#!/bin/sh\\n' >"$3/bin/blend-daemon" && chmod +x "$3/bin/blend-daemon"
    ;;
"-c import torch") exit 1 ;;
*" --index-url "*) exit "${{NO_INDEX:-0}}" ;;
*assemble_plugin.py*) echo "$2" >>"$ASSEMBLED" ;;
*" pip "*" wheel "*) for last; do [ "$wheels" = - ] && touch "$last/a.whl"; wheels=; [ "$last" != --wheel-dir ] || wheels=-; done ;;
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


FLATPAK = """#!/bin/sh
[ "$*" = "info org.gimp.GIMP" ] || exit 1
printf '\\nGNU Image Manipulation Program\\n\\n          ID: org.gimp.GIMP\\n     Version: %s\\n' "$FLATPAK_GIMP"
"""
GIMP = """#!/bin/sh
echo "GNU Image Manipulation Program version $GIMP"
"""


@pytest.fixture
def commands(tmp_path, home, monkeypatch):
    """Makes commands that stand for what this machine has not: GIMP, Flatpak, and a Python that installs nothing."""
    monkeypatch.delenv("GIMP3_DIRECTORY")
    folder = tmp_path / "commands"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(**scripts: str) -> None:
        for name, script in {"python3": PYTHON, "gimp-console": "exit 1", "systemctl": "exit 1", "snap": "exit 1", **scripts}.items():
            (folder / name).write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)

    return make


def installed_for(home, monkeypatch, tmp_path) -> tuple[list[str], str]:
    """The plug-in folders of an installation, below home, and what it said."""
    assembled = tmp_path / "assembled"
    assembled.write_text("")
    monkeypatch.setenv("ASSEMBLED", str(assembled))
    monkeypatch.setenv("INSTALLED", str(tmp_path / "installed"))
    done = subprocess.run([PROJECT / "install.sh"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [str(Path(line).relative_to(home)) for line in assembled.read_text().splitlines()], done.stdout


VAR = ".var/app/org.gimp.GIMP/config/GIMP"


@pytest.mark.parametrize(
    ("there", "flatpak", "folders"),
    [
        ([".config/GIMP/3.0"], None, [".config/GIMP/3.0"]),
        ([], "3.0.6", [".config/GIMP/3.0"]),
        ([".config/GIMP/2.10"], "3.1.4", [".config/GIMP/3.2"]),
        ([f"{VAR}/3.0"], "3.0.6", [f"{VAR}/3.0"]),  # whose owner would lose the settings there if there were another
        ([f"{VAR}/3.0", ".config/GIMP/3.0"], "3.0.6", [".config/GIMP/3.0"]),
        ([".config/GIMP/3.0"], "3.2.0", [".config/GIMP/3.0", ".config/GIMP/3.2"]),
    ],
)
def test_the_plug_in_goes_where_each_gimp_reads_it(there, flatpak, folders, home, commands, monkeypatch, tmp_path):
    for folder in there:
        (home / folder).mkdir(parents=True)
    commands(flatpak=FLATPAK if flatpak else "exit 1")
    monkeypatch.setenv("FLATPAK_GIMP", flatpak or "")
    places, said = installed_for(home, monkeypatch, tmp_path)
    assert places == [f"{folder}/plug-ins" for folder in folders]
    assert ("blend-daemon start" in said) == bool(flatpak)


def test_an_odd_version_keeps_its_profile_under_the_next(home, commands, monkeypatch, tmp_path):
    commands(flatpak="exit 1", **{"gimp-console": GIMP})
    monkeypatch.setenv("GIMP", "3.1.2")
    assert installed_for(home, monkeypatch, tmp_path)[0] == [".config/GIMP/3.2/plug-ins"]


def test_removing_leaves_nothing_with_gimp_either(home, commands):
    commands(flatpak="exit 1")
    for profile in (home / ".config/GIMP/3.0", home / VAR / "3.0"):
        for name in ("plug-ins/deep-image-blending/x", "plug-in-settings/GimpProcedureConfig-plug-in-deep-image-blending.last"):
            (profile / name).parent.mkdir(parents=True, exist_ok=True)
            (profile / name).touch()
    (home / ".config/GIMP/3.0/gimprc").touch()
    uninstall()
    assert [path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()] == [".config/GIMP/3.0/gimprc"]
    assert not (home / VAR / "3.0").exists()


def test_on_a_mac_everything_is_where_such_things_are_there(home, commands, monkeypatch, tmp_path):
    support = "Library/Application Support"
    (home / support / "GIMP/3.0").mkdir(parents=True)
    commands(flatpak="exit 1", uname="echo Darwin")
    assert installed_for(home, monkeypatch, tmp_path)[0] == [f"{support}/GIMP/3.0/plug-ins"]
    assert (home / support / "deep-image-blending/venv/bin/blend-daemon").exists()
    uninstall()
    assert [path for path in home.rglob("*") if not path.is_dir()] == []


@pytest.mark.parametrize("reached", [True, False])
def test_a_word_comes_before_gigabytes_that_nobody_asked_for(reached, home, commands, monkeypatch, tmp_path):
    if Path("/dev/nvidiactl").exists():
        pytest.skip("here they are asked for")
    commands(flatpak="exit 1")
    monkeypatch.setenv("NO_INDEX", "0" if reached else "1")
    said = installed_for(home, monkeypatch, tmp_path)[1]
    assert ("5.7 GB" in said) != reached
    assert ("torch==" in (tmp_path / "installed").read_text()) != reached


def test_the_hint_about_the_path_is_a_command_that_works(home, commands, monkeypatch, tmp_path):
    commands(flatpak="exit 1")
    said = installed_for(home, monkeypatch, tmp_path)[1]
    (line,) = (line for line in said.splitlines() if "export PATH" in line)
    export = line[line.index("export") :]
    found = subprocess.run(["sh", "-c", f"{export}; command -v blend-daemon"], capture_output=True, text=True, check=True).stdout
    assert found.strip() == str(home / ".local/bin/blend-daemon")


def test_apt_asks_nothing_behind_sudo_either(commands, tmp_path):
    commands(
        id="echo 1000",
        sudo='[ "$1" = -n ] && shift; exec env -i PATH="$PATH" "$@"',  # it passes on no variables
        **{"apt-get": f'echo "$DEBIAN_FRONTEND $1" >>{tmp_path}/asked'},
    )
    subprocess.run([PROJECT / "tools/apt_install.sh", "gimp"], check=True, capture_output=True, timeout=60)
    assert (tmp_path / "asked").read_text().splitlines() == ["noninteractive update", "noninteractive install"]
