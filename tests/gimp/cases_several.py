"""Cases for `run_cases.py`: several objects at once."""

from gi.repository import Gimp
from inside import blend, case, cut_out, layer_of, picture, pixels, refused, selected


def two_objects():
    """A picture, and above it two objects that overlap, cut out."""
    image, lower, below = picture()
    cut_out(lower, 20, 20, 60, 50)
    upper = layer_of(image, "object.png", 60, 50, "upper")
    cut_out(upper, 10, 10, 60, 50)
    return image, lower, upper, below


def names(image):
    return [layer.get_name() for layer in image.get_layers()]


@case
def several_objects_are_blended_each_onto_those_below():
    image, lower, upper, _below = two_objects()
    assert blend(image, lower).index(0) == Gimp.PDBStatusType.SUCCESS
    assert blend(image, upper, target="visible-below").index(0) == Gimp.PDBStatusType.SUCCESS
    wanted, order = pixels(image), names(image)
    for layers in (0, 1):  # in whatever order they are named
        image, lower, upper, _below = two_objects()
        result = blend(image, [upper, lower] if layers else [lower, upper])
        assert result.index(0) == Gimp.PDBStatusType.SUCCESS, Gimp.get_pdb().get_last_error()
        assert result.index(1) == ""
        assert names(image) == order == ["upper blended", "upper", "object blended", "object", "picture"]
        assert pixels(image) == wanted
        assert {layer.get_name() for layer in image.get_selected_layers()} == {"object blended", "upper blended"}
        assert not lower.get_visible()
        assert not upper.get_visible()


@case
def what_fails_of_several_is_told_and_the_others_are_blended():
    image, lower, upper, _below = two_objects()
    outside = layer_of(image, "object.png", 500, 500, "away")
    cut_out(outside, 10, 10, 60, 50)
    result = blend(image, [outside, upper, lower])
    assert result.index(0) == Gimp.PDBStatusType.SUCCESS, Gimp.get_pdb().get_last_error()
    assert "“away”" in result.index(1)
    assert "outside" in result.index(1)
    assert "upper" not in result.index(1)
    assert names(image) == ["away", "upper blended", "upper", "object blended", "object", "picture"]
    assert outside.get_visible()


@case
def if_all_of_several_fail_the_first_is_told():
    image, above, below = picture()
    refused(image, [above, below], "no layer below “picture”")


@case
def a_group_and_a_layer_in_it_are_refused():
    image, above, _below = picture()
    group = Gimp.GroupLayer.new(image, "group")
    image.insert_layer(group, None, 0)
    image.reorder_item(above, group, 0)
    selected(image)
    refused(image, [group, above], "group “group”")


@case
def several_blended_layers_are_blended_again_and_replaced():
    image, lower, upper, _below = two_objects()
    assert blend(image, [lower, upper]).index(0) == Gimp.PDBStatusType.SUCCESS
    before, order = pixels(image, None, "R'G'B'A u8"), names(image)
    blended = [image.get_layers()[0], image.get_layers()[2]]
    assert blend(image, blended).index(0) == Gimp.PDBStatusType.SUCCESS, Gimp.get_pdb().get_last_error()
    assert names(image) == order
    assert not any(layer.is_valid() for layer in blended)
    assert max(abs(a - b) for a, b in zip(pixels(image, None, "R'G'B'A u8"), before, strict=True)) <= 1
