"""What of a GIMP image is to be blended, as rasters.

All pixels are read from duplicates of the image, so that layer masks, filters and visibility can be worked on freely and the user's image
stays untouched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gi.repository import Gegl, Gimp

from blend_protocol import scope
from blend_protocol.client import Part
from blend_protocol.errors import BlendError
from blend_protocol.framing import Raster
from blend_protocol.methods import CONTEXT
from dib.geometry import Rect, grown, intersection
from dib.gimp import rasters
from dib.i18n import _
from dib.job.request import Request, View
from dib.options import Options, parsed, recalled

PARASITE = "deep-image-blending"
NORMAL = (Gimp.LayerMode.NORMAL, Gimp.LayerMode.NORMAL_LEGACY)
ICON = 64  # px, longer side of what a glance sees


@dataclass(frozen=True)
class Subject:
    """What a call is about: the source layer and, if it was called on a blended layer, that layer, which the result replaces.

    Attributes
    ----------
    arguments : of the call that made the blended layer, by name; the target layer as its tattoo
    """

    source: Gimp.Layer
    blended: Gimp.Layer | None
    arguments: Mapping[str, Any]

    @classmethod
    def of(cls, image: Gimp.Image, layer: Gimp.Layer) -> Subject:
        """The subject when the filter is called on `layer`, which may be one of a blended group."""
        for blended in _ancestors(layer):
            parasite = blended.get_parasite(PARASITE)
            if parasite is None:
                continue
            try:
                about = json.loads(bytes(parasite.get_data()))["gimp"]
                source = image.get_layer_by_tattoo(about["source"])
                if source is not None and source != layer and source not in _ancestors(blended) and blended not in _ancestors(source):
                    return cls(source, blended, recalled(about["arguments"]))
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
                pass  # written by something else: the layer is a layer like any other
        return cls(layer, None, {})

    def label(self) -> dict[str, str]:
        """What the daemon calls the blend in its list of results."""
        return {"image": self.source.get_image().get_name(), "layer": self.source.get_name()}

    def is_mask(self, mask: str) -> bool:
        """Whether, with the argument `mask`, the mask is the blended layer's alpha, which is grown and softened already."""
        selected = mask == "selection" and not Gimp.Selection.is_empty(self.source.get_image())
        return self.blended is not None and mask != "layer-mask" and not selected


@dataclass(frozen=True)
class Glance:
    """What one sees of an image at a quick look, to be compared with another look. A change too small for its icons goes unseen.

    Attributes
    ----------
    valid : False once the image was closed
    chosen : the layers that are selected in it
    """

    valid: bool
    chosen: Sequence[Gimp.Layer] = ()
    rest: object = None

    @classmethod
    def of(cls, image: Gimp.Image) -> Glance:
        """A look at the image."""
        if not image.is_valid():
            return cls(False)

        def icon(of: Gimp.Image | Gimp.Drawable) -> bytes:
            # GIMP keeps these for its own lists, so they cost no more than a millisecond.
            return of.get_thumbnail(ICON, ICON, Gimp.PixbufTransparency.KEEP_ALPHA).get_pixels()

        layers = [(layer.get_id(), layer.get_name(), layer.get_visible(), *layer.get_offsets()) for layer in all_layers(image)]
        kind = image.get_width(), image.get_height(), image.get_base_type(), image.get_precision()
        selection = Gimp.Selection.bounds(image), icon(image.get_selection())
        chosen = image.get_selected_layers()
        return cls(True, chosen, (kind, layers, selection, icon(image), [icon(layer) for layer in chosen]))


class Snapshot:
    """What is to be blended, opened for reading. It stays as it was when it was opened, whatever the user does. Close it after use.

    Parameters
    ----------
    image, subject, options : what the user has chosen

    Attributes
    ----------
    part : (x, y, width, height) of the object with its surroundings on the canvas

    Raises
    ------
    BlendError
        a message for the user, if the image or the selection does not allow a blend
    """

    def __init__(self, image: Gimp.Image, subject: Subject, options: Options) -> None:
        Gegl.init(None)
        if not image.is_valid() or not subject.source.is_valid():
            raise BlendError("layer-gone", _("The image or the layer is no longer there."), _("Select the object's layer."))
        below = _target_layer(image, subject.source, options)
        self._parameters = options.parameters
        self._dtype, self._depth = rasters.depth_of_colours(image), rasters.depth(image)
        self._canvas: Rect = (0, 0, image.get_width(), image.get_height())
        # Two duplicates, because merging filters changes the values of a soft selection.
        self._copy, self._shape = image.duplicate(), image.duplicate()
        try:
            for copy in (self._copy, self._shape):
                copy.undo_disable()
            Gimp.Selection.none(self._copy)  # filters and masks are merged as a whole
            self._source = _plain(_twin(self._copy, image, subject.source), subject, options)
            shown = _select(self._shape, image, self._source, subject, options)
            self._selected = shown is None
            _ok, left, top = self._source.get_offsets()
            self._origin = left, top
            self._layer: Rect = (left, top, self._source.get_width(), self._source.get_height())
            self._rect = self._selected_rect(subject.source.get_name()) if shown is None else self._shown_rect(shown)
            on_canvas = intersection(self._rect, self._canvas)
            if on_canvas is None:
                raise BlendError("object-outside", _("The object lies outside the image."), _("Move the layer onto the canvas."))
            self._box = on_canvas
            self.part = grown(on_canvas, max(on_canvas[2:]) // 4 + 16, self._canvas)
            if below is not None:
                _show_only(self._copy, _twin(self._copy, image, below))
            else:
                _hide_from(self._copy, self._source)
            self._target = _as_one_layer(self._copy)
        except BaseException:
            self.close()
            raise
        self._pasted: Gimp.Layer | None = None

    def close(self) -> None:
        """Give the duplicates up."""
        for copy in (self._copy, self._shape):
            copy.delete()

    def request(self) -> Request:
        """What to send to the daemon: as much of the layers as the method looks at. Raises BlendError for parameters that cannot be."""
        parameters, canvas = parsed(self._parameters), self._canvas[2:]
        margin = max(CONTEXT, scope.around(parameters.method, self._rect[2] * self._rect[3]))
        x, y, width, height = around = grown(self._rect, margin, self._layer)
        left, top = self._origin
        part, samples = scope.part(parameters, self._box, canvas), scope.samples(parameters)
        return Request(
            rasters.colours(self._source, (x - left, y - top, width, height), self._dtype),
            rasters.colours(self._target, part, self._dtype),
            self._mask(around),
            (x, y),
            Part(part[:2], canvas, self._samples(samples) if samples else None),
            self.part[2] * self.part[3],
        )

    def _samples(self, most: int) -> Raster:
        """Pixels of the whole target. GIMP itself takes them: here each would bring its tile along, and so all of the picture."""
        step, (width, height) = scope.stride(self._canvas[2:], most), scope.sampled(self._canvas[2:], most)
        if step == 1:
            return rasters.colours(self._target, self._canvas, self._dtype)
        reduced = self._target.copy()
        self._copy.insert_layer(reduced, None, 0)
        Gimp.context_push()
        try:
            Gimp.context_set_interpolation(Gimp.InterpolationType.NONE)  # takes the pixel in the middle of each square
            reduced.resize(width * step, height * step, 0, 0)
            reduced.scale(width, height, False)
            return rasters.colours(reduced, (0, 0, width, height), self._dtype)
        finally:
            Gimp.context_pop()
            self._copy.remove_layer(reduced)

    def view(self, size: int) -> View:
        """The part, so small that neither side is longer than `size`."""
        scale = min(1.0, size / max(self.part[2:]))
        x, y, width, height = self.part
        left, top = self._origin
        return View(
            rasters.colours(self._source, (x - left, y - top, width, height), "uint8", scale, always_rgb=True),
            rasters.colours(self._target, self.part, "uint8", scale, always_rgb=True),
            self._mask(self.part, scale),
            self.part,
        )

    def picture(self, part: Rect, scale: float, pasted: bool) -> Raster:
        """A part of the canvas, as uint8 RGBA at `scale`: the target alone, or with the object pasted over it as it is."""
        return rasters.colours(self._pasted_over() if pasted else self._target, part, "uint8", scale, always_rgb=True)

    def _mask(self, rect: Rect, scale: float = 1.0) -> Raster | None:
        if not self._selected:
            return None
        # As it is stored: babl needs 0.3 s to find the way from these integers to floats.
        return rasters.mask(self._shape.get_selection(), rect, self._depth, scale)

    def _shown_rect(self, shown: Rect) -> Rect:
        """Where the object is, in pixels of the canvas, for what the source shows."""
        x, y, width, height = shown
        # What rounds to nothing in eight bits may be something to the engine.
        return grown((self._origin[0] + x, self._origin[1] + y, width, height), 1, self._layer)

    def _selected_rect(self, name: str) -> Rect:
        """Where the object is, in pixels of the canvas, for what is selected."""
        _ok, there, left, top, right, bottom = Gimp.Selection.bounds(self._shape)
        found = intersection((left, top, right - left, bottom - top), self._layer) if there else None
        if found is None:
            raise BlendError(
                "nothing-selected",
                _("The selection lies outside the layer “{name}”.").format(name=name)
                if there
                else _("Nothing is left of the mask of “{name}”.").format(name=name),
                _("Select the object on that layer, or choose the layer that holds the object."),
            )
        return found

    def _pasted_over(self) -> Gimp.Layer:
        if self._pasted is None:
            copy = self._copy
            for layer in copy.get_layers():
                layer.set_visible(False)
            pasted = Gimp.Layer.new_from_drawable(self._source, copy)
            for position, layer in enumerate((pasted, self._target.copy())):
                copy.insert_layer(layer, None, position)
                layer.set_visible(True)
                layer.set_opacity(100)
                layer.set_mode(Gimp.LayerMode.NORMAL)
            pasted.set_offsets(*self._origin)
            x, y, width, height = self._box
            if self._selected:
                mask = pasted.create_mask(Gimp.AddMaskType.WHITE)
                pasted.add_mask(mask)
                rasters.write(mask, self._mask((*self._origin, pasted.get_width(), pasted.get_height())), rasters.linear(self._depth))
            cut = copy.duplicate()  # beside the object there is the target alone, and the canvas may be large
            cut.crop(width, height, x, y)
            seen = rasters.colours(Gimp.Layer.new_from_visible(cut, cut, "pasted"), (0, 0, width, height), "uint8")
            cut.delete()
            self._pasted = self._target.copy()
            rasters.write(self._pasted, seen, rasters.perceptual(seen.shape[2], "uint8"), (x, y))
        return self._pasted


def _select(shape: Gimp.Image, image: Gimp.Image, source: Gimp.Layer, subject: Subject, options: Options) -> Rect | None:
    """Make the mask the selection of `shape`, a duplicate of the image. Where the alpha of `source` alone is the mask nothing is selected,
    and the rectangle of what it shows is returned.

    `source` is the source in the other duplicate, with filters and mask worked in.
    """
    mask, name = subject.source.get_mask(), subject.source.get_name()
    nothing_selected = Gimp.Selection.is_empty(image)
    if options.mask == "layer-mask":
        if mask is None:
            raise BlendError(
                "mask-missing",
                _("The layer “{name}” has no layer mask.").format(name=name),
                _("Add one that is white on the object (Layer > Mask), or choose another mask."),
            )
        shape.select_item(Gimp.ChannelOps.REPLACE, _twin(shape, image, subject.source).get_mask())
    elif subject.is_mask(options.mask):
        blended = _twin(shape, image, subject.blended)
        shape.select_item(Gimp.ChannelOps.REPLACE, blended.get_mask() or blended)
    elif options.mask == "alpha" or nothing_selected:
        opaque, shown = rasters.visible(source)
        if opaque:
            raise BlendError(
                "mask-missing",
                _("Nothing is selected, and the layer “{name}” is opaque.").format(name=name)
                if nothing_selected
                else _("The layer “{name}” is opaque: it is no mask.").format(name=name),
                _("Select the object on it coarsely, or make transparent what is around the object."),
            )
        if not options.grow and not options.feather:
            return shown
        alpha = Gimp.Layer.new_from_drawable(source, shape)
        shape.insert_layer(alpha, None, 0)
        shape.select_item(Gimp.ChannelOps.REPLACE, alpha)
    if options.grow > 0:
        Gimp.Selection.grow(shape, options.grow)
    elif options.grow < 0:
        Gimp.Selection.shrink(shape, -options.grow)
    if options.feather:
        Gimp.Selection.feather(shape, options.feather)
    return None


def _as_one_layer(copy: Gimp.Image) -> Gimp.Layer:
    """What is visible of the duplicate, as a layer of the canvas's size."""
    shown = [layer for layer in copy.get_layers() if layer.get_visible()]
    if len(shown) == 1:
        (layer,) = shown
        _ok, *corner = layer.get_offsets()
        plain = layer.get_mask() is None and layer.get_opacity() == 100 and layer.get_mode() in NORMAL
        fills = [*corner, layer.get_width(), layer.get_height()] == [0, 0, copy.get_width(), copy.get_height()]
        if plain and fills and not layer.is_group() and not layer.get_filters():
            return layer  # a large canvas takes half a second to be put together
    return Gimp.Layer.new_from_visible(copy, copy, "target")


def _plain(twin: Gimp.Layer, subject: Subject, options: Options) -> Gimp.Layer:
    """The layer of the duplicate with its filters and its mask worked into its pixels; a group as one layer."""
    if twin.is_group():
        twin = twin.merge()
    else:
        twin.merge_filters()
    if twin.get_mask() is not None:
        # A layer mask that is the mask is not worked in: when it grows there are pixels under it.
        apply = options.mask != "layer-mask"
        twin.remove_mask(Gimp.MaskApplyMode.APPLY if apply else Gimp.MaskApplyMode.DISCARD)
    if subject.blended is not None and twin.has_alpha():
        # The blended layer's alpha has been multiplied by the source's: that must not count twice.
        opaque = Gimp.DrawableFilter.new(twin, "gimp:threshold-alpha", "")
        opaque.get_config().set_property("value", 0.0)
        twin.append_filter(opaque)
        twin.merge_filters()
    return twin


def _target_layer(image: Gimp.Image, layer: Gimp.Layer, options: Options) -> Gimp.Layer | None:
    """The one layer to blend into; None: everything visible below."""
    if options.target == "visible-below":
        return None
    if options.target == "chosen-layer":
        chosen = options.target_layer
        ours = chosen is not None and chosen.is_valid() and chosen.get_image() == image
        if not ours or chosen in _ancestors(layer) or layer in _ancestors(chosen):
            raise BlendError(
                "no-target", _("There is no layer chosen to blend into."), _("Choose a layer of this image that does not hold the source.")
            )
        return chosen
    layers = _siblings(image, layer)
    position = image.get_item_position(layer)
    if position + 1 >= len(layers):
        raise _nothing_below(image, layer)
    return layers[position + 1]


def _nothing_below(image: Gimp.Image, layer: Gimp.Layer) -> BlendError:
    if len(all_layers(image)) == 1:
        return BlendError(
            "one-layer-only",
            _("The image has one layer alone, and a blend needs two: the picture, and above it the object."),
            _("Paste the object, and select its layer."),
        )
    return BlendError(
        "no-layer-below",
        _("There is no layer below “{name}” to blend into.").format(name=layer.get_name()),
        _("If it is the picture, select the object's layer instead. If it is the object, move it above the picture."),
    )


def all_layers(image: Gimp.Image) -> list[Gimp.Layer]:
    """Every layer of the image, those in groups after their group."""
    found, left = [], list(image.get_layers())
    while left:
        layer = left.pop(0)
        found.append(layer)
        if layer.is_group():
            left = list(layer.get_children()) + left
    return found


def targets(image: Gimp.Image, subject: Subject) -> list[Gimp.Layer]:
    """The layers that can be chosen to blend into."""
    own = (subject.source, subject.blended)
    return [layer for layer in all_layers(image) if not any(item in own for item in _ancestors(layer))]


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


def _siblings(image: Gimp.Image, layer: Gimp.Layer) -> list[Gimp.Layer]:
    parent = layer.get_parent()
    return parent.get_children() if parent else image.get_layers()


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
