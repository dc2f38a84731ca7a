#!/usr/bin/env python3
"""Registers Filters > Combine > Deep Image Blending with GIMP 3, and hands its calls on."""

import sys
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The one place where the plug-in says where its own modules are: pyzmq and the protocol lie in vendor/.
sys.path.insert(0, str(HERE / "vendor"))

import gi

gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from gi.repository import Gimp, Gio, GLib, GObject

from dib import options
from dib.i18n import DOMAIN, _

PROCEDURE = "plug-in-deep-image-blending"
RECOVER = "plug-in-deep-image-blending-recover"
DAEMON = "plug-in-deep-image-blending-daemon"
MENU = "<Image>/Filters/Combine"


class DeepImageBlending(Gimp.PlugIn):
    """The plug-in as GIMP sees it."""

    def do_set_i18n(self, name):
        return True, DOMAIN, "locale"

    def do_query_procedures(self):
        self.set_help_domain(DOMAIN, Gio.File.new_for_path(str(HERE / "help")))
        return [PROCEDURE, RECOVER, DAEMON]

    def do_create_procedure(self, name):
        procedure = {PROCEDURE: self._blend, RECOVER: self._recover, DAEMON: self._daemon}[name](name)
        procedure.add_menu_path(MENU)
        procedure.set_icon_file(Gio.File.new_for_path(str(HERE / "icon.svg")))
        procedure.set_attribution("Deep Image Blending developers", "GPL-3.0-or-later", "2026")
        return procedure

    def _recover(self, name):
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, recover, None)
        procedure.set_image_types("RGB*, GRAY*")
        anything = Gimp.ProcedureSensitivityMask
        procedure.set_sensitivity_mask(anything.DRAWABLE | anything.DRAWABLES | anything.NO_DRAWABLES)
        procedure.set_menu_label(_("Reco_ver Blends…"))
        procedure.set_documentation(
            _("Insert blends that were finished, but not inserted"),
            _(
                "A blend that GIMP did not take, because it had ended or the dialog was closed, is kept for a week. "
                "It comes in as a new layer."
            ),
            name,
        )
        flags = GObject.ParamFlags.READWRITE
        argument, label, blurb = options.JOB
        procedure.add_string_argument(argument, _(label), _(blurb), "", flags)
        for argument, label, blurb, rows, default in options.CHOICES:
            if argument == "output":
                add_choice(procedure, argument, label, blurb, [row for row in rows if row[0] != "replace"], default)
        return procedure

    def _daemon(self, name):
        procedure = Gimp.Procedure.new(self, name, Gimp.PDBProcType.PLUGIN, show_daemon, None)
        procedure.set_menu_label(_("Blend _Daemon…"))
        procedure.set_documentation(
            _("Look after the blend daemon"),
            _("Shows what the daemon behind Deep Image Blending is doing and its log, starts and stops it, and tests itself."),
            name,
        )
        modes = Gimp.RunMode.__gtype__
        procedure.add_enum_argument("run-mode", "Run mode", "The run mode", modes, Gimp.RunMode.INTERACTIVE, GObject.ParamFlags.READWRITE)
        return procedure

    def _blend(self, name):
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, run, None)
        procedure.set_image_types("RGB*, GRAY*")
        procedure.set_sensitivity_mask(Gimp.ProcedureSensitivityMask.DRAWABLE | Gimp.ProcedureSensitivityMask.DRAWABLES)
        procedure.set_menu_label(_("_Deep Image Blending…"))
        procedure.set_documentation(
            _("Blend the selected object into the picture below it"),
            _(
                "Select the object on its layer, coarsely, with some of its surroundings. It is blended into the layer below or "
                "into all that is visible below: the seam closes, and the object takes on the light, colours and texture of the "
                "picture. The result is a new layer above the source, which is hidden. Nothing outside the selection changes."
            ),
            name,
        )
        flags = GObject.ParamFlags.READWRITE
        for row in options.CHOICES:
            add_choice(procedure, *row)
        for argument, label, blurb in options.SLIDERS:
            procedure.add_double_argument(argument, _(label), _(blurb), 0, 100, options.NEUTRAL, flags)
        for argument, label, blurb, low, high, default in options.NUMBERS:
            procedure.add_int_argument(argument, _(label), _(blurb), low, high, default, flags)
        argument, label, blurb = options.HIDE
        procedure.add_boolean_argument(argument, _(label), _(blurb), True, flags)
        argument, label, blurb = options.TARGET_LAYER
        procedure.add_layer_argument(argument, _(label), _(blurb), True, flags)
        for argument, label, blurb in (options.MODEL, options.ADDRESS):
            procedure.add_string_argument(argument, _(label), _(blurb), "", flags)
        argument, label, blurb = options.FAILED
        procedure.add_string_return_value(argument, _(label), _(blurb), "", flags)
        return procedure


def add_choice(procedure, argument, label, blurb, rows, default):
    """Add an argument that is one of `rows`, as `options.CHOICES` has them."""
    choice = Gimp.Choice.new()
    for number, (nick, text, help_) in enumerate(rows):
        choice.add(nick, number, _(text), _(help_))
    procedure.add_choice_argument(argument, _(label), _(blurb), choice, default, GObject.ParamFlags.READWRITE)


def run(procedure, run_mode, image, drawables, config, data):
    """Called by GIMP for the filter."""
    return guarded(procedure, lambda procedures: procedures.blend(procedure, run_mode, image, drawables, config))


def recover(procedure, run_mode, image, drawables, config, data):
    """Called by GIMP for the list of finished blends."""
    return guarded(procedure, lambda procedures: procedures.recover(run_mode, image, config))


def show_daemon(procedure, config, data):
    """Called by GIMP for the window about the daemon."""
    return guarded(procedure, lambda procedures: procedures.show_daemon(config.get_property("run-mode")))


def guarded(procedure, work):
    """The outcome of `work` for GIMP. Whatever goes wrong comes back as a message: an exception that left here would be silent."""
    try:
        from blend_protocol.errors import BlendError
        from dib import procedures
        from dib.words import sentence

        try:
            outcome = work(procedures)
            status, *told = outcome if isinstance(outcome, tuple) else (outcome,)
            values = procedure.new_return_values(status, None)
            for number, text in enumerate(told if status == Gimp.PDBStatusType.SUCCESS else (), start=1):
                values.remove(number)
                values.insert(number, GObject.Value(str, text))
            return values
        except BlendError as error:
            message = sentence(error)
    except ImportError as error:
        message = _("A part of the plug-in is missing ({error}). Run install.sh again.").format(error=error)
    except Exception as error:  # a fault of ours: the traceback goes to stderr, the user hears of it too
        traceback.print_exc()
        message = f"{type(error).__name__}: {error}"
    return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, GLib.Error(message))


if __name__ == "__main__":
    Gimp.main(DeepImageBlending.__gtype__, sys.argv)
