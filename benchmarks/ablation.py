"""What each ingredient of the engine does: blend cases with one ingredient changed at a time and score the results.

    python benchmarks/ablation.py [CASES ...] [--preset draft] [--sliders] [--out FOLDER] [--json]

CASES as in benchmarks/quality.py. The engine runs in this process, with one of its constants or functions replaced for each row. With
--sliders the rows are each slider's way from 0 to 100 instead. With --out the pictures are kept, to be looked at: figures see no strokes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image
from quality import FIGURES, cases, offset, part, score

from blend_daemon.engine import Parameters, Problem, blend, composite
from blend_daemon.engine.methods import deep
from blend_daemon.engine.painting import harmonise, matching
from blend_protocol.methods import SLIDERS

LOSSES = ("content", "style", "histogram", "chroma", "tone")

# name: (what of which module is replaced, which parameters are given)
ROWS: dict[str, tuple[list[tuple[ModuleType, str, Any]], dict[str, Any]]] = {
    "all as it is": ([], {}),
    "start alone": ([], {"style": 0}),
    "start: own colours": ([], {"colour": 0}),
    "start: no matte": ([(harmonise, "matte", lambda *_: None)], {}),
    "start: contrast may fall to 0.65": ([(harmonise, "LEAST_LUMA", 0.65)], {}),
    "painted throughout": ([], {"style": 100}),
    "palette: not taken": ([(deep, "LEAST_TINT", 0.0), (deep, "MOST_TINT", 0.0)], {}),
    "match: blind to colour": ([(matching, "COLOUR_WEIGHTS", (0.0, 0.0, 0.0))], {}),
    "match: texture as it is": ([(matching, "LEAST_GAIN", 1.0), (matching, "MOST_GAIN", 1.0)], {}),
    **{f"loss: no {loss}": ([], {"without": loss}) for loss in LOSSES},
    "stage 1 alone": ([], {"method": "deep-single-stage"}),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", type=Path)
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--sliders", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    settings = ROWS
    if args.sliders:
        settings = {f"{slider} {value}": ([], {slider: value}) for slider in SLIDERS for value in range(0, 101, 25)}
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.out or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rows = run(args, settings, folder)
    if args.json:
        print(json.dumps(rows, indent=2))
    return 0


def run(
    args: argparse.Namespace, settings: dict[str, tuple[list[tuple[ModuleType, str, Any]], dict[str, Any]]], folder: Path
) -> list[dict]:
    """Blend every case with every setting."""
    rows = []
    if not args.json:
        print(f"{'':36}{'case':18}" + "".join(f"{name:>11}" for name in (*FIGURES[1:], "seconds")))
    for name, (replaced, given) in settings.items():
        for case in cases(args.cases):
            source, mask, target = (Image.open(part(case, stem)) for stem in ("source", "mask", "target"))
            picture = np.array(target.convert("RGB"))
            problem = Problem.from_arrays(np.array(source.convert("RGBA")), picture, np.array(mask.convert("L")), offset(case))
            with ExitStack() as stack:
                for module, attribute, value in replaced:
                    stack.enter_context(patch.object(module, attribute, value))
                began = time.monotonic()
                result = blend(problem, Parameters.from_mapping({"preset": args.preset, **given}))
                seconds = time.monotonic() - began
            out = folder / f"{case.name}-{name.replace(' ', '-').replace(':', '')}.png"
            Image.fromarray(composite(picture, result.layer, result.box)).save(out)
            figures = score(case, out)
            rows.append({"row": name, "case": case.name, **figures, "seconds": seconds})
            if not args.json:
                line = "".join(f"{figures[f]:11.3f}" for f in FIGURES[1:])
                print(f"{name:36}{case.name:18}{line}{seconds:11.1f}", flush=True)
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
