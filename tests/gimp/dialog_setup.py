"""Actions for dialog.py: the window that installs."""

import os
import subprocess
import sys

from dialog_scene import DAEMON, DIALOG, SHOTS, Scene, action, used
from gi.repository import Gimp
from inside import NAME, blend
from screen import click, press, screenshot, settle, until, wait_text, widget, widgets, window, windows, xdotool

SETUP = "^Set Up|^Instal|einrichten$"  # in each language


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


@action
def set_up_large():
    """The small build cannot be reached: the large one is asked for, with its size while it comes, and cancelled."""
    whole, size = ("6.5", "5.7") if os.environ["LANG"].startswith("en") else ("6,5", "5,7")

    def user(dialog):
        settle(dialog, 0.3)
        screenshot(f"{SHOTS}-missing", SETUP)
        click("install")
        until(lambda: any(found["name"] == "notice" and "5.7 GB" in (found["text"] or "") for found in widgets()), "the question")
        assert whole in states()[0]
        settle(dialog, 0.3)
        screenshot(f"{SHOTS}-question", SETUP)
        click("install")
        until(lambda: size in widget("setup-step")["text"], "the size")
        assert widget("progress")["rect"][3] >= 10  # px: it can be seen
        x, y, _width, _height = widget("setup-unfold")["rect"]
        xdotool("mousemove", str(x + 8), str(y + 8), "click", "1", "mousemove", "1270", "990")
        until(lambda: any(found["name"] == "setup-log" and found["text"] == "Collecting torch" for found in widgets()), "the log")
        settle(dialog, 0.3)
        screenshot(f"{SHOTS}-running", SETUP)
        click("close")
        until(lambda: widget("install")["sensitive"], "the end")
        settle(dialog, 0.3)
        screenshot(f"{SHOTS}-cancelled", SETUP)
        press(dialog, "Escape")

    scene = Scene()
    assert used(user, lambda: blend(scene.image, scene.above, Gimp.RunMode.INTERACTIVE), SETUP).index(0) == Gimp.PDBStatusType.CANCEL


@action
def set_up_flatpak():
    """Nothing can be installed from here: there is the command, to be copied."""
    command = []

    def user(dialog):
        settle(dialog, 0.3)
        screenshot(f"{SHOTS}", SETUP)
        head = widget("setup-head")["text"]
        assert "Flatpak" in head
        command.append(head.splitlines()[-1])
        assert not {"install", "remove", "setup-unfold"} & {found["name"] for found in widgets() if found.get("seen")}
        click("copy")
        look = "import gi; gi.require_version('Gtk', '3.0'); from gi.repository import Gdk, Gtk; "
        look += "print(Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).wait_for_text())"
        held = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=20).stdout.strip()
        assert held == command[0], held
        press(dialog, "Escape")

    scene = Scene()
    assert used(user, lambda: blend(scene.image, scene.above, Gimp.RunMode.INTERACTIVE), SETUP).index(0) == Gimp.PDBStatusType.CANCEL
    assert command[0].startswith("python3 ")
    assert command[0].endswith("/bin/blend-daemon start")


@action
def set_up_flatpak_later():
    """What was installed outside is told so."""

    def user(dialog):
        wait_text("state", "cannot start one")
        click(text="I_nstallation…")
        setup = window(SETUP)
        settle(setup, 0.3)
        screenshot(SHOTS, SETUP)
        assert widget("setup-head")["text"].startswith("All that")
        assert states() == ["installed"] * 2
        assert not any(found["name"] == "copy" and found.get("seen") for found in widgets())
        press(setup, "Escape")
        until(lambda: not windows(SETUP), "the end of the window", 10)
        press(dialog, "Escape")

    Scene()
    procedure = Gimp.get_pdb().lookup_procedure(NAME + "-daemon")
    config = procedure.create_config()
    config.set_property("run-mode", Gimp.RunMode.INTERACTIVE)
    assert used(user, lambda: procedure.run(config), DAEMON).index(0) == Gimp.PDBStatusType.SUCCESS
