"""Blend the cases of a folder, score the results and compare them with the published ones.

    python benchmarks/quality.py [SETS ...] [--preset standard] [--out FOLDER] [--json]

Each of SETS is a folder with source.png, mask.png, target.png and, for comparison, published_*.png; by default the reference sets
beside the project. The scores are those of the scorecard beside the project, which contains no network. Time and peak memory are those
of the whole command `blend-daemon blend`, start-up included. The last line says on how many cases the result is ahead of the published
second pass in every figure.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

import numpy as np

SHARED = Path(__file__).resolve().parents[2] / "shared"
FIGURES = ("background", "seam", "style", "content", "stain")


def scorecard(path: Path) -> ModuleType:
    """The scorecard's module."""
    if not path.is_file():
        raise SystemExit(f"The scorecard is not at {path}; name it with --scorecard.")
    spec = importlib.util.spec_from_file_location("scorecard", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blend(case: Path, out: Path, words: list[str]) -> tuple[float, float]:
    """Run the command. Returns seconds and peak memory in MB."""
    command = [sys.executable, "-m", "blend_daemon.cli", "blend", f"--output={out}", *words]
    command += [f"--{name}={case / name}.png" for name in ("source", "mask", "target")]
    began = time.monotonic()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{case}: the blend failed")
    return time.monotonic() - began, usage.ru_maxrss / 1024


def score(card: ModuleType, case: Path, result: Path) -> dict[str, float]:
    """The scorecard's five figures."""
    from PIL import Image

    target = card.rgb(case / "target.png")
    mask = np.array(Image.open(case / "mask.png").convert("L")) > 127
    source = np.array(Image.open(case / "source.png").convert("RGBA"))
    source = np.where(source[..., 3:] > 0, source[..., :3], target)
    return card.score(card.rgb(result), target, source, mask)


def ahead(ours: dict[str, float], theirs: dict[str, float]) -> bool:
    """Whether every figure is no worse, with the scorecard's tolerances."""
    return (
        ours["background"] == 1
        and ours["seam"] <= theirs["seam"] + 0.05
        and ours["style"] <= theirs["style"]
        and ours["content"] >= theirs["content"]
        and ours["stain"] <= theirs["stain"] + 0.5
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", type=Path)
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--scorecard", type=Path, default=SHARED / "scorecard.py")
    parser.add_argument("--out", type=Path, help="keep the results here")
    parser.add_argument("--json", action="store_true")
    args, words = parser.parse_known_args()
    card = scorecard(args.scorecard)
    cases = args.sets or sorted(path for path in (SHARED / "reference-sets").iterdir() if path.is_dir())
    rows, wins, compared = [], 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.out or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for case in cases:
            out = folder / f"{case.name}-{args.preset}.png"
            seconds, memory = blend(case, out, [f"--preset={args.preset}", *words])
            ours = score(card, case, out)
            published = sorted(case.glob("published_*.png"))
            rows += [{"case": case.name, "result": path.stem, **score(card, case, path)} for path in published]
            rows.append({"case": case.name, "result": args.preset, **ours, "seconds": seconds, "memory_mb": memory})
            if published:
                compared += 1
                wins += ahead(ours, {name: rows[-2][name] for name in FIGURES})
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        print(f"{'case':6}{'result':24}" + "".join(f"{name:>11}" for name in (*FIGURES, "seconds", "MB")))
        for row in rows:
            line = f"{row['case']:6}{row['result']:24}" + "".join(f"{row[name]:11.3f}" for name in FIGURES)
            print(line + (f"{row['seconds']:11.1f}{row['memory_mb']:11.0f}" if "seconds" in row else ""))
    print(f"ahead {wins} of {compared}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
