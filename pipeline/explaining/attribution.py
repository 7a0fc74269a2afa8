"""Kernel SHAP: how much each player contributed to a score, from the scores of some coalitions.

Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017: Shapley values are the weighted
least-squares fit of an additive game, weight (M-1) / (C(M, s) s (M-s)) for a coalition of s of M players, under the
constraint that they add up to the difference between the score of all players and that of none. Coalitions are drawn
in pairs, each with its complement (Covert and Lee, "Improving KernelSHAP", AISTATS 2021).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Masks = NDArray[np.bool_]
"""Coalitions × players: who takes part."""
Values = NDArray[np.float64]

Game = Callable[[Masks], Values]
"""The scores (coalitions × outputs) of coalitions."""


@dataclass(frozen=True)
class Attribution:
    """`values` (players × outputs) add up, for each output, to `full - empty`: its score with all and with nobody.

    `exact`: every coalition was asked, so that these are the Shapley values; otherwise an estimate of them.
    """

    values: Values
    full: Values
    empty: Values
    coalitions: int
    exact: bool


def kernel_shap(game: Game, players: int, samples: int, seed: int) -> Attribution:
    """Share out a game's scores, asking it for about `samples` coalitions besides all and nobody.

    At least two for each player and two more are asked, which makes the fit unique. Same arguments, same answer.
    """
    ends = game(np.array([[True] * players, [False] * players]))
    full, empty = ends[0], ends[1]
    if players == 1:
        return Attribution((full - empty)[None], full, empty, 2, True)
    masks, weights = coalitions(players, max(samples, 2 * players + 2), np.random.default_rng(seed))
    values = _fit(masks, weights, game(masks) - empty, full - empty)
    return Attribution(values, full, empty, len(masks) + 2, len(masks) == 2**players - 2)


def coalitions(players: int, samples: int, rng: np.random.Generator) -> tuple[Masks, Values]:
    """At most `samples` (at least 2 × players + 2) different coalitions and their weights.

    The smallest and the largest weigh most: of these all are taken while there is room, of the others pairs are drawn.
    """
    masks: list[Masks] = []
    weights: list[Values] = []
    left = samples
    size = 1
    while size <= players // 2:
        sizes = {size, players - size}
        number = math.comb(players, size)
        kept = 2 if size < players // 2 else 0  # for a pair of the sizes beyond: their weight must lie somewhere
        if number * len(sizes) > left - kept:
            break
        for each in sorted(sizes):
            members = np.array(list(combinations(range(players), each)))
            stratum = np.zeros((number, players), np.bool_)
            stratum[np.arange(number)[:, None], members] = True
            masks.append(stratum)
            weights.append(np.full(number, _weight(players, each) / number))
        left -= number * len(sizes)
        size += 1
    rest = range(size, players - size + 1)
    if rest:
        drawn, shares = _drawn(players, rest, left // 2, rng)
        masks.append(drawn)
        weights.append(shares * sum(_weight(players, each) for each in rest))
    return np.concatenate(masks), np.concatenate(weights)


def _weight(players: int, size: int) -> float:
    """Of all coalitions of a size together."""
    return (players - 1) / (size * (players - size))


def _drawn(players: int, sizes: range, pairs: int, rng: np.random.Generator) -> tuple[Masks, Values]:
    """Coalitions of these sizes with their complements, and how often each was drawn, as shares."""
    weights = np.array([_weight(players, size) for size in sizes])
    chosen = rng.choice(np.array(sizes), pairs, p=weights / weights.sum())
    order = rng.random((pairs, players)).argsort(1).argsort(1)
    masks = order < chosen[:, None]
    found, counts = np.unique(np.concatenate([masks, ~masks]), axis=0, return_counts=True)
    return found, counts / counts.sum()


def _fit(masks: Masks, weights: Values, scores: Values, total: Values) -> Values:
    """The constrained fit: the last player gets what is missing to the total, which leaves a free one of the others."""
    last = masks[:, -1:].astype(float)
    root = np.sqrt(weights)[:, None]
    others = np.linalg.lstsq(root * (masks[:, :-1] - last), root * (scores - last * total), rcond=None)[0]
    return np.concatenate([others, total[None] - others.sum(0, keepdims=True)])
