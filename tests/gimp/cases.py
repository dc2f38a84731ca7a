"""Runs inside GIMP: each case makes an image, calls the procedure through the PDB and asserts on what it finds.

Writes {case: "ok" or a traceback} to WORK/results.json.
"""

import json
import os
import struct
import traceback

import gi

gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from gi.repository import Gegl, Gimp, Gio

WORK = os.environ["WORK"]
NAME = "plug-in-deep-image-blending"
CASES = []


def case(function):
    CASES.append(function)
    return function


def layer_of(image, file, x=0, y=0, name="object", alpha=True, parent=None, position=0):
    loaded = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(os.path.join(WORK, file)))
    layer = Gimp.Layer.new_from_drawable(loaded.get_layers()[0], image)
    image.insert_layer(layer, parent, position)
    loaded.delete()
    layer.set_name(name)
    layer.set_offsets(x, y)
    if alpha:
        layer.add_alpha()
    return layer


def picture(precision=None, base=Gimp.ImageBaseType.RGB, x=30, y=20):
    """An image with the picture and above it the object's layer at (x, y); nothing selected."""
    image = Gimp.Image.new_with_precision(200, 150, base, precision or Gimp.Precision.U8_NON_LINEAR)
    below = layer_of(image, "picture.png", name="picture", alpha=False)
    above = layer_of(image, "object.png", x, y)
    return image, above, below


def blend(image, layers, mode=Gimp.RunMode.NONINTERACTIVE, **arguments):
    procedure = Gimp.get_pdb().lookup_procedure(NAME)
    config = procedure.create_config()
    config.set_property("run-mode", mode)
    config.set_property("image", image)
    config.set_core_object_array("drawables", layers if isinstance(layers, list) else [layers])
    for name, value in {"preset": "draft", **arguments}.items():
        config.set_property(name, value)
    return procedure.run(config)


def pixels(image, rect=None, kind="R'G'B'A float"):
    """What is visible, as floats or as bytes."""
    rect = rect or (0, 0, image.get_width(), image.get_height())
    copy = image.duplicate()
    visible = Gimp.Layer.new_from_visible(copy, copy, "visible")
    data = visible.get_buffer().get(Gegl.Rectangle.new(*rect), 1.0, kind, Gegl.AbyssPolicy.NONE)
    copy.delete()
    return data


def selection(image):
    data = (
        image.get_selection()
        .get_buffer()
        .get(Gegl.Rectangle.new(0, 0, image.get_width(), image.get_height()), 1.0, "Y float", Gegl.AbyssPolicy.NONE)
    )
    return struct.unpack(f"{image.get_width() * image.get_height()}f", data)


def shot(image, source):
    """What is visible without the source layer: what must still be there outside the mask afterwards."""
    source.set_visible(False)
    data = pixels(image)
    source.set_visible(True)
    return data


def check(image, source, before, mask, result, name="object blended"):
    """One new layer above the source; outside `mask` (a list of floats) every pixel as before, inside not."""
    assert result.index(0) == Gimp.PDBStatusType.SUCCESS, Gimp.get_pdb().get_last_error()
    parent = source.get_parent()
    layers = parent.get_children() if parent else image.get_layers()
    above = layers[image.get_item_position(source) - 1]
    assert above.get_name() == name, above.get_name()
    assert above.has_alpha()
    assert not source.get_visible()
    after = pixels(image)
    outside = sum(before[16 * k : 16 * k + 16] != after[16 * k : 16 * k + 16] for k, m in enumerate(mask) if m == 0)
    assert outside == 0, f"{outside} pixels outside the mask changed"
    inside = [k for k, m in enumerate(mask) if m > 0.9]
    changed = sum(before[16 * k : 16 * k + 16] != after[16 * k : 16 * k + 16] for k in inside)
    assert changed > 0.5 * len(inside), f"only {changed} of {len(inside)} pixels inside the mask changed"
    return above


def rectangle(image, x, y, w, h):
    return [
        float(x <= k % image.get_width() < x + w and y <= k // image.get_width() < y + h)
        for k in range(image.get_width() * image.get_height())
    ]


def cut_out(layer, x, y, w, h):
    """Make all of the layer transparent but a rectangle."""
    width, height = layer.get_width(), layer.get_height()
    rect = Gegl.Rectangle.new(0, 0, width, height)
    buffer = layer.get_buffer()
    data = bytearray(buffer.get(rect, 1.0, "R'G'B'A u8", Gegl.AbyssPolicy.NONE))
    for k in range(width * height):
        if not (x <= k % width < x + w and y <= k // width < y + h):
            data[4 * k + 3] = 0
    buffer.set(rect, "R'G'B'A u8", bytes(data))
    buffer.flush()
    del buffer
    layer.update(0, 0, width, height)


@case
def without_a_selection_the_alpha_is_the_mask():
    image, above, _ = picture()
    cut_out(above, 40, 30, 60, 50)
    before = shot(image, above)
    new = check(image, above, before, rectangle(image, 70, 50, 60, 50), blend(image, above))
    assert new.get_offsets()[1:] == (70, 50)
    assert (new.get_width(), new.get_height()) == (60, 50)
    assert image.get_layers()[0] == new
    assert image.get_selected_layers() == [new]


@case
def a_feathered_selection_gives_a_soft_edge():
    image, above, _ = picture()
    Gimp.context_push()
    Gimp.context_set_feather(True)
    Gimp.context_set_feather_radius(8, 8)
    image.select_ellipse(Gimp.ChannelOps.REPLACE, 60, 40, 70, 60)
    Gimp.context_pop()
    mask = selection(image)
    assert any(0.2 < m < 0.8 for m in mask)
    before = shot(image, above)
    new = check(image, above, before, mask, blend(image, above))
    x, y = new.get_offsets()[1:]
    width, height = new.get_width(), new.get_height()
    data = new.get_buffer().get(Gegl.Rectangle.new(0, 0, width, height), 1.0, "R'G'B'A u8", Gegl.AbyssPolicy.NONE)
    for k in range(width * height):
        wanted = mask[(y + k // width) * 200 + x + k % width]
        assert abs(data[4 * k + 3] / 255 - wanted) < 0.006, (k, data[4 * k + 3], wanted)


@case
def a_layer_partly_off_the_canvas():
    image, above, _ = picture(x=-60, y=90)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 0, 100, 80, 50)
    before = shot(image, above)
    new = check(image, above, before, rectangle(image, 0, 100, 80, 50), blend(image, above))
    assert new.get_offsets()[1:] == (0, 100)


@case
def sixteen_bits():
    image, above, _ = picture(Gimp.Precision.U16_NON_LINEAR)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 60, 40, 60, 60)
    before = shot(image, above)
    new = check(image, above, before, rectangle(image, 60, 40, 60, 60), blend(image, above))
    data = new.get_buffer().get(Gegl.Rectangle.new(0, 0, 60, 60), 1.0, "R'G'B'A u16", Gegl.AbyssPolicy.NONE)
    values = struct.unpack(f"{60 * 60 * 4}H", data)
    assert any(v % 257 for v in values), "the layer holds no more than eight bits"


@case
def half_float_linear():
    image, above, _ = picture(Gimp.Precision.HALF_LINEAR)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 60, 40, 60, 60)
    before = shot(image, above)
    check(image, above, before, rectangle(image, 60, 40, 60, 60), blend(image, above))


@case
def a_profiled_image():
    image, above, _ = picture()
    assert image.convert_color_profile(Gimp.ColorProfile.new_rgb_adobe(), Gimp.ColorRenderingIntent.RELATIVE_COLORIMETRIC, True)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 60, 40, 60, 60)
    before = shot(image, above)
    check(image, above, before, rectangle(image, 60, 40, 60, 60), blend(image, above))


@case
def grey():
    image, above, _ = picture()
    image.convert_grayscale()
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 60, 40, 60, 60)
    before = shot(image, above)
    new = check(image, above, before, rectangle(image, 60, 40, 60, 60), blend(image, above))
    assert new.is_gray()


@case
def a_layer_in_a_group_stays_in_it():
    image, above, below = picture()
    group = Gimp.GroupLayer.new(image, "group")
    image.insert_layer(group, None, 0)
    image.reorder_item(below, group, 0)
    image.reorder_item(above, group, 0)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 60, 40, 60, 60)
    before = shot(image, above)
    new = check(image, above, before, rectangle(image, 60, 40, 60, 60), blend(image, above))
    assert new.get_parent() == group


@case
def a_layer_mask_counts():
    image, above, _ = picture()
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 60, 40, 60, 60)
    above.add_mask(above.create_mask(Gimp.AddMaskType.SELECTION))
    Gimp.Selection.none(image)
    before = shot(image, above)
    check(image, above, before, rectangle(image, 60, 40, 60, 60), blend(image, above))
    assert above.get_mask() is not None


@case
def everything_visible_below():
    image, above, _below = picture()
    stroke = layer_of(image, "object.png", 100, 60, "stroke", position=1)
    stroke.set_opacity(50)
    top = layer_of(image, "object.png", -140, -100, "top", position=0)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 60, 40, 60, 60)
    before = shot(image, above)
    new = check(image, above, before, rectangle(image, 60, 40, 60, 60), blend(image, above, target="visible-below"))
    assert [layer.get_name() for layer in image.get_layers()] == ["top", "object blended", "object", "stroke", "picture"]
    assert new.get_offsets()[1:] == (60, 40)
    assert top.get_visible()


@case
def the_same_seed_gives_the_same_pixels():
    image, above, _ = picture()
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 60, 40, 60, 60)
    shots = []
    for _ in range(2):
        assert blend(image, above).index(0) == Gimp.PDBStatusType.SUCCESS
        shots.append(pixels(image))
        image.remove_layer(image.get_layers()[0])
        above.set_visible(True)
    assert shots[0] == shots[1]


@case
def last_values_are_used_again():
    image, above, _ = picture()
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 60, 40, 60, 60)
    before = shot(image, above)
    result = blend(image, above, Gimp.RunMode.WITH_LAST_VALS)
    check(image, above, before, rectangle(image, 60, 40, 60, 60), result)


def refused(image, layers, words, **arguments):
    """The call fails, says `words`, and leaves the image as it was."""
    before, names = pixels(image), [layer.get_name() for layer in image.get_layers()]
    result = blend(image, layers, **arguments)
    assert result.index(0) == Gimp.PDBStatusType.EXECUTION_ERROR, result.index(0)
    message = Gimp.get_pdb().get_last_error()
    assert words in message, message
    assert pixels(image) == before
    assert [layer.get_name() for layer in image.get_layers()] == names


@case
def an_opaque_layer_without_selection_is_refused():
    image, _, below = picture()
    image.reorder_item(below, None, 0)
    refused(image, below, "Nothing is selected")


@case
def no_layer_below_is_refused():
    image, _, below = picture()
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 60, 40, 60, 60)
    refused(image, below, "no layer below")


@case
def a_selection_beside_the_layer_is_refused():
    image, above, _ = picture(x=100, y=80)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 0, 0, 50, 50)
    refused(image, above, "outside the layer")


@case
def an_indexed_image_is_refused():
    image, above, _ = picture()
    image.convert_indexed(Gimp.ConvertDitherType.NONE, Gimp.ConvertPaletteType.GENERATE, 16, False, False, "")
    refused(image, above, "indexed")


@case
def several_layers_are_refused():
    image, above, below = picture()
    refused(image, [above, below], "one layer")


@case
def a_selection_of_everything_is_refused():
    image, _above, _below = picture()
    wide = layer_of(image, "picture.png", 0, 0, "wide")
    Gimp.Selection.all(image)
    refused(image, wide, "leaves no pixel")


results = {}
for function in CASES:
    try:
        function()
        results[function.__name__] = "ok"
    except Exception:
        results[function.__name__] = traceback.format_exc()
    for image in Gimp.get_images():
        image.delete()
with open(os.path.join(WORK, "results.json"), "w") as file:
    json.dump(results, file)
