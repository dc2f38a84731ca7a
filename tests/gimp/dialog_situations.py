"""Actions for dialog.py: what the dialog makes of an image, and how it looks."""

import json
import os
import socket
import time

from dialog_scene import DIALOG, Scene, action, begin, begin_and_insert, blended, insert, used
from gi.repository import Gimp
from inside import WORK, blend, layer_of
from screen import click, press, screenshot, settle, until, wait_text, widget, widgets, xdotool


@action
def stranger():
    """A layer that came with a file, whose parasite names a daemon."""

    def user(dialog):
        wait_text("state", "Ready")
        settle(dialog, 0.5)
        press(dialog, "alt+v")
        assert widget("daemon", "Entry")["text"] == ""
        assert widget("style", "SpinButton")["text"] == "20"
        press(dialog, "Escape")

    scene = Scene()
    address = os.path.join(WORK, "stranger")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen()
        door.settimeout(0.1)
        arguments = {"daemon": f"ipc://{address}", "style": 20, "iterations": -7, "seed": True, "method": ["deep"], "output": "replace"}
        about = json.dumps({"gimp": {"source": scene.above.get_tattoo(), "arguments": arguments}})
        layer = layer_of(scene.image, "object.png", 30, 20, "from a file")
        layer.attach_parasite(Gimp.Parasite.new("deep-image-blending", Gimp.PARASITE_PERSISTENT, about.encode()))
        result = used(user, lambda: blend(scene.image, layer, Gimp.RunMode.INTERACTIVE))
        assert result.index(0) == Gimp.PDBStatusType.CANCEL
        try:
            door.accept()
        except TimeoutError:
            return
    raise AssertionError("the stranger's address was called")


@action
def unforeseen():
    def user(dialog):
        wait_text("state", "Ready")
        press(dialog, "alt+b")
        wait_text("state", "Done")
        press(dialog, "Return")
        wait_text("notice", "KeyError")
        assert widget("main")["text"] == "_Blend"
        assert widget("main")["sensitive"]
        screenshot("unforeseen", DIALOG)
        press(dialog, "Escape")

    scene = Scene()
    assert blended(scene, user, daemon=os.environ["ADDRESS"]).index(0) == Gimp.PDBStatusType.CANCEL
    scene.untouched()


def order(code):
    """Have the extension of meddler.py do something to the image, as its user could while the dialog is open."""
    path = os.path.join(WORK, "meddle.py")
    with open(path + ".part", "w") as file:
        # The oldest image: the others are the plug-in's duplicates.
        file.write(f"image = min(Gimp.get_images(), key=lambda image: image.get_id()); {code}; Gimp.displays_flush()")
    os.rename(path + ".part", path)
    done = os.path.join(WORK, "meddled")
    until(lambda: os.path.exists(done), "what was ordered")
    with open(done) as file:
        text = file.read()
    os.remove(done)
    assert text == "ok", text


@action
def follow():
    def user(dialog):
        wait_text("notice", "Nothing is selected")
        main = widget("main")
        assert not main["sensitive"]
        assert "Nothing is selected" in main["tooltip"]
        assert not widget("compare")["sensitive"]
        screenshot("follow-hindered", DIALOG)
        order("image.select_rectangle(Gimp.ChannelOps.REPLACE, 60, 40, 60, 60)")
        wait_text("state", "Ready to blend “object”")
        order("image.set_selected_layers([image.get_layer_by_name('picture')])")
        wait_text("notice", "select the object's layer")
        screenshot("follow-background", DIALOG)
        order("image.set_selected_layers([image.get_layer_by_name('object')])")
        wait_text("state", "Ready to blend “object”")
        assert not any(found["name"] == "steps" and found.get("seen") for found in widgets())
        begin(dialog)()
        order("image.select_rectangle(Gimp.ChannelOps.REPLACE, 70, 50, 60, 60)")
        wait_text("state", "The image has changed")
        begin(dialog, "alt+g")()
        insert(dialog)

    scene = Scene()
    Gimp.Selection.none(scene.image)
    assert blended(scene, user, method="poisson").index(0) == Gimp.PDBStatusType.SUCCESS
    assert scene.image.get_layers()[0].get_offsets()[1:] == (70, 50)


@action
def one_layer():
    def user(dialog):
        wait_text("notice", "one layer alone")
        assert not widget("main")["sensitive"]
        assert widget("steps", "Label", text=None)["text"].startswith("1. ")
        screenshot("one-layer", DIALOG)
        press(dialog, "Escape")

    scene = Scene()
    scene.image.remove_layer(scene.image.get_layers()[1])
    assert blended(scene, user).index(0) == Gimp.PDBStatusType.CANCEL


@action
def layers():
    def chosen():
        return widget("target-layer", "ComboBoxText")["text"]

    def user(dialog):
        wait_text("state", "Ready")
        assert chosen() == "stroke"
        xdotool("windowfocus", "--sync", dialog)
        click("target-layer", "ComboBoxText", stay=True)
        time.sleep(0.5)
        xdotool("key", "Down", "Return")
        until(lambda: chosen() == "picture", "another layer in the list")
        click(text="Reset", stay=True)
        time.sleep(0.5)
        click(text="Reset to _Initial Values")
        until(lambda: chosen() == "stroke", "the layer that it began with")
        press(dialog, "Escape")

    scene = Scene()
    stroke = layer_of(scene.image, "object.png", 0, 0, "stroke", position=1)
    result = blended(scene, user, target="chosen-layer", target_layer=stroke)
    assert result.index(0) == Gimp.PDBStatusType.CANCEL


@action
def help_page():
    def user(dialog):
        press(dialog, "alt+h")
        until(lambda: os.path.exists(os.path.join(WORK, "opened")), "a browser", 20)
        press(dialog, "Escape")

    scene = Scene()
    assert blended(scene, user).index(0) == Gimp.PDBStatusType.CANCEL
    scene.untouched()


PANELS = 64  # px of a screen's height that a desktop's own panel and the title bar of a window take


@action
def small():
    """The largest form of the dialog on a screen of 1366x768."""
    shots = f"small-{os.environ['LANG'][:2]}"

    def room(dialog):
        settle(dialog, 0.5)
        x, y, width, height = next(found["rect"] for found in widgets() if found["kind"] == "ProcedureDialog")
        left, top, wide, high = widget("main")["rect"]
        assert width <= 1366, width
        assert height <= 768 - PANELS, height
        assert x <= left < left + wide <= x + width
        assert y <= top < top + high <= y + height
        return width, height

    def user(dialog):
        folded = room(dialog)
        press(dialog, "alt+" + widget("advanced")["text"].partition("_")[2][0].lower())
        assert room(dialog) == folded
        screenshot(f"{shots}-unfolded", DIALOG)
        press(dialog, "Return")
        until(lambda: widget("again"), "the end of the blend")
        screenshot(f"{shots}-done", DIALOG)
        assert room(dialog)[1] == folded[1]
        buttons = {found["rect"][1] for found in widgets() if found.get("seen") and found["name"] in ("main", "again", "settings")}
        assert len(buttons) == 1, "one row of buttons"
        press(dialog, "Escape")

    scene = Scene()
    result = blended(scene, user, target="chosen-layer", target_layer=scene.image.get_layers()[1])
    assert result.index(0) == Gimp.PDBStatusType.CANCEL


@action
def looks():
    """As people with another theme and language see the windows."""

    def user(dialog):
        begin_and_insert(dialog, "Return")  # the mnemonics are another language's

    scene = Scene()
    result = blended(scene, user, preset="draft", iterations=0)
    assert result.index(0) == Gimp.PDBStatusType.SUCCESS, Gimp.get_pdb().get_last_error()
