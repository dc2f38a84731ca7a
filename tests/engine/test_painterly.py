"""Deep Painterly Harmonization: the matches, the vote, the paper's t, and what is lowered."""

from __future__ import annotations

from math import exp

import pytest
import torch
from test_lbfgs import Reads
from test_painting import disc, scene, strokes

from blend_daemon.engine import device as devices
from blend_daemon.engine.methods import painterly as method
from blend_daemon.engine.optimise.lbfgs import LBFGS
from blend_protocol.presets import Parameters


@pytest.fixture(scope="module")
def features():
    return devices.features(torch.device("cpu"), torch.float32)[0]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def everything(features: torch.Tensor) -> torch.Tensor:
    return torch.arange(features[0, 0].numel())


def test_a_patch_finds_its_own_place_however_bright_it_is():
    bank = noise(1, 4, 10, 12)
    own = 3 * bank[..., 2:9, 3:11]
    y, x = torch.meshgrid(torch.arange(1, 6), torch.arange(1, 7), indexing="ij")
    inside = (y * 8 + x).flatten()
    found = method.nearest(own, bank, inside, everything(bank))
    assert torch.equal(found, ((y + 2) * 12 + x + 3).flatten())


def test_a_patch_finds_only_what_it_may():
    bank = noise(1, 4, 6, 6)
    choice = torch.tensor([7, 20])
    assert set(method.nearest(bank, bank, everything(bank), choice).tolist()) <= {7, 20}


def test_a_stray_match_is_outvoted_by_its_neighbours():
    """All matches are the place 3 lower and 2 to the right, but one."""
    bank, size = noise(1, 8, 14, 16), (9, 10)
    y, x = torch.meshgrid(torch.arange(9), torch.arange(10), indexing="ij")
    right = ((y + 3) * 16 + x + 2).flatten()
    found = right.clone()
    found[4 * 10 + 5] = 0
    assert torch.equal(method.agreed(found, torch.arange(90), size, bank, everything(bank)), right)


def test_the_vote_is_the_sum_of_squared_differences():
    """Against the same, proposal by proposal, on matches without any order."""
    bank, size = noise(1, 3, 7, 9, seed=1), (6, 5)
    inside = torch.tensor([k for k in range(30) if k % 7])
    choice = torch.tensor([k for k in range(63) if k % 5])
    found = choice[torch.randint(len(choice), (len(inside),), generator=torch.Generator().manual_seed(2))]
    ours = method.agreed(found, inside, size, bank, choice)
    features = bank[0].flatten(1).T
    matches = dict(zip(inside.tolist(), found.tolist(), strict=True))
    for position, chosen in zip(inside.tolist(), ours.tolist(), strict=True):
        proposals = []
        for dy in range(-2, 3):
            for dx in range(-2, 3):
                y, x = position // 5 + dy, position % 5 + dx
                if 0 <= y < 6 and 0 <= x < 5 and y * 5 + x in matches:
                    row, column = matches[y * 5 + x] // 9 - dy, matches[y * 5 + x] % 9 - dx
                    if 0 <= row < 7 and 0 <= column < 9 and (row * 9 + column) % 5:
                        proposals.append(row * 9 + column)
        unlike = {p: sum(float((features[p] - features[q]).square().sum()) for q in proposals) for p in proposals}
        assert unlike[chosen] == pytest.approx(min(unlike.values()), rel=1e-4, abs=1e-4)


def test_places_are_carried_to_a_finer_layer_and_counted_once():
    carried = method.carried(torch.tensor([5, 0, 5]), 4, 2)  # rows 1 and 0, columns 1 and 0
    assert sorted(carried.tolist()) == [0, 1, 8, 9, 18, 19, 26, 27]
    assert sorted(method.carried(torch.tensor([3, 3]), 4, 1).tolist()) == [3]


@pytest.mark.parametrize(
    ("window", "box", "cut"),
    [
        ((10, 20, 101, 64), (42, 52, 37, 0), (10, 20, 96, 64)),  # from the longer side's context
        ((10, 20, 69, 66), (47, 52, 32, 2), (15, 20, 64, 64)),
        ((0, 0, 13, 15), (2, 0, 9, 15), (0, 0, 13, 15)),  # too little context
    ],
)
def test_a_window_is_cut_to_the_grid_and_keeps_the_object(window, box, cut):
    assert method.fitting(window, box) == cut


def test_a_change_reaches_the_edge_undiluted():
    mask = torch.zeros(1, 1, 4, 6)
    mask[..., 3:] = 1
    mask[..., 3] = 0.3
    change = torch.full((1, 3, 4, 6), 9.0)
    change[..., 3:] = 0.5
    grown = method.spread(change, mask, (8, 12))
    assert torch.allclose(grown[..., 6:], torch.tensor(0.5))


def test_t_is_the_papers():
    slope = 0.07
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(9.0), indexing="ij")
    ramp = (slope * x).expand(3, -1, -1)
    assert method.calmness(ramp) == pytest.approx(10 / (1 + exp(1e4 * slope**2 / 2 - 25)), rel=1e-3)
    assert method.calmness(torch.zeros(1, 8, 9)) == pytest.approx(10)
    assert method.calmness((5 * y)[None]) == pytest.approx(0)


def test_s_is_1_to_10():
    assert [method.strength(Parameters(style=style)) for style in (0, 50, 100)] == [1, 5.5, 10]


def objective(features, stage: int, calm: float = 5.0) -> tuple[method.Objective, torch.Tensor, torch.Tensor]:
    start, target, bank = strokes(64, 80), strokes(64, 80, 1), strokes(96, 128, 2)
    mask = disc(64, 80, 24)
    scenery = scene(torch.where(mask > 0, start, target), target, mask, bank)
    made = method.first(features, scenery) if stage == 1 else method.second(features, scenery, scenery.start, 5.0, calm)
    return made, scenery.start, mask


@pytest.mark.parametrize("stage", [1, 2])
def test_the_gradient_is_the_values(features, stage):
    """Which L-BFGS relies on, and gradients that are normalised anew at each step would not give."""
    made, start, mask = objective(features, stage)
    x = (start + 0.02 * noise(*start.shape)).flatten()
    gradient = made(x)[1]
    assert gradient.view_as(start)[mask.expand_as(start) == 0].abs().max() == 0
    direction = gradient / gradient.norm()
    step = 0.05
    rise = (made(x + step * direction)[0] - made(x - step * direction)[0]) / (2 * step)
    assert float(rise) == pytest.approx(float(gradient.norm()), rel=0.1)


@pytest.mark.parametrize("stage", [1, 2])
def test_the_style_comes_nearer(features, stage):
    made, start, _ = objective(features, stage)
    optimiser = LBFGS(made, start.flatten())
    before = float(made.last["style"])
    for _ in range(12):
        optimiser.iterate()
    assert float(made.last["style"]) < 0.6 * before


def test_a_rough_target_asks_for_its_histograms_and_a_smooth_one_does_not(features):
    for calm, asked in ((0.0, True), (10.0, False)):
        made, start, _ = objective(features, 2, calm)
        made(start.flatten())
        assert ("histogram" in made.last) == asked


@pytest.mark.parametrize("stage", [1, 2])
def test_an_evaluation_never_waits_for_the_device(features, stage):
    made, start, _ = objective(features, stage)
    x = start.flatten().clone()
    Reads.count = 0
    with Reads():
        made(x)
    assert Reads.count == 0
