"""XMP: what describes the old pixels is taken out, everything else stays."""

from __future__ import annotations

import io
from xml.etree import ElementTree

_TIFF, _EXIF = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/exif/1.0/"
_XMP, _PHOTOSHOP = "http://ns.adobe.com/xap/1.0/", "http://ns.adobe.com/photoshop/1.0/"
_LAYOUT = {
    _TIFF: (
        "Orientation", "ImageWidth", "ImageLength", "BitsPerSample", "Compression", "PhotometricInterpretation", "SamplesPerPixel",
        "PlanarConfiguration", "YCbCrSubSampling", "YCbCrPositioning", "YCbCrCoefficients", "ReferenceBlackWhite", "NativeDigest",
    ),
    _EXIF: ("PixelXDimension", "PixelYDimension", "ComponentsConfiguration", "CompressedBitsPerPixel", "NativeDigest"),
    _XMP: ("Thumbnails",),
    _PHOTOSHOP: ("DocumentAncestors", "TextLayers"),
    "http://ns.adobe.com/xmp/note/": ("HasExtendedXMP",),
}  # fmt: skip
# Pictures beside the picture: gain maps, depth maps, films. They are not in the new file.
_BESIDE = (
    "http://ns.adobe.com/hdr-gain-map/1.0/", "http://ns.apple.com/HDRGainMap/1.0/", "http://ns.google.com/photos/1.0/container/",
    "http://ns.google.com/photos/1.0/depthmap/", "http://ns.google.com/photos/1.0/image/", "http://ns.google.com/photos/1.0/camera/",
)  # fmt: skip


def renewed(packet: bytes) -> bytes | None:
    """The packet for new, upright pixels; None where it is not XML."""
    try:
        names = dict(node for _, node in ElementTree.iterparse(io.BytesIO(packet.strip(b"\0 \n\r\t")), events=["start-ns"]))
        root = ElementTree.fromstring(packet.strip(b"\0 \n\r\t"))
    except ElementTree.ParseError:
        return None
    for prefix, name in names.items():
        # The reserved prefixes ns0, ns1 ... are what ElementTree would give by itself.
        if prefix and not prefix.startswith("ns"):
            ElementTree.register_namespace(prefix, name)
    for parent in root.iter():
        for name in [name for name in parent.attrib if _stale(name)]:
            del parent.attrib[name]
        for child in [child for child in parent if _stale(child.tag)]:
            parent.remove(child)
    head, tail = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n', b'\n<?xpacket end="w"?>'
    return head + ElementTree.tostring(root, encoding="utf-8") + tail


def _stale(name: str) -> bool:
    space, _, local = name.removeprefix("{").partition("}")
    return space in _BESIDE or local in _LAYOUT.get(space, ())
