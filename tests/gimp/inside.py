"""What the scripts that run inside GIMP share: an image with two layers, calls of the procedure, and what must hold after one."""

import functools
import os
import struct
import sys
import threading
import time

import gi

gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from gi.repository import Gegl, Gimp, Gio

sys.path.insert(0, os.path.join(Gimp.directory(), "plug-ins/deep-image-blending/vendor"))
WORK = os.environ["WORK"]
sys.path.insert(0, os.path.join(WORK, "pyzmq"))  # there where the plug-in has none
from blend_protocol.client import Client, Raster

NAME = "plug-in-deep-image-blending"
CASES = []


def case(function):
    CASES.append(function)
    return function


@functools.cache
def loaded(file):
    """A picture's pixels and what they are, read once: GIMP starts a plug-in for each file that it loads."""
    image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(os.path.join(WORK, file)))
    (layer,) = image.get_layers()
    kind, form = (Gimp.ImageType.RGBA_IMAGE, "R'G'B'A u8") if layer.has_alpha() else (Gimp.ImageType.RGB_IMAGE, "R'G'B' u8")
    width, height = layer.get_width(), layer.get_height()
    data = layer.get_buffer().get(Gegl.Rectangle.new(0, 0, width, height), 1.0, form, Gegl.AbyssPolicy.NONE)
    image.delete()
    return kind, form, width, height, data


def layer_of(image, file, x=0, y=0, name="object", alpha=True, parent=None, position=0):
    kind, form, width, height, data = loaded(file)
    layer = Gimp.Layer.new(image, name, width, height, kind, 100, Gimp.LayerMode.NORMAL)
    image.insert_layer(layer, parent, position)
    buffer = layer.get_buffer()
    buffer.set(Gegl.Rectangle.new(0, 0, width, height), form, data)
    buffer.flush()
    del buffer
    layer.update(0, 0, width, height)
    layer.set_offsets(x, y)
    if alpha:
        layer.add_alpha()
    return layer


def picture(precision=None, base=Gimp.ImageBaseType.RGB, x=30, y=20):
    """An image with the picture and above it the object's layer at (x, y); nothing selected."""
    image = Gimp.Image.new_with_precision(200, 150, base, precision or Gimp.Precision.U8_NON_LINEAR)
    below = layer_of(image, "picture.png", name="picture", alpha=False)
    above = layer_of(image, "object.png", x, y)
    return image, above, below


def blend(image, layers, mode=Gimp.RunMode.NONINTERACTIVE, **arguments):
    procedure = Gimp.get_pdb().lookup_procedure(NAME)
    config = procedure.create_config()
    config.set_property("run-mode", mode)
    config.set_property("image", image)
    config.set_core_object_array("drawables", layers if isinstance(layers, list) else [layers])
    for name, value in {"preset": "draft", "iterations": 4, **arguments}.items():
        config.set_property(name.replace("_", "-"), value)
    return procedure.run(config)


def pixels(image, rect=None, kind=None):
    """What is visible, as floats or as bytes."""
    # An indexed image is read as the bytes that it holds: each duplicate has a palette of its own, from which babl takes the way to
    # floats that is the fastest at that moment, and they differ in the last bit.
    kind = kind or ("R'G'B'A u8" if image.get_base_type() == Gimp.ImageBaseType.INDEXED else "R'G'B'A float")
    rect = rect or (0, 0, image.get_width(), image.get_height())
    copy = image.duplicate()
    visible = Gimp.Layer.new_from_visible(copy, copy, "visible")
    data = visible.get_buffer().get(Gegl.Rectangle.new(*rect), 1.0, kind, Gegl.AbyssPolicy.NONE)
    copy.delete()
    return data


def selection(image):
    data = (
        image.get_selection()
        .get_buffer()
        .get(Gegl.Rectangle.new(0, 0, image.get_width(), image.get_height()), 1.0, "Y float", Gegl.AbyssPolicy.NONE)
    )
    return struct.unpack(f"{image.get_width() * image.get_height()}f", data)


def coverage(image, layer):
    """How much of each pixel of the canvas the layer covers, by its mask or its alpha, as it is stored."""
    found, x, y = layer.get_offsets()
    assert found
    stored, kind = (mask, "Y float") if (mask := layer.get_mask()) else (layer, "A float")
    area = Gegl.Rectangle.new(-x, -y, image.get_width(), image.get_height())
    data = stored.get_buffer().get(area, 1.0, kind, Gegl.AbyssPolicy.NONE)
    return struct.unpack(f"{image.get_width() * image.get_height()}f", data)


def shot(image, source):
    """What is visible without the source layer: what must still be there outside the mask afterwards."""
    source.set_visible(False)
    data = pixels(image)
    source.set_visible(True)
    return data


def check(image, source, before, mask, result, name="object blended", rounding=0.0):
    """One new layer above the source; outside `mask` (a list of floats) it is transparent and every pixel is as before, inside not.

    `rounding`: by how much GIMP's own rounding may differ when one layer more is laid over the others, all of it transparent there.
    """
    assert result.index(0) == Gimp.PDBStatusType.SUCCESS, Gimp.get_pdb().get_last_error()
    parent = source.get_parent()
    layers = parent.get_children() if parent else image.get_layers()
    above = layers[image.get_item_position(source) - 1]
    assert above.get_name() == name, above.get_name()
    assert above.has_alpha()
    assert not source.get_visible()
    opaque = sum(alpha != 0.0 for alpha, m in zip(coverage(image, above), mask, strict=True) if m == 0)
    assert opaque == 0, f"the layer covers {opaque} pixels outside the mask"
    after = pixels(image)
    changed = [k for k, m in enumerate(mask) if m == 0 and before[16 * k : 16 * k + 16] != after[16 * k : 16 * k + 16]]
    worst = max((abs(a - b) for k in changed for a, b in zip(four(before, k), four(after, k), strict=True)), default=0.0)
    assert worst <= rounding, f"{len(changed)} pixels outside the mask changed, by up to {worst}"
    inside = [k for k, m in enumerate(mask) if m > 0.9]
    changed = sum(before[16 * k : 16 * k + 16] != after[16 * k : 16 * k + 16] for k in inside)
    assert changed > 0.5 * len(inside), f"only {changed} of {len(inside)} pixels inside the mask changed"
    return above


def four(data, k):
    return struct.unpack("4f", data[16 * k : 16 * k + 16])


def stored(layer):
    """The layer's own pixels, as exact as any precision needs."""
    rect = Gegl.Rectangle.new(0, 0, layer.get_width(), layer.get_height())
    return layer.get_buffer().get(rect, 1.0, "R'G'B'A double", Gegl.AbyssPolicy.NONE)


def rectangle(image, x, y, w, h):
    width, height = image.get_width(), image.get_height()
    return [float(x <= k % width < x + w and y <= k // width < y + h) for k in range(width * height)]


def cut_out(layer, x, y, w, h):
    """Make all of the layer transparent but a rectangle."""
    width, height = layer.get_width(), layer.get_height()
    rect = Gegl.Rectangle.new(0, 0, width, height)
    buffer = layer.get_buffer()
    data = bytearray(buffer.get(rect, 1.0, "R'G'B'A u8", Gegl.AbyssPolicy.NONE))
    for k in range(width * height):
        if not (x <= k % width < x + w and y <= k // width < y + h):
            data[4 * k + 3] = 0
    buffer.set(rect, "R'G'B'A u8", bytes(data))
    buffer.flush()
    del buffer
    layer.update(0, 0, width, height)


def refused(image, layers, words, **arguments):
    """The call fails, says `words`, and leaves the image as it was."""
    before, names = pixels(image), [layer.get_name() for layer in image.get_layers()]
    result = blend(image, layers, **arguments)
    assert result.index(0) == Gimp.PDBStatusType.EXECUTION_ERROR, result.index(0)
    message = Gimp.get_pdb().get_last_error()
    assert words in message, message
    assert pixels(image) == before
    assert [layer.get_name() for layer in image.get_layers()] == names


def selected(image):
    """Select a rectangle of the object. Returns it as a list of floats."""
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 60, 40, 60, 60)
    return rectangle(image, 60, 40, 60, 60)


def alphas(layer):
    """The alpha of each pixel, 0 to 255."""
    rect = Gegl.Rectangle.new(0, 0, layer.get_width(), layer.get_height())
    return layer.get_buffer().get(rect, 1.0, "R'G'B'A u8", Gegl.AbyssPolicy.NONE)[3::4]


def meanwhile(order):
    """Have the extension of meddler.py execute the Python in `order` as soon as a job runs. Returns what waits for its outcome."""

    def wait_and_order():
        with Client() as client:
            while not (client.status() or {}).get("running"):
                time.sleep(0.05)
        path = os.path.join(WORK, "meddle.py")
        with open(path + ".part", "w") as file:
            file.write(order)
        os.rename(path + ".part", path)

    def outcome():
        thread.join(20)
        path, end = os.path.join(WORK, "meddled"), time.time() + 20
        while not os.path.exists(path):
            assert time.time() < end, "the extension did nothing"
            time.sleep(0.05)
        with open(path) as file:
            text = file.read()
        os.remove(path)
        assert text == "ok", text

    thread = threading.Thread(target=wait_and_order, daemon=True)
    thread.start()
    return outcome


def lost(layer=None, preset="draft"):
    """What the daemon keeps for us. `layer`: first have it make a blend that nobody takes, from a layer of that name."""
    with Client() as client:
        if layer is not None:
            source = Raster("uint8", (40, 50, 3), bytes(range(200)) * 30)
            mask = Raster("float32", (40, 50, 1), struct.pack("2000f", *[1.0] * 2000))
            target = Raster("uint8", (150, 200, 3), bytes(range(250)) * 360)
            about = {"image": "lost.xcf", "layer": layer}
            job = client.submit(source, target, mask, (60, 70), {"preset": preset, "iterations": 4}, label=about)
            list(client.follow(job))
        client.ask_results()
        end = time.time() + 20
        while time.time() < end:
            client.wait(0.1)
            for message in client.pump():
                if message.type == "results":
                    return message.header["results"]
    raise AssertionError("the daemon tells of no results")


def feathered(image):
    """Select an ellipse with a soft edge. Returns the selection as a list of floats."""
    Gimp.context_push()
    Gimp.context_set_feather(True)
    Gimp.context_set_feather_radius(8, 8)
    image.select_ellipse(Gimp.ChannelOps.REPLACE, 60, 40, 70, 60)
    Gimp.context_pop()
    return selection(image)
