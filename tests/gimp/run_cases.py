"""Runs inside GIMP: each case named in CASES (environment) makes an image, calls the procedure and asserts on what it finds.

Writes {case: "ok" or a traceback} to WORK/results.json.
"""

import json
import os
import sys
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
wanted = os.environ["CASES"].split(",")
for function in [function for function in CASES if function.__name__ in wanted]:
    try:
        function()
        results[function.__name__] = "ok"
    except Exception:
        results[function.__name__] = traceback.format_exc()
    for image in Gimp.get_images():
        image.delete()
with open(os.path.join(WORK, "results.json"), "w") as file:
    json.dump(results, file)
