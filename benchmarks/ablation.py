"""What each ingredient of the engine does: blend the cases with one ingredient changed at a time and score the results.

    python benchmarks/ablation.py [SETS ...] [--preset draft] [--sliders] [--json]

SETS as in benchmarks/quality.py. The engine runs in this process, with one of its constants or functions replaced for each row. With
--sliders the rows are each slider's way from 0 to 100 instead.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from quality import FIGURES, SHARED, scorecard

from blend_daemon.engine import Parameters, Problem, blend, composite, deep, harmonise, stages
from blend_daemon.methods import LOSSES, SLIDERS
from blend_daemon.presets import PRESETS

weights, harmony = deep._weights, deep._harmony


def weighted(**changes: float) -> dict:
    return {"_weights": lambda p: {stage: replace(w, **changes) for stage, w in weights(p).items()}}


def harmonised(**changes: float) -> dict:
    return {"_harmony": lambda p: replace(harmony(p), **changes)}


def evaluations(*counts: int) -> Callable:
    return lambda preset: {preset: replace(PRESETS[preset], evaluations=counts)}


def uniform(source: torch.Tensor, inner: torch.Tensor, axis: int) -> torch.Tensor:
    return torch.ones_like(inner.narrow(axis - 1, 1, source.shape[axis] - 1))


# name: (changes of deep, of harmonise, of stages, of the preset)
ROWS: dict[str, tuple[dict, dict, dict, Callable | None]] = {
    "all as it is": ({}, {}, {}, None),
    "start: Poisson's": (harmonised(colour=0, width=1e3, grain=0), {"_conductance": uniform}, {}, None),
    "start: own colours": (harmonised(colour=0), {}, {}, None),
    "start: no edges in the membrane": ({}, {"_conductance": uniform}, {}, None),
    "start: membrane reaches everywhere": (harmonised(width=1e3), {}, {}, None),
    "start: no backdrop": ({}, {"_backdrop": lambda around, *_: torch.zeros_like(around.mask)}, {}, None),
    "start: no grain": (harmonised(grain=0), {}, {}, None),
    "start alone": ({}, {}, {}, evaluations(0, 0, 0)),
    "loss: variation": (weighted(variation=0.1), {}, {}, None),
    "loss: four times the style": (weighted(style=0.4, histogram=0.4), {}, {}, None),
    "no taper at the seam": ({"SEAM_TAPER": 1e-3}, {}, {}, None),
    "stage 2 alone": ({}, {}, {}, lambda preset: evaluations(0, 0, PRESETS[preset].evaluations[2])(preset)),
    "half scale and full scale": ({}, {}, {}, lambda preset: evaluations(0, *PRESETS[preset].evaluations[1:])(preset)),
}


NOTHING: tuple[dict, dict, dict, None] = ({}, {}, {}, None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", type=Path)
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--sliders", action="store_true")
    parser.add_argument("--scorecard", type=Path, default=SHARED / "scorecard.py")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    card = scorecard(args.scorecard)
    cases = args.sets or sorted(path for path in (SHARED / "reference-sets").iterdir() if path.is_dir())
    rows = []
    if not args.json:
        print(f"{'':36}{'case':6}" + "".join(f"{name:>11}" for name in (*FIGURES[1:], "seconds")))
    settings: list[tuple[str, tuple, dict[str, Any]]] = [(name, changes, {}) for name, changes in ROWS.items()]
    settings += [(f"loss: no {loss}", NOTHING, {"without": loss}) for loss in LOSSES if loss != "variation"]  # that one is off
    settings += [("stage 1 alone", NOTHING, {"method": "deep-single-stage"})]
    if args.sliders:
        settings = [(f"{slider} {value}", NOTHING, {slider: value}) for slider in SLIDERS for value in range(0, 101, 25)]
    for name, (of_deep, of_harmonise, of_stages, of_preset), given in settings:
        for case in cases:
            source, mask, target = (np.array(Image.open(case / f"{n}.png")) for n in ("source", "mask", "target"))
            target = target[:, :, :3]
            problem = Problem.from_arrays(source, target, mask)
            with ExitStack() as stack:
                for module, changes in ((deep, of_deep), (harmonise, of_harmonise), (stages, of_stages)):
                    for attribute, value in changes.items():
                        stack.enter_context(patch.object(module, attribute, value))
                if of_preset:
                    stack.enter_context(patch.dict(PRESETS, of_preset(args.preset)))
                began = time.monotonic()
                result = blend(problem, Parameters.from_mapping({"preset": args.preset, **given}))
                seconds = time.monotonic() - began
            out = composite(target, result.layer, result.box)
            aligned = np.where(source[..., 3:] > 0, source[..., :3], target) if source.shape[2] == 4 else source
            figures = card.score(out, target, aligned, mask > 127)
            rows.append({"row": name, "case": case.name, **figures, "seconds": seconds})
            if not args.json:
                line = "".join(f"{figures[f]:11.3f}" for f in FIGURES[1:])
                print(f"{name:36}{case.name:6}{line}{seconds:11.1f}", flush=True)
    if args.json:
        print(json.dumps(rows, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
