"""Runs inside a GIMP with a (virtual) screen: opens the dialog and has xdotool use it as a person would.

ACTION is "ok", "cancel", "keep" or "steer". Writes "ok" or a traceback to WORK/dialog.txt, and screenshots beside it.
"""

import os
import subprocess
import threading
import time
import traceback

ACTION = os.environ["ACTION"]
WORK = os.environ["WORK"]
exec(open(os.path.join(os.environ["HERE"], "cases.py")).read().split("@case")[0])  # noqa: SIM115


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
    subprocess.run(["import", "-window", "root", os.path.join(WORK, f"dialog-{ACTION}-{name}.png")])


def press(dialog, key):
    xdotool("windowfocus", "--sync", dialog)
    xdotool("key", key)


def use():
    try:
        dialog = window("^Deep Image Blending$")
        time.sleep(1.0)
        screenshot("idle")
        press(dialog, "Return")
        if ACTION == "steer":
            press(dialog, "alt+u")
            xdotool("key", "ctrl+a", "3", "Tab")
        time.sleep(float(os.environ.get("LOOK", "1.5")))
        screenshot("running")
        if ACTION == "cancel":
            press(dialog, "Escape")
        # The button can be pressed once the first evaluation is told of.
        while ACTION == "keep" and dialog in xdotool("search", "--onlyvisible", "--name", "^Deep Image Blending$"):
            press(dialog, "alt+k")
            time.sleep(0.5)
    except Exception:
        traceback.print_exc()


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
    preset = {"ok": "draft", "steer": "standard"}.get(ACTION, "paper")
    result = blend(image, above, Gimp.RunMode.INTERACTIVE, preset=preset)
    if ACTION != "cancel":
        check(image, above, before, mask, result)
        report = json.loads(bytes(image.get_layers()[0].get_parasite("deep-image-blending").get_data()))
        assert (report["preset"], report["colour"]) == (preset, 3 if ACTION == "steer" else 50), report
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
