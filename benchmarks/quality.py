"""Blend cases, score the results and compare them with published ones.

    python benchmarks/quality.py [CASES ...] [--preset standard] [--out FOLDER] [--json]

Each of CASES is a folder with source, mask and target, perhaps `offset`, and for comparison published*; by default the shipped cases, and
the reference sets and paintings beside the project where they are. The figures are those of `blend_daemon.scores`, which contains no
network. Time and peak memory are those of the whole command `blend-daemon blend`, start-up included. The last line counts the cases in
which nothing is amiss: the background untouched, seam and stain at most 0.05 and 0.5 worse than the published result's, and presence at
least 0.8, or the published result's where that is lower. The figures guard; what people choose is for blind tests.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from blend_daemon import scores

PROJECT = Path(__file__).resolve().parents[1]
SHARED = PROJECT.parent / "shared"
DEFAULT = (PROJECT / "examples/cases", SHARED / "reference-sets", SHARED / "paintings")
FIGURES = tuple(scores.FIGURES)


def cases(given: list[Path]) -> list[Path]:
    """The folders given, or all that are at hand."""
    found = given or sorted(case for folder in DEFAULT if folder.is_dir() for case in folder.iterdir())
    return [case for case in found if case.is_dir()]


def part(case: Path, stem: str) -> Path:
    """The case's picture of that name, whatever its format."""
    return next(path for path in sorted(case.iterdir()) if path.stem == stem)


def offset(case: Path) -> tuple[int, int]:
    file = case / "offset"
    x, y = (int(word) for word in file.read_text().split(",")) if file.exists() else (0, 0)
    return x, y


def blend(case: Path, out: Path, words: list[str]) -> tuple[float, float]:
    """Run the command. Returns seconds and peak memory in MB."""
    command = [sys.executable, "-m", "blend_daemon.cli", "blend", f"--output={out}", "--quiet", *words]
    command += [f"--{name}={part(case, name)}" for name in ("source", "mask", "target")]
    command += ["--offset={},{}".format(*offset(case))]
    began = time.monotonic()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{case}: the blend failed")
    return time.monotonic() - began, usage.ru_maxrss / 1024


def score(case: Path, result: Path) -> dict[str, float]:
    """The figures of a result."""
    target = np.array(Image.open(part(case, "target")).convert("RGB"))
    height, width = target.shape[:2]
    source = Image.new("RGBA", (width, height))
    source.paste(Image.open(part(case, "source")).convert("RGBA"), offset(case))
    mask = Image.new("L", (width, height))
    mask.paste(Image.open(part(case, "mask")).convert("L"), offset(case))
    colours = np.array(source)
    aligned = np.where(colours[..., 3:] > 0, colours[..., :3], target)
    # Published masks are JPEG's children: what is barely above black is noise.
    inside = np.array(mask) > 127
    return scores.score(np.array(Image.open(result).convert("RGB")), target, aligned, inside)


def amiss(ours: dict[str, float], theirs: dict[str, float] | None) -> list[str]:
    """Which figures are worse than they may be."""
    least = 0.8 if theirs is None else min(0.8, theirs["presence"])
    wrong = {
        "background": ours["background"] < 1,
        "presence": ours["presence"] < least,
        "seam": theirs is not None and ours["seam"] > theirs["seam"] + 0.05,
        "stain": theirs is not None and ours["stain"] > theirs["stain"] + 0.5,
    }
    return [name for name, is_wrong in wrong.items() if is_wrong]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", type=Path)
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--out", type=Path, help="keep the results here")
    parser.add_argument("--json", action="store_true")
    args, words = parser.parse_known_args()
    rows, right = [], 0
    chosen = cases(args.cases)
    if not args.json:
        print(f"{'case':18}{'result':24}" + "".join(f"{name:>11}" for name in (*FIGURES, "seconds", "MB")))
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.out or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for case in chosen:
            published = sorted(case.glob("published*"))
            out = folder / f"{case.name}-{args.preset}.png"
            seconds, memory = blend(case, out, [f"--preset={args.preset}", *words])
            found = [{"case": case.name, "result": path.stem, **score(case, path)} for path in published]
            ours = score(case, out)
            wrong = amiss(ours, found[-1] if found else None)
            right += not wrong
            rows += [*found, {"case": case.name, "result": args.preset, **ours, "seconds": seconds, "memory_mb": memory, "amiss": wrong}]
            if not args.json:
                for row in rows[-len(found) - 1 :]:
                    line = f"{row['case']:18}{row['result']:24}" + "".join(f"{row[name]:11.3f}" for name in FIGURES)
                    last = f"{row['seconds']:11.1f}{row['memory_mb']:11.0f}  {', '.join(row['amiss'])}" if "seconds" in row else ""
                    print(line + last, flush=True)
    if args.json:
        print(json.dumps(rows, indent=2))
    print(f"nothing amiss in {right} of {len(chosen)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
