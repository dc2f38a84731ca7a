"""Cases for `run_cases.py`: of a large canvas the plug-in sends what the method looks at, and the result is that of all of it."""

import os
import struct
import threading

import zmq
from gi.repository import Gegl, Gimp
from inside import WORK, Client, Raster, blend, case, cut_out, layer_of

from blend_protocol import framing, scope
from blend_protocol.framing import Message
from blend_protocol.presets import Parameters

WIDTH, HEIGHT = 1200, 900


def large(precision=Gimp.Precision.U8_NON_LINEAR):
    """A canvas of a megapixel with a picture in each corner, and an object in the middle. One layer fills it."""
    image = Gimp.Image.new_with_precision(WIDTH, HEIGHT, Gimp.ImageBaseType.RGB, precision)
    pictures = [layer_of(image, "picture.png", x, y, alpha=False) for x in (0, 500, 1000) for y in (0, 380, 750)]
    for layer in pictures[1:]:
        layer.set_opacity(80)
    below = image.merge_visible_layers(Gimp.MergeType.CLIP_TO_IMAGE)
    below.set_name("picture")
    return image, layer_of(image, "object.png", 520, 400), below


def read(drawable, rect, form, dtype, channels):
    data = drawable.get_buffer().get(Gegl.Rectangle.new(*rect), 1.0, form, Gegl.AbyssPolicy.NONE)
    return Raster(dtype, (rect[3], rect[2], channels), data)


def of_all(image, above, below, parameters):
    """The layer and the box of the blend of all of the target, asked for here."""
    float_ = image.get_precision() != Gimp.Precision.U8_NON_LINEAR
    form, dtype = ("R'G'B'A float", "float32") if float_ else ("R'G'B'A u8", "uint8")
    _ok, x, y = above.get_offsets()
    size = above.get_width(), above.get_height()
    source = read(above, (0, 0, *size), form, dtype, 4)
    selection = None if Gimp.Selection.is_empty(image) else read(image.get_selection(), (x, y, *size), f"Y {form.split()[1]}", dtype, 1)
    with Client() as client:
        job = client.submit(source, read(below, (0, 0, WIDTH, HEIGHT), form, dtype, 4), selection, (x, y), parameters)
        (*_, last) = client.follow(job)
        client.release(job)
    return last.rasters["layer"], last.header["box"]


@case
def a_part_gives_what_all_gives():
    for method, precision, alpha in (
        ("deep", Gimp.Precision.U8_NON_LINEAR, False),
        ("color-transfer", Gimp.Precision.FLOAT_LINEAR, False),
        ("gaussian-poisson", Gimp.Precision.U8_NON_LINEAR, True),
    ):
        image, above, below = large(precision)
        if alpha:
            cut_out(above, 50, 30, 60, 50)
        else:
            image.select_rectangle(Gimp.ChannelOps.REPLACE, 560, 430, 60, 50)
        wanted, box = of_all(image, above, below, {"method": method, **({"preset": "draft", "iterations": 4} if method == "deep" else {})})
        assert blend(image, above, method=method).index(0) == Gimp.PDBStatusType.SUCCESS, Gimp.get_pdb().get_last_error()
        new = image.get_layers()[0]
        assert [*new.get_offsets()[1:], new.get_width(), new.get_height()] == box
        form = "R'G'B'A float" if wanted.dtype == "float32" else "R'G'B'A u8"
        found = read(new, (0, 0, box[2], box[3]), form, wanted.dtype, 4)
        if wanted.dtype == "uint8":
            assert bytes(found.data) == bytes(wanted.data), method
        else:
            count = box[2] * box[3] * 4
            values = [struct.unpack(f"{count}f", bytes(raster.data)) for raster in (found, wanted)]
            assert max(abs(a - b) for a, b in zip(*values, strict=True)) < 1e-4, method


def sent(image, above, **arguments):
    """The `submit` that the plug-in sends; it is told that there is no memory for it."""
    address = f"ipc://{WORK}/listening"
    socket = zmq.Context.instance().socket(zmq.ROUTER)
    socket.linger = 1000
    socket.bind(address)
    heard = []

    def listen():
        while not heard:
            client, *frames = socket.recv_multipart()
            message = framing.decode(frames)
            if message.type == "hello":
                answer = Message("welcome", {"version": "0", "pid": 1, "log": ""})
            elif message.type == "submit":
                heard.append(message)
                answer = Message("failed", {"job": message.header["job"], "code": "out-of-memory", "message": "Full.", "hint": ""})
            else:
                continue
            socket.send_multipart([client, *framing.encode(answer)])
        socket.close()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    result = blend(image, above, daemon=address, **arguments)
    assert result.index(0) == Gimp.PDBStatusType.EXECUTION_ERROR
    thread.join(20)
    os.remove(f"{WORK}/listening")
    return heard[0]


@case
def no_more_is_sent_than_the_method_looks_at():
    image, above, below = large()
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 560, 430, 60, 50)
    for method, part in (("poisson", (528, 398, 124, 114)), ("deep", (496, 366, 188, 178))):
        message = sent(image, above, method=method)
        assert scope.part(Parameters(method=method), (560, 430, 60, 50), (WIDTH, HEIGHT)) == part
        assert (message.header["corner"], message.header["canvas"]) == ([*part[:2]], [WIDTH, HEIGHT])
        assert message.rasters["target"].shape == (part[3], part[2], 4)
        assert message.header["offset"] == [528, 400], "of the source, too, what is around the object"
        assert message.rasters["source"].shape == (112, 124, 4)
        assert bytes(message.rasters["target"].data) == bytes(read(below, part, "R'G'B'A u8", "uint8", 4).data)
    samples = message.rasters["samples"]
    step = scope.stride((WIDTH, HEIGHT), 50_000)
    whole = bytes(read(below, (0, 0, WIDTH, HEIGHT), "R'G'B'A u8", "uint8", 4).data)
    height, width, _channels = samples.shape
    places = [((step // 2 + step * row) * WIDTH + step // 2 + step * column) * 4 for row in range(height) for column in range(width)]
    assert bytes(samples.data) == b"".join(whole[at : at + 4] for at in places), "they are the pixels that the engine would take"


@case
def a_stack_below_is_cut_too():
    image, above, _below = large()
    layer_of(image, "picture.png", 540, 410, position=1).set_opacity(50)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 560, 430, 60, 50)
    message = sent(image, above, method="poisson", target="visible-below")
    above.set_visible(False)
    copy = image.duplicate()
    seen = Gimp.Layer.new_from_visible(copy, copy, "seen")
    x, y = message.header["corner"]
    height, width, _channels = message.rasters["target"].shape
    assert bytes(message.rasters["target"].data) == bytes(read(seen, (x, y, width, height), "R'G'B'A u8", "uint8", 4).data)
    copy.delete()
