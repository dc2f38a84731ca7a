"""What describes the picture goes along into every format; what describes the old pixels does not."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tifffile
from pictures import load
from PIL import ExifTags, Image

from blend_daemon import images
from blend_daemon.images import exif, iptc, png, xmp
from blend_daemon.images.tiff import with_directories

SUFFIXES = (".jpg", ".png", ".webp", ".tif")
IPTC = b"\x1c\x02\x50\x00\x08J. Photo\x1c\x02\x78\x00\x05A cat"
XMP = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 tiff:Orientation="6" tiff:Make="Acme" exif:PixelXDimension="128"><dc:creator><rdf:Seq><rdf:li>Zoë</rdf:li></rdf:Seq></dc:creator>
 <tiff:ImageWidth>128</tiff:ImageWidth><xmp:Thumbnails><rdf:Alt><rdf:li>OLD PIXELS</rdf:li></rdf:Alt></xmp:Thumbnails>
 </rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()


def block(orientation=1, order="<", thumbnail=b"\xff\xd8\xff\xe0THUMB OF OLD PIXELS\xff\xd9") -> bytes:
    """EXIF of a camera, with a thumbnail."""
    pack = lambda code, *values: struct.pack(f"{order}{code}", *values)
    camera = {
        33434: (5, pack("II", 1, 250)), 36867: (2, b"2026:05:04 03:02:01\0"), 37121: (7, b"\1\2\3\0"), 37500: (7, b"ACME NOTE" * 5),
        40962: (4, pack("I", 128)), 40963: (4, pack("I", 96)),
    }  # fmt: skip
    main = {271: (2, b"Acme\0"), 272: (2, b"Camera 3000\0"), 274: (3, pack("H", orientation)), 33432: (2, b"J. Photo\0")}
    made = bytearray(exif.Exif(order, main, camera, {1: (2, b"N\0"), 2: (5, pack("6I", 48, 1, 12, 1, 0, 1))}).packed())
    # The next directory, which the first one's last word points to, is the thumbnail's.
    (count,) = struct.unpack_from(f"{order}H", made, 8)
    at = len(made) + len(made) % 2
    made[8 + 2 + 12 * count : 8 + 6 + 12 * count] = pack("I", at)
    made += b"\0" * (len(made) % 2) + pack("H", 2)
    made += pack("HHII", 513, 4, 1, at + 30) + pack("HHII", 514, 4, 1, len(thumbnail)) + pack("I", 0) + thumbnail
    return bytes(made)


def photo(path, coffee, orientation=1, order="<", **more):
    """A picture with metadata, in the format that the name tells."""
    image = Image.fromarray(coffee)
    found = block(orientation, order)
    if path.suffix == ".tif":
        main = exif.read(found)
        extra = [(tag, kind, len(value) // exif.SIZES[kind], value, True) for tag, (kind, value) in main.main.items()]
        extra += [(700, 7, len(XMP), XMP, True), (33723, 7, len(IPTC), IPTC, True)]
        tifffile.imwrite(path, coffee, photometric="rgb", byteorder=order, metadata=None, extratags=extra)
        path.write_bytes(with_directories(path.read_bytes(), main))
    elif path.suffix == ".jpg":
        image.save(path, exif=b"Exif\0\0" + found, xmp=XMP, extra=iptc.jpeg_segment(IPTC), quality=95, subsampling=0)
    elif path.suffix == ".png":
        file = io.BytesIO()
        image.save(file, "png")
        chunks = [(b"eXIf", found), png.xmp_chunk(XMP), (b"zTXt", iptc.png_text(IPTC)), (b"tEXt", b"Title\0A cat")]
        path.write_bytes(png.with_chunks(file.getvalue(), chunks))
    else:
        image.save(path, exif=found, xmp=XMP, lossless=True)
    return path


@pytest.mark.parametrize("out", SUFFIXES)
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("order", ["<", ">"])
def test_what_describes_the_picture_goes_along(suffix, out, order, coffee, tmp_path):
    like = images.read(photo(tmp_path / f"t{suffix}", coffee, 6, order), "target")
    assert like.raster.shape == (128, 96, 3)
    path = tmp_path / f"o{out}"
    path.write_bytes(images.encoded(path, like.raster, like))
    assert b"OLD PIXELS" not in path.read_bytes()
    with Image.open(path) as image:
        assert image.size == (96, 128)
        found = image.getexif()
        camera, place = found.get_ifd(ExifTags.IFD.Exif), found.get_ifd(ExifTags.IFD.GPSInfo)
        assert (found[271].strip("\0"), found[33432].strip("\0")) == ("Acme", "J. Photo")
        assert found.get(274, 1) == 1
        assert float(camera[33434]) == pytest.approx(1 / 250)
        assert (camera[37500], camera[36867].strip("\0")) == (b"ACME NOTE" * 5, "2026:05:04 03:02:01")
        assert (camera[40962], camera[40963]) == (96, 128)
        assert 37121 not in camera
        assert [float(n) for n in place[2]] == [48, 12, 0]
    again = images.read(path, "target")
    assert again.raster.shape == like.raster.shape
    assert again.about.iptc == (IPTC if ".webp" not in (suffix, out) else None)
    assert "Zoë".encode() in again.about.xmp
    assert b"Orientation" not in again.about.xmp


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_picture_that_lay_on_its_side_comes_out_upright_once(suffix, case, coffee):
    target = photo(case.folder / f"phone{suffix}", coffee, 6)
    for out in SUFFIXES:
        output = case.folder / f"o{out}"
        assert case.run(method="copy-paste", target=target, output=output, offset="0,0").returncode == 0
        with Image.open(output) as image:
            assert (image.size, image.getexif().get(274, 1)) == ((96, 128), 1)
            seen = np.array(image.convert("RGB")).astype(int)
        assert np.abs(seen[70:] - np.rot90(coffee, 3)[70:]).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_is_as_pillow_has_it(orientation, coffee, tmp_path):
    from PIL import ImageOps

    for suffix in (".png", ".tif"):
        path = photo(tmp_path / f"t{suffix}", coffee, orientation)
        with Image.open(path) as image:
            assert np.array_equal(images.read(path, "target").raster, np.array(ImageOps.exif_transpose(image).convert("RGB")))


def test_previews_in_a_makers_notes_are_left_behind():
    note = exif.Exif("<", {}, {37500: (7, b"NOTE\xff\xd8\xff\xe0OLD PIXELS"), 33434: (5, bytes(8))})
    assert set(note.of(10, 10, False).camera) == {33434}


def test_xmp_is_renewed_and_stays_xml():
    from xml.etree import ElementTree

    new = xmp.renewed(XMP)
    for gone in (b"Orientation", b"PixelXDimension", b"ImageWidth", b"OLD PIXELS"):
        assert gone not in new
    for kept in ("Zoë".encode(), b'Make="Acme"', b"<dc:creator>", b"<?xpacket begin"):
        assert kept in new
    assert ElementTree.fromstring(new) is not None
    assert xmp.renewed(b"<x") is None


@pytest.mark.parametrize("damage", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff" + b"\x12" * 300, b"junk" * 9])
def test_damaged_exif_is_left_out(damage, coffee, tmp_path):
    path = tmp_path / "t.jpg"
    Image.fromarray(coffee).save(path, exif=b"Exif\0\0" + damage)
    like = images.read(path, "target")
    for out in SUFFIXES:
        images.encoded(tmp_path / f"o{out}", coffee, like)


def test_what_a_format_cannot_hold_is_told(case, coffee):
    target = photo(case.folder / "t.png", coffee)
    assert "IPTC" in case.run(method="copy-paste", target=target, output=case.folder / "o.webp").stderr
    from PIL import PngImagePlugin

    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta")
    Image.fromarray(coffee).save(case.folder / "b.png", pnginfo=texts)
    assert "XMP data is damaged" in case.run(method="copy-paste", target=case.folder / "b.png").stderr
    assert "PNG texts" in case.run(method="copy-paste", target=target, output=case.folder / "o.tif").stderr
    assert case.run(method="copy-paste", target=target).stderr == ""
    with Image.open(case.out) as image:
        assert image.info["Title"] == "A cat"
    assert load(case.out).shape == (96, 128, 3)


def test_the_resolution_goes_along(coffee, tmp_path):
    for suffix in (".jpg", ".png", ".tif"):
        path = tmp_path / f"t{suffix}"
        Image.fromarray(coffee).save(path, dpi=(300, 300))
        like = images.read(path, "target")
        for out in (".jpg", ".png", ".tif"):
            (tmp_path / f"o{out}").write_bytes(images.encoded(tmp_path / f"o{out}", coffee, like))
            with Image.open(tmp_path / f"o{out}") as image:
                assert float(image.info["dpi"][0]) == pytest.approx(300, abs=0.1), (suffix, out)
