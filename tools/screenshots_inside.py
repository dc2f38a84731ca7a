"""Runs inside GIMP for screenshots.py: a user who compares the methods, and then blends. Writes WORK/shot-*.png."""

import os
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

sys.path.insert(0, os.environ["TESTS"])
from gi.repository import Gegl, Gimp
from inside import WORK, blend, layer_of
from screen import click, press, window, windows, xdotool


def shoot(name, found):
    xdotool("windowraise", found, "mousemove", "1270", "990")  # where it raises no tooltip
    time.sleep(1.0)
    subprocess.run(["import", "-window", found, Path(WORK, f"shot-{name}.png")], check=True)


def use():
    try:
        dialog = window("^Deep Image Blending")
        time.sleep(1.0)
        click("compare")
        methods = window("^Compare Methods")
        time.sleep(10.0)
        shoot("compare-methods", methods)
        press(methods, "Escape")
        time.sleep(2.0)
        press(dialog, "alt+b")
        time.sleep(20.0)  # well within the first stage
        shoot("dialog", dialog)
    except BaseException:
        traceback.print_exc()
    for left in windows("^Compare Methods|^Deep Image Blending"):
        press(left, "Escape")


try:
    image = Gimp.Image.new(512, 512, Gimp.ImageBaseType.RGB)
    layer_of(image, "target.png", name="picture", alpha=False)
    x, y = (int(number) for number in Path(WORK, "offset").read_text().split(","))
    above = layer_of(image, "source.png", x, y)
    mask = layer_of(image, "mask.png", x, y, "mask", alpha=False)
    area = Gegl.Rectangle.new(0, 0, mask.get_width(), mask.get_height())
    data = mask.get_buffer().get(area, 1.0, "Y' u8", Gegl.AbyssPolicy.NONE)
    image.remove_layer(mask)
    selection = image.get_selection()
    selection.get_buffer().set(Gegl.Rectangle.new(x, y, area.width, area.height), "Y' u8", data)
    selection.update(0, 0, 512, 512)
    display = Gimp.Display.new(image)
    threading.Thread(target=use, daemon=True).start()
    blend(image, above, Gimp.RunMode.INTERACTIVE, preset="standard", iterations=0)
except Exception:
    traceback.print_exc()
