"""How fast: one evaluation beside the bare network, the Poisson preview, and a blend beside the plain algorithm.

    python benchmarks/speed.py [CASE] [--json]

CASE is a folder with source, mask and target of one size, by default reference set 1 beside the project. The plain algorithm
(benchmarks/plain.py) makes the published 1000 evaluations in each of its two stages; its time is that of one evaluation, measured here
and now, 2000 times. Our time is that of `blend-daemon blend` without its start-up (imports and loading the network), which is printed
beside it. The last line is the smaller ratio.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from plain import Plain, seconds_per_evaluation
from quality import SHARED, part
from skimage import data
from skimage.transform import resize

from blend_daemon.engine import Problem, poisson_preview
from blend_daemon.engine import device as devices
from blend_daemon.engine.methods.deep import CHROMA, CONTENT, TONE
from blend_daemon.engine.optimise.lbfgs import LBFGS
from blend_daemon.engine.painting.objective import COARSE, FINE, Layers, Painting, Scene, Weights
from blend_daemon.engine.poisson.equation import poisson_blend, residual
from blend_daemon.engine.poisson.multigrid import PoissonSolver
from blend_daemon.engine.poisson.preview import ITERATIONS
from blend_daemon.engine.raster.pixels import to_float
from blend_daemon.engine.raster.surroundings import Surroundings

PUBLISHED_EVALUATIONS = 2000


@dataclass
class Evaluation:
    """Seconds of the bare network's forward and backward pass, and of one iteration of the optimiser."""

    size: int
    precision: str
    layers: str
    bare: float
    iteration: float


@dataclass
class Preview:
    """Milliseconds of the first frame, of a later one, and of the later one's solve; mean error in 8-bit levels."""

    mask_pixels: int
    first_ms: float
    next_ms: float
    solve_ms: float
    error: float


@dataclass
class Comparison:
    """One preset beside the plain algorithm."""

    preset: str
    start_up: float
    seconds: float
    plain_seconds: float

    @property
    def ratio(self) -> float:
        """Plain time over ours."""
        return self.plain_seconds / self.seconds


def fastest(work: Callable[[], object], count: int = 5) -> float:
    """Seconds of the fastest of several runs after a first one."""
    work()
    taken = []
    for _ in range(count):
        began = time.monotonic()
        work()
        taken.append(time.monotonic() - began)
    return min(taken)


def evaluation(size: int, dtype: torch.dtype, name: str, layers: Layers) -> Evaluation:
    """Time one evaluation on an object that fills a square."""
    features, _ = devices.features(torch.device("cpu"), dtype)
    torch.manual_seed(0)
    start, target, bank = (torch.rand(1, 3, size, size) for _ in range(3))
    ones = torch.ones(1, 1, size, size)
    painting = Painting(features, Scene(target, start, ones, bank, ones), layers, Weights(CONTENT, 1, 1, CHROMA, TONE), start)
    optimiser = LBFGS(painting, start.flatten())
    image = start.clone().requires_grad_(True)
    asked = tuple(dict.fromkeys((*layers.style, layers.content)))

    def bare() -> None:
        activations = list(features(image, asked).values())
        torch.autograd.grad(activations, image, [torch.ones_like(a) for a in activations])

    return Evaluation(size, str(dtype).removeprefix("torch."), name, fastest(bare), fastest(optimiser.iterate))


def preview(mask_pixels: int) -> Preview:
    """Drag a disc over a canvas of 1 MP."""
    target, source = (
        np.rint(resize(photograph, (1000, 1000), anti_aliasing=True) * 255).astype(np.uint8)
        for photograph in (data.coffee(), data.chelsea())
    )
    y, x = np.mgrid[:1000, :1000] - 480
    mask = ((x**2 + y**2 < mask_pixels / np.pi) * 255).astype(np.uint8)
    taken, errors, solves = [], [], []
    for step in range(6):
        problem = Problem.from_arrays(source, target, mask, (7 * step, -5 * step))
        began = time.monotonic()
        layer = poisson_preview(problem)
        taken.append(time.monotonic() - began)
        around = Surroundings.of(problem, problem.box)
        solver, r = PoissonSolver(around.unknown, around.known), residual(around, around.source)
        solves.append(fastest(lambda solver=solver, r=r: solver.solve(r, ITERATIONS), 3))
        window = problem.window(1)
        exact = poisson_blend(Surroundings.of(problem, window), 40).clamp(0, 1)
        left, top = problem.box[0] - window[0], problem.box[1] - window[1]
        exact = exact[:, top : top + problem.box[3], left : left + problem.box[2]].permute(1, 2, 0).numpy()
        errors.append(255 * np.abs(to_float(layer)[..., :3] - exact)[layer[..., 3] > 0].mean())
    return Preview(mask_pixels, 1e3 * taken[0], 1e3 * float(np.median(taken[1:])), 1e3 * float(np.median(solves)), float(np.mean(errors)))


def comparison(case: Path, preset: str, plain_evaluation: float) -> Comparison:
    """Blend the case with the command."""
    with tempfile.TemporaryDirectory() as scratch:
        about = Path(scratch) / "about.json"
        command = [sys.executable, "-m", "blend_daemon.cli", "blend", f"--preset={preset}", "--quiet"]
        command += [f"--output={scratch}/out.png", f"--metadata={about}"]
        command += [f"--{name}={part(case, name)}" for name in ("source", "mask", "target")]
        began = time.monotonic()
        subprocess.run(command, check=True)
        whole = time.monotonic() - began
        start_up = json.loads(about.read_text())["seconds"]["load"] + seconds_of_imports()
    return Comparison(preset, start_up, whole - start_up, PUBLISHED_EVALUATIONS * plain_evaluation)


def seconds_of_imports() -> float:
    """Time for a process to start and to import what a blend needs."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "from blend_daemon import images; from blend_daemon.engine import blend"], check=True)
    return time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?", type=Path, default=SHARED / "reference-sets" / "1")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    native = devices.precision(torch.device("cpu"))
    evaluations = [
        evaluation(size, dtype, name, layers)
        for dtype in dict.fromkeys((native, torch.float32))
        for size, name, layers in ((512, "fine", FINE), (256, "coarse", COARSE), (128, "coarse", COARSE))
    ]
    previews = [preview(pixels) for pixels in (35_000, 100_000, 170_000)]
    plain_evaluation = seconds_per_evaluation(Plain(args.case))
    comparisons = [comparison(args.case, preset, plain_evaluation) for preset in ("draft", "standard")]
    speedup = min(c.ratio for c in comparisons)
    if args.json:
        rows = {
            name: [asdict(row) for row in rows]
            for name, rows in (("evaluations", evaluations), ("previews", previews), ("comparisons", comparisons))
        }
        print(json.dumps({**rows, "plain_seconds_per_evaluation": plain_evaluation, "speedup": speedup}, indent=2))
        return 0
    print(f"{'evaluation':>12}{'precision':>11}{'layers':>11}{'network s':>11}{'all s':>9}{'ratio':>8}")
    for e in evaluations:
        print(f"{e.size:12}{e.precision:>11}{e.layers:>11}{e.bare:11.3f}{e.iteration:9.3f}{e.iteration / e.bare:8.2f}")
    print(f"\n{'preview, mask':>16}{'first ms':>10}{'next ms':>10}{'of it solve':>13}{'mean error':>12}")
    for p in previews:
        print(f"{p.mask_pixels:13} px{p.first_ms:10.0f}{p.next_ms:10.0f}{p.solve_ms:13.0f}{p.error:12.2f}")
    print(f"\n{'preset':>10}{'start-up s':>12}{'blend s':>9}{'plain s':>9}{'ratio':>8}")
    for c in comparisons:
        print(f"{c.preset:>10}{c.start_up:12.1f}{c.seconds:9.1f}{c.plain_seconds:9.0f}{c.ratio:8.1f}")
    print(f"one evaluation of the plain algorithm: {plain_evaluation:.2f} s\nspeedup {speedup:.1f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
