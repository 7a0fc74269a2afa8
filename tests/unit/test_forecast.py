"""Forecast, anomalies and tallies: pure rules, by their laws and on series whose truth is known."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import anomalies, forecast
from pipeline.anomalies import Anomaly
from pipeline.tally import Entry, tally

FIRST = date(2026, 2, 2)  # a Monday
WEEK = (20.0, 21.0, 19.0, 20.0, 22.0, 8.0, 7.0)

amounts = st.decimals(min_value=Decimal(-100), max_value=Decimal(100_000), places=10)
entries = st.lists(
    st.builds(
        Entry,
        day=st.dates(FIRST, FIRST + timedelta(days=40)),
        label=st.sampled_from(["a", "b", "c", "d", "e", "f", "g", "h"]),
        amount=amounts,
    ),
    max_size=60,
)


def series(days: int, growth: float = 0.0, noise: float = 0.0, seed: int = 1) -> list[float]:
    dice = random.Random(seed)
    return [WEEK[at % 7] * (1 + growth * at) * (1 + dice.uniform(-noise, noise)) for at in range(days)]


def after(values: Sequence[float], days: int = 14) -> Sequence[float]:
    return forecast.ahead(values, FIRST + timedelta(days=len(values) - 1), days)


def test_a_week_that_repeats_is_foretold_exactly() -> None:
    assert after(series(56)) == pytest.approx(series(70)[56:])


def test_what_grows_goes_on_growing() -> None:
    told, truth = after(series(84, growth=0.01)), series(98, growth=0.01)[84:]
    assert told == pytest.approx(truth, rel=0.03)
    assert sum(told) > sum(series(84, growth=0.01)[-14:])


def test_noise_is_no_trend() -> None:
    told = after(series(84, noise=0.2), 28)
    assert sum(told) == pytest.approx(sum(series(28)), rel=0.08)


def test_one_odd_day_changes_next_to_nothing() -> None:
    calm = series(84, noise=0.1)
    odd = [*calm[:80], 400.0, *calm[81:]]
    assert after(odd) == pytest.approx(after(calm), rel=0.03)


def test_days_on_which_nothing_ever_happens_stay_so() -> None:
    workdays = [0.0 if at % 7 >= 5 else 10.0 for at in range(42)]
    assert after(workdays, 7) == pytest.approx([10.0] * 5 + [0.0] * 2)
    assert after([0.0] * 20, 3) == [0.0, 0.0, 0.0]


def test_too_little_history_makes_no_forecast() -> None:
    with pytest.raises(ValueError, match="needs 14 days"):
        after(series(13))
    assert forecast.off(series(20), FIRST, 7) is None


def test_the_range_holds_what_comes() -> None:
    held = 0
    for seed in range(20):
        values = series(105, noise=0.3, seed=seed)
        known, last = values[:98], FIRST + timedelta(days=97)
        low, high = forecast.off(known, last, 7) or (1.0, 1.0)
        told = sum(forecast.ahead(known, last, 7))
        held += low * told <= sum(values[98:]) <= high * told
    assert 12 <= held <= 20


@given(st.lists(st.floats(0, 1e6), min_size=14, max_size=70), st.integers(1, 31))
@settings(max_examples=40, deadline=None)
def test_a_forecast_is_never_negative_and_has_its_days(values: list[float], days: int) -> None:
    told = after(values, days)
    assert len(told) == days
    assert all(amount >= 0 for amount in told)


def services(**more: Sequence[float]) -> dict[str, list[Decimal]]:
    found = {"Amazon SageMaker": series(90, noise=0.1), **more}
    return {name: [Decimal(f"{value:.10f}") for value in values] for name, values in found.items()}


def test_a_spike_is_found_with_its_days_and_nothing_else() -> None:
    values = series(90, noise=0.1)
    values[60], values[61] = values[60] + 15, values[61] + 30
    (found,) = anomalies.find(services(**{"Amazon SageMaker": values}), FIRST)
    assert (found.start, found.end) == (FIRST + timedelta(days=60), FIRST + timedelta(days=61))
    assert found.id == "own-20260403-amazon-sagemaker"
    assert found.excess == pytest.approx(Decimal(45), abs=Decimal(8))
    assert found.ours


def test_the_verdict_on_a_day_does_not_change_later() -> None:
    values = series(90, noise=0.1)
    values[60] += 30
    for known in (61, 70, 90):
        (found,) = anomalies.find(services(**{"Amazon SageMaker": values[:known]}), FIRST)
        assert found.start == FIRST + timedelta(days=60)


def test_quiet_growing_and_small_things_are_not_odd() -> None:
    tiny = [0.01] * 80 + [0.2] + [0.01] * 9
    assert anomalies.find(services(storage=[2 * 1.01**at for at in range(90)], tiny=tiny), FIRST) == []


def test_a_service_that_appears_is_told() -> None:
    new = [0.0] * 80 + [9.0] * 10
    found = anomalies.find(services(**{"Amazon Bedrock": new}), FIRST)
    assert {each.service for each in found} == {"Amazon Bedrock"}
    assert found[-1].start == FIRST + timedelta(days=80)


def test_nothing_is_found_in_nothing() -> None:
    assert anomalies.find({}, FIRST) == []
    assert anomalies.find({"A": [Decimal(0)] * 60}, FIRST) == []


def test_what_aws_found_too_is_told_once() -> None:
    one = Anomaly("own-1", FIRST, FIRST, "A", Decimal(5), Decimal(1))
    other = Anomaly("own-2", FIRST, FIRST, "B", Decimal(5), Decimal(1))
    theirs = Anomaly("x", FIRST - timedelta(days=1), FIRST, "A", Decimal(5), Decimal(1))
    assert anomalies.unnoticed([one, other], [theirs]) == [other]


@given(entries, st.integers(0, 20), st.integers(1, 20), st.integers(1, 10))
def test_every_grouping_adds_up_to_the_total_exactly(found: list[Entry], start: int, days: int, most: int) -> None:
    begin, end = FIRST + timedelta(days=start), FIRST + timedelta(days=start + days)
    whole = sum((entry.amount for entry in found if begin <= entry.day < end), Decimal(0))
    before = [entry for entry in found if begin - timedelta(days=days) <= entry.day < begin]
    table = tally(found, begin, end)
    assert table.total == whole
    assert sum(table.daily, Decimal(0)) == whole
    assert table.before == sum((entry.amount for entry in before), Decimal(0))
    few = table.folded(most)
    assert (few.total, few.before, few.daily) == (table.total, table.before, table.daily)
    assert len(few.rows) <= max(most, 1)
    relabelled = [Entry(entry.day, str(entry.day.weekday()), entry.amount) for entry in found]
    assert tally(relabelled, begin, end).total == whole


def test_what_moved_most_comes_first_and_a_fraction_of_a_cent_is_no_move() -> None:
    day, before = FIRST + timedelta(days=1), FIRST
    rows = [("up", "5", "1"), ("down", "1", "9"), ("same", "3", "3"), ("hair", "1.001", "1")]
    found = [Entry(day, label, Decimal(now)) for label, now, _ in rows]
    found += [Entry(before, label, Decimal(then)) for label, _, then in rows]
    table = tally(found, day, day + timedelta(days=1))
    assert [row.label for row in table.movers()] == ["down", "up"]
    assert [row.change for row in table.movers()] == [Decimal(-8), Decimal(4)]
