"""Deep Painterly Harmonization (Luan, Paris, Shechtman, Bala, EGSR 2018): style whose statistics are of matched places of the target.

Pass 1 matches every layer by itself and is robust: it brings colours and rough texture. Pass 2 matches once, on pass 1's result, makes
the matches agree with their neighbours', and carries them to all layers: it brings the strokes. Written from the paper's description,
with these departures:

- Our trunk ends at conv4_3, so the style of pass 1 goes without conv5_1.
- The paper divides each loss's gradient by its mean norm, anew at each step, so that the sum is the gradient of nothing. Here each loss is
  divided by that norm as it is at the start of a pass: value and gradient agree, and L-BFGS can tell a good step. At the start itself the
  content is reached and has no gradient, so the norms are measured half way to the target.
- Passes are scales, too: pass 1 works at 1/2, pass 2 at 1/2 and at the working scale, with the evaluations of the preset.
- Of total variation pass 2 takes the paper's t s times the weight of pass 1. With its norm measured like the others', t s alone dissolves
  the object.
- Pass 2 keeps the content of the pasted object with weight 1, which is what s is relative to.
- Of the paper's last steps only the smoothing of chroma is taken, not the synthesis from patches.
- Matches are found in the part of the target around the object that `deep` takes strokes from, what lies behind it included.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from math import exp

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from blend_daemon.engine.methods.deep import GRID, bank_window, resized, working_scale
from blend_daemon.engine.network.features import STRIDE, Features
from blend_daemon.engine.network.losses import content_loss, gram, histogram_loss, positions, sorted_features, style_loss
from blend_daemon.engine.optimise.loop import Steps, minimise
from blend_daemon.engine.painting.matching import CHUNK, Size, allowed, rows
from blend_daemon.engine.painting.objective import Scene, covered
from blend_daemon.engine.progress import Directive
from blend_daemon.engine.raster.axes import from_axes, to_axes
from blend_daemon.engine.raster.filters import guided
from blend_daemon.engine.raster.pixels import Box, Floats
from blend_daemon.engine.raster.surroundings import Surroundings
from blend_daemon.engine.run import Run, in_box
from blend_protocol.methods import CONTEXT
from blend_protocol.presets import Parameters

REFERENCE = "conv4_1"  # of the content, and of the matches of pass 2
FIRST_LAYERS = ("conv3_1", "conv4_1")
SECOND_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1")
HISTOGRAM_LAYERS = ("conv1_1", "conv4_1")
CONTENT, STYLE, VARIATION = 5.0, 100.0, 1e-3  # weights of pass 1
LEAST_WEIGHT = 1e-3  # a loss that weighs less is not computed
FAINT = 1e-3  # of the mask: what is less has no colours
VOTERS = 5  # positions on a side of the square of neighbours that vote
CHROMA_RADIUS, CHROMA_EPS = 2, 1e-3  # of the guided filter

Places = Mapping[str, Tensor]  # by layer indices of the bank's positions, whose features are wanted
Loss = Callable[[Tensor, Mapping[str, Tensor]], Tensor]


def painterly(run: Run) -> Steps:
    """Both passes, from the object as it was pasted."""
    problem, features = run.problem, run.features
    window = fitting(problem.window(CONTEXT), problem.box)
    around = Surroundings.of(problem, window, features.device)
    height, width = around.mask.shape
    working = working_scale(height, width, run.preset.working_pixels)
    bank = Surroundings.of(problem, bank_window(run, height, width), features.device)
    pasted = torch.where(around.unknown, around.source, around.target)
    calm = calmness(bank.target)
    evaluations = run.preset.evaluations
    # The preset `paper` has two stages, at one scale.
    scales = ((1, 0.5), (2, 0.5), (2, 1.0)) if len(evaluations) == 3 else ((1, 1.0), (2, 1.0))
    stages = [(count, *scale) for count, scale in zip(evaluations, scales, strict=True) if count]
    costs = [(count, factor**2) for count, _, factor in stages]
    run.plan(costs)
    difference = torch.zeros(1, 1, 1, 1, device=features.device)  # what was painted, at any scale
    mask = torch.ones_like(difference)  # there

    def blended(difference: Tensor, mask: Tensor) -> Floats:
        colours = quiet_chroma(pasted + spread(difference, mask, (height, width))[0] * around.unknown, around)
        return in_box(colours if problem.target.dtype == np.float32 else colours.clamp(0, 1), window, problem.box)

    for number, (count, stage, factor) in enumerate(stages):
        while True:
            scene = _scene(around, bank, pasted, working * factor)
            x = scene.start + spread(difference, mask, (scene.start.shape[-2], scene.start.shape[-1])) * (scene.mask > 0)
            objective = first(features, scene) if stage == 1 else second(features, scene, x, strength(run.parameters), calm)
            shown = lambda x, scene=scene: blended(x - scene.start, scene.mask)
            x, word = yield from minimise(objective, x, count, f"stage {stage}", shown)
            difference, mask = x - scene.start, scene.mask
            if not isinstance(word, Parameters):
                break
            run.plan(costs[number:])
        if word is Directive.FINISH:
            break
    run.start = in_box(pasted, window, problem.box)
    return blended(difference, mask)


def fitting(window: Box, box: Box) -> Box:
    """The window, its sides cut to multiples of `GRID` where the context suffices: so it need not be resampled, which would shift edges."""
    starts, sides = list(window[:2]), list(window[2:])
    for axis in (0, 1):
        before = box[axis] - starts[axis]
        after = sides[axis] - before - box[axis + 2]
        if max(before, after) > GRID:
            cut = sides[axis] % GRID
            sides[axis] -= cut
            starts[axis] += cut * (before > after)
    return starts[0], starts[1], sides[0], sides[1]


def strength(parameters: Parameters) -> float:
    """The paper's s: 1 for a painting of the Renaissance, with the slider at 0, to 10 for a Cubist one, at 100."""
    return 1 + 9 * parameters.style / 100


def calmness(target: Tensor) -> float:
    """The paper's t, of (c, h, w) in 0..1: 10 where the target is smooth, so that the blend is smoothed, 0 where it is rough."""
    return 10 / (1 + exp(min(1e4 * float(half_squares(target[None]).median()) - 25, 700)))


def half_squares(image: Tensor) -> Tensor:
    """Half the squared gradient of (1, c, h, w), mean of the channels, (h, w); beyond an edge its own value goes on."""
    p = F.pad(image, (0, 1, 0, 1), mode="replicate")
    down, right = p[..., 1:, :-1] - image, p[..., :-1, 1:] - image
    return 0.5 * (down.square() + right.square()).mean(dim=1)[0]


def nearest(own: Tensor, bank: Tensor, inside: Tensor, choice: Tensor) -> Tensor:
    """For each of the positions `inside` of own, (m,), that one of `choice` whose 3 x 3 patch of features correlates best.

    Parameters
    ----------
    own, bank : features of one layer, (1, n, h, w) and (1, n, h', w')
    inside, choice : indices of positions
    """
    asked, offered = (_patches(features, at) for features, at in ((own, inside), (bank, choice)))
    return choice[torch.cat([(part @ offered.T).argmax(dim=1) for part in asked.split(CHUNK)])]


def _patches(features: Tensor, at: Tensor) -> Tensor:
    return F.normalize(F.unfold(features.float(), 3, padding=1)[0].T[at], dim=1)


def agreed(found: Tensor, inside: Tensor, size: Size, bank: Tensor, choice: Tensor) -> Tensor:
    """The matches made to agree: each position takes, of what its neighbours propose, what is most like all the proposals, (m,).

    A neighbour proposes its own match, moved back by how far the neighbour is away. Equal proposals are as many votes.

    Parameters
    ----------
    found : (m,) the matches, indices of the bank's positions
    inside : (m,) indices of the positions, in a layer of `size`
    bank : (1, n, h', w') features of the bank
    choice : indices of the bank's positions that may be a match
    """
    height, width = bank.shape[-2:]
    features = rows(bank).float()
    free = torch.zeros(height * width, dtype=torch.bool, device=bank.device).index_fill(0, choice, True)
    reach = VOTERS // 2
    field = torch.full((size[0] + 2 * reach, size[1] + 2 * reach), -1, dtype=torch.long, device=bank.device)
    y, x = inside // size[1] + reach, inside % size[1] + reach
    field[y, x] = found
    span = torch.arange(-reach, reach + 1, device=bank.device)
    dy, dx = (d.flatten() for d in torch.meshgrid(span, span, indexing="ij"))
    of_neighbours = field[y[:, None] + dy, x[:, None] + dx]  # (m, 25)
    row, column = of_neighbours // width - dy, of_neighbours % width - dx
    valid = (of_neighbours >= 0) & (row >= 0) & (row < height) & (column >= 0) & (column < width)
    proposed = torch.where(valid, row * width + column, found[:, None])
    valid &= free[proposed]
    best = []
    for places, counts in zip(proposed.split(CHUNK), valid.split(CHUNK), strict=True):
        f = features[places]
        votes = counts.float()[:, :, None]
        # The sum of |f - g|^2 over the proposals g, but for what is the same for all f.
        unlike = votes.sum(dim=1) * f.square().sum(dim=2) - 2 * (f @ (f * votes).sum(dim=1)[:, :, None])[:, :, 0]
        best.append(places.gather(1, unlike.masked_fill(~counts, torch.inf).argmin(dim=1, keepdim=True))[:, 0])
    return torch.cat(best)


def carried(places: Tensor, width: int, scale: int) -> Tensor:
    """All positions of a layer `scale` times as fine that the places, of a layer of that width, cover; each once."""
    places = places.unique()
    step = torch.arange(scale, device=places.device)
    row = (places // width * scale)[:, None, None] + step[:, None]
    column = (places % width * scale)[:, None, None] + step
    return (row * width * scale + column).flatten()


class Objective:
    """The weighted sum of losses at one scale, as a function of all pixels of the window.

    Parameters
    ----------
    places : by layer of the style the places of the bank that its Gram matrix is of
    weights : of `content`, `style`, `histogram` and `variation`
    now : (1, c, h, w), the pixels as they are, where the losses' norms are measured
    """

    def __init__(self, features: Features, scene: Scene, places: Places, weights: Mapping[str, float], now: Tensor) -> None:
        self._features, self._scene, self._shape = features, scene, now.shape
        self._layers = tuple(dict.fromkeys((REFERENCE, *places)))
        self.last: dict[str, Tensor] = {}
        with torch.no_grad():
            wanted = self._look(scene.start)
            bank = features(scene.bank.expand(-1, 3, -1, -1), self._layers)
        self._inside = {name: covered(positions(scene.mask, f)) for name, f in wanted.items()}
        losses: dict[tuple[str, str], tuple[float, Loss]] = {
            ("content", REFERENCE): (weights["content"], partial(self._content, of=self._of(wanted, REFERENCE))),
            ("variation", ""): (weights["variation"], self._variation),
        }
        for name, at in places.items():
            matched = rows(bank[name])[at]
            losses["style", name] = weights["style"], partial(self._style, name=name, wanted=gram(_as_picture(matched)))
            if name in HISTOGRAM_LAYERS and weights["histogram"] > LEAST_WEIGHT:
                of_target = sorted_features(_as_picture(matched), len(self._inside[name]))
                losses["histogram", name] = weights["histogram"], partial(self._histogram, name=name, wanted=of_target)
        self._losses = losses
        self._measure(now)

    def _measure(self, now: Tensor) -> None:
        """Set what each loss is multiplied by: one over its gradient's norm, half way from the present to the target.

        The norm is the sum of absolute values, which is the paper's mean but for a factor that all losses share.
        """
        z = (0.5 * (now + self._scene.target)).requires_grad_(True)
        blend = self.compose(z)
        features = self._look(blend)
        self._scales: dict[tuple[str, str], Tensor] = {}
        for key, (_, loss) in self._losses.items():
            (gradient,) = torch.autograd.grad(loss(blend, features), z, retain_graph=True)
            norm = gradient.abs().sum()
            self._scales[key] = torch.where(norm > 0, 1 / norm, 0.0)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Value and gradient at x, the flattened (1, c, h, w) pixels; the gradient is 0 outside the mask."""
        z = x.view(self._shape).detach().requires_grad_(True)
        blend = self.compose(z)
        features = self._look(blend)
        sums: dict[str, Tensor] = defaultdict(lambda: x.new_zeros(()))
        for key, (weight, loss) in self._losses.items():
            sums[key[0]] = sums[key[0]] + weight * self._scales[key] * loss(blend, features)
        value = torch.stack(list(sums.values())).sum()
        (gradient,) = torch.autograd.grad(value, z)
        self.last = {name: loss.detach() for name, loss in sums.items()}
        return value.detach(), gradient.flatten()

    def compose(self, z: Tensor) -> Tensor:
        """I_B = I_Z * M + I_T * (1 - M)."""
        return self._scene.target + self._scene.mask * (z - self._scene.target)

    def _look(self, image: Tensor) -> dict[str, Tensor]:
        return self._features(image.expand(-1, 3, -1, -1), self._layers)

    def _of(self, features: Mapping[str, Tensor], name: str) -> Tensor:
        return rows(features[name]).index_select(0, self._inside[name])

    def _content(self, blend: Tensor, features: Mapping[str, Tensor], of: Tensor) -> Tensor:
        return content_loss(self._of(features, REFERENCE), of)

    def _style(self, blend: Tensor, features: Mapping[str, Tensor], name: str, wanted: Tensor) -> Tensor:
        return style_loss(gram(_as_picture(self._of(features, name))), wanted)

    def _histogram(self, blend: Tensor, features: Mapping[str, Tensor], name: str, wanted: Tensor) -> Tensor:
        return histogram_loss(self._of(features, name).T.float(), wanted)

    def _variation(self, blend: Tensor, features: Mapping[str, Tensor]) -> Tensor:
        return half_squares(blend).sum()


def first(features: Features, scene: Scene) -> Objective:
    """Pass 1, from the object as it was pasted."""
    with torch.no_grad():
        own, bank = _both(features, scene, scene.start, FIRST_LAYERS)
        places = {
            name: nearest(own[name], bank[name], covered(positions(scene.mask, own[name])), _choice(scene, bank[name]))
            for name in FIRST_LAYERS
        }
    weights = {"content": CONTENT, "style": STYLE, "histogram": 0.0, "variation": VARIATION}
    return Objective(features, scene, places, weights, scene.start)


def second(features: Features, scene: Scene, now: Tensor, style: float, calm: float) -> Objective:
    """Pass 2, on pass 1's result `now`, (1, c, h, w), with the paper's s and t."""
    with torch.no_grad():
        blend = scene.target + scene.mask * (now - scene.target)
        own, bank = (both[REFERENCE] for both in _both(features, scene, blend, (REFERENCE,)))
        inside, choice = covered(positions(scene.mask, own)), _choice(scene, bank)
        size = (own.shape[-2], own.shape[-1])
        places = agreed(nearest(own, bank, inside, choice), inside, size, bank, choice)
    finer = {name: carried(places, bank.shape[-1], STRIDE[REFERENCE] // STRIDE[name]) for name in SECOND_LAYERS}
    weights = {"content": 1.0, "style": style, "histogram": (10 - calm) * style, "variation": VARIATION * calm * style}
    return Objective(features, scene, finer, weights, now)


def quiet_chroma(colours: Tensor, around: Surroundings) -> Tensor:
    """The object, (c, h, w), with the chroma of the blend smoothed along its luma by a guided filter: strokes are of one colour."""
    if len(colours) == 1:
        return colours
    blend = to_axes(around.target + around.mask * (colours - around.target))
    guide = blend[:1].expand(3, -1, -1)
    smooth = torch.cat([guided(axis, guide, CHROMA_RADIUS, CHROMA_EPS) for axis in blend[1:, None]])
    change = from_axes(torch.cat((torch.zeros_like(blend[:1]), smooth - blend[1:])))
    return colours + change * around.unknown


def _scene(around: Surroundings, bank: Surroundings, pasted: Tensor, factor: float) -> Scene:
    fitted = lambda image: resized(image[None], factor)
    target, mask = fitted(around.target), fitted(around.mask[None])
    # At its edge, too, the object has colours of its own alone.
    start = torch.where(mask > FAINT, fitted(pasted * around.mask) / mask.clamp(min=FAINT), target)
    return Scene(target, start, mask, fitted(bank.target), fitted(bank.visible.to(pasted)[None]))


def spread(change: Tensor, mask: Tensor, size: Size) -> Tensor:
    """A change of the object, (1, c, h, w), at another size; at the edge it is that of the nearest parts inside, not half of it.

    Parameters
    ----------
    mask : (1, 1, h, w) in 0..1
    """
    to_size = lambda image: F.interpolate(image, size, mode="bilinear", align_corners=False)
    return to_size(change * mask) / to_size(mask).clamp(min=FAINT)


def _both(features: Features, scene: Scene, image: Tensor, layers: tuple[str, ...]) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
    """Features of a picture of the window, and the bank's."""
    own, bank = (features(picture.expand(-1, 3, -1, -1), layers) for picture in (image, scene.bank))
    return own, bank


def _choice(scene: Scene, features: Tensor) -> Tensor:
    return allowed(positions(scene.free, features), 0.9)


def _as_picture(features: Tensor) -> Tensor:
    """Features of m positions, (m, n), as the losses take them: (1, n, m, 1)."""
    return features.T[None, :, :, None]
