"""The ranking: closed forms, simulations, and hard cases."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from blend_daemon.comparison.histogram import svg
from blend_daemon.comparison.ranking import Choice, Z, bradley_terry
from blend_daemon.comparison.tally import Vote, counts, preferred, text


def pairs(first, second, wins, losses, ties=0):
    shown = (first, second)
    return [Choice(shown, first)] * wins + [Choice(shown, second)] * losses + [Choice(shown, None)] * ties


def test_two_methods_have_the_log_of_their_odds_and_its_error():
    best, worst = bradley_terry(pairs("a", "b", 30, 10), prior=0)
    assert (best.method, worst.method) == ("a", "b")
    assert best.strength - worst.strength == pytest.approx(math.log(3), abs=1e-6)
    # The odds' logarithm has the variance 1/30 + 1/10; each strength is half of it away from the mean.
    assert (best.high - best.low) / (2 * Z) == pytest.approx(math.sqrt(1 / 30 + 1 / 10) / 2, rel=1e-6)


def test_a_tie_is_half_a_win_to_each():
    tied = bradley_terry(pairs("a", "b", 28, 8, ties=4), prior=0)
    assert tied[0].strength - tied[1].strength == pytest.approx(math.log(3), abs=1e-6)


def test_the_best_of_all_has_the_log_of_its_share():
    choices = [Choice(("a", "b", "c", "d"), name) for name, count in zip("abcd", (40, 20, 10, 5), strict=True) for _ in range(count)]
    ranks = bradley_terry(choices, prior=0)
    gaps = [one.strength - other.strength for one, other in pairwise(ranks)]
    assert [rank.method for rank in ranks] == list("abcd")
    assert gaps == pytest.approx([math.log(2)] * 3, abs=1e-6)


def test_incomplete_pairs_are_joined_through_others():
    ranks = bradley_terry([*pairs("a", "b", 20, 10), *pairs("b", "c", 30, 10)], prior=0)
    strengths = {rank.method: rank.strength for rank in ranks}
    assert strengths["a"] - strengths["c"] == pytest.approx(math.log(2 * 3), abs=1e-5)


def test_intervals_cover_the_truth_as_often_as_they_say():
    random = np.random.default_rng(5)
    truth = np.array([1.0, 0.3, -0.3, -1.0])
    names, covered = "abcd", []
    for _ in range(60):
        choices = []
        for _ in range(120):
            i, j = random.choice(4, 2, replace=False)
            first = random.random() < 1 / (1 + math.exp(truth[j] - truth[i]))
            choices.append(Choice((names[i], names[j]), names[i if first else j]))
        covered += [rank.low <= truth[names.index(rank.method)] <= rank.high for rank in bradley_terry(choices)]
    assert 0.9 < np.mean(covered) < 0.99


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "choices",
    [
        [Choice(("a", "b"), "a")],
        [Choice(("a", "b"), None)],
        pairs("a", "b", 500, 0),
        [*pairs("a", "b", 5, 0), *pairs("c", "d", 0, 5)],
        [Choice(tuple("abcdef"), "a")] * 30,
    ],
)
def test_few_votes_ties_and_one_that_never_wins_have_finite_strengths(choices):
    ranks = bradley_terry(choices)
    assert sum(rank.strength for rank in ranks) == pytest.approx(0, abs=1e-9)
    assert all(math.isfinite(number) for rank in ranks for number in (rank.strength, rank.low, rank.high))
    assert all(rank.low <= rank.strength <= rank.high for rank in ranks)
    assert ranks[0].strength == ranks[-1].strength or ranks[0].method in [choice.chosen for choice in choices]


def test_more_votes_make_it_surer():
    widths = [rank.high - rank.low for n in (4, 16, 64) for rank in bradley_terry(pairs("a", "b", 3 * n, n))[:1]]
    assert widths[0] > 1.7 * widths[1] > 2.5 * widths[2]


@pytest.fixture
def votes():
    shown = ("deep", "poisson", "alpha<&>")
    cast = {"cat": ["deep"] * 5 + ["poisson"] * 2, "dog": ["poisson"] * 3 + ["deep"] * 3, "owl": ["deep", None]}
    return [Vote(case, Choice(shown, chosen)) for case, chosens in cast.items() for chosen in chosens]


def test_the_histogram_counts_votes_and_cases(votes):
    table = counts(votes)
    assert table["cat"] == {"alpha<&>": 0, "deep": 5, "poisson": 2, "": 0}
    assert table["owl"][""] == 1
    assert preferred(table) == {"deep": 2, "poisson": 0, "alpha<&>": 0}, "a draw is nobody's"
    lines = text(table, bradley_terry([vote.choice for vote in votes]), 4).splitlines()
    assert lines[0] == "15 answers of 4 voters on 3 cases"
    assert lines[3].split()[:4] == ["deep", "9", "60%", "2"]
    assert lines[4].split()[:4] == ["poisson", "5", "33%", "0"]
    assert lines[3].count("#") == 30


def test_the_picture_is_sound_xml_with_bars_in_proportion(votes):
    from xml.etree import ElementTree

    table = counts(votes)
    drawn = ElementTree.fromstring(svg(table, bradley_terry([vote.choice for vote in votes])))
    space = "{http://www.w3.org/2000/svg}"
    bars = [float(bar.get("width")) for bar in drawn.iter(f"{space}rect") if bar.get("class") != "paper"]
    assert bars[:3] == [720, 400, 0]
    assert "alpha<&>" in "".join(drawn.itertext())
