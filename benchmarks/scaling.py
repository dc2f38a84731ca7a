"""Time and memory over the size of the object and of the canvas.

    python benchmarks/scaling.py [--preset standard] [--plot docs/images/scaling.png] [--quick] [--json]

Blends a photograph's ellipse into another photograph with the command `blend-daemon blend`, each time in a process of its own, on canvases
of 16 bits. `blend` is the time from the decoded pictures to the layer, `whole` that of the command, with start-up, reading and writing.
The last line compares the same object on the largest and on the smallest canvas.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyvips
from skimage import data

CANVASES = ((512, 512), (2048, 2048), (6000, 4000))  # width, height
OBJECTS = (75, 150, 300, 600, 1200, 2000)  # diameter in px
COMPARED = 300


def picture(photograph: np.ndarray, width: int, height: int) -> np.ndarray:
    """A photograph continued by its mirror images, without scaling: every size has the same fine detail. (h, w, 3) uint16."""
    h, w = photograph.shape[:2]
    rows, columns = (np.pad(np.arange(n), (0, max(size - n, 0)), mode="symmetric")[:size] for n, size in ((h, height), (w, width)))
    return photograph[rows][:, columns].astype(np.uint16) * 257


def write(path: Path, pixels: np.ndarray) -> None:
    """Write a TIFF."""
    pyvips.Image.new_from_array(pixels).copy(interpretation="rgb16" if pixels.dtype == np.uint16 else "b-w").write_to_file(str(path))


def measure(diameter: int, width: int, height: int, preset: str, folder: Path) -> dict[str, float]:
    """One blend of an ellipse on a canvas."""
    write(folder / "source.tif", picture(data.chelsea(), diameter, diameter))
    write(folder / "target.tif", picture(data.coffee(), width, height))
    y, x = np.mgrid[:diameter, :diameter] - (diameter - 1) / 2
    write(folder / "mask.tif", ((x**2 + y**2 < (0.48 * diameter) ** 2) * 255).astype(np.uint8)[:, :, None])
    command = [sys.executable, "-m", "blend_daemon.cli", "blend", f"--preset={preset}", "--quiet"]
    command += [f"--{name}={folder / name}.tif" for name in ("source", "mask", "target", "output")]
    command += [f"--offset={(width - diameter) // 2},{(height - diameter) // 2}", f"--metadata={folder / 'about.json'}"]
    began = time.monotonic()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("the blend failed")
    about = json.loads((folder / "about.json").read_text())
    return {
        "object": diameter, "width": width, "height": height, "blend": about["seconds"]["blend"],
        "whole": time.monotonic() - began, "memory_mb": usage.ru_maxrss / 1024,
    }  # fmt: skip


def plot(rows: list[dict[str, float]], path: Path) -> None:
    """Time and memory, one line for each canvas."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for axis, name, label in ((axes[0], "blend", "seconds of the blend"), (axes[1], "memory_mb", "peak memory of the process, MB")):
        for width, height in CANVASES:
            line = [row for row in rows if (row["width"], row["height"]) == (width, height)]
            axis.plot([row["object"] for row in line], [row[name] for row in line], "o-", label=f"{width}x{height}")
        axis.set(xlabel="diameter of the object, px", ylabel=label, xscale="log", ylim=(0, None))
        axis.set_xticks(OBJECTS, [str(n) for n in OBJECTS])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].legend(title="canvas")
    figure.savefig(path, dpi=100)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--quick", action="store_true", help="just the object that is compared, and the largest")
    parser.add_argument("--plot", type=Path, metavar="OUT.png", help="draw the curves (needs matplotlib)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.plot and find_spec("matplotlib") is None:
        raise SystemExit("--plot needs matplotlib; install it with: .venv/bin/pip install -c requirements.lock matplotlib")
    rows = []
    if not args.json:
        print(f"{'object':>8}{'canvas':>12}{'blend s':>10}{'whole s':>10}{'MB':>8}")
    with tempfile.TemporaryDirectory() as scratch:
        for diameter in OBJECTS if not args.quick else (COMPARED, OBJECTS[-1]):
            for width, height in CANVASES:
                if diameter < min(width, height):
                    row = measure(diameter, width, height, args.preset, Path(scratch))
                    rows.append(row)
                    if not args.json:
                        canvas = f"{width}x{height}"
                        print(f"{diameter:8}{canvas:>12}{row['blend']:10.1f}{row['whole']:10.1f}{row['memory_mb']:8.0f}", flush=True)
    if args.plot:
        plot(rows, args.plot)
    compared = [row["blend"] for row in rows if row["object"] == COMPARED]
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        print(f"{COMPARED} px object, largest canvas over smallest: {compared[-1] / compared[0]:.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
