"""Colour profiles: what a picture's numbers mean, and the conversion from one meaning to another, by Little CMS."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import imagecodecs
import numpy as np

from blend_daemon.engine.raster.pixels import Raster, split_alpha
from blend_daemon.images.exif import Exif
from blend_daemon.images.picture import Picture
from blend_protocol.errors import BlendError

_D65 = (0.3127, 0.3290)
_BT709 = (0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
# By the code points of ITU-T H.273, which PNG's cICP chunk uses.
_PRIMARIES = {1: _BT709, 9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046), 12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)}
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_SRGB, _BT709_CURVES = 13, (1, 6, 14, 15)


def srgb_curve(values: np.ndarray) -> np.ndarray:
    """Light of sRGB's values in 0..1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _profile(kind: str, **options: Any) -> bytes:
    """A profile of lcms' making, without the time at which it was made: the same words mean the same profile."""
    made = bytearray(imagecodecs.cms_profile(kind, **options))
    made[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    made[84:100] = bytes(16)  # an identification by contents, which has been changed
    return bytes(made)


@cache
def _plain(space: str) -> bytes:
    """What a picture without a profile is in: sRGB, or grey with its curve."""
    if space == "rgb":
        return _profile("srgb")
    return _profile("gray", whitepoint=[*_D65, 1], transferfunction=srgb_curve(np.linspace(0, 1, 4096)).astype(np.float32))


def of_png(chunks: Iterable[tuple[bytes, bytes]], grey: bool) -> bytes | None:
    """The profile that PNG's own chunks amount to; None: sRGB, or nothing said."""
    found: Mapping[bytes, bytes] = dict(chunks)
    if len(said := found.get(b"cICP", b"")) == 4:
        gamut, curve = said[0], said[1]
        if curve == _SRGB and gamut == 1:
            return None
        if gamut in _PRIMARIES and curve in _GAMMAS:
            return _made(_D65, _PRIMARIES[gamut], gamma=_GAMMAS[curve])
        if gamut in _PRIMARIES and curve in (_SRGB, *_BT709_CURVES):
            values = np.linspace(0, 1, 4096)
            bt709 = np.where(values < 0.081, values / 4.5, ((values + 0.099) / 1.099) ** (1 / 0.45))
            return _made(_D65, _PRIMARIES[gamut], curve=srgb_curve(values) if curve == _SRGB else bt709)
        return b"cICP" + said  # known to itself alone: equal to its like, and convertible to nothing
    if b"sRGB" in found or len(found.get(b"gAMA", b"")) != 4:
        return None
    gamma = struct.unpack(">I", found[b"gAMA"])[0] / 100_000
    white: tuple[float, float] = _D65
    primaries: tuple[float, ...] = _BT709
    if not grey and len(said := found.get(b"cHRM", b"")) == 32:
        xy = [n / 100_000 for n in struct.unpack(">8I", said)]
        white, primaries = (xy[0], xy[1]), tuple(xy[2:])
    # 1/2.2 with sRGB's primaries is what PNG's specification has writers of sRGB say.
    if abs(gamma * 2.2 - 1) < 0.02 and np.allclose([*white, *primaries], [*_D65, *_BT709], atol=0.002):
        return None
    if not gamma:
        return None
    if grey:
        return _profile("gray", whitepoint=[*_D65, 1], gamma=1 / gamma)
    return _made(white, primaries, gamma=1 / gamma)


def of_exif(exif: Exif | None) -> bytes | None:
    """Adobe RGB, where a camera says so without a profile."""
    return _profile("adobergb") if exif and exif.is_adobe_rgb else None


def is_icc(profile: bytes | None) -> bool:
    return profile is not None and profile[36:40] == b"acsp"


def _made(white: tuple[float, float], primaries: tuple[float, ...], gamma: float | None = None, curve: np.ndarray | None = None) -> bytes:
    made = None if curve is None else [curve.astype(np.float32)] * 3
    return _profile("rgb", whitepoint=[*white, 1], primaries=list(primaries), gamma=gamma, transferfunction=made)


def in_colours_of(picture: Picture, target: Picture) -> Raster:
    """The picture's raster in the target's colours, at the deeper of the two depths; without a profile, sRGB is assumed."""
    if picture.profile == target.profile:
        return picture.raster
    colours, alpha = split_alpha(picture.raster)
    dtype = max(colours.dtype, target.raster.dtype, key=lambda dtype: np.dtype(dtype).itemsize)
    own = picture.profile or _plain(_space_of(colours))
    other = target.profile or _plain(_space_of(split_alpha(target.raster)[0]))
    flags = int(imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION)
    if dtype != np.uint8:  # Little CMS's short cuts are good to 8 bits
        flags |= int(imagecodecs.CMS.FLAGS.NOOPTIMIZE)
    try:
        converted = imagecodecs.cms_transform(
            _fitted(colours, _space(own)), own, other, colorspace=_space(own), outcolorspace=_space(other), outdtype=dtype, flags=flags,
            intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
        )  # fmt: skip
    except (RuntimeError, ValueError) as error:
        raise BlendError(
            "profile-invalid",
            f"The colours of {picture.path} cannot be converted to the profile of {target.path}.",
            "Assign a standard RGB or grey profile to both.",
        ) from error
    converted = converted[:, :, None] if converted.ndim == 2 else converted
    return converted if alpha is None else np.dstack([converted, deepened(alpha, dtype)])


def deepened(values: Raster, dtype: np.dtype) -> Raster:
    """The same shares of white in a type that is no shallower."""
    if values.dtype == dtype:
        return values
    if dtype == np.float32:
        return values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)
    return values.astype(dtype) * dtype.type(257)


def _space_of(colours: Raster) -> str:
    return "gray" if colours.shape[2] == 1 else "rgb"


def _space(profile: bytes) -> str:
    """The colour space that a profile is for. Raises ValueError where it is another than RGB or grey."""
    space = {b"RGB ": "rgb", b"GRAY": "gray"}.get(profile[16:20])
    if space is None:
        raise ValueError(f"a profile for {profile[16:20]!r}")
    return space


def _fitted(colours: Raster, space: str) -> Raster:
    """Grey as RGB, where a grey picture has an RGB profile."""
    if space == "gray":
        if colours.shape[2] != 1:
            raise ValueError("a profile for grey on a colour picture")
        return np.ascontiguousarray(colours[:, :, 0])
    return np.ascontiguousarray(colours if colours.shape[2] == 3 else np.repeat(colours, 3, axis=2))
