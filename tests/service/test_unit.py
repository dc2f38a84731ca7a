"""The systemd user unit, before systemd's own judge."""

from __future__ import annotations

import os
import subprocess
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
