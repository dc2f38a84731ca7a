#!/usr/bin/env python3
"""An extension that GIMP starts with itself and that does to an image what its user could do while a filter runs.

It executes the Python in WORK/meddle.py as soon as there is one, and leaves its outcome in WORK/meddled.
"""

import os
import sys
import traceback

import gi

gi.require_version("Gimp", "3.0")
from gi.repository import Gimp, GLib

WORK = os.environ["WORK"]
ORDER, DONE = os.path.join(WORK, "meddle.py"), os.path.join(WORK, "meddled")


class Meddler(Gimp.PlugIn):
    def do_query_procedures(self):
        return ["extension-meddler"]

    def do_set_i18n(self, name):
        return False

    def do_create_procedure(self, name):
        return Gimp.Procedure.new(self, name, Gimp.PDBProcType.PERSISTENT, run, None)


def run(procedure, config, data):
    procedure.persistent_ready()
    plug_in = procedure.get_plug_in()
    plug_in.persistent_enable()
    GLib.timeout_add(50, look)
    GLib.MainLoop().run()
    return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, None)


def look():
    if os.path.exists(ORDER):
        with open(ORDER) as file:
            order = file.read()
        os.remove(ORDER)
        try:
            exec(order, {"Gimp": Gimp})
            outcome = "ok"
        except Exception:
            outcome = traceback.format_exc()
        with open(DONE + ".part", "w") as file:
            file.write(outcome)
        os.rename(DONE + ".part", DONE)
    return GLib.SOURCE_CONTINUE


Gimp.main(Meddler.__gtype__, sys.argv)
