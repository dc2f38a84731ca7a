"""Blend one object into every picture of a folder, inside GIMP and without a window.

    FOLDER=pictures OBJECT=object.png PLACE=120,80 OUT=blended \\
        gimp-console -idf --quit --batch-interpreter=python-fu-eval -b "exec(open('examples/blend-folder.py').read())"

OBJECT is a picture with transparency around the object, PLACE where its top-left corner goes. Every result is written to OUT as
PICTURE.png; what cannot be blended is named, with the reason, and the others go on.
"""

import os
from pathlib import Path

from gi.repository import Gimp, Gio

procedure = Gimp.get_pdb().lookup_procedure("plug-in-deep-image-blending")
folder, out = Path(os.environ["FOLDER"]), Path(os.environ["OUT"])
x, y = map(int, os.environ.get("PLACE", "0,0").split(","))
out.mkdir(parents=True, exist_ok=True)

for picture in sorted(folder.iterdir()):
    image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(str(picture)))
    if image is None:
        print(f"{picture}: GIMP cannot read it")
        continue
    source = Gimp.file_load_layer(Gimp.RunMode.NONINTERACTIVE, image, Gio.File.new_for_path(os.environ["OBJECT"]))
    image.insert_layer(source, None, 0)
    source.set_offsets(x, y)
    config = procedure.create_config()
    config.set_property("run-mode", Gimp.RunMode.NONINTERACTIVE)
    config.set_property("image", image)
    config.set_core_object_array("drawables", [source])
    config.set_property("preset", "draft")  # any argument of the dialog: style, content, colour, seam, mask, grow, feather, ...
    result = procedure.run(config)
    if result.index(0) == Gimp.PDBStatusType.SUCCESS:
        target = Gio.File.new_for_path(str(out / f"{picture.stem}.png"))
        Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, image, target, None)
        print(f"{picture}: done")
    else:
        print(f"{picture}: {Gimp.get_pdb().get_last_error()}")
    image.delete()
