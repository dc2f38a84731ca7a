"""The dialog of a real GIMP on a virtual screen, used with xdotool."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from harness import DAEMON
from scripted_daemon import ScriptedDaemon

from blend_protocol.client import Client

HERE = Path(__file__).parent
# Lines on stderr that are our doing. GIMP's Spanish has two buttons of its own that share a key: "(null)".
TROUBLE = re.compile(
    r"Traceback|Procedure 'plug-in-deep(?!.*\(null\))|undo_group|deep-image-blending\.py.*(?:WARNING|CRITICAL)(?!.*Broken pipe)"
)


@pytest.fixture
def use_dialog(gimp, daemon):
    def use(action: str, expected: str = "$^", size: str = "1280x1000", **environment: str) -> str:
        work = Path(gimp.environment["WORK"])
        (work / "opened").unlink(missing_ok=True)
        shots = os.environ.get("SCREENSHOTS")
        if shots:
            environment["SCREENSHOTS"] = shots
        done = gimp.run(HERE / "dialog.py", screen=True, size=size, ACTION=action, **environment)
        if shots:
            Path(shots).mkdir(parents=True, exist_ok=True)
            for shot in work.glob("dialog-*.png"):
                shutil.copy(shot, shots)
        outcome = work / "dialog.txt"
        assert outcome.exists(), done.stdout + done.stderr
        text = outcome.read_text()
        outcome.unlink()
        quiet = re.search(r"(?s)quiet begins\n(.*)quiet ends\n", done.stderr)
        complaints = quiet[1].splitlines() if quiet else []
        complaints += [line for line in done.stderr.splitlines() if TROUBLE.search(line) and not re.search(expected, line)]
        return text if text != "ok" or not complaints else "\n".join(complaints)

    return use


@pytest.mark.bridge
def test_ok_inserts_the_layer_and_one_undo_takes_it_back_and_one_redo_brings_it_again(use_dialog):
    assert use_dialog("ok") == "ok"


def test_layers_to_go_on_with_are_undone_and_redone(use_dialog):
    assert use_dialog("group") == "ok"


def test_blend_again_replaces_the_result_before_it_is_inserted(use_dialog):
    assert use_dialog("again") == "ok"


@pytest.mark.bridge
def test_several_objects_are_one_blend_with_one_undo_and_a_list_of_what_failed(use_dialog):
    assert use_dialog("several") == "ok"


def test_of_several_objects_the_lowest_that_can_be_blended_is_the_first(use_dialog):
    assert use_dialog("several_without_the_lowest") == "ok"


def test_several_objects_are_all_sketched_and_their_times_learned(use_dialog):
    assert use_dialog("several_sketched") == "ok"


def test_called_on_a_blended_layer_it_replaces_that_with_the_same_settings(use_dialog):
    assert use_dialog("reblend") == "ok"


@pytest.mark.bridge
def test_a_slider_moved_while_it_runs_re_aims_the_blend(use_dialog):
    assert use_dialog("steer") == "ok"


@pytest.mark.bridge
def test_stop_and_keep_inserts_the_best_so_far(use_dialog):
    assert use_dialog("keep") == "ok"


def test_a_preset_chosen_by_hand_moves_the_sliders(use_dialog):
    assert use_dialog("preset") == "ok"


@pytest.mark.bridge
def test_a_daemon_that_is_stopped_gives_what_it_has_and_the_next_blend_starts_another(use_dialog, gimp):
    own = Path(gimp.environment["WORK"]) / "s"  # a daemon of its own, started on demand
    folders = {"BLEND_DAEMON_RUNTIME_DIR": str(own / "run"), "BLEND_DAEMON_STATE_DIR": str(own / "state")}
    assert use_dialog("stopped", **folders) == "ok"
    assert (own / "state/daemon.log").read_text().count(": result") == 2


def test_a_layer_of_a_strangers_file_sends_no_pixels_to_the_strangers_address(use_dialog):
    assert use_dialog("stranger") == "ok"


def test_what_nobody_foresaw_is_told_and_the_dialog_goes_on(use_dialog, gimp):
    path = Path(gimp.environment["WORK"]) / "scripted"
    with ScriptedDaemon(path, report={"notes": []}) as there:  # a report without the sliders, which no daemon sends
        assert use_dialog("unforeseen", "Traceback", ADDRESS=there.address) == "ok"


def test_the_dialog_follows_the_image_and_says_what_hinders_a_blend(use_dialog):
    assert use_dialog("follow") == "ok"


def test_a_blend_of_before_is_looked_at_again_and_inserted(use_dialog):
    assert use_dialog("history") == "ok"


@pytest.mark.parametrize("language", ["en_US", "de_DE", "fr_FR", "es_ES"])
def test_with_everything_unfolded_it_fits_a_small_screen(use_dialog, gimp, language):
    assert use_dialog("small", size="1366x768", **gimp.locale(language)) == "ok"


def test_one_layer_alone_is_told_what_to_do(use_dialog):
    assert use_dialog("one_layer") == "ok"


def test_the_list_of_layers_follows_settings_that_are_loaded(use_dialog):
    assert use_dialog("layers") == "ok"


def test_help_opens_the_page(use_dialog, gimp):
    # A browser of our own notes what it is given.
    work = Path(gimp.environment["WORK"])
    browser = work / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" > {work}/opened\n')
    browser.chmod(0o755)
    applications = work / "home/.local/share/applications"
    applications.mkdir(parents=True)
    (applications / "test.desktop").write_text(f"[Desktop Entry]\nType=Application\nName=Test\nExec={browser} %u\nMimeType=text/html;\n")
    (work / "home/.config").mkdir(exist_ok=True)
    (work / "home/.config/mimeapps.list").write_text("[Default Applications]\ntext/html=test.desktop\n")
    assert use_dialog("help_page") == "ok"
    assert (work / "opened").read_text().strip().endswith("deep-image-blending/help/en/index.html")


@pytest.mark.parametrize(("scheme", "language"), [("light", "de_DE"), ("dark", "fr_FR")])
def test_in_another_theme_and_language(use_dialog, gimp, scheme, language):
    with gimp.setting(f"theme-color-scheme {scheme}"):
        assert use_dialog("looks", SCHEME=scheme, **gimp.locale(language)) == "ok"


@pytest.mark.bridge
def test_a_method_is_chosen_by_its_picture(use_dialog):
    assert use_dialog("compare") == "ok"


@pytest.mark.bridge
def test_a_learned_model_is_chosen_and_one_that_has_gone_is_told(use_dialog):
    assert use_dialog("model") == "ok"


def test_the_models_of_another_daemon_are_listed_when_it_is_named(use_dialog, gimp):
    own = Path(gimp.environment["WORK"]) / "o"
    shutil.copytree(own.parent / "models", own / "models")
    folders = {f"BLEND_DAEMON_{name.upper()}_DIR": str(own / name) for name in ("runtime", "state", "models")}
    there = subprocess.Popen([*DAEMON, "serve"], env={**os.environ, **gimp.environment, **folders, "PATH": os.environ["PATH"]})
    try:
        assert use_dialog("elsewhere", ADDRESS=f"ipc://{own}/runtime/socket") == "ok"
    finally:
        there.terminate()
        there.wait(20)


@pytest.mark.bridge
def test_the_daemons_window(use_dialog):
    assert use_dialog("daemon") == "ok"


def test_an_image_closed_meanwhile_loses_no_blend(use_dialog):
    assert use_dialog("closed") == "ok"


@pytest.mark.bridge
def test_a_blend_that_nobody_took_is_chosen_from_a_list(use_dialog):
    assert use_dialog("recover") == "ok"


def test_the_list_has_what_a_paired_daemon_keeps(use_dialog):
    with ScriptedDaemon(None, kept=["far"]) as there:
        assert use_dialog("recover_far", ADDRESS=there.address, KEY=there.key) == "ok"


@pytest.mark.bridge
def test_from_the_menu_repeated_and_cancelled_in_the_status_bar(use_dialog):
    assert use_dialog("launched") == "ok"


@pytest.mark.bridge
def test_cancel_leaves_the_image_as_it_was_and_frees_the_daemon(use_dialog, gimp):
    assert use_dialog("cancel") == "ok"
    with Client(f"ipc://{gimp.environment['BLEND_DAEMON_RUNTIME_DIR']}/socket") as client:
        deadline = time.monotonic() + 10
        while (status := client.status())["running"]:
            assert time.monotonic() < deadline, status
            time.sleep(0.1)
