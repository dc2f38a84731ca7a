"""Cases for `run_cases.py`: what a caller may choose: target, mask, output, preset, method."""

import json
import statistics

from gi.repository import Gimp
from inside import alphas, blend, case, check, cut_out, feathered, four, layer_of, picture, pixels, rectangle, selected, shot


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
    assert [report[name] for name in ("style", "content", "colour", "seam")] == [90, 50, 80, 50]
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
def every_method():
    for method in ("deep-single-stage", "copy-paste", "alpha", "color-transfer", "poisson", "poisson-mixed", "gaussian-poisson"):
        image, above, _ = picture()
        mask = selected(image)
        before = shot(image, above)
        new = check(image, above, before, mask, blend(image, above, method=method))
        report = json.loads(bytes(new.get_parasite("deep-image-blending").get_data()))
        assert report["method"] == method
        assert not report["notes"], report["notes"]


@case
def a_learned_model():
    seen = {}
    for arguments in ({"method": "copy-paste"}, {"method": "model", "model": "tint"}):
        image, above, _ = picture()
        mask = selected(image)
        before = shot(image, above)
        new = check(image, above, before, mask, blend(image, above, **arguments))
        seen[arguments["method"]] = pixels(image, (60, 40, 60, 60))
    report = json.loads(bytes(new.get_parasite("deep-image-blending").get_data()))
    assert report["method"] == "model:tint"
    assert {name: report["gimp"]["arguments"][name] for name in ("method", "model")} == {"method": "model", "model": "tint"}
    shifts = [[b - a for a, b in zip(*(four(seen[name], k) for name in seen), strict=True)] for k in range(3600)]
    # The model adds 0.12, -0.08, 0.04, where there is room for it.
    assert [round(statistics.median(shift[channel] for shift in shifts), 2) for channel in range(4)] == [0.12, -0.08, 0.04, 0]
