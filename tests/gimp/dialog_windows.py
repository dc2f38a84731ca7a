"""Actions for dialog.py: the other windows."""

import os

from dialog_scene import DAEMON, NAMES, RECOVER, Scene, action, used, wait_for
from gi.repository import Gimp
from inside import NAME, Client, lost
from screen import click, press, press_in_gimp, screenshot, settle, until, wait_text, widget, widgets, window, windows, xdotool

from blend_protocol import keys


@action
def recover():
    def user(dialog):
        click("blends")
        settle(dialog, 0.3)
        screenshot("recover-list", RECOVER)
        press(dialog, "alt+o", "Down", "Down")
        screenshot("recover-as-layers", RECOVER)
        click(text="_Insert")

    scene = Scene()
    for entry in lost():
        with Client() as client:
            client.release(entry["job"])
    lost("lost", preset="painting")
    procedure = Gimp.get_pdb().lookup_procedure(NAME + "-recover")
    config = procedure.create_config()
    config.set_property("run-mode", Gimp.RunMode.INTERACTIVE)
    config.set_property("image", scene.image)
    assert used(user, lambda: procedure.run(config), RECOVER).index(0) == Gimp.PDBStatusType.SUCCESS
    assert scene.names() == ["lost blended", *NAMES]
    assert scene.image.get_layers()[0].is_group()
    assert lost() == []
    press_in_gimp("ctrl+z")
    wait_for(scene, NAMES)


@action
def recover_far():
    """A blend that a paired daemon keeps, in the list beside this computer's own."""

    def user(dialog):
        wait_text("state", "kept for a week")
        settle(dialog)
        screenshot("recover-far", RECOVER)
        press(dialog, "Return")

    scene = Scene()
    lost("near")
    keys.add_daemon("studio", os.environ["ADDRESS"], os.environ["KEY"])
    procedure = Gimp.get_pdb().lookup_procedure(NAME + "-recover")
    config = procedure.create_config()
    config.set_property("run-mode", Gimp.RunMode.INTERACTIVE)
    config.set_property("image", scene.image)
    assert used(user, lambda: procedure.run(config), RECOVER).index(0) == Gimp.PDBStatusType.SUCCESS
    assert scene.names() == ["far blended", *NAMES]  # the scripted daemon's is the newest
    keys.remove("studio")


@action
def daemon():
    def user(dialog):
        settle(dialog, 0.3)
        screenshot("daemon-idle", DAEMON)
        press(dialog, "alt+t")
        wait_text("report", "…")  # it runs
        click("show-log")
        until(lambda: any(found["name"] == "report" and "self-test: " in found["text"] for found in widgets()), "a report")
        screenshot("daemon-tested", DAEMON)
        widget("log")
        screenshot("daemon-log", DAEMON)
        press(dialog, "alt+i")
        question = window("^Pair with")
        xdotool("windowfocus", "--sync", question, "type", "blend-daemon pair studio tcp://studio:47811 " + 64 * "a")
        screenshot("daemon-pairing", "^Pair with")
        press(question, "Return")
        until(lambda: keys.daemons() and not windows("^Pair with"), "a paired daemon", 20)
        screenshot("daemon-paired", DAEMON)
        press(dialog, "alt+l")

    Scene()
    procedure = Gimp.get_pdb().lookup_procedure(NAME + "-daemon")
    config = procedure.create_config()
    config.set_property("run-mode", Gimp.RunMode.INTERACTIVE)
    assert used(user, lambda: procedure.run(config), DAEMON).index(0) == Gimp.PDBStatusType.SUCCESS
    assert [(found.name, found.address) for found in keys.daemons()] == [("studio", "tcp://studio:47811")]
    keys.remove("studio")
