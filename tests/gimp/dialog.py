"""Runs inside a GIMP with a (virtual) screen: opens the dialog and has xdotool use it as a person would.

ACTION is "ok", "cancel", "keep", "steer", "again", "reblend", "preset", "stopped", "help" or "daemon".
Writes "ok" or a traceback to WORK/dialog.txt, and screenshots beside it.
"""

import json
import os
import subprocess
import sys
import threading
import time
import traceback

sys.path[:0] = [os.environ["TESTS"], os.path.join(os.environ["GIMP3_DIRECTORY"], "plug-ins/deep-image-blending/vendor")]
from gi.repository import Gimp
from inside import NAME, WORK, blend, check, picture, pixels, rectangle, shot

from blend_daemon.protocol.client import Client

ACTION = os.environ["ACTION"]
TITLE = "^Blend Daemon" if ACTION == "daemon" else "^Deep Image Blending"


def xdotool(*words):
    return subprocess.run(["xdotool", *words], capture_output=True, text=True).stdout.split()


def window(title, patience=60):
    end = time.time() + patience
    while time.time() < end:
        found = xdotool("search", "--onlyvisible", "--name", title)
        if found:
            return found[-1]
        time.sleep(0.1)
    raise AssertionError(f"no window {title}")


def screenshot(name):
    for found in xdotool("search", "--onlyvisible", "--name", TITLE):
        xdotool("windowraise", found)  # no window manager does it
    subprocess.run(["import", "-window", "root", os.path.join(WORK, f"dialog-{ACTION}-{name}.png")])


def press(dialog, key):
    xdotool("windowfocus", "--sync", dialog)
    xdotool("key", key)


def use():
    try:
        xdotool("mousemove", "1270", "990")  # where it raises no tooltip
        dialog = window(TITLE)
        time.sleep(1.0)
        screenshot("idle")
        if ACTION == "daemon":
            press(dialog, "alt+t")
            settle(dialog)
            screenshot("tested")
            press(dialog, "alt+l")
            return
        if ACTION == "help":
            press(dialog, "alt+h")
            end = time.time() + 20
            while not os.path.exists(os.path.join(WORK, "opened")) and time.time() < end:
                time.sleep(0.2)
            press(dialog, "Escape")
            return
        if ACTION == "preset":
            press(dialog, "alt+p")
            xdotool("key", "Down")
            time.sleep(0.5)
            screenshot("chosen")
        press(dialog, "alt+b")
        if ACTION == "steer":
            press(dialog, "alt+u")
            xdotool("key", "ctrl+a", "3", "Tab")
        time.sleep(float(os.environ.get("LOOK", "1.5")))
        screenshot("running")
        if ACTION == "cancel":
            press(dialog, "Escape")
        elif ACTION == "stopped":
            with Client() as client:
                client.shutdown()
                time.sleep(2.0)
            screenshot("error")
        elif ACTION == "again":
            settle(dialog)
            press(dialog, "alt+g")
            time.sleep(1.0)
        # Return blends if nothing has been blended, and inserts what is done. A key that comes late goes to GIMP's window, where it
        # must not open a menu: the menu would hold the keyboard.
        while ACTION != "cancel" and (there := xdotool("search", "--onlyvisible", "--name", TITLE)):
            time.sleep(0.7)
            screenshot("last")
            press(there[-1], "alt+k" if ACTION == "keep" else "Return")
    except Exception:
        traceback.print_exc()


def settle(dialog):
    """Wait until the picture of the dialog does not change any more: the blend is done."""
    last = None
    while True:
        now = subprocess.run(["import", "-window", dialog, "rgb:-"], capture_output=True).stdout
        if now and now == last:
            return
        last = now
        time.sleep(1.5)


def undo():
    main = [w for w in xdotool("search", "--onlyvisible", "--name", "GNU Image Manipulation Program|GIMP") if w]
    for w in main:
        xdotool("windowfocus", w)
        xdotool("key", "ctrl+z")


try:
    image, above, below = picture()
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 60, 40, 60, 60)
    mask = rectangle(image, 60, 40, 60, 60)
    before = shot(image, above)
    whole = pixels(image)
    image.undo_disable()
    image.undo_enable()
    image.clean_all()
    display = Gimp.Display.new(image)
    threading.Thread(target=use, daemon=True).start()
    preset = {"ok": "draft", "again": "draft", "reblend": "draft", "steer": "standard", "stopped": "standard", "preset": "standard"}.get(
        ACTION, "paper"
    )
    if ACTION == "daemon":
        procedure = Gimp.get_pdb().lookup_procedure(NAME + "-daemon")
        config = procedure.create_config()
        config.set_property("run-mode", Gimp.RunMode.INTERACTIVE)
        result = procedure.run(config)
    else:
        iterations = 8 if ACTION in ("again", "preset", "reblend") else 0  # these look at what comes of it, the others at how
        result = blend(image, above, Gimp.RunMode.INTERACTIVE, preset=preset, iterations=iterations)
    if ACTION == "reblend":
        assert result.index(0) == Gimp.PDBStatusType.SUCCESS
        first = image.get_layers()[0]
        old = first.get_tattoo()
        Gimp.Selection.none(image)
        # The preset of the call is overridden by the layer's own.
        threading.Thread(target=use, daemon=True).start()
        result = blend(image, first, Gimp.RunMode.INTERACTIVE, preset="paper")
        assert result.index(0) == Gimp.PDBStatusType.SUCCESS
        assert [layer.get_name() for layer in image.get_layers()] == ["object blended", "object", "picture"]
        assert image.get_layers()[0].get_tattoo() != old
        assert not above.get_visible()
        undo()
        end = time.time() + 10
        while image.get_layers()[0].get_tattoo() != old and time.time() < end:
            time.sleep(0.2)
        assert image.get_layers()[0].get_tattoo() == old, "one undo does not bring the former layer back"
    elif ACTION == "daemon":
        assert result.index(0) == Gimp.PDBStatusType.SUCCESS, result.index(0)
    elif ACTION not in ("cancel", "help"):
        check(image, above, before, mask, result)
        report = json.loads(bytes(image.get_layers()[0].get_parasite("deep-image-blending").get_data()))
        wanted = {"steer": ("standard", 3), "preset": ("photo", 45)}.get(ACTION, (preset, 50))
        assert (report["preset"], report["colour"]) == wanted, report
        assert ACTION != "keep" or report["evaluations"] < 1000, report
        screenshot("done")
        undo()
        end = time.time() + 10
        while len(image.get_layers()) > 2 and time.time() < end:
            time.sleep(0.2)
        assert [layer.get_name() for layer in image.get_layers()] == ["object", "picture"], "one undo does not take it back"
        assert pixels(image) == whole
    else:
        assert result.index(0) == Gimp.PDBStatusType.CANCEL, result.index(0)
        assert [layer.get_name() for layer in image.get_layers()] == ["object", "picture"]
        assert pixels(image) == whole
        assert not image.is_dirty()
    outcome = "ok"
except Exception:
    outcome = traceback.format_exc()
    screenshot("failed")
with open(os.path.join(WORK, "dialog.txt"), "w") as file:
    file.write(outcome)
