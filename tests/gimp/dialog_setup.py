"""Actions for dialog.py: the window that installs."""

import os

from dialog_scene import DAEMON, DIALOG, Scene, action, used
from gi.repository import Gimp
from inside import NAME, blend
from screen import click, press, screenshot, settle, until, wait_text, widget, widgets, window, windows

SETUP = "^Set Up"


def states():
    return [widget(f"setup-state-{row}")["text"] for row in (0, 1)]


@action
def set_up():
    """With the plug-in alone: the filter's first window installs, and the filter goes on; later it is repaired, and removed."""

    def first(dialog):
        assert states()[0].startswith("missing, about ")
        assert "nothing else is touched" in widget("setup-head")["text"]
        assert any(found["text"] == os.environ["BLEND_DAEMON_VENV_DIR"] for found in widgets())
        screenshot("setup-missing", SETUP)
        click("install")
        wait_text("setup-step", "private Python")
        screenshot("setup-running", SETUP)
        click("close")
        wait_text("setup-step", "Cancelled")
        assert not os.path.exists(os.environ["BLEND_DAEMON_VENV_DIR"])
        assert states()[0].startswith("missing, ")
        click("install")
        notice = lambda: [found["text"] for found in widgets() if found["name"] == "notice" and found.get("seen")]
        until(lambda: windows(DIALOG) or notice(), "the end of the installation", 240)
        assert not notice(), notice()
        (blending,) = windows(DIALOG)  # which has come by itself
        assert not windows(SETUP)
        wait_text("state", "Ready to blend")
        screenshot("setup-done", DIALOG)
        press(blending, "Escape")

    def later(dialog):
        wait_text("state", "is idle")
        click(text="I_nstallation…")
        setup = window(SETUP)
        settle(setup, 0.3)
        assert [state.partition(",")[0] for state in states()] == ["installed"] * 2
        screenshot("setup-installed", SETUP)
        click("install")
        until(lambda: not widget("install")["sensitive"], "the repair")
        until(lambda: widget("install")["sensitive"], "the end of the repair", 300)
        assert widget("install")["text"] == "_Repair"
        click("remove")
        click("remove-question", "Button", text="_Remove")  # of the question
        until(lambda: states()[0].startswith("missing"), "the removal", 120)
        assert not os.path.exists(os.environ["BLEND_DAEMON_VENV_DIR"])
        assert states()[1].startswith("missing")
        press(setup, "Escape")
        until(lambda: not windows(SETUP), "the end of the window", 10)
        press(dialog, "alt+l")

    scene = Scene()
    assert used(first, lambda: blend(scene.image, scene.above, Gimp.RunMode.INTERACTIVE), SETUP).index(0) == Gimp.PDBStatusType.CANCEL
    scene.untouched()
    procedure = Gimp.get_pdb().lookup_procedure(NAME + "-daemon")
    config = procedure.create_config()
    config.set_property("run-mode", Gimp.RunMode.INTERACTIVE)
    assert used(later, lambda: procedure.run(config), DAEMON).index(0) == Gimp.PDBStatusType.SUCCESS
