"""The plug-in when no daemon runs: it starts one, or says why it cannot."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from harness import DAEMON

HERE = Path(__file__).parent


def _blend_once(gimp, tmp_path: Path, **environment: str):
    """Run one of the cases. Returns its outcome and GIMP's run."""
    done = gimp.run(HERE / "run_cases.py", CASES="without_a_selection_the_alpha_is_the_mask", **environment)
    results = Path(gimp.environment["WORK"]) / "results.json"
    assert results.exists(), done.stdout + done.stderr
    outcome = json.loads(results.read_text())
    results.unlink()
    return next(iter(outcome.values())), done


@pytest.mark.bridge
def test_the_daemon_is_started_on_demand_and_outlives_gimp(gimp, tmp_path):
    short = Path(gimp.environment["WORK"]) / "d"
    environment = {"BLEND_DAEMON_RUNTIME_DIR": str(short / "run"), "BLEND_DAEMON_STATE_DIR": str(short / "state")}
    outcome, _ = _blend_once(gimp, tmp_path, **environment)
    log = (short / "state" / "daemon.log").read_text()
    assert outcome == "ok", outcome + log
    assert "result" in log
    shutil.rmtree(short)


@pytest.mark.bridge
def test_a_daemon_that_cannot_start_is_told_with_its_log(gimp, tmp_path):
    folder = gimp.plug_ins / "deep-image-blending"
    note = folder / "daemon.json"
    kept = note.read_text()
    note.write_text(json.dumps({"command": ["/nowhere/blend-daemon"]}))
    short = Path(gimp.environment["WORK"]) / "e"
    try:
        environment = {"BLEND_DAEMON_RUNTIME_DIR": str(short / "run"), "BLEND_DAEMON_STATE_DIR": str(short / "state")}
        outcome, _ = _blend_once(gimp, tmp_path, **environment)
    finally:
        note.write_text(kept)
    assert "could not be started" in outcome
    assert "/nowhere/blend-daemon" in outcome
    assert "blend-daemon doctor" in outcome
    assert subprocess.run([*DAEMON, "status"], env={**os.environ, **environment}, capture_output=True).returncode == 1
