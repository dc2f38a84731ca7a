"""The systemd user unit, before systemd's own judge and under a real user manager."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from user_unit import unit


def judge(file: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(file.parent)}
    command = ["systemd-analyze", "--user", "verify", file]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("folder", ["plain", "with space", 'quo"te', "per%cent", "back\\slash", "dol$lar"])
def test_the_unit_is_clean_whatever_the_commands_folder_is_called(folder, tmp_path):
    command = tmp_path / folder / "blend-daemon"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    file = tmp_path / "blend-daemon.service"
    file.write_text(unit(str(command)))
    done = judge(file)
    said = [line for line in done.stderr.splitlines() if "blend-daemon" in line]
    assert (done.returncode, said) == (0, [])


def test_the_judge_finds_what_is_wrong(tmp_path):
    file = tmp_path / "blend-daemon.service"
    file.write_text(unit("/nowhere").replace("/usr/bin/env", "/nowhere/env"))
    done = judge(file)
    assert done.returncode != 0
    assert "/nowhere/env" in done.stderr


def test_the_command_comes_through_the_quoting_whole():
    line = next(line for line in unit('/a "b" $c %d \\e').splitlines() if line.startswith("ExecStart="))
    assert line == r"""ExecStart=/usr/bin/env "/a \"b\" $$c %%d \\e" serve"""


# A user manager wants a machine that systemd has booted, and a control group of its own. Nobody outside the mount namespace sees either.
MANAGER = """
set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR"
chmod 700 "$XDG_RUNTIME_DIR"
for groups in $CGROUPS; do mkdir "$groups"; echo $$ >"$groups/cgroup.procs"; done
/lib/systemd/systemd --user --unit=basic.target >"$HOME/manager.log" 2>&1 &
manager=$!
trap 'kill $manager 2>/dev/null; wait $manager || true' EXIT
for _ in $(seq 100); do ! systemctl --user is-system-running >/dev/null 2>&1 || break; sleep 0.1; done
systemctl --user start blend-daemon
show() { systemctl --user show --value -p "$1" blend-daemon; }
echo "started $(show ActiveState) $(show SubState) $(show OOMPolicy)"
before=$(show WatchdogTimestampMonotonic)
sleep 3
[ "$(show WatchdogTimestampMonotonic)" -gt "$before" ] && echo pinged
"$DAEMON" -m blend_daemon.cli status >/dev/null && echo answers
began=$(date +%s)
systemctl --user stop blend-daemon
echo "stopped $(show ActiveState) $(show Result) within $(($(date +%s) - began)) s"
"""


def _groups() -> list[Path]:
    base = Path("/sys/fs/cgroup")
    trees = [base] if (base / "cgroup.procs").exists() else [base / "systemd", base / "unified"]
    return [tree / f"blend-daemon-test-{os.getpid()}" for tree in trees if os.access(tree / "cgroup.procs", os.W_OK)]


def _remove(group: Path) -> None:
    """Remove a control group, as soon as what the manager had started has ended."""
    deadline = time.monotonic() + 15
    while group.exists():
        try:
            for folder in [*sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True), group]:
                folder.rmdir()
        except OSError:
            assert time.monotonic() < deadline, [file.read_text() for file in group.rglob("cgroup.procs")]
            time.sleep(0.1)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: it starts a user manager in a mount namespace and a control group of its own")
@pytest.mark.skipif(not Path("/lib/systemd/systemd").exists(), reason="needs systemd")
@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="systemd runs this machine and its control groups")
@pytest.mark.skipif(not _groups(), reason="needs control groups that it may write to")
def test_a_real_user_manager_starts_watches_and_stops_it(fresh_daemon):
    home = fresh_daemon.folder / "home"
    command = home / "blend-daemon"
    file = home / ".config/systemd/user/blend-daemon.service"
    file.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m blend_daemon.cli "$@"\n')
    command.chmod(0o755)
    file.write_text(unit(str(command)))
    groups = " ".join(map(str, _groups()))
    environment = {**fresh_daemon.environment, "HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), "CGROUPS": groups}
    environment |= {"DAEMON": sys.executable}
    shell = ["unshare", "--mount", "--propagation", "private", "sh", "-c", MANAGER]
    try:
        done = subprocess.run(shell, env=environment, capture_output=True, text=True, timeout=60, check=False)
    finally:
        for group in _groups():
            _remove(group)
    said = done.stdout.splitlines()
    assert said[:3] == ["started active running continue", "pinged", "answers"], done.stderr
    assert said[3].startswith("stopped inactive success within ")
    assert int(said[3].split()[-2]) <= 10
