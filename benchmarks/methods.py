"""The quick methods' time on a canvas, and `poisson` beside OpenCV's seamlessClone and fpie on the same pictures.

    python benchmarks/methods.py [--canvas 1] [--sizes 0.1 1 4 12] [--repeats 3] [--fpie]

Needs opencv-python-headless (extra `test`); with --fpie, which takes minutes more, fpie with its compiled backends, to be installed by
hand. Times are the best of the repeats, taken in turn, arrays in to picture out: of ours the checks, the blend and the composition.
Errors are those of the 8-bit results inside the mask, in levels, to the exact solution. fpie iterates until it has been at it as long as
we, and on, by doubling, until its error is as small, or it took four times as long.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
from skimage import data
from skimage.transform import resize

from blend_daemon.engine import Parameters, Problem, blend, composite
from blend_daemon.engine.poisson.equation import poisson_blend
from blend_daemon.engine.raster.surroundings import Surroundings
from blend_protocol.methods import METHODS

Case = tuple[np.ndarray, np.ndarray, np.ndarray]
PATIENCE = 4


def case(megapixels: float) -> Case:
    """Source, target and mask of a square canvas; the object, a star, takes a third of it."""
    side = round((megapixels * 1e6) ** 0.5)
    source, target = (
        np.rint(resize(photo(), (side, side), anti_aliasing=True) * 255).astype(np.uint8) for photo in (data.chelsea, data.coffee)
    )
    y, x = np.mgrid[:side, :side] / side - 0.5
    mask = np.hypot(y, x) < 0.33 + 0.05 * np.sin(5 * np.arctan2(y, x))
    return source, target, mask.astype(np.uint8) * 255


def ours(case: Case, method: str = "poisson") -> np.ndarray:
    source, target, mask = case
    result = blend(Problem.from_arrays(source, target, mask), Parameters.from_mapping({"method": method, "device": "cpu"}))
    return composite(target, result.layer, result.box)


def opencv(case: Case) -> np.ndarray:
    source, target, mask = case  # it erodes the mask that it is given
    x, y, w, h = cv2.boundingRect(mask)
    return cv2.seamlessClone(source, target, mask.copy(), (x + w // 2, y + h // 2), cv2.NORMAL_CLONE)


def exact(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """The solution in levels on the mask's pixels, and the mask."""
    source, target, mask = case
    problem = Problem.from_arrays(source, target, mask)
    window = problem.window(1)
    around = Surroundings.of(problem, window)
    inside = np.zeros(mask.shape, bool)
    x, y, w, h = window
    inside[y : y + h, x : x + w] = around.unknown.numpy()
    return poisson_blend(around, 12)[:, around.unknown].T.numpy().clip(0, 1) * 255, inside


def fpies(case: Case) -> dict[str, Callable[[int], np.ndarray]]:
    """fpie's compiled solvers by name, each a function of the number of iterations."""
    from fpie.process import ALL_BACKEND, EquProcessor, GridProcessor

    source, target, mask = case

    def run(kind: type, backend: str, iterations: int) -> np.ndarray:
        solver = kind("src", backend, 2)
        solver.reset(source, mask, target, (0, 0), (0, 0))
        return solver.step(iterations)[0]

    backends = [name for name in ALL_BACKEND if name not in ("numpy", "taichi-gpu", "cuda", "mpi")]
    return {
        f"fpie {kind.__name__[:4].rstrip('P').lower()} {backend}": lambda n, kind=kind, backend=backend: run(kind, backend, n)
        for kind in (EquProcessor, GridProcessor)
        for backend in backends
    }


def timed(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    began = time.perf_counter()
    out = work()
    return time.perf_counter() - began, out


def race(megapixels: float, repeats: int, fpie: bool) -> list[float]:
    """Print one size's rows; returns the others' times over ours."""
    pictures = case(megapixels)
    truth, inside = exact(pictures)
    errors = lambda out: np.abs(out[inside].astype(np.float32) - truth)
    best = {"poisson": (np.inf, None), "OpenCV": (np.inf, None)}
    for _ in range(repeats):
        for name, work in (("poisson", ours), ("OpenCV", opencv)):
            best[name] = min(best[name], timed(lambda work=work: work(pictures)), key=lambda pair: pair[0])
    seconds, out = best["poisson"]
    goal = errors(out)
    rows = [("poisson", seconds, goal, ""), ("OpenCV", best["OpenCV"][0], errors(best["OpenCV"][1]), "")]
    for name, work in fpies(pictures).items() if fpie else ():
        iterations = 32
        while True:
            took, out = timed(lambda work=work, n=iterations: work(n))
            left = errors(out)
            if took >= seconds and (left.mean() <= goal.mean() or took > PATIENCE * seconds):
                break
            iterations *= 2
        rows.append((name, took, left, f"{iterations} iterations" + ("" if left.mean() <= goal.mean() else ", given up")))
    for name, took, left, remark in rows:
        print(
            f"{megapixels:8.1f} {name:22}{1e3 * took:10.0f}{left.mean():12.3f}{left.max():11.2f}{took / seconds:8.2f}  {remark}", flush=True
        )
    return [took / seconds for _, took, _, _ in rows[1:]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--canvas", type=float, default=1.0, help="megapixels (default: 1)")
    parser.add_argument("--sizes", type=float, nargs="*", default=[0.1, 1.0, 4.0, 12.0], help="megapixels (default: 0.1 1 4 12)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--fpie", action="store_true", help="beside fpie's compiled solvers too")
    args = parser.parse_args()
    ours(case(0.01))  # loads what is loaded once
    pictures = case(args.canvas)
    print(f"{'method':22}{'s on ' + str(args.canvas) + ' MP':>14}")
    slowest = 0.0
    for name in (name for name, method in METHODS.items() if method.quick):
        seconds = min(timed(lambda name=name: ours(pictures, name))[0] for _ in range(args.repeats))
        slowest = max(slowest, seconds)
        print(f"{name:22}{seconds:14.3f}", flush=True)
    print(f"\n{'MP':>8} {'':22}{'ms':>10}{'mean error':>12}{'largest':>11}{'ratio':>8}")
    ratios = [ratio for size in args.sizes for ratio in race(size, args.repeats, args.fpie)]
    print(f"slowest quick method {slowest:.2f} s; the fastest other takes {min(ratios, default=np.nan):.2f} times poisson's time")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
