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
    for name, value in {"preset": "draft", "iterations": 4, **arguments}.items():
        config.set_property(name.replace("_", "-"), value)
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


def check(image, source, before, mask, result, name="object blended", rounding=0.0):
    """One new layer above the source; outside `mask` (a list of floats) every pixel as before, inside not.

    `rounding`: by how much GIMP's own rounding may differ when one layer more is laid over the others, all of it transparent there.
    """
    assert result.index(0) == Gimp.PDBStatusType.SUCCESS, Gimp.get_pdb().get_last_error()
    parent = source.get_parent()
    layers = parent.get_children() if parent else image.get_layers()
    above = layers[image.get_item_position(source) - 1]
    assert above.get_name() == name, above.get_name()
    assert above.has_alpha()
    assert not source.get_visible()
    after = pixels(image)
    changed = [k for k, m in enumerate(mask) if m == 0 and before[16 * k : 16 * k + 16] != after[16 * k : 16 * k + 16]]
    worst = max((abs(a - b) for k in changed for a, b in zip(four(before, k), four(after, k), strict=True)), default=0.0)
    assert worst <= rounding, f"{len(changed)} pixels outside the mask changed, by up to {worst}"
    inside = [k for k, m in enumerate(mask) if m > 0.9]
    changed = sum(before[16 * k : 16 * k + 16] != after[16 * k : 16 * k + 16] for k in inside)
    assert changed > 0.5 * len(inside), f"only {changed} of {len(inside)} pixels inside the mask changed"
    return above


def four(data, k):
    return struct.unpack("4f", data[16 * k : 16 * k + 16])


def stored(layer):
    """The layer's own pixels, as exact as any precision needs."""
    rect = Gegl.Rectangle.new(0, 0, layer.get_width(), layer.get_height())
    return layer.get_buffer().get(rect, 1.0, "R'G'B'A double", Gegl.AbyssPolicy.NONE)


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


def selected(image):
    """Select a rectangle of the object. Returns it as a list of floats."""
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 60, 40, 60, 60)
    return rectangle(image, 60, 40, 60, 60)


def alphas(layer):
    """The alpha of each pixel, 0 to 255."""
    rect = Gegl.Rectangle.new(0, 0, layer.get_width(), layer.get_height())
    return layer.get_buffer().get(rect, 1.0, "R'G'B'A u8", Gegl.AbyssPolicy.NONE)[3::4]


def untouched(precision, base):
    image, above, below = picture(precision)
    if base == Gimp.ImageBaseType.GRAY:
        image.convert_grayscale()
    mask = selected(image)
    before, layers = shot(image, above), [stored(layer) for layer in (above, below)]
    check(image, above, before, mask, blend(image, above), rounding=1e-6)
    assert [stored(layer) for layer in (above, below)] == layers


@case
def every_other_precision():
    for precision in ("U8_LINEAR", "U16_LINEAR", "U32_NON_LINEAR", "HALF_NON_LINEAR", "FLOAT_LINEAR", "FLOAT_NON_LINEAR"):
        untouched(getattr(Gimp.Precision, precision), Gimp.ImageBaseType.RGB)


@case
def grey_in_depth():
    for precision in ("U16_NON_LINEAR", "FLOAT_LINEAR"):
        untouched(getattr(Gimp.Precision, precision), Gimp.ImageBaseType.GRAY)


@case
def a_group_as_the_source():
    image, above, _ = picture()
    above.set_name("part")
    group = Gimp.GroupLayer.new(image, "object")
    image.insert_layer(group, None, 0)
    image.reorder_item(above, group, 0)
    mask = selected(image)
    before = shot(image, group)
    check(image, group, before, mask, blend(image, group))


@case
def a_text_layer_as_the_source():
    image, above, _ = picture()
    image.remove_layer(above)
    text = Gimp.TextLayer.new(image, "Blend", Gimp.context_get_font(), 60, Gimp.Unit.pixel())
    image.insert_layer(text, None, 0)
    text.set_name("object")
    text.set_offsets(20, 40)
    before = shot(image, text)
    assert blend(image, text).index(0) == Gimp.PDBStatusType.SUCCESS
    new = image.get_layers()[0]
    mask = [0.0] * (200 * 150)
    x, y = new.get_offsets()[1:]
    width, height = new.get_width(), new.get_height()
    data = new.get_buffer().get(Gegl.Rectangle.new(0, 0, width, height), 1.0, "R'G'B'A u8", Gegl.AbyssPolicy.NONE)
    for k in range(width * height):
        mask[(y + k // width) * 200 + x + k % width] = data[4 * k + 3] / 255
    after = pixels(image)
    assert 0 < sum(m > 0 for m in mask) < width * height
    assert all(before[16 * k : 16 * k + 16] == after[16 * k : 16 * k + 16] for k, m in enumerate(mask) if m == 0)


@case
def opacity_and_filters_on_source_and_target():
    image, above, below = picture()
    below.set_opacity(70)
    above.set_opacity(50)
    for layer in (above, below):
        blur = Gimp.DrawableFilter.new(layer, "gegl:gaussian-blur", "blur")
        blur.get_config().set_property("std-dev-x", 3.0)
        layer.append_filter(blur)
    mask = selected(image)
    before = shot(image, above)
    layers = [stored(layer) for layer in (above, below)]
    check(image, above, before, mask, blend(image, above), rounding=1.01 / 255)
    assert [stored(layer) for layer in (above, below)] == layers
    assert len(above.get_filters()) == len(below.get_filters()) == 1


@case
def a_locked_source():
    image, above, below = picture()
    for layer in (above, below):
        layer.set_lock_content(True)
        layer.set_lock_position(True)
    mask = selected(image)
    before = shot(image, above)
    check(image, above, before, mask, blend(image, above))


@case
def a_floating_selection_is_refused():
    image, above, _ = picture()
    selected(image)
    Gimp.Selection.float(image, [above], 3, 3)
    before = pixels(image)
    result = blend(image, above)
    assert result.index(0) == Gimp.PDBStatusType.EXECUTION_ERROR
    assert "floating selection" in Gimp.get_pdb().get_last_error()
    assert pixels(image) == before


@case
def a_layer_of_ones_choice():
    image, above, _ = picture()
    chosen = layer_of(image, "picture.png", 0, 0, "chosen", alpha=False, position=2)
    layer_of(image, "object.png", 0, 0, "between", position=1)
    mask = selected(image)
    assert blend(image, above, target="chosen-layer", target_layer=chosen).index(0) == Gimp.PDBStatusType.SUCCESS
    new = image.get_layers()[0]
    report = json.loads(bytes(new.get_parasite("deep-image-blending").get_data()))
    assert report["gimp"]["source"] == above.get_tattoo()
    assert report["gimp"]["arguments"]["target-layer"] == chosen.get_tattoo()
    first = pixels(image, (60, 40, 60, 60))
    # The same blend as into that layer below.
    image.remove_layer(new)
    image.remove_layer(image.get_layers()[1])
    above.set_visible(True)
    before = shot(image, above)
    check(image, above, before, mask, blend(image, above))
    assert pixels(image, (60, 40, 60, 60)) == first


@case
def no_layer_chosen_is_refused():
    image, above, _ = picture()
    selected(image)
    refused(image, above, "no layer chosen", target="chosen-layer")


@case
def the_mask_grows_and_softens():
    image, above, _ = picture()
    selected(image)
    before = shot(image, above)
    grown = rectangle(image, 55, 35, 70, 70)
    new = check(image, above, before, grown, blend(image, above, grow=5))
    assert (new.get_offsets()[1:], new.get_width(), new.get_height()) == ((55, 35), 70, 70)
    assert Gimp.Selection.bounds(image)[2:] == (60, 40, 120, 100), "the user's own selection has changed"
    image.remove_layer(new)
    above.set_visible(True)
    assert blend(image, above, grow=-5, feather=6).index(0) == Gimp.PDBStatusType.SUCCESS
    new = image.get_layers()[0]
    assert len(set(alphas(new))) > 10


@case
def the_layers_alpha_whatever_is_selected():
    image, above, _ = picture()
    cut_out(above, 40, 30, 60, 50)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 0, 0, 20, 20)
    before = shot(image, above)
    check(image, above, before, rectangle(image, 70, 50, 60, 50), blend(image, above, mask="alpha"))


@case
def the_layer_mask_as_the_mask():
    image, above, _ = picture()
    mask = selected(image)
    above.add_mask(above.create_mask(Gimp.AddMaskType.SELECTION))
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 0, 0, 20, 20)
    before = shot(image, above)
    new = check(image, above, before, mask, blend(image, above, mask="layer-mask"))
    image.remove_layer(new)
    above.set_visible(True)
    check(image, above, before, rectangle(image, 55, 35, 70, 70), blend(image, above, mask="layer-mask", grow=5))


@case
def a_layer_mask_that_is_not_there_is_refused():
    image, above, _ = picture()
    refused(image, above, "no layer mask", mask="layer-mask")


@case
def the_result_with_a_layer_mask_looks_the_same():
    for precision in (Gimp.Precision.U8_NON_LINEAR, Gimp.Precision.FLOAT_LINEAR):
        image, above, _ = picture(precision)
        Gimp.context_push()
        Gimp.context_set_feather(True)
        Gimp.context_set_feather_radius(8, 8)
        image.select_ellipse(Gimp.ChannelOps.REPLACE, 60, 40, 70, 60)
        Gimp.context_pop()
        mask = selection(image)
        before = shot(image, above)
        plain = check(image, above, before, mask, blend(image, above))
        wanted = pixels(image, None, "R'G'B'A u8")
        image.remove_layer(plain)
        above.set_visible(True)
        masked = check(image, above, before, mask, blend(image, above, output="new-layer-with-mask"))
        assert masked.get_mask() is not None
        assert set(alphas(masked)) == {255}
        assert max(abs(a - b) for a, b in zip(wanted, pixels(image, None, "R'G'B'A u8"), strict=True)) <= 1


@case
def the_result_in_the_sources_place():
    image, above, _ = picture()
    mask = selected(image)
    before = shot(image, above)
    assert blend(image, above, output="replace").index(0) == Gimp.PDBStatusType.SUCCESS
    assert [layer.get_name() for layer in image.get_layers()] == ["object", "picture"]
    after = pixels(image)
    assert all(before[16 * k : 16 * k + 16] == after[16 * k : 16 * k + 16] for k, m in enumerate(mask) if m == 0)


@case
def the_source_may_stay_visible():
    image, above, _ = picture()
    selected(image)
    assert blend(image, above, hide_source=False).index(0) == Gimp.PDBStatusType.SUCCESS
    assert above.get_visible()


@case
def a_presets_own_sliders():
    image, above, _ = picture()
    selected(image)
    assert blend(image, above, preset="painting", colour=80, iterations=6, working_size=64).index(0) == Gimp.PDBStatusType.SUCCESS
    report = json.loads(bytes(image.get_layers()[0].get_parasite("deep-image-blending").get_data()))
    assert [report[name] for name in ("style", "content", "colour", "seam")] == [70, 45, 80, 50]
    assert (report["evaluations"], report["working_size"]) == (6, 64)


@case
def a_blended_layer_is_blended_again_with_the_same_mask():
    image, above, _ = picture()
    Gimp.context_push()
    Gimp.context_set_feather(True)
    Gimp.context_set_feather_radius(8, 8)
    image.select_ellipse(Gimp.ChannelOps.REPLACE, 60, 40, 70, 60)
    Gimp.context_pop()
    mask = selection(image)
    before = shot(image, above)
    first = check(image, above, before, mask, blend(image, above))
    wanted = pixels(image, None, "R'G'B'A u8")
    Gimp.Selection.none(image)
    for _ in range(2):
        again = image.get_layers()[0]
        assert blend(image, again).index(0) == Gimp.PDBStatusType.SUCCESS
        assert not again.is_valid()
    assert [layer.get_name() for layer in image.get_layers()] == ["object blended", "object", "picture"]
    assert max(abs(a - b) for a, b in zip(wanted, pixels(image, None, "R'G'B'A u8"), strict=True)) <= 1
    assert not first.is_valid()


@case
def an_address_where_no_daemon_is():
    image, above, _ = picture()
    selected(image)
    refused(image, above, "is no address", daemon="tcp://127.0.0.1:1")


results = {}
for function in CASES:
    print("case", function.__name__, flush=True)
    try:
        function()
        results[function.__name__] = "ok"
    except Exception:
        results[function.__name__] = traceback.format_exc()
    for image in Gimp.get_images():
        image.delete()
with open(os.path.join(WORK, "results.json"), "w") as file:
    json.dump(results, file)
