"""The blending methods without a network that need no more than one equation: copying, fading, and Poisson's."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from blend_daemon.engine.pixels import Floats
from blend_daemon.engine.poisson import Surroundings, poisson_blend
from blend_daemon.engine.run import Run, in_box

FEATHER = 0.5  # of the object's greatest depth, over which `alpha` fades when no width is given


def copy_paste(run: Run) -> Floats:
    """The source as it is."""
    run.plan([(1, 1.0)])
    colours = run.problem.source_on(run.problem.box)[0]
    run.report("copying", 0.0, {}, lambda: colours)
    return colours


def alpha(run: Run) -> Floats:
    """The source, fading into the target from the mask's edge over `feather` px (Porter, Duff, 1984: *over* with a feathered mask)."""
    run.plan([(1, 1.0)])
    problem = run.problem
    window = problem.window(1)
    target, exists = problem.target_on(window)
    unknown = problem.mask_on(window) > 0
    # The distance to visible target: beyond a canvas's edge and in transparency there is nothing to fade into.
    depth = ndimage.distance_transform_edt(unknown | ~exists).astype(np.float32)
    width = run.parameters.feather or FEATHER * float(depth[unknown].max())
    share = np.clip((depth - 0.5) / max(width, 1.0), 0, 1)[:, :, None]
    share[~exists] = 1
    blend = target + share * (problem.source_on(window)[0] - target)
    x, y = problem.box[0] - window[0], problem.box[1] - window[1]
    colours = np.ascontiguousarray(blend[y : y + problem.box[3], x : x + problem.box[2]])
    run.report("fading", 0.0, {}, lambda: colours)
    return colours


def poisson(run: Run) -> Floats:
    """Poisson image editing (Perez, Gangnet, Blake, 2003), importing gradients."""
    run.plan([(1, 1.0)])
    window = run.problem.window(1)
    colours = in_box(poisson_blend(Surroundings.of(run.problem, window, run.device), 12), window, run.problem.box)
    run.report("Poisson", 0.0, {}, lambda: colours)
    return colours
