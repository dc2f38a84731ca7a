"""Runs inside GIMP: each case named in CASES (environment) makes an image, calls the procedure and asserts on what it finds.

Writes {case: "ok", "not ended" or a traceback} to WORK/results.json, before each case and at the end, and to stdout what each took.
"""

import json
import os
import sys
import time
import traceback

sys.path.insert(0, os.environ["TESTS"])
import cases_choices  # noqa: F401 - enters its cases
import cases_kinds  # noqa: F401 - and this one
import cases_layers  # noqa: F401 - and this one
import cases_pictures  # noqa: F401 - and this one
import cases_several  # noqa: F401 - and this one
import cases_trouble  # noqa: F401 - and this one
import cases_window  # noqa: F401 - and this one
from gi.repository import Gimp
from inside import CASES, WORK

results = {}


def write():
    with open(os.path.join(WORK, "results.json"), "w") as file:
        json.dump(results, file)


wanted = os.environ["CASES"].split(",")
for function in [function for function in CASES if function.__name__ in wanted]:
    name = function.__name__
    results[name] = "not ended"
    write()
    began = time.monotonic()
    try:
        function()
        results[name] = "ok"
    except Exception:
        results[name] = traceback.format_exc()
    for image in Gimp.get_images():
        image.delete()
    print(f"{name}: {time.monotonic() - began:.1f} s", flush=True)
write()
