#!/usr/bin/env python3
"""Registers Filters > Combine > Deep Image Blending with GIMP 3, and hands its calls on."""

import sys
import traceback
from pathlib import Path

# The one place where the plug-in says where its own modules are: pyzmq and the protocol lie in vendor/.
sys.path.insert(0, str(Path(__file__).resolve().parent / "vendor"))

import gi

gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from gi.repository import Gimp, GLib, GObject

PROCEDURE = "plug-in-deep-image-blending"
DOMAIN = "deep-image-blending"


def _(text):
    return GLib.dgettext(DOMAIN, text)


TARGETS = (
    ("layer-below", "Layer below", "Blend into the layer just below the source layer"),
    ("visible-below", "Everything visible below", "Blend into what is visible below the source layer"),
)
PRESETS = (
    ("draft", "Draft", "A first look within seconds"),
    ("standard", "Standard", "The result to keep"),
    ("paper", "Paper", "The paper's two algorithms as published: slow, for comparison"),
)
SLIDERS = (
    ("style", "St_yle", "How much of the target's texture the object takes on"),
    ("content", "Co_ntent", "How much of the object's own detail stays"),
    ("colour", "Colo_ur", "From the object's own colours to the target's"),
    ("seam", "S_eam", "How wide the transition is"),
)


class DeepImageBlending(Gimp.PlugIn):
    """The plug-in as GIMP sees it."""

    def do_set_i18n(self, name):
        return True, DOMAIN, "locale"

    def do_query_procedures(self):
        return [PROCEDURE]

    def do_create_procedure(self, name):
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, run, None)
        procedure.set_image_types("RGB*, GRAY*")
        procedure.set_sensitivity_mask(Gimp.ProcedureSensitivityMask.DRAWABLE)
        procedure.set_menu_label(_("_Deep Image Blending…"))
        procedure.add_menu_path("<Image>/Filters/Combine")
        procedure.set_documentation(
            _("Blend the selected object into the picture below it"),
            _(
                "Select the object on its layer, coarsely, with some of its surroundings. It is blended into the layer below or "
                "into all that is visible below: the seam closes, and the object takes on the light, colours and texture of the "
                "picture. The result is a new layer above the source, which is hidden. Nothing outside the selection changes."
            ),
            name,
        )
        procedure.set_attribution("Deep Image Blending developers", "GPL-3.0-or-later", "2026")
        flags = GObject.ParamFlags.READWRITE
        for argument, label, blurb, options, default in (
            ("target", _("_Target"), _("What to blend into"), TARGETS, "layer-below"),
            ("preset", _("_Preset"), _("How thoroughly to work"), PRESETS, "standard"),
        ):
            choice = Gimp.Choice.new()
            for number, (nick, text, help_) in enumerate(options):
                choice.add(nick, number, _(text), _(help_))
            procedure.add_choice_argument(argument, label, blurb, choice, default, flags)
        for argument, label, blurb in SLIDERS:
            procedure.add_double_argument(argument, _(label), _(blurb), 0, 100, 50, flags)
        procedure.add_int_argument("seed", _("Ran_dom seed"), _("For presets that start from noise"), 0, 2**31 - 1, 0, flags)
        return procedure


def run(procedure, run_mode, image, drawables, config, data):
    """Called by GIMP. Whatever goes wrong comes back as a message: an exception that left here would be silent."""
    try:
        import session
    except ImportError as error:
        message = _("A part of the plug-in is missing ({error}). Run install.sh again.").format(error=error)
        return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, GLib.Error(message))
    try:
        status = session.run(procedure, run_mode, image, drawables, config)
    except session.BlendError as error:
        message = f"{error} {error.hint}".strip()
        return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, GLib.Error(message))
    except Exception as error:  # a fault of ours: the traceback goes to stderr, the user hears of it too
        traceback.print_exc()
        return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, GLib.Error(f"{type(error).__name__}: {error}"))
    return procedure.new_return_values(status, None)


if __name__ == "__main__":
    Gimp.main(DeepImageBlending.__gtype__, sys.argv)
