"""Runs inside a GIMP with a (virtual) screen: opens the dialogs and has xdotool use them as a person would.

The environment's ACTION names one of the functions in dialog_*.py. Writes "ok" or a traceback to WORK/dialog.txt, and screenshots
beside it.
"""

import os
import sys
import traceback

sys.path.insert(0, os.environ["TESTS"])
import dialog_blending  # noqa: F401 - enters its actions
import dialog_methods  # noqa: F401 - and this one
import dialog_setup  # noqa: F401 - and this one
import dialog_situations  # noqa: F401 - and this one
import dialog_windows  # noqa: F401 - and this one
from dialog_scene import ACTIONS
from inside import WORK

try:
    ACTIONS[os.environ["ACTION"]]()
    outcome = "ok"
except Exception:
    outcome = traceback.format_exc()
with open(os.path.join(WORK, "dialog.txt"), "w") as file:
    file.write(outcome)
