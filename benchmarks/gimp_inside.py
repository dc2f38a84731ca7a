"""Runs inside GIMP for gimp.py: an image of 12 megapixels, and a user who looks at a clock. Writes WORK/measured.json."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

sys.path.insert(0, os.environ["TESTS"])
from gi.repository import Gimp
from inside import WORK, Client, blend, layer_of
from screen import press, window, xdotool

SIZE = int(os.environ["SIZE"])
FOLDER = Path(WORK)
ANOTHER = f"""
import time
from pathlib import Path
worst, end = 0.0, time.monotonic() + 60
while time.monotonic() < end and not Path({WORK!r}, "enough").exists():
    began = time.monotonic()
    Gimp.get_images()
    worst = max(worst, time.monotonic() - began)
    time.sleep(0.01)
Path({WORK!r}, "worst").write_text(str(worst))
"""
found = {}


def look(dialog):
    """A digest of what the picture in the dialog shows."""
    picture = ["import", "-window", dialog, "-crop", "440x440+40+60", "rgb:-"]
    return hashlib.sha256(subprocess.run(picture, capture_output=True).stdout).digest()


def until_changed(dialog, keys, what):
    before = look(dialog)
    began = time.monotonic()
    xdotool("key", *keys)
    while look(dialog) == before:
        assert time.monotonic() - began < 20, f"nothing changes: {what}"
    found[f"preview follows {what}"] = time.monotonic() - began


def use(began):
    try:
        xdotool("mousemove", "1270", "990")
        dialog = window("^Deep Image Blending")
        found["from the call to the visible dialog"] = time.monotonic() - began
        time.sleep(4.0)
        began = time.monotonic()
        look(dialog)
        found["one screenshot"] = time.monotonic() - began
        press(dialog, "alt+u")
        time.sleep(0.5)
        until_changed(dialog, ["ctrl+a", "9", "0", "Tab"], "the colour slider")
        time.sleep(1.0)
        press(dialog, "alt+w")
        time.sleep(0.5)
        until_changed(dialog, ["ctrl+a", "4", "0", "Tab"], "the mask's growth")
        time.sleep(1.0)
        press(dialog, "Escape")
    except Exception:
        traceback.print_exc()
        xdotool("key", "Escape")


try:
    image = Gimp.Image.new(4000, 3000, Gimp.ImageBaseType.RGB)
    layer_of(image, "picture.png", name="picture", alpha=False)
    above = layer_of(image, "object.png", 900, 700)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 1400, 1100, SIZE, SIZE)
    display = Gimp.Display.new(image)
    time.sleep(2.0)
    with Client() as client:
        while client.status()["device"] == "loading":
            time.sleep(0.1)
    threading.Thread(target=use, args=(time.monotonic(),), daemon=True).start()
    blend(image, above, Gimp.RunMode.INTERACTIVE)
    (FOLDER / "meddle.py").write_text(ANOTHER)
    began = time.monotonic()
    result = blend(image, above, preset="draft", iterations=0)
    spent = time.monotonic() - began
    assert result.index(0) == Gimp.PDBStatusType.SUCCESS
    report = json.loads(bytes(image.get_layers()[0].get_parasite("deep-image-blending").get_data()))
    found["the optimisation (draft)"] = sum(report["seconds"].values())
    found["from the call to the layer, beyond the optimisation"] = spent - sum(report["seconds"].values())
    (FOLDER / "enough").touch()
    while not (FOLDER / "meddled").exists():
        time.sleep(0.1)
    found["GIMP's longest silence towards another plug-in"] = float((FOLDER / "worst").read_text())
    (FOLDER / "measured.json").write_text(json.dumps(found))
except Exception:
    traceback.print_exc()
