"""Make the cases in examples/cases from photographs in scikit-image's package, see examples/README.md.

    python tools/make_cases.py [--output examples/cases]

A photographic target is a crop of a photograph. A painting-like one is such a crop through `painted`, a filter of this project's:
flat patches, brush strokes along the contours, a palette of three colours and the weave of a canvas. Masks are coarse on purpose.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyvips
from scipy import ndimage
from skimage import data
from skimage.draw import polygon2mask
from skimage.transform import resize

Floats = npt.NDArray[np.floating]
Colour = tuple[float, float, float]  # 0..1
ELLIPSE = tuple((0.5 + 0.48 * np.sin(t), 0.5 + 0.48 * np.cos(t)) for t in np.linspace(0, 2 * np.pi, 48, endpoint=False))


@dataclass(frozen=True)
class Crop:
    """A part of a photograph.

    Attributes
    ----------
    photo : the name of a function in skimage.data
    box : (x, y, width, height) in the photograph, px
    width : to which it is brought, px; the height follows
    """

    photo: str
    box: tuple[int, int, int, int]
    width: int

    def pixels(self) -> Floats:
        """(height, width, 3) in 0..1."""
        x, y, width, height = self.box
        part = getattr(data, self.photo)()[y : y + height, x : x + width]
        part = np.repeat(part[:, :, None], 3, axis=2) if part.ndim == 2 else part
        return np.clip(resize(part, (round(height * self.width / width), self.width), anti_aliasing=True), 0, 1)


@dataclass(frozen=True)
class Recipe:
    """What a case is made of.

    Attributes
    ----------
    source, target : the object's and the background's crop
    offset : (x, y) of the source's corner on the target, px
    outline : the mask's corners, (y, x) as shares of the source's height and width
    palette : of the painting, from dark to light; None leaves the target a photograph
    """

    source: Crop
    target: Crop
    offset: tuple[int, int]
    outline: tuple[tuple[float, float], ...] = ELLIPSE
    palette: tuple[Colour, Colour, Colour] | None = None


SHUTTLE = ((0.02, 0.4), (0.02, 0.62), (0.3, 0.8), (0.75, 0.97), (0.97, 0.97), (0.97, 0.03), (0.75, 0.03), (0.3, 0.2))
ROCKET = ((0.02, 0.3), (0.02, 0.7), (0.97, 0.9), (0.97, 0.1))

OCHRE = ((0.16, 0.10, 0.08), (0.66, 0.45, 0.22), (0.98, 0.90, 0.70))
NIGHT = ((0.04, 0.06, 0.20), (0.16, 0.32, 0.62), (0.98, 0.90, 0.50))
MEADOW = ((0.07, 0.16, 0.12), (0.36, 0.52, 0.22), (0.95, 0.88, 0.55))
ROSE = ((0.22, 0.08, 0.16), (0.74, 0.42, 0.40), (0.99, 0.90, 0.82))
SLATE = ((0.10, 0.13, 0.18), (0.42, 0.52, 0.58), (0.93, 0.92, 0.84))

RECIPES = {
    "painting-cat": Recipe(Crop("chelsea", (90, 0, 320, 250), 132), Crop("coffee", (0, 0, 400, 400), 224), (46, 60), palette=OCHRE),
    "painting-cup": Recipe(Crop("coffee", (60, 10, 370, 350), 128), Crop("grass", (0, 0, 400, 400), 224), (50, 62), palette=MEADOW),
    "painting-face": Recipe(Crop("astronaut", (130, 0, 180, 210), 112), Crop("brick", (0, 0, 360, 360), 224), (56, 46), palette=ROSE),
    "painting-rocket": Recipe(
        Crop("rocket", (270, 100, 110, 260), 66), Crop("camera", (190, 0, 322, 322), 224), (126, 10), ROCKET, palette=SLATE
    ),
    "painting-shuttle": Recipe(
        Crop("astronaut", (340, 0, 130, 270), 82), Crop("hubble_deep_field", (100, 80, 420, 420), 224), (70, 30), SHUTTLE, palette=NIGHT
    ),
    "photo-cat": Recipe(Crop("chelsea", (90, 0, 320, 250), 104), Crop("astronaut", (212, 212, 300, 300), 224), (92, 120)),
    "photo-coin": Recipe(Crop("coins", (290, 5, 80, 80), 88), Crop("gravel", (0, 0, 320, 320), 224), (68, 68)),
    "photo-face": Recipe(Crop("astronaut", (130, 0, 180, 210), 76), Crop("coffee", (110, 20, 330, 330), 224), (70, 12)),
    "photo-planet": Recipe(Crop("retina", (0, 0, 1411, 1411), 120), Crop("hubble_deep_field", (480, 300, 448, 448), 224), (54, 50)),
    "photo-shuttle": Recipe(Crop("astronaut", (340, 0, 130, 270), 58), Crop("rocket", (200, 20, 380, 380), 224), (84, 40), SHUTTLE),
}


def painted(picture: Floats, palette: tuple[Colour, Colour, Colour]) -> Floats:
    """A photograph, (height, width, 3) in 0..1, as if painted. Always the same for the same photograph."""
    flat = kuwahara(kuwahara(picture, 3), 3)
    light = ndimage.gaussian_filter(flat.mean(axis=2), 1)
    tones = np.stack([np.interp(light, (0.05, 0.45, 0.9), [colour[k] for colour in palette]) for k in range(3)], axis=2)
    y, x = np.indices(light.shape)
    canvas = np.cos(2 * np.pi * y / 3) * np.cos(2 * np.pi * x / 3)
    relief = 0.055 * strokes(light) + 0.012 * canvas
    return np.clip(0.35 * flat + 0.65 * tones + relief[:, :, None], 0, 1)


def kuwahara(picture: Floats, reach: int) -> Floats:
    """Each pixel becomes the mean of that quadrant of side `reach` + 1 px around it which varies least (Kuwahara et al., 1976)."""
    side, light = reach + 1, picture.mean(axis=2)
    means, variances = [], []
    for shift in ((a, b) for a in (-(side // 2), side - side // 2 - 1) for b in (-(side // 2), side - side // 2 - 1)):
        box = lambda values, shift=shift: ndimage.uniform_filter(values, side, origin=shift)
        means.append(np.stack([box(picture[:, :, k]) for k in range(3)], axis=2))
        variances.append(box(light**2) - box(light) ** 2)
    best = np.argmin(variances, axis=0)
    return np.take_along_axis(np.array(means), best[None, :, :, None], axis=0)[0]


def strokes(light: Floats, length: int = 9) -> Floats:
    """Noise smeared along the contours, of unit variance: line integral convolution (Cabral, Leedom, 1993) of the structure tensor."""
    dy, dx = (ndimage.gaussian_filter(light, 1.5, order=order) for order in ((1, 0), (0, 1)))
    xx, yy, xy = (ndimage.gaussian_filter(product, 6) for product in (dx * dx, dy * dy, dx * dy))
    along = np.arctan2(2 * xy, xx - yy) / 2 + np.pi / 2
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=light.shape), 0.9)
    total = noise.copy()
    for sign in (1, -1):
        at = np.indices(light.shape).astype(float)
        heading = along.copy() if sign > 0 else along + np.pi
        for _ in range(length):
            at += np.stack([np.sin(heading), np.cos(heading)])
            total += ndimage.map_coordinates(noise, at, order=1, mode="reflect")
            here = along[tuple(np.clip(np.rint(at).astype(int), 0, np.array(light.shape)[:, None, None] - 1))]
            heading = here + np.pi * (np.cos(here - heading) < 0)  # a contour has two ends; go on the way one came
    return total / total.std()


def write(path: Path, pixels: npt.NDArray) -> None:
    """A PNG of values in 0..1, as small as it gets."""
    kind = "srgb" if pixels.ndim == 3 else "b-w"
    image = pyvips.Image.new_from_array(np.rint(pixels * 255).astype(np.uint8), interpretation=kind)
    image.write_to_file(str(path), compression=9, filter="all")


def make(name: str, output: Path) -> None:
    """Write one case's folder into `output`."""
    recipe, folder = RECIPES[name], output / name
    folder.mkdir(parents=True, exist_ok=True)
    source, target = recipe.source.pixels(), recipe.target.pixels()
    write(folder / "source.png", source)
    write(folder / "mask.png", polygon2mask(source.shape[:2], np.array(recipe.outline) * source.shape[:2]).astype(float))
    write(folder / "target.png", painted(target, recipe.palette) if recipe.palette else target)
    (folder / "offset").write_text(f"{recipe.offset[0]},{recipe.offset[1]}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parents[1] / "examples/cases")
    args = parser.parse_args()
    for name in RECIPES:
        make(name, args.output)
    size = sum(path.stat().st_size for path in args.output.rglob("*") if path.is_file())
    print(f"{len(RECIPES)} cases, {size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
