"""The blending methods that need no network: copying, fading, the target's colours, Poisson's equation."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial

import numpy as np
from scipy import ndimage
from torch import Tensor

from blend_daemon.engine.optimise.loop import Step, Steps, Word
from blend_daemon.engine.poisson.equation import corrected, residual
from blend_daemon.engine.poisson.solvers import SOLVERS
from blend_daemon.engine.progress import Directive
from blend_daemon.engine.raster.colour import statistics, transfer
from blend_daemon.engine.raster.pixels import Box, Floats
from blend_daemon.engine.raster.surroundings import Surroundings
from blend_daemon.engine.run import Run, at_once, in_box
from blend_protocol.methods import STATISTICS

FEATHER = 0.2  # of the object's greatest depth, over which `alpha` fades when no width is given


def copy_paste(run: Run) -> Steps:
    """The source as it is."""
    return at_once(run, "copying", run.problem.source_on(run.problem.box)[0])


def alpha(run: Run) -> Steps:
    """The source, fading into the target from the mask's edge over `feather` px (Porter, Duff, 1984: *over* with a feathered mask)."""
    problem = run.problem
    window = problem.window(1)
    target, visible = problem.target_on(window)
    source, _ = problem.source_on(window)
    unknown = problem.mask_on(window) > 0
    # The distance to visible target: beyond a canvas's edge and in transparency there is nothing to fade into.
    depth = ndimage.distance_transform_edt(unknown | ~visible).astype(np.float32)
    width = run.parameters.feather or FEATHER * float(depth[unknown].max())
    share = np.clip((depth - 0.5) / max(width, 1.0), 0, 1)
    share[~visible] = 1
    blend = target + share[:, :, None] * (source - target)
    x, y, w, h = problem.box
    x, y = x - window[0], y - window[1]
    return at_once(run, "fading", np.ascontiguousarray(blend[y : y + h, x : x + w]))


def color_transfer(run: Run) -> Steps:
    """The source with the mean and the spread of the whole target's colours (Reinhard, Ashikhmin, Gooch, Shirley, 2001)."""
    problem = run.problem
    source, _ = problem.source_on(problem.box)
    colours = problem.palette(STATISTICS)
    if not len(colours):  # all that is left of the target lies between the samples
        return at_once(run, "colours", source)
    mask = problem.mask_on(problem.box)
    own, other = statistics(source[mask > 0], mask[mask > 0]), statistics(colours)
    return at_once(run, "colours", transfer(source, own, other))


def poisson(run: Run) -> Steps:
    """Poisson image editing (Perez, Gangnet, Blake, 2003), importing gradients."""
    return _solved(run, mixed=False)


def poisson_mixed(run: Run) -> Steps:
    """Poisson image editing with mixed gradients: of source and target the stronger, so that the target shows through."""
    return _solved(run, mixed=True)


def _solved(run: Run, mixed: bool) -> Steps:
    window = run.problem.window(1)
    blend = yield from solve(run, Surroundings.of(run.problem, window, run.device), window, mixed)
    return in_box(blend, window, run.problem.box)


def solve(run: Run, around: Surroundings, window: Box, mixed: bool = False) -> Generator[Step, Word, Tensor]:
    """The Poisson blend over the window by the run's solver: (c, h, w)."""
    solver = SOLVERS[run.parameters.solver]
    for u, error, left in solver(around.unknown, around.known, residual(around, around.source, mixed=mixed)):
        run.plan([(left + 1, 1.0)])
        word = yield Step("Poisson", error, partial(_shown, run, around, window, u))
        if word is Directive.FINISH:
            break
    return corrected(around, u)


def _shown(run: Run, around: Surroundings, window: Box, u: Tensor) -> Floats:
    return in_box(corrected(around, u), window, run.problem.box)
