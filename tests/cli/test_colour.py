"""Conversions between what pictures' numbers mean, beside Little CMS by another door (Pillow's) and beside the formulas."""

from __future__ import annotations

import io
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from pictures import load, save
from PIL import Image, ImageCms

from blend_daemon import images
from blend_daemon.images import colour, png
from blend_protocol.errors import BlendError

D65, BT709 = [0.3127, 0.3290, 1], [0.64, 0.33, 0.30, 0.60, 0.15, 0.06]
LINEAR = imagecodecs.cms_profile("rgb", whitepoint=D65, primaries=BT709, gamma=1.0)
GREY_LINEAR = imagecodecs.cms_profile("gray", whitepoint=D65, gamma=1.0)
ADOBE = imagecodecs.cms_profile("adobergb")
TOP = {np.uint8: 255, np.uint16: 65535, np.float32: 1}


def encoded(light):
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def written(path, values, profile=None):
    tifffile.imwrite(path, values, photometric="rgb" if values.shape[2] == 3 else "minisblack", iccprofile=profile)
    return path


def deep(coffee, dtype):
    return (coffee.astype(np.float64) / 255 * TOP[dtype]).astype(dtype)


@pytest.mark.parametrize("target", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("source", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("ways", ["to linear", "from linear"])
def test_every_depth_is_converted_as_deep_as_the_target(source, target, ways, coffee, tmp_path):
    own, other = (None, LINEAR) if ways == "to linear" else (LINEAR, None)
    pasted = images.read(written(tmp_path / "s.tif", deep(coffee, source), own), "source")
    canvas = images.read(written(tmp_path / "t.tif", deep(coffee, target), other), "target")
    out = images.in_colours_of(pasted, canvas)
    share = pasted.raster.astype(np.float64) / TOP[source]
    wanted = colour.srgb_curve(share) if ways == "to linear" else encoded(share)
    # Near black the curve is steep, and lcms' own profile of it is rounded to 16 bits.
    level = max(1 / TOP[target], 1.0 / 255) if max(TOP[source], TOP[target]) == 255 else 4e-4
    assert np.abs(out / TOP[out.dtype.type] - wanted).max() <= level
    assert out.dtype.itemsize == max(np.dtype(source).itemsize, np.dtype(target).itemsize)


def test_no_shadow_is_lost_on_the_way_to_linear_light(tmp_path):
    shadows = np.repeat(np.arange(41, dtype=np.uint8)[None, :, None], 3, axis=2)
    canvas = images.read(written(tmp_path / "t.tif", np.full((4, 4, 3), 0.2, np.float32), LINEAR), "target")
    out = images.in_colours_of(images.read(save(tmp_path / "s.png", shadows), "source"), canvas)
    assert len(np.unique(out[:, :, 0])) == 41


@pytest.mark.parametrize(("own", "other"), [(ADOBE, None), (None, ADOBE), (ADOBE, LINEAR)])
def test_eight_bits_are_converted_as_pillows_lcms_does(own, other, coffee, tmp_path):
    pasted = images.read(written(tmp_path / "s.tif", coffee, own), "source")
    out = images.in_colours_of(pasted, images.read(written(tmp_path / "t.tif", coffee, other), "target"))
    profiles = [ImageCms.ImageCmsProfile(io.BytesIO(p)) if p else ImageCms.createProfile("sRGB") for p in (own, other)]
    wanted = ImageCms.profileToProfile(Image.fromarray(coffee), *profiles, renderingIntent=1, flags=ImageCms.Flags.BLACKPOINTCOMPENSATION)
    assert np.abs(out.astype(int) - np.array(wanted)).max() <= 1


def test_grey_profiles_go_both_ways(coffee, tmp_path):
    grey = coffee[:, :, :1]
    plain, light = written(tmp_path / "p.tif", grey), written(tmp_path / "l.tif", grey, GREY_LINEAR)
    rgb = written(tmp_path / "c.tif", np.repeat(grey, 3, axis=2))
    read = {name: images.read(path, "source") for name, path in (("plain", plain), ("light", light), ("rgb", rgb))}
    share = grey / 255.0
    for own, other, wanted in (
        ("light", "rgb", encoded(share)),
        ("light", "plain", encoded(share)),
        ("rgb", "light", colour.srgb_curve(share)),
        ("plain", "light", colour.srgb_curve(share)),
        ("plain", "rgb", share),
    ):
        out = images.in_colours_of(read[own], read[other])
        assert np.abs(out / 255.0 - wanted).max() < 1.6 / 255, (own, other)


def test_an_rgb_profile_on_a_grey_picture_is_honoured(coffee, tmp_path):
    grey = images.read(written(tmp_path / "g.tif", coffee[:, :, :1], LINEAR), "source")
    out = images.in_colours_of(grey, images.read(written(tmp_path / "t.tif", coffee), "target"))
    assert np.abs(out[:, :, :1] / 255.0 - encoded(coffee[:, :, :1] / 255.0)).max() < 1.6 / 255


def test_a_profile_that_cannot_be_used_is_refused_only_where_it_is_needed(coffee, tmp_path):
    broken = images.read(written(tmp_path / "b.tif", coffee, b"\0" * 200), "source")
    with pytest.raises(BlendError):
        images.in_colours_of(broken, images.read(written(tmp_path / "t.tif", coffee), "target"))
    assert images.in_colours_of(broken, broken) is broken.raster


def with_chunks(path, values, **chunks):
    path.write_bytes(png.with_chunks(save(path, values).read_bytes(), [(name.encode(), content) for name, content in chunks.items()]))
    return path


def gamma(value):
    return struct.pack(">I", round(value * 100_000))


CHROMATICITIES = struct.pack(">8I", *(round(n * 100_000) for n in (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)))


@pytest.mark.parametrize(
    "chunks",
    [
        {"gAMA": gamma(1.0)},
        {"gAMA": gamma(0.45455), "cHRM": CHROMATICITIES},
        {"sRGB": b"\0"},
        {"cICP": bytes((12, 13, 0, 1))},
        {"cICP": bytes((9, 16, 0, 1))},
    ],
)
def test_what_gives_a_png_its_meaning_is_carried(chunks, case, coffee):
    with_chunks(case.target, coffee, **chunks)
    white = save(case.folder / "w.png", np.pad(np.full((90, 120), 255, np.uint8), ((6, 0), (8, 0))))
    copy = with_chunks(case.folder / "same.png", coffee, **chunks)
    assert case.run(method="copy-paste", source=copy, mask=white, offset="3,3", layer=case.folder / "l.png").returncode == 0
    for path in (case.out, case.folder / "l.png"):
        carried = dict(png.chunks(path.read_bytes()))
        assert {name: carried.get(name.encode()) for name in chunks} == chunks
    assert np.array_equal(load(case.out)[10:96, 12:128], coffee[7:93, 9:125]), "no conversion between equals"


def test_a_pngs_gamma_and_primaries_are_converted(coffee, tmp_path):
    plain = images.read(save(tmp_path / "t.png", coffee), "target")
    as_target = lambda **chunks: images.in_colours_of(images.read(with_chunks(tmp_path / "s.png", coffee, **chunks), "source"), plain)
    assert np.abs(as_target(gAMA=gamma(1.0)) / 255.0 - encoded(coffee / 255.0)).max() < 1.6 / 255
    assert np.abs(as_target(gAMA=gamma(1 / 1.8)) / 255.0 - encoded((coffee / 255.0) ** 1.8)).max() < 3 / 255
    assert np.array_equal(as_target(gAMA=gamma(0.45455)), coffee), "which is how sRGB is said"
    assert np.array_equal(as_target(sRGB=b"\0", gAMA=gamma(1.0)), coffee)
    wide = as_target(gAMA=gamma(1 / 2.2), cHRM=CHROMATICITIES).astype(int)
    adobe = images.in_colours_of(images.read(written(tmp_path / "a.tif", coffee, ADOBE), "source"), plain)
    assert np.abs(wide - adobe).max() <= 2


def test_another_format_gets_a_profile_instead(coffee, tmp_path):
    like = images.read(with_chunks(tmp_path / "t.png", coffee, gAMA=gamma(1.0)), "target")
    for name in ("o.tif", "o.jpg", "o.webp"):
        (tmp_path / name).write_bytes(images.encoded(tmp_path / name, coffee, like))
        again = images.read(tmp_path / name, "target")
        assert again.profile == like.profile, name


def test_a_camera_that_means_adobe_rgb(coffee, tmp_path):
    adobe = images.read(written(tmp_path / "t.tif", coffee, ADOBE), "target")
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 65535
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    Image.fromarray(coffee).save(tmp_path / "a.jpg", exif=exif)
    meant = images.in_colours_of(images.read(tmp_path / "a.jpg", "source"), adobe)
    with Image.open(tmp_path / "a.jpg") as said:
        assert np.abs(meant.astype(int) - np.array(said)).max() <= 3
