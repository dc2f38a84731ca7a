"""A ranking from choices.

Each method i has a strength p_i > 0, and is chosen among those shown with probability p_i / (sum of the shown ones' p): Bradley and Terry's
model for pairs, Luce's for more.

References
----------
R. A. Bradley, M. E. Terry, Rank analysis of incomplete block designs, Biometrika 39, 1952.
D. R. Hunter, MM algorithms for generalized Bradley-Terry models, Annals of Statistics 32, 2004.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PRIOR = 0.5  # imagined wins and defeats of each method against one of strength 1: keeps one that never won from minus infinity
Z = 1.959964  # standard errors on either side of a 95 % interval
TOLERANCE, ITERATIONS = 1e-10, 100_000


@dataclass(frozen=True)
class Choice:
    """One answer.

    Attributes
    ----------
    shown : the methods shown
    chosen : the one chosen, or None: no difference, which counts as an equal share of a win to each
    """

    shown: tuple[str, ...]
    chosen: str | None


@dataclass(frozen=True)
class Rank:
    """A method's place.

    Attributes
    ----------
    strength : ln p, the mean over the methods being 0
    low, high : its 95 % interval, from the Fisher information
    """

    method: str
    strength: float
    low: float
    high: float


def bradley_terry(choices: Sequence[Choice], prior: float = PRIOR) -> list[Rank]:
    """The methods from the strongest to the weakest.

    Parameters
    ----------
    choices : at least one
    prior : see `PRIOR`; with 0, the plain maximum of likelihood, where there is one
    """
    names = sorted({name for choice in choices for name in choice.shown})
    shown = np.array([[name in choice.shown for name in names] for choice in choices], float)
    wins = sum((_wins(choice, names) for choice in choices), np.zeros(len(names))) + prior
    p = _strengths(shown, wins, prior)
    logs = np.log(p)
    share = shown * p / (shown @ p)[:, None]
    beside = p / (1 + p)
    information = np.diag(share.sum(axis=0) + 2 * prior * beside * (1 - beside)) - share.T @ share
    # Only differences of strengths mean something, so the covariance is that of their distance from the mean.
    centre = np.eye(len(names)) - 1 / len(names)
    errors = np.sqrt(np.diag(centre @ np.linalg.pinv(information, hermitian=True) @ centre).clip(0))
    logs -= logs.mean()
    ranks = [Rank(name, float(s), float(s - Z * e), float(s + Z * e)) for name, s, e in zip(names, logs, errors, strict=True)]
    return sorted(ranks, key=lambda rank: -rank.strength)


def _wins(choice: Choice, names: Sequence[str]) -> npt.NDArray[np.float64]:
    winners = choice.shown if choice.chosen is None else (choice.chosen,)
    return np.array([(name in winners) / len(winners) for name in names])


def _strengths(shown: npt.NDArray, wins: npt.NDArray, prior: float) -> npt.NDArray:
    """Hunter's iteration: each p_i becomes its wins over the sum, in the choices it was shown in, of 1 / (the shown ones' p)."""
    p = np.ones(len(wins))
    for _ in range(ITERATIONS):
        update = wins / (shown.T @ (1 / (shown @ p)) + 2 * prior / (p + 1))
        if not prior:
            update /= np.exp(np.log(update).mean())
        settled = np.abs(np.log(update / p)).max() < TOLERANCE
        p = update
        if settled:
            break
    return p
