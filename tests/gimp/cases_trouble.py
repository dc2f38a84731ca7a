"""Cases for `run_cases.py`: what is refused, and what happens to an image while its blend runs."""

from gi.repository import Gimp
from inside import NAME, blend, case, check, layer_of, lost, meanwhile, picture, pixels, refused, selected, shot


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
def a_selection_of_everything_is_refused():
    image, _above, _below = picture()
    wide = layer_of(image, "picture.png", 0, 0, "wide")
    Gimp.Selection.all(image)
    refused(image, wide, "leaves no pixel")


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
def no_layer_chosen_is_refused():
    image, above, _ = picture()
    selected(image)
    refused(image, above, "no layer chosen", target="chosen-layer")


@case
def a_layer_mask_that_is_not_there_is_refused():
    image, above, _ = picture()
    refused(image, above, "no layer mask", mask="layer-mask")


@case
def a_model_that_is_not_there_is_refused():
    image, above, _ = picture()
    selected(image)
    refused(image, above, "no model 'nobody'. There are: plain, tint.", method="model", model="nobody")
    refused(image, above, "no model chosen", method="model")
    refused(image, above, "no method 'model:../tint'", method="model", model="../tint")


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
def a_result_is_recovered_as_what_one_asks_for():
    procedure = Gimp.get_pdb().lookup_procedure(NAME + "-recover")
    seen = []
    for output in ("new-layer", "new-layer-with-mask", "layers"):
        image, *_ = picture()
        job = lost("lost", preset="painting")[0]["job"]
        config = procedure.create_config()
        for name, value in {"run-mode": Gimp.RunMode.NONINTERACTIVE, "image": image, "job": job, "output": output}.items():
            config.set_property(name, value)
        assert procedure.run(config).index(0) == Gimp.PDBStatusType.SUCCESS, Gimp.get_pdb().get_last_error()
        new = image.get_layers()[0]
        assert new.get_name() == "lost blended"
        assert new.is_group() == (output == "layers")
        assert (new.get_mask() is not None) == (output == "new-layer-with-mask")
        seen.append(pixels(image, None, "R'G'B'A u8"))
    assert all(abs(a - b) <= 1 for other in seen[1:] for a, b in zip(seen[0], other, strict=True))


LONGER = {"preset": "painting", "iterations": 20}  # long enough for something to happen meanwhile


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
