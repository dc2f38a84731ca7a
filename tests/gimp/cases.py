"""Runs inside GIMP: each case named in CASES (environment) makes an image, calls the procedure and asserts on what it finds.

Writes {case: "ok" or a traceback} to WORK/results.json.
"""

import json
import os
import struct
import sys
import traceback

sys.path.insert(0, os.environ["TESTS"])
from gi.repository import Gegl, Gimp
from inside import (
    NAME,
    WORK,
    alphas,
    blend,
    check,
    cut_out,
    feathered,
    layer_of,
    lost,
    meanwhile,
    picture,
    pixels,
    rectangle,
    refused,
    selected,
    shot,
    stored,
)

CASES = []


def case(function):
    CASES.append(function)
    return function


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


@case
def a_floating_selection_is_refused():
    image, above, _ = picture()
    selected(image)
    Gimp.Selection.float(image, [above], 3, 3)
    before = pixels(image)
    result = blend(image, above)
    assert result.index(0) == Gimp.PDBStatusType.EXECUTION_ERROR, (result.index(0), Gimp.get_pdb().get_last_error())
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
        mask = feathered(image)
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
    mask = feathered(image)
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
def a_result_that_nobody_took_is_recovered():
    image, *_ = picture()
    before = pixels(image)
    job = lost("lost")[0]["job"]
    procedure = Gimp.get_pdb().lookup_procedure(NAME + "-recover")
    config = procedure.create_config()
    for name, value in {"run-mode": Gimp.RunMode.NONINTERACTIVE, "image": image, "job": job}.items():
        config.set_property(name, value)
    assert procedure.run(config).index(0) == Gimp.PDBStatusType.SUCCESS, Gimp.get_pdb().get_last_error()
    new = image.get_layers()[0]
    assert (new.get_name(), new.get_offsets()[1:], new.get_width(), new.get_height()) == ("lost blended", (60, 70), 50, 40)
    assert pixels(image) != before
    image.remove_layer(new)
    assert pixels(image) == before
    assert procedure.run(config).index(0) == Gimp.PDBStatusType.EXECUTION_ERROR
    assert "no blend to recover" in Gimp.get_pdb().get_last_error()


@case
def every_method():
    for method in ("deep-single-stage", "copy-paste", "alpha", "color-transfer", "poisson", "poisson-mixed", "gaussian-poisson"):
        image, above, _ = picture()
        mask = selected(image)
        before = shot(image, above)
        new = check(image, above, before, mask, blend(image, above, method=method))
        report = json.loads(bytes(new.get_parasite("deep-image-blending").get_data()))
        assert report["method"] == method
        assert not report["notes"], report["notes"]


LONGER = {"preset": "standard", "iterations": 20}  # long enough for something to happen meanwhile


@case
def a_layer_deleted_meanwhile():
    image, above, below = picture()
    selected(image)
    wait = meanwhile("image = Gimp.get_images()[0]; image.remove_layer(image.get_layer_by_name('object'))")
    above.set_visible(False)
    before = pixels(image)
    above.set_visible(True)
    result = blend(image, above, **LONGER)
    wait()
    assert result.index(0) == Gimp.PDBStatusType.EXECUTION_ERROR, (result.index(0), Gimp.get_pdb().get_last_error())
    message = Gimp.get_pdb().get_last_error()
    assert "closed while" in message, message
    assert "Recover Blends" in message, message
    assert image.get_layers() == [below]
    assert pixels(image) == before


@case
def an_image_converted_meanwhile():
    image, above, _ = picture()
    selected(image)
    wait = meanwhile("Gimp.get_images()[0].convert_grayscale()")
    result = blend(image, above, **LONGER)
    wait()
    assert result.index(0) == Gimp.PDBStatusType.EXECUTION_ERROR, (result.index(0), Gimp.get_pdb().get_last_error())
    assert "colour mode" in Gimp.get_pdb().get_last_error()
    assert len(image.get_layers()) == 2


@case
def a_layer_moved_meanwhile():
    image, above, _ = picture()
    mask = selected(image)
    before = shot(image, above)
    wait = meanwhile("Gimp.get_images()[0].get_layer_by_name('object').set_offsets(-20, 60)")
    result = blend(image, above, **LONGER)
    wait()
    # The blend belongs where it was made for.
    new = check(image, above, before, mask, result)
    assert new.get_offsets()[1:] == (60, 40)
    assert above.get_offsets()[1:] == (-20, 60)


@case
def the_target_deleted_and_the_selection_changed_meanwhile():
    image, above, below = picture()
    selected(image)
    wait = meanwhile("image = Gimp.get_images()[0]; image.remove_layer(image.get_layer_by_name('picture')); Gimp.Selection.none(image)")
    result = blend(image, above, **LONGER)
    wait()
    assert result.index(0) == Gimp.PDBStatusType.SUCCESS
    assert not below.is_valid()
    new = image.get_layers()[0]
    assert (new.get_offsets()[1:], new.get_width(), new.get_height()) == ((60, 40), 60, 60)


@case
def an_address_where_no_daemon_is():
    image, above, _ = picture()
    selected(image)
    refused(image, above, "not paired", daemon="tcp://127.0.0.1:1")


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
