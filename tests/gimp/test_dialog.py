"""The dialog of a real GIMP on a virtual screen, used with xdotool."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from blend_daemon.protocol.client import Client

HERE = Path(__file__).parent


@pytest.fixture
def use_dialog(gimp, daemon):
    def use(action: str) -> str:
        work = Path(gimp.environment["WORK"])
        for file in ("cases.py", "dialog.py"):
            shutil.copy(HERE / file, work / file)
        # The dialog starts from the last values; a test must not start from another test's.
        for stale in gimp.profile.glob("plug-in-settings/*"):
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
        done = gimp.run(work / "dialog.py", screen=True, ACTION=action, HERE=str(work))
        shots = os.environ.get("SCREENSHOTS")
        if shots:
            Path(shots).mkdir(parents=True, exist_ok=True)
            for shot in work.glob("dialog-*.png"):
                shutil.copy(shot, shots)
        outcome = work / "dialog.txt"
        assert outcome.exists(), done.stdout + done.stderr
        text = outcome.read_text()
        outcome.unlink()
        return text

    return use


def test_ok_inserts_the_layer_and_one_undo_takes_it_back(use_dialog):
    assert use_dialog("ok") == "ok"


def test_a_slider_moved_while_it_runs_re_aims_the_blend(use_dialog):
    assert use_dialog("steer") == "ok"


def test_stop_and_keep_inserts_the_best_so_far(use_dialog):
    assert use_dialog("keep") == "ok"


def test_cancel_leaves_the_image_as_it_was_and_frees_the_daemon(use_dialog, gimp):
    assert use_dialog("cancel") == "ok"
    with Client(f"ipc://{gimp.environment['BLEND_DAEMON_RUNTIME_DIR']}/socket") as client:
        deadline = time.monotonic() + 10
        while (status := client.status())["running"]:
            assert time.monotonic() < deadline, status
            time.sleep(0.1)
