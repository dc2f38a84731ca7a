"""GIMP images to rasters and back. The only file that touches pixels.

All pixels are read from a duplicate of the image, so that layer masks, filters and visibility can be worked on freely: whatever
happens, the user's image is touched by `insert` alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from geometry import Rect, grown, intersection, scaled
from gi.repository import Gegl, Gimp, GLib

from blend_daemon.errors import BlendError
from blend_daemon.protocol.framing import Raster

PARASITE = "deep-image-blending"
CONTEXT = 2  # px of the source around the selection: gradients on its edge need the neighbours
ITEM_SIZE = {"uint8": 1, "uint16": 2, "float32": 4}
BABL = {"uint8": "u8", "uint16": "u16", "float32": "float"}


def _(text):
    return GLib.dgettext("deep-image-blending", text)


@dataclass(frozen=True)
class Request:
    """What the daemon is to blend, and where its offset counts from: the canvas's top-left corner."""

    source: Raster
    target: Raster
    mask: Raster | None
    offset: tuple[int, int]


def read(image: Gimp.Image, layer: Gimp.Layer, target: str) -> Request:
    """Read the source layer, the selection and the target.

    Parameters
    ----------
    target : "layer-below" or "visible-below"

    Raises
    ------
    BlendError
        a message for the user, if the image or the selection does not allow a blend
    """
    dtype = _dtype(image)
    rect = _masked_rect(image, layer)
    _ok, left, top = layer.get_offsets()
    offset = (left + rect[0], top + rect[1])
    with _opened(image, layer, target) as (source, visible):
        return Request(
            _pixels(source, rect, dtype),
            _pixels(visible, (0, 0, image.get_width(), image.get_height()), dtype),
            _selection(image, (*offset, rect[2], rect[3])),
            offset,
        )


@dataclass(frozen=True)
class View:
    """A part of the canvas on a smaller scale, to look at. All rasters are RGBA or mask over that part, of one size.

    Attributes
    ----------
    part : the part, in pixels of the canvas
    scale : pixels of the view for each pixel of the canvas, at most 1
    """

    source: Raster
    target: Raster
    mask: Raster | None
    part: Rect
    scale: float


def view(image: Gimp.Image, layer: Gimp.Layer, target: str, size: int) -> View:
    """The object with its surroundings, so small that neither side is longer than `size`. Parameters and errors as for `read`."""
    rect = _masked_rect(image, layer)
    _ok, left, top = layer.get_offsets()
    canvas = (0, 0, image.get_width(), image.get_height())
    on_canvas = intersection((left + rect[0], top + rect[1], rect[2], rect[3]), canvas)
    if on_canvas is None:
        raise BlendError("mask-empty", _("The object lies outside the image."), _("Move the layer onto the canvas."))
    part = grown(on_canvas, max(on_canvas[2:]) // 4 + 16, canvas)
    scale = min(1.0, size / max(part[2:]))
    with _opened(image, layer, target) as (source, visible):
        on_layer = (part[0] - left, part[1] - top, part[2], part[3])
        return View(
            _pixels(source, on_layer, "uint8", scale, colour=True),
            _pixels(visible, part, "uint8", scale, colour=True),
            _selection(image, part, scale),
            part,
            scale,
        )


@contextmanager
def _opened(image: Gimp.Image, layer: Gimp.Layer, target: str) -> Iterator[tuple[Gimp.Layer, Gimp.Layer]]:
    """The source with its filters and mask worked in, and the target, as layers of a duplicate that lives as long as the context."""
    Gegl.init(None)
    below = _layer_below(image, layer) if target == "layer-below" else None
    copy = image.duplicate()
    try:
        twin = _twin(copy, image, layer)
        source = _flattened_layer(copy, twin)
        if below is not None:
            _show_only(copy, _twin(copy, image, below))
        else:
            _hide_from(copy, twin)
        yield source, Gimp.Layer.new_from_visible(copy, copy, "target")
    finally:
        copy.delete()


def insert(image: Gimp.Image, source: Gimp.Layer, raster: Raster, box: Rect, name: str, report: Mapping[str, Any]) -> Gimp.Layer:
    """Insert the blended layer above its source and hide the source, as one undo step. The layer carries the report as a parasite.

    Raises
    ------
    BlendError
        if the image or the layer has gone meanwhile
    """
    if not image.is_valid() or not source.is_valid() or source.get_image() != image:
        raise BlendError("layer-gone", _("The image or the layer was closed while it was being blended."), "")
    height, width, channels = raster.shape
    kind = Gimp.ImageType.RGBA_IMAGE if channels == 4 else Gimp.ImageType.GRAYA_IMAGE
    image.undo_group_start()
    try:
        layer = Gimp.Layer.new(image, name, width, height, kind, 100, Gimp.LayerMode.NORMAL)
        # The engine mixes a soft edge in perceptual values; GIMP's default would mix it in linear light.
        layer.set_composite_space(Gimp.LayerColorSpace.RGB_PERCEPTUAL)
        image.insert_layer(layer, source.get_parent(), image.get_item_position(source))
        layer.set_offsets(box[0], box[1])
        data = bytes(raster.data)
        assert len(data) == height * width * channels * ITEM_SIZE[raster.dtype]
        buffer = layer.get_buffer()
        buffer.set(Gegl.Rectangle.new(0, 0, width, height), _format(channels, raster.dtype), data)
        buffer.flush()
        del buffer
        layer.update(0, 0, width, height)
        layer.attach_parasite(Gimp.Parasite.new(PARASITE, Gimp.PARASITE_PERSISTENT, json.dumps(report).encode()))
        source.set_visible(False)
        image.set_selected_layers([layer])
    finally:
        image.undo_group_end()
    return layer


def _dtype(image: Gimp.Image) -> str:
    # A format named by a string means sRGB; on an image with another profile only floats survive the way there and back.
    if image.get_color_profile() is not None:
        return "float32"
    kinds = {Gimp.Precision.U8_NON_LINEAR: "uint8", Gimp.Precision.U16_NON_LINEAR: "uint16"}
    return kinds.get(image.get_precision(), "float32")


def _format(channels: int, dtype: str) -> str:
    model = {1: "Y'", 2: "Y'A", 3: "R'G'B'", 4: "R'G'B'A"}[channels]
    return f"{model} {BABL[dtype]}"


def _pixels(drawable: Gimp.Drawable, rect: Rect, dtype: str, scale: float = 1.0, colour: bool = False) -> Raster:
    """A rectangle of the drawable, with alpha; `colour`: as RGB also if it is grey."""
    channels = 2 if drawable.is_gray() and not colour else 4
    return _read(drawable, rect, scale, _format(channels, dtype), dtype, channels)


def _selection(image: Gimp.Image, rect: Rect, scale: float = 1.0) -> Raster | None:
    """The selection over a rectangle of the canvas; None where nothing is selected, so that the layer's alpha decides."""
    if Gimp.Selection.is_empty(image):
        return None
    # A selection is linear.
    return _read(image.get_selection(), rect, scale, "Y float", "float32", 1)


def _read(drawable: Gimp.Drawable, rect: Rect, scale: float, form: str, dtype: str, channels: int) -> Raster:
    x, y, width, height = scaled(rect, scale)
    buffer = drawable.get_buffer()
    data = buffer.get(Gegl.Rectangle.new(x, y, width, height), scale, form, Gegl.AbyssPolicy.NONE)
    del buffer
    assert len(data) == width * height * channels * ITEM_SIZE[dtype]
    return Raster(dtype, (height, width, channels), data)


def _masked_rect(image: Gimp.Image, layer: Gimp.Layer) -> Rect:
    """The part of the layer to send, in the layer's own coordinates."""
    whole = (0, 0, layer.get_width(), layer.get_height())
    if Gimp.Selection.is_empty(image):
        if not layer.has_alpha() and layer.get_mask() is None:
            raise BlendError(
                "mask-missing",
                _("Nothing is selected, and the layer “{name}” is opaque.").format(name=layer.get_name()),
                _("Select the object on it coarsely, or give the layer an alpha channel or a layer mask around the object."),
            )
        return whole
    ok, x, y, width, height = layer.mask_intersect()
    if not ok or intersection((x, y, width, height), whole) is None:
        raise BlendError(
            "mask-empty",
            _("The selection lies outside the layer “{name}”.").format(name=layer.get_name()),
            _("Select the object on that layer, or choose the layer that holds the object."),
        )
    return grown((x, y, width, height), CONTEXT, whole)


def _siblings(image: Gimp.Image, layer: Gimp.Layer) -> list[Gimp.Layer]:
    parent = layer.get_parent()
    return parent.get_children() if parent else image.get_layers()


def _layer_below(image: Gimp.Image, layer: Gimp.Layer) -> Gimp.Layer:
    layers = _siblings(image, layer)
    position = image.get_item_position(layer)
    if position + 1 >= len(layers):
        raise BlendError(
            "no-layer-below",
            _("There is no layer below “{name}” to blend into.").format(name=layer.get_name()),
            _("Move the layer with the object above the picture, or choose “Everything visible below”."),
        )
    return layers[position + 1]


def _twin(copy: Gimp.Image, image: Gimp.Image, layer: Gimp.Layer) -> Gimp.Layer:
    """The layer of the duplicate that stands where `layer` stands."""
    path = []
    while layer is not None:
        path.append(image.get_item_position(layer))
        layer = layer.get_parent()
    layers, found = copy.get_layers(), None
    for position in reversed(path):
        found = layers[position]
        layers = found.get_children() if found.is_group() else []
    return found


def _flattened_layer(copy: Gimp.Image, twin: Gimp.Layer) -> Gimp.Layer:
    """The layer with its filters and its mask worked into its pixels."""
    if not twin.is_group():
        twin.merge_filters()
    if twin.get_mask() is not None:
        twin.remove_mask(Gimp.MaskApplyMode.APPLY)
    return twin


def _ancestors(layer: Gimp.Layer) -> list[Gimp.Layer]:
    found = []
    while layer is not None:
        found.append(layer)
        layer = layer.get_parent()
    return found


def _show_only(copy: Gimp.Image, layer: Gimp.Layer) -> None:
    """Leave just `layer` visible. Its ancestors show, without hiding or tinting it: their masks and opacity act on the result too."""
    line = _ancestors(layer)
    for item in line:
        for sibling in _siblings(copy, item):
            sibling.set_visible(sibling == item)


def _hide_from(copy: Gimp.Image, layer: Gimp.Layer) -> None:
    """Hide the layer and everything above it."""
    for depth, item in enumerate(_ancestors(layer)):
        for sibling in _siblings(copy, item):
            if sibling == item:
                if depth == 0:
                    item.set_visible(False)
                break
            sibling.set_visible(False)
    if not any(item.get_visible() for item in copy.get_layers()):
        raise BlendError(
            "nothing-below", _("Nothing is visible below the layer to blend into."), _("Show a layer below it, or move the layer up.")
        )
