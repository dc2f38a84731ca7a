"""Deep blending: the two stages over the object's window, from the harmonised start; and the paper's algorithms over the canvas."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from blend_daemon.engine.device import threads_for
from blend_daemon.engine.methods import paper
from blend_daemon.engine.optimise.loop import Steps, Word, minimise
from blend_daemon.engine.painting import recolour
from blend_daemon.engine.painting.harmonise import Harmony, Start, harmonise, palette
from blend_daemon.engine.painting.objective import COARSE, FINE, Layers, Painting, Scene, Weights
from blend_daemon.engine.painting.strength import Strength, covers_its_like, scale_of_kinds, strength
from blend_daemon.engine.progress import Directive
from blend_daemon.engine.raster.axes import from_axes, to_axes
from blend_daemon.engine.raster.filters import guided_by_luma
from blend_daemon.engine.raster.pixels import Box, Floats
from blend_daemon.engine.raster.problem import Problem
from blend_daemon.engine.raster.surroundings import Surroundings
from blend_daemon.engine.run import Run, at_once, in_box, working_size
from blend_protocol import scope
from blend_protocol.methods import CONTEXT
from blend_protocol.presets import Parameters

GRID = 8  # sizes of pictures are multiples of it, so that the layers' positions meet
CONTENT, CHROMA, TONE = 0.6, 100.0, 50.0  # weights of the losses, the style's and the histogram's being 1
FIRST_CHROMA = 5.0  # at 1/4, where the object's new colours are found
FAINT = 0.2  # what is painted less than this is not painted
SETTLED = 3, 1e-4  # radius in px, and regularisation, of the guided filter of what was painted
LEAST_TINT, MOST_TINT = 0.5, 0.7  # how far the object takes the colours that were found for it, from the unpainted to the most painted


def deep(run: Run) -> Steps:
    """Both stages. With the preset `paper` those of the paper, else ours."""
    return _paper(run) if run.parameters.preset == "paper" else _painted(run)


def deep_single_stage(run: Run) -> Steps:
    """The first stage alone."""
    run.preset = replace(run.preset, evaluations=(*run.preset.evaluations[:-1], 0))
    return deep(run)


def sketch(run: Run) -> Floats:
    """What the optimiser starts from where the object does not cover its like, over the box: to tell takes the network, and longer."""
    window = run.problem.window(CONTEXT)
    around = Surroundings.of(run.problem, window, run.device)
    start = _start(around, palette(run.problem), run.parameters)
    return in_box(_covering(around, start, start.colours + start.light), window, run.problem.box)


@dataclass(frozen=True)
class _Scale:
    factor: float  # of the working scale
    evaluations: int
    stage: int
    layers: Layers


def _painted(run: Run) -> Steps:
    problem, features = run.problem, run.features
    window = problem.window(CONTEXT)
    around = Surroundings.of(problem, window, features.device)
    whole = palette(problem)
    height, width = around.mask.shape
    working = working_scale(height, width, run.preset.working_pixels)
    bank = Surroundings.of(problem, bank_window(run, height, width), features.device)
    # A grey picture in RGB stays grey: one channel is optimised for all three.
    used = slice(1) if _colourless(around.source) and _colourless(around.target) else slice(None)
    steps = zip((0.25, 0.5, 1.0), run.preset.evaluations, (1, 1, 2), (COARSE, COARSE, FINE), strict=True)
    scales = [_Scale(*step) for step in steps]
    costs = [(scale.evaluations, scale.factor**2 * (1.0 if scale.layers is COARSE else 0.5)) for scale in scales]

    start = _start(around, whole, run.parameters)
    kinds = _scene(around, bank, start, start.colours, used, scale_of_kinds(around.mask * start.cover))
    on_its_like = covers_its_like(features, kinds)
    if on_its_like:
        bank, start = replace(bank, known=bank.visible), _start(around, whole, run.parameters, on_its_like)
    small = _scene(around, bank, start, start.colours, used, working / 4)
    there = bool((small.mask > 0).any())  # an object of a pixel or two is too small for a brush
    measured = strength(features, small, bank) if there else Strength(0.0, 0.0)
    amount = lambda: _amount(run.parameters, measured.paint)
    unpainted = lambda: amount() < FAINT

    def found() -> float:
        """How far the object takes the colours that are found for it."""
        least = LEAST_TINT * measured.palette
        return min((least + (MOST_TINT - least) * amount()) * run.parameters.colour / 50, 1.0)

    if not there or (unpainted() and not found()):
        lit = in_box(_covering(around, start, start.colours + start.light), window, problem.box)
        return (yield from at_once(run, "stage 1", lit))
    tint = torch.zeros_like(start.colours)  # change of the start's chroma
    difference = torch.zeros(1, 1, 1, 1, device=features.device)  # what was painted, at any scale

    def tinted() -> Tensor:
        return start.colours + (1 - amount()) * (1 - found()) * start.light + found() * tint

    def blended(difference: Tensor) -> Floats:
        share = min(1.5 * amount(), 1.0)
        full = F.interpolate(difference, (height, width), mode="bilinear", align_corners=False)[0]
        colours = _settled(tinted() + share * full, share * full)
        return in_box(_covering(around, start, colours if _is_float(problem) else colours.clamp(0, 1)), window, problem.box)

    # What is not painted takes the colours that are found at the first scale, and no strokes.
    wanted = lambda number: number == 0 or not unpainted()
    plan = lambda number: run.plan(costs[number : number + 1] if unpainted() else costs[number:])
    plan(0)
    word: Word = None
    for number, scale in enumerate(scales):
        while scale.evaluations and wanted(number):
            painted = amount()
            weights = _weights(run.parameters, painted if number else 1.0)
            if number == 0:
                weights = replace(weights, chroma=min(weights.chroma, FIRST_CHROMA))
            scene = _scene(around, bank, start, tinted() if number else start.colours, used, working * scale.factor)
            x = scene.start + F.interpolate(difference, scene.start.shape[-2:], mode="bilinear", align_corners=False)
            painting = Painting(features, scene, scale.layers, weights, x)
            change = lambda x, scene=scene: (x - scene.start) * (scene.mask > 0)
            shown = lambda x, change=change: blended(change(x))
            x, word = yield from minimise(painting, x, scale.evaluations, f"stage {scale.stage}", shown)
            difference = change(x)
            if not isinstance(word, Parameters):
                break
            start = _start(around, whole, word, on_its_like)
            # Less paint is wanted: less is what the run goes on from.
            difference = difference * min(amount() / max(painted, FAINT), 1.0)
            plan(number)
        if number == 0 and difference.shape[1] == 3:
            # Position by position the new colours are spots; as a change of each of the object's colours they are a palette.
            tint = recolour.shift(start.colours, around.unknown, scene.start, scene.mask, painting.compose(x))
            luma = to_axes(difference)
            difference = from_axes(torch.cat((luma[:, :1], torch.zeros_like(luma[:, 1:])), dim=1))
        if word is Directive.FINISH:
            break
    if not unpainted():
        run.start = in_box(_covering(around, start, tinted()), window, problem.box)
    return blended(difference)


def _start(around: Surroundings, whole: Tensor, parameters: Parameters, on_its_like: bool = False) -> Start:
    harmony = Harmony(
        colour=parameters.colour / 50,
        width=0.25 * 2 ** ((parameters.seam - 50) / 12.5),
        softness=2 ** ((parameters.seam - 50) / 50),
    )
    with threads_for(around.mask.numel()):
        return harmonise(around, whole, harmony, CONTEXT, on_its_like)


def _settled(colours: Tensor, painted: Tensor) -> Tensor:
    """Without the coloured specks that losses of features leave in what was painted: its chroma follows the luma's strokes. (c, h, w)."""
    if len(painted) == 1:
        return colours
    luma, chroma = to_axes(colours)[:1], to_axes(painted)[1:]
    change = guided_by_luma(chroma, luma, *SETTLED) - chroma
    return colours + from_axes(torch.cat((torch.zeros_like(luma), change)))


def _covering(around: Surroundings, start: Start, colours: Tensor) -> Tensor:
    """The object where it covers the target, which shows elsewhere; all object where the target is transparent. (c, h, w)."""
    cover = torch.where(around.visible, start.cover, around.unknown.to(start.cover))
    return torch.where(around.unknown, around.target + cover * (colours - around.target), around.target)


def _scene(around: Surroundings, bank: Surroundings, start: Start, colours: Tensor, used: slice, factor: float) -> Scene:
    mask = around.mask * torch.where(around.visible, start.cover, 1.0)
    fitted = lambda image: resized(image, factor)
    return Scene(
        fitted(around.target[None, used]), fitted(colours[None, used].clamp(0, 1)), fitted(mask[None, None]),
        fitted(bank.target[None, used]), fitted(bank.known.to(mask)[None, None]),
    )  # fmt: skip


def resized(image: Tensor, factor: float) -> Tensor:
    size = [max(round(side * factor / GRID), 2) * GRID for side in image.shape[-2:]]
    if factor < 1:
        return F.interpolate(image, size, mode="area")
    return F.interpolate(image, size, mode="bilinear", align_corners=False)


def working_scale(height: int, width: int, limit: int) -> float:
    """The factor by which a window of this size becomes one of at most `limit` pixels or so."""
    h, w = working_size(height, width, limit)
    return (h / height + w / width) / 2


def bank_window(run: Run, height: int, width: int) -> Box:
    """The part of the canvas around the object that strokes are taken from, for a window of this size.

    It is that of the working size that was asked for, also where memory suffices for less: a target that was cut holds no more.
    """
    return scope.bank(run.problem.box, run.problem.canvas, working_scale(height, width, run.parameters.plan().working_pixels))


def _colourless(image: Tensor) -> bool:
    return float((image.amax(dim=0) - image.amin(dim=0)).max()) < 0.5 / 255


def _is_float(problem: Problem) -> bool:
    return problem.target.dtype == np.float32


def _amount(parameters: Parameters, measured: float) -> float:
    """How much is painted, 0..1: nothing with the slider at 0, what the target asks for in the middle, all at 100."""
    share = parameters.style / 50
    return measured * share if share <= 1 else measured + (1 - measured) * (share - 1)


def _weights(parameters: Parameters, amount: float) -> Weights:
    keep = 4.0 ** ((parameters.content - 50) / 50)
    weights = Weights(
        content=CONTENT * (4 - 3 * amount) * keep, style=1.0, histogram=1.0, chroma=CHROMA, tone=TONE * (5 - 4 * amount)
    )  # fmt: skip
    return replace(weights, **dict.fromkeys(set(_without(parameters)) & {*Weights.__annotations__}, 0.0))


def _without(parameters: Parameters) -> list[str]:
    return parameters.without.split(",") if parameters.without else []


def _paper(run: Run) -> Steps:
    problem, preset, features = run.problem, run.preset, run.features
    canvas = (0, 0, *problem.canvas)
    around = Surroundings.of(problem, canvas, features.device)
    source = torch.where(around.sourced, around.source, around.target)
    height, width = source.shape[1:]
    size = working_size(height, width, preset.working_pixels)
    shrink = lambda x: F.interpolate(x, size, mode="area")
    run.plan([(count, 1.0) for count in preset.evaluations])

    def blended(canvas_colours: Tensor) -> Floats:
        full = F.interpolate(canvas_colours, (height, width), mode="bilinear", align_corners=False)
        return in_box(full[0].clamp(0, 1), canvas, problem.box)

    generator = torch.Generator().manual_seed(run.parameters.seed)
    refined = yield from paper.optimise(
        features, shrink(around.target[None]), shrink(source[None]), shrink(around.mask[None, None]),
        preset.evaluations, generator, blended, _without(run.parameters),
    )  # fmt: skip
    return blended(refined)
