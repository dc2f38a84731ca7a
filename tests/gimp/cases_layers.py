"""Cases for `run_cases.py`: the output as layers to go on with."""

import json

from gi.repository import Gimp
from inside import blend, case, feathered, picture, pixels, selected

PAINTED = {"preset": "painting", "iterations": 8, "working_size": 64}


def bytes_of(image):
    return pixels(image, None, "R'G'B'A u8")


def worst(a, b):
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def done(image, layer, **arguments):
    result = blend(image, layer, **arguments)
    assert result.index(0) == Gimp.PDBStatusType.SUCCESS, Gimp.get_pdb().get_last_error()
    return image.get_layers()[0]


@case
def object_and_paint_show_what_one_layer_shows():
    for base, precision in (
        (Gimp.ImageBaseType.RGB, Gimp.Precision.U8_NON_LINEAR),
        (Gimp.ImageBaseType.RGB, Gimp.Precision.FLOAT_LINEAR),
        (Gimp.ImageBaseType.GRAY, Gimp.Precision.U16_NON_LINEAR),
    ):
        image, above, _ = picture(precision, base)
        feathered(image)
        one = done(image, above, **PAINTED)
        wanted = bytes_of(image)
        image.remove_layer(one)
        above.set_visible(True)
        group = done(image, above, output="layers", **PAINTED)
        assert group.is_group()
        assert group.get_name() == "object blended"
        paint, start = group.get_children()
        assert paint.get_name().startswith("paint")
        assert start.get_name().startswith("object"), "GIMP numbers it: so the source is named"
        assert worst(wanted, bytes_of(image)) <= 1, precision
        paint.set_opacity(0)
        unpainted = bytes_of(image)
        assert worst(wanted, unpainted) > 8, "without the paint there is the object in the picture's light"
        paint.set_opacity(50)
        half = bytes_of(image)
        between = [min(a, c) - 2 <= b <= max(a, c) + 2 for a, b, c in zip(wanted, half, unpainted, strict=True)]
        assert precision == Gimp.Precision.FLOAT_LINEAR or all(between)
        assert half not in (wanted, unpainted)


@case
def a_group_is_blended_again_from_its_source():
    image, above, _ = picture()
    feathered(image)
    group = done(image, above, output="layers", **PAINTED)
    wanted = bytes_of(image)
    Gimp.Selection.none(image)
    for called_on_the_paint in (False, True):
        chosen = group.get_children()[0] if called_on_the_paint else group
        again = done(image, chosen, output="layers", **PAINTED)
        assert not group.is_valid()
        assert [layer.get_name() for layer in image.get_layers()] == ["object blended", "object", "picture"]
        assert worst(wanted, bytes_of(image)) <= 1
        group = again
    report = json.loads(bytes(group.get_parasite("deep-image-blending").get_data()))
    assert report["gimp"]["source"] == above.get_tattoo()
    one = done(image, group, **PAINTED)
    assert not one.is_group()
    assert worst(wanted, bytes_of(image)) <= 1


@case
def where_nothing_is_painted_there_is_one_layer():
    for arguments in ({"preset": "photo"}, {"method": "poisson"}):
        image, above, _ = picture()
        selected(image)
        assert not done(image, above, output="layers", **arguments).is_group()
