"""Whether it would pay to compress pixels on their way to a daemon on another computer.

    python benchmarks/compression.py

Compresses 12 megapixels of a photograph with the standard library's zlib, as it is and as differences between neighbours (which compress
better), and prints for each link the time of plain pixels over that of compressed ones: compressing and sending do not overlap, as in a
message that is sent whole. Above 1 it pays. The last line has the best ratio on 100 Mbit/s.
"""

from __future__ import annotations

import time
import zlib

import numpy as np
from skimage import data
from skimage.transform import resize

LINKS = (20, 100, 300, 1000)  # Mbit/s


def main() -> None:
    photo = resize(data.astronaut(), (3000, 4000), order=3)
    pixels = np.rint(photo * 255).astype(np.uint8)
    grain = np.random.default_rng(0).normal(0, 2, pixels.shape)  # enlarged, it would be smoother than a camera's
    noisy = np.clip(pixels + grain, 0, 255).astype(np.uint8)
    best = 0.0
    print(f"{'picture':10} {'zlib':>5} {'of size':>8} {'s':>6}" + "".join(f"{link:>6} Mbit/s" for link in LINKS))
    for name, array in (("smooth", pixels), ("grainy", noisy)):
        for level in (1, 6):
            began = time.perf_counter()
            difference = np.diff(array, axis=1, prepend=array[:, :1])
            size = len(zlib.compress(difference.tobytes(), level))
            spent = time.perf_counter() - began
            ratios = [array.nbytes * 8e-6 / link / (spent + size * 8e-6 / link) for link in LINKS]
            if name == "grainy":
                best = max(best, ratios[LINKS.index(100)])
            print(f"{name:10} {level:5} {size / array.nbytes:8.2f} {spent:6.2f}" + "".join(f"{ratio:13.2f}" for ratio in ratios))
    print(f"on 100 Mbit/s, a grainy picture: {best:.2f}")


if __name__ == "__main__":
    main()
