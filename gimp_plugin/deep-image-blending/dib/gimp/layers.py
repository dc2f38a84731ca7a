"""A blended raster as layers of GIMP's: one, one with a layer mask, or a group to go on with."""

from __future__ import annotations

from array import array

from gi.repository import Gimp

from blend_protocol.framing import Message, Raster
from dib.geometry import Rect
from dib.gimp import rasters
from dib.i18n import _

OPAQUE = {"uint8": 255, "uint16": 65535, "float32": 1.0}


def add_layer(
    image: Gimp.Image, raster: Raster, box: Rect, name: str, parent: Gimp.Item | None, position: int, parasite: Gimp.Parasite | None = None
) -> Gimp.Layer:
    """A new layer with the raster's pixels, whose alpha is its last channel."""
    height, width, channels = raster.shape
    kind = Gimp.ImageType.RGBA_IMAGE if channels == 4 else Gimp.ImageType.GRAYA_IMAGE
    layer = Gimp.Layer.new(image, name, width, height, kind, 100, Gimp.LayerMode.NORMAL)
    # The engine mixes a soft edge in perceptual values; GIMP's default would mix it in linear light.
    layer.set_composite_space(Gimp.LayerColorSpace.RGB_PERCEPTUAL)
    if parasite is not None:
        # Before the layer is in the image: attaching is no step of the undo then, which GIMP 3.0 would get wrong when it redoes it.
        layer.attach_parasite(parasite)
    image.insert_layer(layer, parent, position)
    layer.set_offsets(box[0], box[1])
    rasters.write(layer, raster, rasters.perceptual(channels, raster.dtype))
    return layer


def add_group(
    image: Gimp.Image, result: Message, box: Rect, name: str, parent: Gimp.Item | None, position: int, parasite: Gimp.Parasite | None = None
) -> Gimp.GroupLayer:
    """A new group of the object in the target's light and, above it, the paint, from a result that has a `start`.

    The paint has no edge of its own but lies on the object alone, so that the two show what the one layer would, at soft edges too,
    and less of the paint shows more of the object.
    """
    group = Gimp.GroupLayer.new(image, name)
    group.set_composite_space(Gimp.LayerColorSpace.RGB_PERCEPTUAL)
    if parasite is not None:
        group.attach_parasite(parasite)
    image.insert_layer(group, parent, position)
    add_layer(image, result.rasters["start"], box, _("object"), group, 0)
    paint = add_layer(image, _edgeless(result.rasters["layer"]), box, _("paint"), group, 0)
    paint.set_composite_mode(Gimp.LayerCompositeMode.CLIP_TO_BACKDROP)
    return group


def move_alpha_to_mask(layer: Gimp.Layer, raster: Raster) -> None:
    """Make the layer's pixels opaque, and its alpha a layer mask."""
    height, width, channels = raster.shape
    code = rasters.TYPE_CODE[raster.dtype]
    values = array(code, bytes(raster.data))
    alpha = values[channels - 1 :: channels]
    values[channels - 1 :: channels] = array(code, [OPAQUE[raster.dtype]]) * len(alpha)
    rasters.write(layer, Raster(raster.dtype, raster.shape, values.tobytes()), rasters.perceptual(channels, raster.dtype))
    mask = layer.create_mask(Gimp.AddMaskType.WHITE)
    layer.add_mask(mask)
    rasters.write(mask, Raster(raster.dtype, (height, width, 1), alpha.tobytes()), rasters.linear(raster.dtype))


def _edgeless(raster: Raster) -> Raster:
    """The raster, opaque wherever it shows anything."""
    channels, code = raster.shape[2], rasters.TYPE_CODE[raster.dtype]
    values = array(code, bytes(raster.data))
    top = OPAQUE[raster.dtype]
    values[channels - 1 :: channels] = array(code, [top if value else 0 for value in values[channels - 1 :: channels]])
    return Raster(raster.dtype, raster.shape, values.tobytes())
