"""What is read is read whole and as it was meant, or refused by its true name."""

from __future__ import annotations

import io
import os
import resource
import struct
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from installed import COMMAND
from pictures import load, save
from PIL import Image

from blend_daemon import images
from blend_daemon.images import exif
from blend_protocol.errors import BlendError


def refusal(path, role="target") -> BlendError:
    with pytest.raises(BlendError) as error:
        images.read(path, role)
    return error.value


@pytest.mark.parametrize("codec", ["zstd", "lzma", "jpeg2000", "jpegxl", "lzw", "packbits", "png", "webp"])
@pytest.mark.parametrize("tile", [None, (32, 32)])
def test_a_tiff_is_read_whatever_is_inside(codec, tile, coffee, tmp_path):
    lossless = {"jpeg2000": {"reversible": True}, "jpegxl": {"lossless": True}, "webp": {"lossless": True}}.get(codec)
    path = tmp_path / "t.tif"
    tifffile.imwrite(path, coffee, compression=codec, compressionargs=lossless, tile=tile, photometric="rgb")
    assert np.array_equal(images.read(path, "target").raster, coffee)


def test_a_tiff_of_a_compression_that_nobody_knows_is_refused_by_name(coffee, tmp_path):
    path = tmp_path / "t.tif"
    tifffile.imwrite(path, coffee, photometric="rgb")
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages.first.tags["Compression"].overwrite(34676)
    assert "SGILOG" in str(refusal(path))


@pytest.mark.parametrize("codec", [None, "deflate", "lzw", "zstd"])
@pytest.mark.parametrize("tile", [None, (32, 32)])
def test_a_tiff_that_was_cut_off_is_refused(codec, tile, coffee, tmp_path):
    path = tmp_path / "t.tif"
    tifffile.imwrite(path, coffee, compression=codec, tile=tile, photometric="rgb", rowsperstrip=None if tile else 16)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert "damaged" in str(refusal(path))


@pytest.mark.parametrize("codec", ["deflate", "lzma"])  # which have checksums
def test_a_tiff_with_flipped_bytes_is_refused(codec, coffee, tmp_path):
    path = tmp_path / "t.tif"
    tifffile.imwrite(path, coffee, compression=codec, photometric="rgb")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        middle = file.pages.first.dataoffsets[0] + file.pages.first.databytecounts[0] // 2
    data[middle : middle + 40] = bytes(40)
    path.write_bytes(data)
    assert "damaged" in str(refusal(path))


def jpeg(picture, **options) -> bytearray:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "jpeg", quality=90, **options)
    return bytearray(file.getvalue())


def test_a_damaged_jpeg_is_refused_and_a_harmless_oddity_is_not(coffee, tmp_path):
    path = tmp_path / "t.jpg"
    broken = jpeg(coffee)
    middle = broken.index(b"\xff\xda") + len(broken) // 2
    broken[middle : middle + 60] = b"\xff\xd9" * 30
    path.write_bytes(broken)
    assert "damaged" in str(refusal(path))
    odd = jpeg(coffee)
    at = odd.index(b"\xff\xdb")
    path.write_bytes(odd[:at] + b"\0\0" + odd[at:])
    with Image.open(io.BytesIO(odd)) as sound:
        assert np.abs(images.read(path, "target").raster.astype(int) - np.array(sound)).max() <= 2


def test_kinds_that_cannot_be_blended_are_called_by_name(coffee, tmp_path):
    path = tmp_path / "t.tif"
    for values, options, name in (
        (coffee.astype(np.float64) / 255, {"photometric": "rgb"}, "float64"),
        (coffee.astype(np.uint32), {"photometric": "rgb"}, "uint32"),
        (coffee, {"photometric": "cielab"}, "L*a*b*"),
        (np.dstack([coffee, coffee[:, :, :1]]), {"photometric": "separated"}, "CMYK"),
    ):
        tifffile.imwrite(path, values, **options)
        assert name in str(refusal(path))
    path.write_bytes(b"%!PS neither")
    assert "format" in str(refusal(path))
    path.write_bytes(b"")
    assert "empty" in str(refusal(path))


def twelve_bits(values) -> bytes:
    """A grey TIFF of 12 bits a pixel, three bytes holding two of them."""
    height, width = values.shape
    even, odd = values[:, ::2].astype(int), values[:, 1::2].astype(int)
    packed = np.stack([even >> 4, (even & 15) << 4 | odd >> 8, odd & 255], axis=2).astype(np.uint8).tobytes()
    short, long = lambda n: (3, struct.pack("<H", n)), lambda n: (4, struct.pack("<I", n))
    tags = {256: short(width), 257: short(height), 258: short(12), 259: short(1), 262: short(1), 273: long(8), 277: short(1)}
    tags |= {278: short(height), 279: long(len(packed))}
    return struct.pack("<2sHI", b"II", 42, 8 + len(packed)) + packed + exif.laid_out(tags, 8 + len(packed), "<")


def test_bits_between_are_taken_as_the_next_depth_and_it_is_said(coffee, tmp_path):
    path = tmp_path / "t.tif"
    values = coffee[:, :, 0].astype(np.uint16) * 16 + 15
    path.write_bytes(twelve_bits(values))
    read = images.read(path, "target")
    assert "12 bits" in read.notes[0]
    assert read.raster.dtype == np.uint16
    assert np.abs(read.raster[:, :, 0] / 65535 - values / 4095).max() < 1e-4


def test_min_is_white_and_one_bit(disc, tmp_path):
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, 255 - disc, photometric="miniswhite")
    assert np.array_equal(images.read(path, "mask").raster[:, :, 0], disc)
    tifffile.imwrite(path, disc > 0, photometric="minisblack")
    assert np.array_equal(images.read(path, "mask").raster[:, :, 0], disc)


def test_ycbcr_becomes_rgb(coffee, tmp_path):
    path = tmp_path / "t.tif"
    values = np.array(Image.fromarray(coffee).convert("YCbCr"))
    tifffile.imwrite(path, values, photometric="ycbcr")
    assert np.abs(images.read(path, "target").raster.astype(int) - coffee).max() <= 3
    tifffile.imwrite(path, coffee, photometric="rgb", compression="jpeg", compressionargs={"level": 98})  # as YCbCr
    assert np.abs(images.read(path, "target").raster.astype(int) - coffee).mean() < 3


def test_pages_and_frames_that_are_left_out_are_told(coffee, tmp_path):
    frames = [Image.fromarray(np.roll(coffee, k, axis=1)) for k in range(3)]
    for name in ("t.tif", "t.gif", "t.webp", "t.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert "3 pictures" in images.read(tmp_path / name, "target").notes[0], name
    assert images.read(save(tmp_path / "one.tif", coffee), "target").notes == ()


def test_a_saved_selection_is_no_transparency_and_stays_in_a_tiff(case, coffee, disc):
    target = case.folder / "t.tif"
    saved = np.zeros((96, 128, 1), np.uint8)
    tifffile.imwrite(target, np.dstack([coffee, saved]), photometric="rgb", extrasamples=["unspecified"])
    done = case.run(target=target, output=case.folder / "o.tif", method="copy-paste")
    assert (done.returncode, done.stderr) == (0, "")
    with tifffile.TiffFile(case.folder / "o.tif") as file:
        assert file.pages.first.extrasamples == (0,)
        assert not file.asarray()[:, :, 3].any()
    assert "saved selections" in case.run(target=target, method="copy-paste").stderr


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_associated_alpha_is_written_back_bit_for_bit(dtype, case, coffee):
    top = 1 if dtype == np.float32 else np.iinfo(dtype).max
    alpha = np.linspace(0, 1, 128)[None, :, None] * np.ones((96, 1, 1))
    values = np.concatenate([coffee / 255 * alpha, alpha], axis=2) * top
    values = (values if dtype == np.float32 else np.rint(values)).astype(dtype)
    target, output = case.folder / "t.tif", case.folder / "o.tif"
    tifffile.imwrite(target, values, photometric="rgb", extrasamples=["assocalpha"])
    assert np.abs(images.read(target, "target").raster[:, 100:, :3] / top - coffee[:, 100:] / 255).max() < 0.01
    assert case.run(target=target, output=output, method="copy-paste", offset="0,0").returncode == 0
    with tifffile.TiffFile(output) as file:
        assert file.pages.first.extrasamples == (1,)
        out = file.asarray()
    assert np.array_equal(out[:, 90:], values[:, 90:])
    assert (out[30:34, 38:42, 3] == top).all()


@pytest.mark.parametrize("values", [lambda x: x * 255, lambda x: x * 2 - 1, lambda x: x * np.nan])
@pytest.mark.parametrize("role", ["source", "target"])
def test_floats_out_of_range_are_refused(values, role, coffee, tmp_path):
    path = tmp_path / "t.tif"
    tifffile.imwrite(path, values(coffee.astype(np.float32) / 255), photometric="rgb")
    assert refusal(path, role).code == "image-range"


def test_light_beyond_white_is_welcome(coffee, tmp_path):
    path = tmp_path / "t.tif"
    values = coffee.astype(np.float32) / 255
    values[:5, :5] = 30
    tifffile.imwrite(path, values, photometric="rgb")
    assert np.array_equal(images.read(path, "target").raster, values)


def test_one_pixel(case, cat):
    for channels in (1, 3):
        target = save(case.folder / "t1.png", np.full((1, 1, channels), 77, np.uint8))
        mask = save(case.folder / "m1.png", np.full((64, 80), 128, np.uint8))
        assert case.run(target=target, mask=mask, offset="-40,-30", method="copy-paste").returncode == 0
    one = save(case.folder / "s1.png", np.full((1, 1, 1), 200, np.uint8))
    white = save(case.folder / "w1.png", np.full((1, 1), 255, np.uint8))
    assert case.run(source=one, mask=white, method="copy-paste").returncode == 0
    assert (load(case.out)[10, 20] == 200).all()


def test_names_that_are_not_utf8(case, cat, coffee, disc):
    strange = os.fsencode(case.folder) + b"/caf\xe9"
    Path(os.fsdecode(strange)).mkdir()
    renamed = {}
    for role in ("source", "mask", "target"):
        renamed[role] = os.fsdecode(strange + b"/" + role.encode() + b"\xe9.png")
        getattr(case, role).rename(renamed[role])
    done = case.run(**renamed, output=os.fsdecode(strange + b"/out.png"), metadata=os.fsdecode(strange + b"/m.json"), method="copy-paste")
    assert (done.returncode, done.stderr) == (0, "")
    assert case.run(**{**renamed, "mask": os.fsdecode(strange + b"/none")}).returncode == 2


def test_a_pipe_is_read(case):
    pipe = case.folder / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(case.source.read_bytes()))
    writer.start()
    assert case.run(source=pipe, method="copy-paste").returncode == 0
    writer.join(10)


@pytest.mark.parametrize("offset", ["99999999999999999999,0", "0,-99999999999999999999", "9223372036854775807,0", "-2147483649,5"])
def test_offsets_beyond_any_integer(offset, case):
    done = case.run(offset=offset, method="copy-paste")
    assert done.returncode == 2
    assert "outside the target" in done.stderr


def test_circles_of_links_and_names_too_long(case):
    loop = case.folder / "loop.png"
    loop.symlink_to(loop)
    long = case.folder / ("a" * 300 + ".png")
    before = sorted(case.folder.iterdir())
    for changes in ({"source": loop}, {"output": loop}, {"metadata": loop}, {"target": long}, {"output": long}, {"metadata": long}):
        done = case.run(method="copy-paste", **changes)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), changes
    assert sorted(case.folder.iterdir()) == before
    longest = case.folder / ("m" * 250 + ".json")
    assert case.run(method="copy-paste", metadata=longest).returncode == 0
    assert longest.exists()


def test_colours_that_nobody_sees_have_no_say(case, coffee):
    alpha = np.full((96, 128, 1), 255, np.uint8)
    alpha[:, :50] = 0
    for method in ("copy-paste", "color-transfer", "poisson", "poisson-mixed", "gaussian-poisson", "alpha"):
        results = []
        for hidden in (0, 255):
            target = np.where(alpha > 0, coffee, np.uint8(hidden))
            save(case.target, np.dstack([target, alpha]))
            assert case.run(method=method).returncode == 0
            results.append(load(case.out))
        seen = results[0][:, :, 3] > 0
        assert np.array_equal(results[0][seen], results[1][seen]), method


def test_too_little_memory_is_called_that(case):
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (1_000_000_000, 1_000_000_000))  # less than PyTorch's libraries
    words = [COMMAND, *case.words(method="copy-paste")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, preexec_fn=limit)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "memory ran out" in done.stderr
    assert not case.out.exists()


def test_what_is_foreseen_by_nobody_is_one_sentence_and_a_file(case, monkeypatch):
    monkeypatch.setenv("BLEND_DAEMON_STATE_DIR", str(case.folder / "state"))
    monkeypatch.setattr(images, "read_scene", lambda *_: struct.unpack("I", b""))
    done = case.run()
    assert (done.returncode, done.stderr.count("\n")) == (70, 1)
    (log,) = (case.folder / "state").iterdir()
    assert str(log) in done.stderr
    assert "Traceback" in log.read_text()
    assert not case.out.exists()
