"""The rule of an estimate: its laws, and what one odd run, few runs and no run do to it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import estimate
from pipeline.estimate import Past, Seconds

SECONDS = st.floats(1, 100_000)
WORK = st.floats(0.001, 10_000)
HISTORY = st.lists(st.builds(Past, SECONDS, WORK), min_size=1, max_size=10)


@given(HISTORY, WORK)
def test_low_expected_and_high_are_in_order(history: list[Past], work: float) -> None:
    found = estimate.from_history(history, work)
    assert 0 < found.low <= found.expected <= found.high


@given(HISTORY, WORK, st.floats(1, 100))
def test_more_work_is_never_less_time(history: list[Past], work: float, more: float) -> None:
    less, greater = estimate.from_history(history, work), estimate.from_history(history, work * more)
    nearly = 1 + 1e-9
    assert less.low <= greater.low * nearly
    assert less.expected <= greater.expected * nearly
    assert less.high <= greater.high * nearly


@given(HISTORY, WORK, st.floats(1, 100_000))
def test_nothing_takes_longer_than_it_may(history: list[Past], work: float, limit: float) -> None:
    found = estimate.from_history(history, work).at_most(limit)
    assert found.low <= found.expected <= found.high <= limit


@given(HISTORY, WORK, st.permutations(range(10)))
def test_the_order_of_the_runs_does_not_matter(history: list[Past], work: float, order: list[int]) -> None:
    other = [history[index] for index in order if index < len(history)]
    assert estimate.from_history(other, work) == estimate.from_history(history, work)


@given(SECONDS, WORK, st.integers(1, 10))
def test_runs_all_alike_are_expected_again(seconds: float, work: float, count: int) -> None:
    found = estimate.from_history([Past(seconds, work)] * count, work)
    assert found.expected == pytest.approx(seconds)
    assert found.high / found.expected == pytest.approx(1.1 + 0.5 / count)


def test_one_odd_run_moves_little() -> None:
    usual = [Past(60, 1), Past(62, 1), Past(58, 1), Past(61, 1)]
    odd = estimate.from_history([*usual, Past(3_000, 1)], 1)
    assert 58 <= odd.expected <= 62
    assert odd.high < 120


def test_more_runs_and_likelier_ones_narrow_it() -> None:
    one, five = (estimate.from_history([Past(60, 1)] * count, 1) for count in (1, 5))
    assert five.high - five.low < one.high - one.low
    apart = estimate.from_history([Past(seconds, 1) for seconds in (30, 45, 60, 75, 90)], 1)
    assert apart.high - apart.low > five.high - five.low


def test_work_unlike_any_before_is_known_less_well() -> None:
    history = [Past(600, 1)] * 5
    same, tenfold = estimate.from_history(history, 1), estimate.from_history(history, 10)
    assert tenfold.high / tenfold.low > same.high / same.low
    assert tenfold.expected == pytest.approx(30 + 570 * 10)  # the start is not repeated


def test_without_any_run_it_is_a_wide_guess() -> None:
    assert estimate.typical(60) == Seconds(20, 60, 180)


def test_money_is_exact() -> None:
    found = estimate.cost(Seconds(1800, 3600, 7200), Decimal("0.115"), instances=2)
    assert (found.low, found.expected, found.high) == (Decimal("0.115"), Decimal("0.230"), Decimal("0.460"))
    assert found + estimate.NOTHING == found
