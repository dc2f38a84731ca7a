"""Cases for `run_cases.py`: depths, profiles, ranges and selections that other programs are known to get wrong."""

import struct

from gi.repository import Gegl, Gimp
from inside import blend, case, picture, refused

PASTE = {"method": "copy-paste"}  # what comes back is what was sent, so that every change on the way shows


def floats(layer, rect=None):
    """The layer's own pixels in its own space, R'G'B'A."""
    rect = Gegl.Rectangle.new(*(rect or (0, 0, layer.get_width(), layer.get_height())))
    data = layer.get_buffer().get(rect, 1.0, "R'G'B'A float", Gegl.AbyssPolicy.NONE)
    return struct.unpack(f"{len(data) // 4}f", data)


def filled(layer, values, form="R'G'B'A float"):
    """Give the layer these values, one pixel after another."""
    buffer = layer.get_buffer()
    buffer.set(Gegl.Rectangle.new(0, 0, layer.get_width(), layer.get_height()), form, struct.pack(f"{len(values)}f", *values))
    buffer.flush()
    del buffer
    layer.update(0, 0, layer.get_width(), layer.get_height())


def select_at(image, level, x=60, y=40, w=60, h=60, floor=0.0):
    """A selection of one value in a rectangle, and of another outside. GIMP copies a channel's values as they are stored."""
    width, height = image.get_width(), image.get_height()
    values = [level if x <= k % width < x + w and y <= k // width < y + h else floor for k in range(width * height)]
    channel = Gimp.Channel.new(image, "mask", width, height, 100, Gegl.Color.new("black"))
    image.insert_channel(channel, None, 0)
    buffer = channel.get_buffer()
    buffer.set(
        Gegl.Rectangle.new(0, 0, width, height),
        "Y float" if image.get_precision() == Gimp.Precision.FLOAT_LINEAR else "Y' float",
        struct.pack(f"{len(values)}f", *values),
    )
    buffer.flush()
    del buffer
    channel.update(0, 0, width, height)
    image.select_item(Gimp.ChannelOps.REPLACE, channel)
    image.remove_channel(channel)


def pasted(image, above, tolerance):
    """Paste the selected 60x60 px at (60, 40), and see that they are the source's."""
    result = blend(image, above, **PASTE)
    assert result.index(0) == Gimp.PDBStatusType.SUCCESS, Gimp.get_pdb().get_last_error()
    new = image.get_layers()[0]
    _, left, top = above.get_offsets()
    _, x, y = new.get_offsets()
    got = floats(new)
    wanted = floats(above, (x - left, y - top, new.get_width(), new.get_height()))
    worst = max(abs(a - b) for k, (a, b) in enumerate(zip(got, wanted, strict=True)) if k % 4 < 3)
    assert worst <= tolerance, f"off by {worst}"
    return new


def ramp(dark):
    """A source of 160 x 120 px whose rows are equal: levels that only more than eight bits tell apart."""
    return [value for k in range(160 * 120) for value in (*(3 * [dark * (k % 160) / 160]), 1.0)]


@case
def every_depth_comes_back_as_it_was_sent():
    for name in (
        "U8_LINEAR",
        "U8_NON_LINEAR",
        "U16_LINEAR",
        "U16_NON_LINEAR",
        "U32_LINEAR",
        "HALF_LINEAR",
        "FLOAT_LINEAR",
        "FLOAT_NON_LINEAR",
    ):
        image, above, _ = picture(getattr(Gimp.Precision, name))
        filled(above, ramp(0.05))
        select_at(image, 1.0)
        new = pasted(image, above, 2e-3 if name.startswith("U8") else 1e-4)
        if not name.startswith("U8"):
            row = floats(new, (0, 30, 60, 1))[::4]
            assert len(set(row)) == 60, f"{name}: {len(set(row))} of 60 levels are left"


@case
def every_profile_comes_back_as_it_was_sent():
    for precision in (Gimp.Precision.U8_NON_LINEAR, Gimp.Precision.U16_LINEAR, Gimp.Precision.FLOAT_LINEAR):
        for profile in (Gimp.ColorProfile.new_rgb_adobe(), Gimp.ColorProfile.new_rgb_srgb_linear(), Gimp.ColorProfile.new_rgb_srgb()):
            image, above, _ = picture(precision)
            assert image.convert_color_profile(profile, Gimp.ColorRenderingIntent.RELATIVE_COLORIMETRIC, True)
            select_at(image, 1.0)
            pasted(image, above, 1e-4)


@case
def every_grey_profile_comes_back_as_it_was_sent():
    for precision in (Gimp.Precision.U8_NON_LINEAR, Gimp.Precision.U16_LINEAR, Gimp.Precision.FLOAT_LINEAR):
        for profile in (
            Gimp.ColorProfile.new_d65_gray_linear(),
            Gimp.ColorProfile.new_d50_gray_lab_trc(),
            Gimp.ColorProfile.new_d65_gray_srgb_trc(),
        ):
            image, above, _ = picture(precision)
            image.convert_grayscale()
            assert image.convert_color_profile(profile, Gimp.ColorRenderingIntent.RELATIVE_COLORIMETRIC, True)
            select_at(image, 1.0)
            assert pasted(image, above, 1e-4).is_gray()


@case
def values_beyond_the_range_come_back_as_they_were_sent():
    image, above, _ = picture(Gimp.Precision.FLOAT_LINEAR)
    filled(above, [value for k in range(160 * 120) for value in (2.5, k % 160 / 160 - 0.2, 0.5, 1.0)])
    select_at(image, 1.0)
    pasted(image, above, 1e-4)


@case
def colours_that_cannot_be_seen_have_no_say():
    seen = []
    for hidden in (0.0, 1.0):
        image, above, below = picture()
        below.add_alpha()
        values = list(floats(below))
        for k in range(200 * 150):
            if k % 200 < 75:
                values[4 * k : 4 * k + 4] = [hidden, hidden, hidden, 0.0]
        filled(below, values)
        select_at(image, 1.0)
        assert blend(image, above).index(0) == Gimp.PDBStatusType.SUCCESS, Gimp.get_pdb().get_last_error()
        seen.append(floats(image.get_layers()[0]))
    worst = max(abs(a - b) for a, b in zip(*seen, strict=True))
    assert worst <= 1 / 255, f"off by {worst}"


def blended(image, above):
    """The layer of a blend that succeeds, and its alphas."""
    result = blend(image, above, **PASTE)
    assert result.index(0) == Gimp.PDBStatusType.SUCCESS, Gimp.get_pdb().get_last_error()
    new = image.get_layers()[0]
    return new, sorted(set(floats(new)[3::4]))


@case
def a_selection_of_the_faintest_level_selects_all_the_same():
    for precision in (Gimp.Precision.U8_NON_LINEAR, Gimp.Precision.U16_NON_LINEAR, Gimp.Precision.FLOAT_LINEAR):
        image, above, _ = picture(precision)
        select_at(image, 1 / 255)
        new, alphas = blended(image, above)
        assert (new.get_offsets()[1:], new.get_width(), new.get_height()) == ((60, 40), 60, 60)
        assert alphas == [1.0], alphas


@case
def several_faint_levels_are_refused():
    image, above, _ = picture()
    select_at(image, 1 / 255, floor=3 / 255)
    Gimp.Selection.feather(image, 4)
    refused(image, above, "holds nothing brighter than", **PASTE)


@case
def a_faint_floor_is_no_selection():
    for precision in (Gimp.Precision.U8_NON_LINEAR, Gimp.Precision.U16_NON_LINEAR, Gimp.Precision.FLOAT_LINEAR):
        image, above, _ = picture(precision)
        select_at(image, 1.0, floor=2 / 255)
        new, alphas = blended(image, above)
        assert (new.get_offsets()[1:], new.get_width(), new.get_height()) == ((60, 40), 60, 60)
        assert alphas == [1.0], alphas


@case
def a_faint_floor_of_the_alpha_is_no_object():
    image, above, _ = picture()
    values = list(floats(above))
    for k in range(160 * 120):
        values[4 * k + 3] = 1.0 if 30 <= k % 160 < 90 and 20 <= k // 160 < 80 else 2 / 255
    filled(above, values)
    new, alphas = blended(image, above)
    assert (new.get_offsets()[1:], new.get_width(), new.get_height()) == ((60, 40), 60, 60)
    assert alphas == [1.0], alphas


@case
def half_a_selection_stays_half():
    image, above, _ = picture()
    select_at(image, 0.5)
    _new, alphas = blended(image, above)
    assert len(alphas) == 1, alphas
    assert abs(alphas[0] - 0.5) < 0.003, alphas


@case
def the_smallest():
    for size in (1, 2, 3):
        for base in (Gimp.ImageBaseType.RGB, Gimp.ImageBaseType.GRAY):
            image, above, _ = picture()
            if base == Gimp.ImageBaseType.GRAY:
                image.convert_grayscale()
            select_at(image, 1.0, 70, 50, size, size)
            assert blend(image, above).index(0) == Gimp.PDBStatusType.SUCCESS, Gimp.get_pdb().get_last_error()
    image = Gimp.Image.new(1, 1, Gimp.ImageBaseType.GRAY)
    for name in ("picture", "object"):
        layer = Gimp.Layer.new(image, name, 1, 1, Gimp.ImageType.GRAYA_IMAGE, 100, Gimp.LayerMode.NORMAL)
        image.insert_layer(layer, None, 0)
    refused(image, layer, "")
