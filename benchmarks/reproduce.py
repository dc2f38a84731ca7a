"""Reproduce the paper's Fig. 4 to 7 on the shipped cases: the tables in docs/reproduction.md, and docs/images/reproduction.

    python benchmarks/reproduce.py
    python benchmarks/reproduce.py --sets ../shared/reference-sets --output FOLDER

With --sets the same on every case of a folder, beside its published_*.png where there are some, into FOLDER: figures.md and the
pictures. The words in docs/reproduction.md are written by hand; only what stands between its markers is replaced. Our optimiser runs
with the preset `draft`, and paints throughout where its losses are the subject; the paper's own algorithms run with 2 x 50 evaluations
at 128 x 128 px, which is what minutes on two cores allow.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from blend_daemon import images, scores
from blend_daemon.comparison import cases as folders
from blend_daemon.comparison import sheet
from blend_daemon.comparison.cases import Case
from blend_daemon.comparison.measure import Trial
from blend_daemon.comparison.pictures import Bytes, aligned, bytes_of
from blend_daemon.engine import Parameters, Progress, blend, composite

PROJECT = Path(__file__).resolve().parents[1]
DOCUMENT, PICTURES = PROJECT / "docs/reproduction.md", PROJECT / "docs/images/reproduction"
OURS: dict[str, Any] = {"preset": "draft"}
PAINTED = {**OURS, "style": 100}  # throughout, so that one sees what the losses do
PAPER: dict[str, Any] = {"preset": "paper", "working_size": 128, "iterations": 100}
OF_THE_PAPER = ("gradient", "content", "style", "histogram", "variation")
OF_OURS = ("content", "style", "histogram", "chroma", "tone")
PAINTINGS = ("copy-paste", "poisson", "poisson+style", "style+poisson", "deep")
PHOTOGRAPHS = ("copy-paste", "poisson", "gaussian-poisson", "color-transfer", "deep")
SHARES = (0, 0.1, 0.5, 1)  # of the evaluations, at which Fig. 4 looks
STEPS = 24  # of the animation
WIDEST = 1100  # px of a picture in the document

Observer = Callable[[Progress], None]


@dataclass(frozen=True)
class Result:
    """A picture with its figures."""

    case: Case
    trial: Trial
    picture: Bytes


def scored(case: Case, label: str, picture: Bytes) -> Result:
    view = aligned(case.read().problem)
    return Result(case, Trial(case.name, label, scores.score(picture, view.target, view.source, view.mask)), picture)


def run(case: Case, label: str, given: Mapping[str, Any], observe: Observer | None = None) -> Result:
    """One blend, in this process, so that the network is loaded once."""
    problem, _, target, _ = case.read()
    result = blend(problem, Parameters.from_mapping(given), observe)
    return scored(case, label, bytes_of(composite(target.raster, result.layer, result.box)))


def published(case: Case) -> list[Result]:
    """What was published beside the case."""
    paths = sorted(case.folder.glob("published_*.png"))
    return [scored(case, path.stem.replace("_", " "), bytes_of(images.read(path, "result").raster)) for path in paths]


def methods(cases: Sequence[Case], names: Sequence[str]) -> list[Result]:
    """The methods, and what was published."""
    return [one for case in cases for one in [*(run(case, name, {**OURS, "method": name}) for name in names), *published(case)]]


def ablation(cases: Sequence[Case], settings: Mapping[str, Any], losses: Sequence[str]) -> list[Result]:
    """All losses, then each one left out."""
    labels = {"all losses": "", **{f"no {loss}": loss for loss in losses}}
    return [run(case, label, {**settings, "without": without}) for case in cases for label, without in labels.items()]


def reconstruction(case: Case, settings: Mapping[str, Any], label: str) -> tuple[list[Result], list[Bytes]]:
    """The blend after some of its evaluations, and after `STEPS` of them, for the animation."""
    target = case.read().target.raster
    seen: list[Bytes] = []

    def keep(progress: Progress) -> None:
        seen.append(bytes_of(composite(target, progress.preview(), progress.box)))

    run(case, label, settings, keep)
    last = len(seen) - 1
    looked_at = [round(share * last) for share in SHARES]
    frames = [seen[round(k * last / (STEPS - 1))] for k in range(STEPS)]
    return [scored(case, f"{label}, {at + 1} of {last + 1}", seen[at]) for at in looked_at], frames


def picture(results: Sequence[Result]) -> pyvips.Image:
    """The contact sheet, a row for each case."""
    rows = []
    for case in dict.fromkeys(one.case for one in results):
        own = [one for one in results if one.case == case]
        view = aligned(case.read().problem)
        rows.append(sheet.row(case.name, view, [one.trial for one in own], {one.trial.method: one.picture for one in own}))
    whole = pyvips.Image.new_from_array(sheet.sheet(rows), interpretation="srgb")
    return whole.resize(min(1, WIDEST / whole.width))


def table(results: Sequence[Result]) -> str:
    """Each figure's mean over the cases, in Markdown, the best in bold."""
    means = {}
    for label in dict.fromkeys(one.trial.method for one in results):
        own = [one.trial.figures for one in results if one.trial.method == label]
        means[label] = [f"{np.mean([figures[name] for figures in own]):.3f}" for name in scores.FIGURES]
    best = [
        (max if name in scores.HIGHER_IS_BETTER else min)((row[k] for row in means.values()), key=float)
        for k, name in enumerate(scores.FIGURES)
    ]
    lines = [f"| | {' | '.join(scores.FIGURES)} |", "| --- " * (len(scores.FIGURES) + 1) + "|"]
    for label, row in means.items():
        cells = (f"**{number}**" if number == top else number for number, top in zip(row, best, strict=True))
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def animation(left: Sequence[Bytes], right: Sequence[Bytes]) -> bytes:
    """Frames side by side as an animated WebP, the last one standing still for two seconds."""
    frames = [np.concatenate([a, np.full((len(a), 8, 3), 255, np.uint8), b], axis=1) for a, b in zip(left, right, strict=True)]
    reel = pyvips.Image.new_from_array(np.concatenate(frames), interpretation="srgb").copy()
    reel.set_type(pyvips.GValue.gint_type, "page-height", len(frames[0]))
    reel.set_type(pyvips.GValue.array_int_type, "delay", [120] * (STEPS - 1) + [2000])
    reel.set_type(pyvips.GValue.gint_type, "loop", 0)
    return reel.write_to_buffer(".webp", Q=60, effort=6)


def iterations(case: Case, folder: Path) -> list[Result]:
    """Fig. 4, and its animation."""
    theirs, noise = reconstruction(case, PAPER, "paper")
    ours, start = reconstruction(case, PAINTED, "deep")
    (folder / "fig4-iterations.webp").write_bytes(animation(noise, start))
    return [*theirs, *ours]


def reproduce(paintings: Sequence[Case], photographs: Sequence[Case], folder: Path, only: Sequence[str]) -> dict[str, str]:
    """Write the pictures into a folder; returns the tables by the pictures' names."""
    figures: dict[str, Callable[[], list[Result]]] = {
        "fig6-paintings": lambda: methods(paintings, PAINTINGS),
        "fig7-photographs": lambda: methods(photographs, PHOTOGRAPHS),
        "fig5-losses": lambda: ablation(paintings[:2], PAINTED, OF_OURS),
        "fig4-iterations": lambda: iterations(paintings[0], folder),
        "fig5-losses-paper": lambda: ablation(paintings[:1], PAPER, OF_THE_PAPER),
    }
    tables = {}
    for name in (name for name in figures if not only or name.startswith(tuple(only))):
        results = figures[name]()
        picture(results).write_to_file(str(folder / f"{name}.jpg"), Q=75)
        tables[name] = table(results)
        print(f"\n{name}\n{tables[name]}", flush=True)
    return tables


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=Path, help="a folder of cases instead of the shipped ones")
    parser.add_argument("--output", type=Path, help="with --sets: where the pictures and figures.md go")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="figures whose names begin so, such as fig5")
    args = parser.parse_args()
    if bool(args.sets) != bool(args.output):
        parser.error("--sets and --output go together")
    began = time.monotonic()
    folder = args.output or PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    if args.sets:
        cases = folders.find([args.sets])
        tables = reproduce(cases, cases, folder, args.only)
        (folder / "figures.md").write_text("\n\n".join(f"![]({name}.jpg)\n\n{text}" for name, text in tables.items()) + "\n")
    else:
        cases = folders.find([PROJECT / "examples/cases"])
        kinds = [[case for case in cases if case.name.startswith(kind)] for kind in ("painting", "photo")]
        words = DOCUMENT.read_text()
        for name, text in reproduce(*kinds, folder, args.only).items():
            words, count = re.subn(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", rf"\g<1>{text}\g<2>", words, flags=re.S)
            if count != 1:
                raise SystemExit(f"{DOCUMENT} has no place for {name}.")
        DOCUMENT.write_text(words)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{time.monotonic() - began:.0f} s, pictures {size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
