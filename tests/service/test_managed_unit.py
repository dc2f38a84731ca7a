"""The systemd user unit under a real user manager: start, watchdog, stop, and the limit of its memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from daemons import Client, eventually, loaded, too_large, until, wait_for
from user_unit import unit

from blend_protocol import runtime

# A user manager wants a machine that systemd has booted, and a control group of its own. Nobody outside the mount namespace sees either.
MANAGER = """
set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR"
chmod 700 "$XDG_RUNTIME_DIR"
sh -c 'for group in $CGROUPS; do mkdir "$group"; echo $$ >"$group/cgroup.procs"; done
exec /lib/systemd/systemd --user --unit=basic.target' >"$HOME/manager.log" 2>&1 &
manager=$!
trap 'kill $manager 2>/dev/null; wait $manager || true' EXIT
for _ in $(seq 100); do ! systemctl --user is-system-running >/dev/null 2>&1 || break; sleep 0.1; done
systemctl --user start blend-daemon
show() { systemctl --user show --value -p "$1" blend-daemon; }
"""
WATCHED = """
echo "started $(show ActiveState) $(show SubState) $(show OOMPolicy)"
before=$(show WatchdogTimestampMonotonic)
sleep 3
[ "$(show WatchdogTimestampMonotonic)" -gt "$before" ] && echo pinged
"$DAEMON" -m blend_daemon.cli status >/dev/null && echo answers
began=$(date +%s)
systemctl --user stop blend-daemon
echo "stopped $(show ActiveState) $(show Result) within $(($(date +%s) - began)) s"
"""
AGAIN = """
"$DAEMON" -m blend_daemon.cli stop
for _ in $(seq 100); do [ "$(show ActiveState)" = deactivating ] || break; sleep 0.1; done # systemd hears of the end a moment later
echo "$(show ActiveState)"
"$DAEMON" -m blend_daemon.cli start
echo "$(show ActiveState) $(show MainPID)"
"$DAEMON" -m blend_daemon.cli stop
"""
UPGRADED = """
read -r _
systemctl --user stop blend-daemon
"""
LIMITED = """
echo "$(show ControlGroup) $(show MemoryMax) $(show TasksMax)"
read -r _
systemctl --user stop blend-daemon
"""
GROUPS = Path("/sys/fs/cgroup")
MB = 1024**2
PATIENCE = 600  # s; in an emulated machine, which may be the one with a memory controller, torch takes minutes to load


def _groups() -> list[Path]:
    trees = [GROUPS] if (GROUPS / "cgroup.procs").exists() else [GROUPS / "systemd", GROUPS / "unified"]
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


def _limits_memory() -> bool:
    """Whether control groups may limit memory here. It is asked for, where it is root's to have."""
    ask = GROUPS / "cgroup.subtree_control"
    if not ask.exists():
        return False
    with suppress(OSError):
        ask.write_text("+memory +pids")
    return "memory" in ask.read_text().split()


@contextmanager
def managed(daemon, script: str, options: str = "", settings: str = "", weights: bool = True) -> Iterator[subprocess.Popen]:
    """A shell with the unit under a user manager: `script` comes after its start. `settings` go into a drop-in."""
    home = daemon.folder / "home"
    command = home / "blend-daemon"
    file = home / ".config/systemd/user/blend-daemon.service"
    drop_in = file.with_name(file.name + ".d") / "test.conf"
    drop_in.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m blend_daemon.cli "$@" {options}\n')
    command.chmod(0o755)
    file.write_text(unit(str(command)))
    drop_in.write_text(f"[Service]\n{settings}")
    groups = " ".join(map(str, _groups()))
    environment = {**daemon.environment, "HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), "CGROUPS": groups}
    environment |= {"DAEMON": sys.executable}
    if weights:
        environment["BLEND_DAEMON_WEIGHTS_DIR"] = str(runtime.weights_dir())
    shell = ["unshare", "--mount", "--propagation", "private", "sh", "-c", MANAGER + script]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    try:
        with subprocess.Popen(shell, env=environment, text=True, **pipes) as process:
            yield process
    finally:
        for group in _groups():
            _remove(group)


pytestmark = [
    pytest.mark.skipif(os.getuid() != 0, reason="needs root: it starts a user manager in a mount namespace and a control group of its own"),
    pytest.mark.skipif(not Path("/lib/systemd/systemd").exists(), reason="needs systemd"),
    pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="systemd runs this machine and its control groups"),
    pytest.mark.skipif(not _groups(), reason="needs control groups that it may write to"),
]


def test_it_is_started_watched_and_stopped(fresh_daemon):
    with managed(fresh_daemon, WATCHED) as shell:
        out, errors = shell.communicate(timeout=60)
    said = out.splitlines()
    assert said[:3] == ["started active running continue", "pinged", "answers"], errors
    assert said[3].startswith("stopped inactive success within ")
    assert int(said[3].split()[-2]) <= 10


def test_after_stop_it_is_what_is_started_again(fresh_daemon):
    for name in ("RUNTIME", "STATE", "MODELS"):  # the service has the usual folders
        del fresh_daemon.environment[f"BLEND_DAEMON_{name}_DIR"]
    with managed(fresh_daemon, AGAIN, weights=False) as shell:
        out, errors = shell.communicate(timeout=60)
    stopped, inactive, started, active, _ = out.splitlines()
    assert (stopped, inactive) == ("The blend daemon has stopped.", "inactive"), errors
    assert started == f"The blend daemon runs now, pid {active.split()[1]}."
    assert active.split()[0] == "active"


def test_after_an_upgrade_the_new_version_is_started(fresh_daemon, tmp_path):
    fresh_daemon.run_copy(tmp_path / "code")
    with managed(fresh_daemon, UPGRADED, settings="RestartSec=100ms\n") as shell:
        eventually((fresh_daemon.folder / "run/socket").exists)
        with Client(fresh_daemon.address) as client:
            worker = wait_for(client, loaded)["worker"]
        fresh_daemon.upgrade("99.0")
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: "version 99.0, pid" in fresh_daemon.log(), 30)
        told = fresh_daemon.command("status").stdout
        shell.communicate("\n", timeout=60)
    assert "99.0" in told


def test_a_worker_that_outgrows_the_units_memory_is_its_jobs_loss_alone(fresh_daemon, send):
    if not _limits_memory():
        pytest.skip("needs a memory controller of control groups version 2, as benchmarks/unit_memory.sh has")
    most = 1000 * MB
    with managed(fresh_daemon, LIMITED, "--memory-limit 1000000", f"MemoryMax={most}\n") as shell:  # the daemon's own watch keeps out of it
        group, *limits = shell.stdout.readline().split()
        assert limits == [str(most), "2048"]
        with Client(fresh_daemon.address) as client:
            before = wait_for(client, loaded, limit=PATIENCE)
            big = too_large(client)
            small = send(client, {"iterations": 3})
            failed = until(client, big, "failed", limit=PATIENCE).header
            assert failed["code"] == "worker-died"
            assert "SIGKILL" in failed["message"]
            until(client, small, "result", limit=PATIENCE)
            assert client.status(20)["pid"] == before["pid"]
        events = dict(line.split() for line in (GROUPS / group.lstrip("/") / "memory.events").read_text().splitlines())
        assert events["oom_kill"] == "1"
        shell.communicate("\n", timeout=60)
