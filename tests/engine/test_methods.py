"""Every method on small photographs: what all promise, and each against an independent implementation of it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.sparse import diags, eye, kron, lil_matrix
from scipy.sparse.linalg import spsolve
from test_blending import outside_is_untouched
from test_poisson import LEVEL, around, exact, masks

from blend_daemon.engine import Cancelled, Directive, Parameters, Problem, blend, methods, sketch
from blend_daemon.engine.methods import gaussian_poisson
from blend_daemon.engine.poisson.equation import residual
from blend_daemon.engine.poisson.multigrid import PoissonSolver
from blend_daemon.engine.poisson.solvers import SOLVERS
from blend_daemon.engine.raster.colour import statistics
from blend_protocol.errors import BlendError
from blend_protocol.methods import LOSSES, METHODS, find
from blend_protocol.methods import SOLVERS as NAMES

ALL = [*METHODS, "model:tint"]


def run(problem, method, observe=None, **given):
    return blend(
        problem, Parameters.from_mapping({"preset": "draft", "device": "cpu", "method": method, "iterations": 4, **given}), observe
    )


def problems(cat, coffee, disc):
    """One of each kind of target, mask and place."""
    y, x = np.mgrid[:64, :80]
    soft = (np.clip(40 - np.hypot(y - 32, x - 40), 0, 20) / 20).astype(np.float32)
    line = ((abs(y - 32) < 2) & (x > 5) & (x < 75)).astype(np.uint8) * 255
    islands = (((x // 10) % 2 == 0) & ((y // 8) % 2 == 0)).astype(np.uint8) * 255
    alpha = np.full((96, 128, 1), 255, np.uint8)
    alpha[:, 60:] = 0
    return {
        "8 bit": (cat, coffee, disc, (20, 10)),
        "soft, 16 bit": (cat, coffee.astype(np.uint16) * 257 + 3, soft, (20, 10)),
        "float, cut by the canvas": (cat, coffee.astype(np.float32) / 200, np.full((64, 80), 255, np.uint8), (-30, 50)),
        "half transparent target": (cat, np.concatenate([coffee, alpha], axis=2), disc, (20, 10)),
        "grey, islands": (cat, np.ascontiguousarray(coffee[:, :, :1]), islands, (20, 10)),
        "a line": (cat, coffee, line, (0, 0)),
        "one pixel": (cat, coffee, ((x == 30) & (y == 30)).astype(np.uint8) * 255, (0, 0)),
    }


KINDS = ["8 bit", "soft, 16 bit", "float, cut by the canvas", "half transparent target", "grey, islands", "a line", "one pixel"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ALL)
def test_what_every_method_promises(method, kind, cat, coffee, disc, model_folder):
    """Outside the mask the target bit for bit, inside something else, finite, the same twice, in the target's form."""
    problem = Problem.from_arrays(*problems(cat, coffee, disc)[kind])
    result = run(problem, method)
    # Mixed gradients may leave of a stretched object little: there the target is the stronger one.
    if method == "poisson-mixed" or kind in ("one pixel", "a line"):
        assert np.isfinite(result.layer.astype(np.float64)).all()
    else:
        outside_is_untouched(problem, result)
    assert (result.layer.dtype, result.layer.shape[2]) == (problem.target.dtype, problem.channels + 1)
    assert np.abs(result.layer[:, :, -1].astype(float) / (1 if kind.startswith("float") else np.iinfo(result.layer.dtype).max)
                  - problem.mask_on(result.box)).max() < 0.003  # fmt: skip
    if kind in ("8 bit", "soft, 16 bit"):
        assert run(problem, method).layer.tobytes() == result.layer.tobytes()
    assert result.report["method"] == method
    assert (result.report["weights"] is None) == find(method).quick
    first = sketch(problem, Parameters.from_mapping({"method": method, "device": "cpu"}))
    assert (first.shape, first.dtype) == ((*result.layer.shape[:2], 4), np.uint8)
    if find(method).quick and kind == "8 bit":
        assert np.array_equal(first, result.layer), "a quick method's first look is its result"


@pytest.mark.parametrize("method", ALL)
def test_cancel_and_finish(method, cat, coffee, disc, model_folder):
    problem = Problem.from_arrays(cat, coffee, disc, (20, 10))
    with pytest.raises(Cancelled):
        run(problem, method, lambda progress: Directive.CANCEL)
    seen = []

    def observe(progress):
        seen.append((progress.evaluation, progress.evaluations, progress.preview().shape, np.isfinite(progress.loss)))
        return Directive.FINISH

    outside_is_untouched(problem, run(problem, method, observe))
    assert all(at <= of and shape[2] == 4 and finite for at, of, shape, finite in seen)


def test_a_parameter_that_the_method_does_not_use_is_told(cat, coffee, disc):
    problem = Problem.from_arrays(cat, coffee, disc)
    assert run(problem, "alpha", iterations=0, feather=5).report["notes"] == []
    (note,) = run(problem, "alpha", iterations=0, style=70, solver="direct").report["notes"]
    assert note == "The method alpha does not use: solver, style."


@pytest.mark.parametrize(
    "given", [{"method": "magic"}, {"solver": "magic"}, {"without": "magic"}, {"without": 0}, {"without": "style,"}, {"feather": -1},
              {"constraint": "gaussian-poisson"}, {"method": ["deep"]}, {"solver": "model:tint"},
              *({"method": f"model:{name}"} for name in ("", "../tint", "/tmp/tint", "tint.onnx", ".tint", "t" * 64, "tint\n", "a b"))],
)  # fmt: skip
def test_an_unknown_choice_is_refused(given):
    with pytest.raises(BlendError) as error:
        Parameters.from_mapping(given)
    assert error.value.code == "parameter-invalid"
    assert "known are" in error.value.hint.lower() or "from 0 to" in error.value.hint


def test_every_name_has_a_function():
    assert set(methods.FUNCTIONS) == set(METHODS)
    assert set(SOLVERS) == set(NAMES)
    assert all(set(method.uses) <= set(Parameters.__dataclass_fields__) for method in METHODS.values())


@pytest.mark.parametrize(("preset", "loss"), [*(("draft", loss) for loss in LOSSES), ("paper", "gradient"), ("paper", "style")])
def test_a_loss_that_is_left_out_weighs_nothing(preset, loss, cat, coffee, disc):
    problem = Problem.from_arrays(cat, coffee, disc, (20, 10))
    without, whole = [], []
    for seen, words in ((without, {"without": loss}), (whole, {})):
        observe = lambda progress, seen=seen: seen.append(progress.losses)
        run(problem, "deep", observe, preset=preset, style=100, iterations=4, **words)
    assert not any(losses.get(loss) for losses in without)
    others = [name for name in LOSSES if name != loss and any(losses.get(name) for losses in whole)]
    assert all(any(losses.get(name) for losses in without) for name in others)


def test_a_single_stage_is_the_first(cat, coffee, disc):
    problem = Problem.from_arrays(cat, coffee, disc, (20, 10))
    watched = lambda method: set(run(problem, method, lambda progress: None, preset="standard", style=100, iterations=12).report["losses"])
    assert watched("deep-single-stage") == {"stage 1"}
    assert watched("deep") == {"stage 1", "stage 2"}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", masks())
def test_every_solver_is_within_half_a_level(solver, name, cat, coffee):
    scene = around(masks()[name], cat, coffee)
    *_, (u, _, left) = SOLVERS[solver](scene.unknown, scene.known, residual(scene, scene.source))
    assert left == 0
    error = np.abs((scene.source + u).numpy() - exact(scene, scene.source.numpy())) * scene.unknown.numpy()
    assert error.max() < (0.01 if solver == "direct" else 0.5) * LEVEL


@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers_agree_on_a_large_object(solver, cat, coffee):
    """400 px across, where a Gauss-Seidel that stops too early, or a poor coarse grid, shows."""
    source, target = (np.kron(image, np.ones((6, 6, 1), np.uint8)) for image in (cat, coffee))
    y, x = np.mgrid[: source.shape[0], : source.shape[1]]
    mask = (np.hypot(y - 190, x - 240) < 150 + 30 * np.sin(5 * np.arctan2(y - 190, x - 240))).astype(np.uint8) * 255
    problem = Problem.from_arrays(source, target.astype(np.float32) / 255, mask, (40, 60))
    layers = [run(problem, "poisson", iterations=0, solver=name).layer for name in (solver, "direct")]
    assert np.abs(layers[0] - layers[1]).max() < 0.5 * LEVEL


def test_an_object_amid_transparency_keeps_its_colours(cat, coffee, disc):
    alpha = np.full((96, 128, 1), 255, np.uint8)
    alpha[5:80, 10:110] = 0
    problem = Problem.from_arrays(cat, np.concatenate([coffee, alpha], axis=2), disc, (20, 10))
    inside = problem.mask_on(problem.box) > 0
    copied = run(problem, "copy-paste").layer[inside]
    for solver in SOLVERS:
        assert np.abs(run(problem, "poisson", solver=solver).layer[inside].astype(int) - copied).max() <= 1


def test_opencv_clones_nearly_the_same(cat, coffee):
    """OpenCV solves over the mask's bounding rectangle: outside the (three times eroded) mask it takes the target's gradients, so its
    border is the rectangle's, and its sums are rounded to 8 bit on the way. On a rectangle, and a target without texture along it,
    the two equations are nearly one."""
    target = np.full_like(coffee, 120) + np.arange(128, dtype=np.uint8)[None, :, None] // 4
    mask = np.zeros((64, 80), np.uint8)
    mask[6:58, 8:72] = 255
    smooth = np.stack([ndimage.gaussian_filter(cat[..., c], 2) for c in range(3)], axis=2)
    problem = Problem.from_arrays(smooth, target, mask, (20, 10))
    ours = run(problem, "poisson", iterations=0).layer[..., :3].astype(float)
    x, y, w, h = problem.box
    theirs = cv2.seamlessClone(smooth, target, mask.copy(), (x + w // 2, y + h // 2), cv2.NORMAL_CLONE)[y : y + h, x : x + w].astype(float)
    own = smooth[6:58, 8:72].astype(float)
    assert np.abs(ours - theirs).mean() < 0.2 * np.abs(ours - own).mean()


def test_mixed_gradients_solve_perezs_equation_12(cat, coffee):
    """Per pixel and channel, from the text: v is the stronger of the two differences."""
    grain = np.random.default_rng(0).normal(0, 1e-3, (30, 40, 3))  # of two 8-bit differences that are equal, rounding would choose
    object_ = (cat[:30, :40] / 255 + grain).astype(np.float32)
    problem = Problem.from_arrays(object_, coffee[:40, :50].astype(np.float32) / 255, np.full((30, 40), 255, np.uint8), (5, 5))
    ours = run(problem, "poisson-mixed", iterations=0).layer[..., :3]
    target, source = coffee[:40, :50] / 255.0, np.zeros((40, 50, 3))
    source[5:35, 5:45] = object_
    unknown = np.zeros((40, 50), bool)
    unknown[5:35, 5:45] = True
    index = {p: k for k, p in enumerate(zip(*np.nonzero(unknown), strict=True))}
    for channel in range(3):
        matrix, rhs = lil_matrix((len(index), len(index))), np.zeros(len(index))
        for (y, x), k in index.items():
            for v, u in ((y, x + 1), (y + 1, x), (y, x - 1), (y - 1, x)):
                of_source = source[y, x, channel] - source[v, u, channel] if unknown[v, u] else 0.0
                of_target = target[y, x, channel] - target[v, u, channel]
                matrix[k, k] += 1
                rhs[k] += of_target if abs(of_target) > abs(of_source) else of_source
                if unknown[v, u]:
                    matrix[k, index[v, u]] -= 1
                else:
                    rhs[k] += target[v, u, channel]
        assert np.abs(ours[..., channel].ravel() - spsolve(matrix.tocsr(), rhs)).max() < 0.5 * LEVEL


def test_one_grid_of_the_gaussian_poisson_equation(cat, coffee):
    """Against the normal equations, assembled and solved directly."""
    scene = around(masks()["hole"], cat, coffee)
    level = PoissonSolver.finest(scene.unknown, scene.known)
    x = torch.randn(1, 40, 50, generator=torch.Generator().manual_seed(0)) * level.free
    u = gaussian_poisson.solve(level, x)[0].numpy()
    inside = scene.unknown.numpy().ravel()
    line = lambda n: diags([1.0, 4.0, 6.0, 4.0, 1.0], [-2, -1, 0, 1, 2], (n + 4, n + 4)).tocsr()[:, 2:-2] / 16
    blur = kron(line(40), line(50)).tocsr()[:, inside]  # of the mask's pixels, onto a canvas that is 2 px larger on each side
    neighbours = kron(diags([1.0, 1.0], [-1, 1], (40, 40)), eye(50)) + kron(eye(40), diags([1.0, 1.0], [-1, 1], (50, 50)))
    laplacian = (4 * eye(2000) - neighbours).tocsr()[inside][:, inside]
    system = laplacian.T @ laplacian + gaussian_poisson.BETA * blur.T @ blur
    wanted = spsolve(system.tocsc(), gaussian_poisson.BETA * (blur.T @ (blur @ x.numpy().ravel()[inside])))
    assert np.abs(u.ravel()[inside] - wanted).max() < 0.03 * np.abs(wanted).max()


@pytest.mark.parametrize("constraint", ["copy-paste", "alpha", "color-transfer", "deep", "model:tint"])
def test_gaussian_poisson_takes_the_constraints_colours_and_closes_the_seam(constraint, cat, coffee, disc, model_folder):
    problem = Problem.from_arrays(cat, coffee, disc, (20, 10))
    plain, wanted = (run(problem, name).layer.astype(float) for name in ("poisson", constraint))
    ours = run(problem, "gaussian-poisson", constraint=constraint).layer.astype(float)
    core = np.s_[16:-16, 16:-16, :3]
    means = [layer[core].mean(axis=(0, 1)) for layer in (ours, plain, wanted)]
    assert np.abs(means[0] - means[2]).max() <= 0.5 * np.abs(means[1] - means[2]).max() + 3
    inside = ours[..., 3] > 0
    rim = inside & ~ndimage.binary_erosion(inside)
    left, step = (np.abs(layer - plain)[rim][:, :3].mean() for layer in (ours, wanted))
    assert left <= 0.5 * step + 1, "at the edge there is the Poisson blend, without a seam"


def test_color_transfer_gives_the_object_the_targets_statistics(cat, coffee, disc):
    problem = Problem.from_arrays(cat, coffee.astype(np.float32) / 255, disc, (20, 10))
    layer = run(problem, "color-transfer").layer
    own = statistics(layer[layer[..., 3] > 0][:, :3])
    outside = problem.mask_on((0, 0, 128, 96)) == 0
    wanted = statistics(coffee[outside] / np.float32(255))
    for ours, theirs in zip(own, wanted, strict=True):
        assert np.abs(ours - theirs).max() < 0.02
    white = statistics(np.full((4, 3), 1.0, np.float32))[0]
    assert white[0] == pytest.approx(0, abs=0.005), "white is 0 on the achromatic axis, up to the sums of the published matrix"
    assert np.abs(white[1:]).max() < 0.005


def test_alpha_fades_over_the_feather(cat, coffee, disc):
    problem = Problem.from_arrays(cat, coffee, disc, (20, 10))
    copied, faded = (
        run(problem, *words, **more).layer.astype(float) for words, more in ((("copy-paste",), {}), (("alpha",), {"feather": 10}))
    )
    x, y, w, h = problem.box
    target = coffee[y : y + h, x : x + w].astype(float)
    row = h // 2
    assert np.abs(faded[row, 14:-14] - copied[row, 14:-14]).max() == 0
    share = np.abs(faded - copied)[row, :10, :3].sum(axis=1) / np.abs(target - copied[..., :3])[row, :10].sum(axis=1)
    assert (np.diff(share) < 0).all()
    assert share[0] > 0.9
    assert share[9] < 0.1
