"""Runs inside GIMP: blends while something goes wrong, and notes what the user is told and whether the image is as it was.

The test outside makes the faults: it reads WORK/wish, prepares what it names, and removes it.
Writes {fault: [status, message, whether the image changed]} to WORK/faults.json.
"""

import json
import os
import sys
import time

sys.path.insert(0, os.environ["TESTS"])
from gi.repository import Gimp
from inside import WORK, blend, picture, pixels, selected


def wish(name):
    path = os.path.join(WORK, "wish")
    with open(path + ".part", "w") as file:
        file.write(name)
    os.rename(path + ".part", path)
    end = time.time() + 60
    while os.path.exists(path):
        assert time.time() < end, f"nobody prepares {name}"
        time.sleep(0.05)


found = {}
for fault in os.environ["FAULTS"].split(","):
    image, above, _below = picture()
    selected(image)
    before = pixels(image)
    wish(fault)
    result = blend(image, above, preset="painting", iterations=10_000 if "stopped" in fault or "harmless" not in fault else 30)
    status = result.index(0)
    message = "" if status == Gimp.PDBStatusType.SUCCESS else Gimp.get_pdb().get_last_error()
    found[fault] = [status.value_nick, message, pixels(image) != before or len(image.get_layers()) > 2]
    image.delete()
wish("end")
with open(os.path.join(WORK, "faults.json"), "w") as file:
    json.dump(found, file)
