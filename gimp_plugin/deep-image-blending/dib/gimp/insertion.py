"""A blended raster into the user's image, as a layer: the one place where that image is changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gi.repository import Gimp

from blend_protocol.errors import BlendError
from blend_protocol.framing import Message, Raster
from dib.geometry import Rect
from dib.gimp import layers
from dib.gimp.snapshot import PARASITE, Subject
from dib.i18n import _
from dib.options import SLIDER_NAMES, Options


def insert(image: Gimp.Image, subject: Subject, options: Options, result: Message, box: Rect) -> Gimp.Layer:
    """Insert the layer of a `result` message as `options.output` says, as one undo step. It carries the report and the call as a parasite.

    `box`: where on the canvas it belongs.

    Raises
    ------
    BlendError
        `layer-gone`, `wrong-mode`: the image or the layer was closed or converted meanwhile
    """
    source, blended = subject.source, subject.blended
    raster, report = result.rasters["layer"], result.header["report"]
    if not image.is_valid() or not source.is_valid() or source.get_image() != image:
        raise BlendError(
            "layer-gone",
            _("The image or the layer was closed while it was being blended."),
            _("The blend is kept: Filters > Combine > Recover Blends… inserts it."),
        )
    check_mode(image, raster)
    place = blended if blended is not None and blended.is_valid() and blended.get_image() == image else source
    replace = options.output == "replace"
    name = place.get_name() if replace or place != source else _("{name} blended").format(name=source.get_name())
    # A source that is removed cannot be found again: the layer then blends as a layer of its own.
    about = {} if replace else {"gimp": {"source": source.get_tattoo(), "arguments": _arguments(options, report)}}
    parasite = Gimp.Parasite.new(PARASITE, Gimp.PARASITE_PERSISTENT, json.dumps({**report, **about}).encode())
    image.undo_group_start()
    try:
        where = place.get_parent(), image.get_item_position(place)
        layer = _add(image, result, box, options.output, name, *where, parasite)
        if place != source:
            image.remove_layer(place)
        if replace:
            image.remove_layer(source)
        elif options.hide_source:
            source.set_visible(False)
        layer.set_name(name)  # GIMP has numbered it if what it replaces was still there
        image.set_selected_layers([layer])
    finally:
        image.undo_group_end()
    Gimp.displays_flush()
    for note in report["notes"]:
        Gimp.message(note)
    _tell_of_one_layer(options.output, result)
    return layer


def recover(image: Gimp.Image, result: Message, name: str, output: str) -> None:
    """Insert the layer of a `result` message of another time at its place, topmost and as `output` says, as one undo step."""
    check_mode(image, result.rasters["layer"])
    image.undo_group_start()
    try:
        layer = _add(image, result, tuple(result.header["box"]), output, _("{name} blended").format(name=name).strip(), None, 0)
        image.set_selected_layers([layer])
    finally:
        image.undo_group_end()
    Gimp.displays_flush()
    _tell_of_one_layer(output, result)


def _add(
    image: Gimp.Image,
    result: Message,
    box: Rect,
    output: str,
    name: str,
    parent: Gimp.Item | None,
    position: int,
    parasite: Gimp.Parasite | None = None,
) -> Gimp.Layer:
    """A new layer, or group, of the result."""
    if output == "layers" and "start" in result.rasters:
        return layers.add_group(image, result, box, name, parent, position, parasite)
    raster = result.rasters["layer"]
    layer = layers.add_layer(image, raster, box, name, parent, position, parasite)
    if output == "new-layer-with-mask":
        layers.move_alpha_to_mask(layer, raster)
    return layer


def _tell_of_one_layer(output: str, result: Message) -> None:
    if output == "layers" and "start" not in result.rasters:
        Gimp.message(_("Nothing was painted on the object: it is one layer."))


def check_mode(image: Gimp.Image, raster: Raster) -> None:
    """Raise BlendError `wrong-mode` if the image cannot hold the raster: it is grey and the raster is not, or the other way round."""
    if image.get_base_type() != (Gimp.ImageBaseType.RGB if raster.shape[2] == 4 else Gimp.ImageBaseType.GRAY):
        raise BlendError("wrong-mode", _("The blend and this image are not of one colour mode."), _("Change it under Image > Mode."))


def _arguments(options: Options, report: Mapping[str, Any]) -> dict[str, Any]:
    """The call as plain values, for `Subject.arguments`: sliders as they were in the end, a layer by its tattoo."""
    chosen = options.target_layer
    sliders = {name: report[name] for name in SLIDER_NAMES}
    parameters = {name.replace("_", "-"): value for name, value in {**options.parameters, **sliders}.items()}
    method, _colon, model = options.parameters["method"].partition(":")
    return {
        "target": options.target, "target-layer": chosen.get_tattoo() if chosen else None,
        "mask": options.mask, "grow": options.grow, "feather": options.feather,
        "output": options.output, "hide-source": options.hide_source, **parameters,
        "method": method, "model": model,
    }  # fmt: skip
