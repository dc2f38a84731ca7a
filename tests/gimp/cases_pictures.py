"""Cases for `run_cases.py`: what pictures, layers and selections may come in."""

import struct

from gi.repository import Gegl, Gimp
from inside import alphas, blend, case, check, cut_out, feathered, picture, rectangle, selected, shot, stored


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
    mask = feathered(image)
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


def untouched(name, base):
    image, above, below = picture(getattr(Gimp.Precision, name))
    if base == Gimp.ImageBaseType.GRAY:
        image.convert_grayscale()
    mask = selected(image)
    before, layers = shot(image, above), [stored(layer) for layer in (above, below)]
    check(image, above, before, mask, blend(image, above), rounding=1e-6 if name.startswith(("FLOAT", "U32")) else 0.0)
    assert [stored(layer) for layer in (above, below)] == layers


@case
def every_other_precision():
    for precision in ("U8_LINEAR", "U16_LINEAR", "U32_NON_LINEAR", "HALF_NON_LINEAR", "FLOAT_LINEAR", "FLOAT_NON_LINEAR"):
        untouched(precision, Gimp.ImageBaseType.RGB)


@case
def grey_in_depth():
    for precision in ("U16_NON_LINEAR", "FLOAT_LINEAR"):
        untouched(precision, Gimp.ImageBaseType.GRAY)


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
    canvas = Gimp.Layer.new_from_drawable(text, image)
    image.insert_layer(canvas, None, 0)
    canvas.resize_to_image_size()
    mask = [alpha / 255 for alpha in alphas(canvas)]
    image.remove_layer(canvas)
    before = shot(image, text)
    check(image, text, before, mask, blend(image, text))


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
