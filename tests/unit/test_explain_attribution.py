"""Kernel SHAP keeps the laws of Shapley values, superpixels those of a partition."""

from __future__ import annotations

import math
from itertools import permutations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.explaining.attribution import Game, Masks, Values, coalitions, kernel_shap
from pipeline.explaining.segments import segments

FEW = settings(max_examples=40, deadline=None)
NUMBERS = st.floats(-10, 10, allow_nan=False)


def table(scores: NDArray[np.float64]) -> Game:
    """The game whose scores are a table by coalition, the members as bits."""
    places = 2 ** np.arange(int(math.log2(len(scores))))
    return lambda masks: scores[(masks * places).sum(1)]


@st.composite
def games(draw: st.DrawFn, most: int = 9) -> tuple[int, NDArray[np.float64]]:
    """A number of players and any scores of their coalitions, two outputs."""
    players = draw(st.integers(1, most))
    seed = draw(st.integers(0, 2**32 - 1))
    return players, np.random.default_rng(seed).normal(0, 3, (2**players, 2))


@FEW
@given(games(), st.integers(2, 60), st.integers(0, 2**16))
def test_values_add_up_to_all_less_nobody_however_few_samples(
    game: tuple[int, NDArray[np.float64]], samples: int, seed: int
) -> None:
    players, scores = game
    found = kernel_shap(table(scores), players, samples, seed)
    assert found.values.sum(0) == pytest.approx(scores[-1] - scores[0], abs=1e-9)
    assert (found.full, found.empty) == (pytest.approx(scores[-1]), pytest.approx(scores[0]))


@FEW
@given(games(most=5))
def test_with_every_coalition_they_are_the_shapley_values(game: tuple[int, NDArray[np.float64]]) -> None:
    players, scores = game
    found = kernel_shap(table(scores), players, 2**players, 0)
    assert found.exact
    expected = np.zeros((players, 2))
    for order in permutations(range(players)):
        members = np.zeros(players, np.bool_)
        for player in order:
            before = table(scores)(members[None])[0]
            members[player] = True
            expected[player] += (table(scores)(members[None])[0] - before) / math.factorial(players)
    assert found.values == pytest.approx(expected, abs=1e-8)


@FEW
@given(st.lists(NUMBERS, min_size=2, max_size=30), NUMBERS, st.integers(0, 2**16))
def test_of_a_sum_each_player_gets_its_own_part(parts: list[float], start: float, seed: int) -> None:
    def game(masks: Masks) -> Values:
        return (start + masks @ np.array(parts))[:, None]

    assert kernel_shap(game, len(parts), 80, seed).values[:, 0] == pytest.approx(parts, abs=1e-7)


@FEW
@given(st.integers(3, 24), st.integers(0, 2**16), st.data())
def test_who_does_not_matter_gets_about_nothing(players: int, seed: int, data: st.DataObject) -> None:
    """A detection as drones see them: it is there only while both of its segments are."""
    one, other, idle = data.draw(st.permutations(range(players)))[:3]

    def game(masks: Masks) -> Values:
        return (masks[:, [one]] & masks[:, [other]]) * 0.9

    values = kernel_shap(game, players, 400, seed).values[:, 0]
    assert abs(values[idle]) < 0.05
    assert values[one] == pytest.approx(0.45, abs=0.1)
    assert values[other] == pytest.approx(0.45, abs=0.1)


@FEW
@given(st.integers(2, 40), st.integers(4, 300), st.integers(0, 2**16))
def test_coalitions_are_different_bounded_and_balanced(players: int, samples: int, seed: int) -> None:
    samples = max(samples, 2 * players + 2)
    masks, weights = coalitions(players, samples, np.random.default_rng(seed))
    assert len(np.unique(masks, axis=0)) == len(masks) <= samples
    assert not masks.all(1).any()
    assert masks.any(1).all()
    assert (weights > 0).all()
    # Every size has the weight that Shapley's kernel gives it as a whole, so nothing is left over or counted twice.
    total = sum((players - 1) / (size * (players - size)) for size in range(1, players))
    assert weights.sum() == pytest.approx(total)
    # Each coalition is there with its complement, so every player is in half of the weight.
    assert weights @ masks == pytest.approx(np.full(players, total / 2))


def test_the_same_seed_gives_the_same_answer() -> None:
    rng = np.random.default_rng(5)
    game = table(rng.normal(size=(2**10, 1)))
    one, again, other = (kernel_shap(game, 10, 60, seed).values for seed in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 40),
    st.floats(0, 40),
    st.integers(0, 2**16),
)
def test_segments_are_a_partition_into_connected_pieces(
    width: int, height: int, count: int, compactness: float, seed: int
) -> None:
    rough = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), np.uint8)
    picture = np.asarray(cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    labels = segments(picture, count, compactness)
    assert labels.shape == (height, width)
    number = int(labels.max()) + 1
    assert set(np.unique(labels)) == set(range(number))
    assert 1 <= number <= 2 * count + 2
    for label in range(number):
        pieces, _ = cv2.connectedComponents((labels == label).astype(np.uint8), connectivity=4)
        assert pieces == 2, f"segment {label} lies in {pieces - 1} pieces"
    assert (segments(picture, count, compactness) == labels).all()


def test_segments_follow_an_edge_that_a_grid_would_cut() -> None:
    picture = np.full((160, 160, 3), (60, 110, 70), np.uint8)
    cv2.rectangle(picture, (50, 50), (89, 89), (220, 220, 220), -1)
    labels = segments(picture, 20, 5)
    inside = np.zeros(labels.shape, np.bool_)
    inside[50:90, 50:90] = True
    mixed = sum(min((labels[inside] == each).sum(), (labels[~inside] == each).sum()) for each in np.unique(labels))
    assert mixed < 0.1 * inside.sum()


def test_large_pictures_have_as_many_segments_as_small_ones() -> None:
    small = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    large = np.asarray(cv2.resize(small, (1500, 1000), interpolation=cv2.INTER_CUBIC), np.uint8)
    labels = segments(large, 24, 10)
    assert labels.shape == (1000, 1500)
    assert 20 <= labels.max() + 1 <= 24
