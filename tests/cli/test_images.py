"""Image files to rasters and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import pyvips
from pictures import save

from blend_daemon import files, images
from blend_protocol.errors import BlendError


def write(path, raster, like):
    files.write({path: images.encoded(path, raster, like)})


def kinds():
    for channels in (1, 2, 3, 4):
        for dtype in (np.uint8, np.uint16):
            yield channels, dtype, ".png"
            yield channels, dtype, ".tif"
    for channels in (1, 3, 4):
        yield channels, np.float32, ".tif"
    yield 3, np.uint8, ".webp"
    yield 4, np.uint8, ".webp"


@pytest.mark.parametrize(("channels", "dtype", "suffix"), list(kinds()))
def test_what_is_written_is_read_again(channels, dtype, suffix, coffee, tmp_path):
    raster = np.concatenate([coffee, coffee[:, :, :1] // 2 + 100], axis=2)[
        :, :, {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]
    ]
    if dtype == np.uint16:
        raster = raster.astype(np.uint16) * 256 + 77
    elif dtype == np.float32:
        raster = raster.astype(np.float32) / 200 - 0.1
    like = images.read(save(tmp_path / "like.tif", raster), "target")
    assert like.raster.dtype == dtype
    images.check_format(tmp_path / f"out{suffix}", raster.dtype, channels, 128, 96)
    write(tmp_path / f"out{suffix}", raster, like)
    again = images.read(tmp_path / f"out{suffix}", "target").raster
    assert again.dtype == dtype
    assert np.array_equal(again, raster)


def profile(name: str) -> bytes:
    """One of libvips' built-in profiles."""
    return pyvips.Image.profile_load(name)


def test_the_profile_and_other_metadata_are_kept(coffee, tmp_path):
    path = save(tmp_path / "t.tif", coffee, icc_profile_data=("blob_type", profile("p3")), xmp_data=("blob_type", b"<x/>"))
    like = images.read(path, "target")
    write(tmp_path / "o.png", like.raster, like)
    again = images.read(tmp_path / "o.png", "target")
    assert again.profile == profile("p3")
    assert b"<x" in again.about.xmp


def test_the_source_is_converted_to_the_targets_profile(coffee, tmp_path):
    wide = images.read(save(tmp_path / "p3.png", coffee, icc_profile_data=("blob_type", profile("p3"))), "target")
    plain = images.read(save(tmp_path / "srgb.png", coffee), "source")
    converted = images.in_colours_of(plain, wide)
    assert converted.shape == coffee.shape
    assert (converted != coffee).mean() > 0.5
    back = images.in_colours_of(images.read(save(tmp_path / "c.png", converted, icc_profile_data=("blob_type", profile("p3"))), "s"), plain)
    assert np.abs(back.astype(int) - coffee).mean() < 1.5
    assert images.in_colours_of(plain, plain) is plain.raster


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_the_orientation_is_applied_and_reset(orientation, coffee, tmp_path):
    path = save(tmp_path / "t.tif", coffee, orientation=("gint_type", orientation))
    turned = images.read(path, "target")
    assert np.array_equal(turned.raster, np.rot90(coffee, {3: 2, 6: 3, 8: 1}[orientation]))
    write(tmp_path / "o.tif", turned.raster, turned)
    assert np.array_equal(images.read(tmp_path / "o.tif", "target").raster, turned.raster)


def test_a_palette_becomes_rgb(coffee, tmp_path):
    from PIL import Image

    Image.fromarray(coffee).quantize(16).save(tmp_path / "p.png")
    assert images.read(tmp_path / "p.png", "target").raster.shape == (96, 128, 3)


def test_a_mask_of_one_bit_is_black_and_white(disc, tmp_path):
    from PIL import Image

    Image.fromarray(disc).convert("1").save(tmp_path / "m.png")
    assert np.array_equal(images.mask_of(images.read(tmp_path / "m.png", "mask"))[0][:, :, 0], disc)


def test_a_coloured_mask_is_refused(cat, tmp_path):
    with pytest.raises(BlendError) as error:
        images.mask_of(images.read(save(tmp_path / "m.png", cat), "mask"))
    assert error.value.code == "mask-coloured"


def test_files_appear_all_or_none(tmp_path, monkeypatch):
    """Here the second of two cannot be put in its place; a full disk cannot be had without filling the machine's."""
    first, second = tmp_path / "first.png", tmp_path / "second.json"
    first.write_bytes(b"old")
    place = Path.replace

    def broken(self, target):
        if Path(target).name == "second.json":
            raise OSError(28, "No space left on device")
        return place(self, target)

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(BlendError) as error:
        files.write({first: b"new", second: b"new"})
    assert error.value.code == "output-unwritable"
    assert first.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["first.png"]


def test_what_a_format_cannot_hold_is_refused_with_formats_that_can(tmp_path):
    with pytest.raises(BlendError) as error:
        images.check_format(tmp_path / "o.jpg", np.dtype(np.uint16), 3, 10, 10)
    assert error.value.code == "format-unfit"
    assert ".png" in error.value.hint
