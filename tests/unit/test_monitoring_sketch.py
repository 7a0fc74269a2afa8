"""Streams in bounded memory: exact while small, within the stated error when large, the same for any chunks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.monitoring.sketch import CAPACITY, Distribution, Sketch, sketched
from pipeline.monitoring.summary import Profile, Summary, profile

NUMBERS = st.floats(-1e6, 1e6)


def same(one: Distribution, other: Distribution) -> bool:
    moments = [(side.count, side.mean, side.deviation, side.low, side.high) for side in (one, other)]
    levels = zip(one.levels, other.levels, strict=True)
    return moments[0] == moments[1] and all(np.array_equal(a, b) for a, b in levels)


@given(st.lists(NUMBERS, min_size=1, max_size=200))
def test_a_short_stream_is_kept_exactly(values: list[float]) -> None:
    found = sketched(np.array(values))
    assert found.values.tolist() == sorted(values)
    assert found.error == 0
    assert found.mean == pytest.approx(np.mean(values), abs=1e-6)
    assert found.deviation == pytest.approx(np.std(values), abs=1e-6)
    assert (found.low, found.high) == (min(values), max(values))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 4 * CAPACITY), min_size=1, max_size=6))
def test_the_chunks_of_a_stream_do_not_matter(seed: int, chunks: list[int]) -> None:
    values = np.random.default_rng(seed).gamma(2, 3, sum(chunks))
    whole, pieces = Sketch(), Sketch()
    whole.add(values)
    for chunk in np.split(values, np.cumsum(chunks)[:-1]):
        pieces.add(chunk)
    assert same(whole.distribution(), pieces.distribution())


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(CAPACITY + 1, 40 * CAPACITY),
    st.sampled_from(["sorted", "mixed", "falling", "ties"]),
)
def test_the_error_of_a_rank_stays_within_its_bound(seed: int, count: int, order: str) -> None:
    values = np.random.default_rng(seed).lognormal(0, 1, count)
    if order == "ties":
        values = np.floor(values)
    elif order != "mixed":
        values = np.sort(values)[:: -1 if order == "falling" else 1]
    found = sketched(values)
    edges = np.unique(values)
    true = np.searchsorted(np.sort(values), edges, side="right") / count
    assert np.abs(found.share_below(edges) - true).max() <= found.error + 1e-12
    assert 0 < found.error < 0.002
    assert sum(len(level) << index for index, level in enumerate(found.levels)) == count
    assert found.mean == pytest.approx(values.mean())
    assert found.deviation == pytest.approx(values.std())


def test_a_million_values_are_wrong_by_a_thousandth_at_most_and_few_are_kept() -> None:
    found = sketched(np.random.default_rng(3).normal(size=1_000_000))
    assert found.error <= 0.0011
    assert len(found.values) < 10 * CAPACITY


def test_quantiles_are_values_of_the_stream() -> None:
    found = sketched(np.array([3.0, 1.0, 2.0, 10.0]))
    assert found.quantile(np.array([0.0, 0.25, 0.26, 0.75, 1.0])).tolist() == [1.0, 1.0, 2.0, 3.0, 10.0]


def test_nothing_has_no_moments() -> None:
    found = sketched(np.array([np.nan]))
    assert found.count == 0
    assert math.isnan(found.mean)
    assert math.isnan(found.low)


ROWS = st.lists(
    st.dictionaries(
        st.sampled_from(["brightness", "confidence", "objects"]),
        st.one_of(st.floats(), st.integers(), st.none(), st.text(max_size=2), st.booleans()),
    ),
    min_size=1,
    max_size=40,
)


@given(ROWS)
def test_every_value_is_counted_once(rows: list[dict[str, object]]) -> None:
    found = profile(rows)
    assert found.images == len(rows)
    for column in found.columns.values():
        assert column.values.count + column.missing + column.mistyped + column.outside == len(rows)


def test_what_cannot_be_used_is_told_apart() -> None:
    values = [10.0, 300, -1.0, math.nan, math.inf, 10**400, None, "12", True, [1]]
    column = profile([{"brightness": value} for value in values] + [{}]).columns["brightness"]
    assert (column.values.count, column.missing, column.mistyped, column.outside) == (1, 2, 3, 5)


def test_rows_and_arrays_give_the_same_profile() -> None:
    rows = [{"objects": 2.0, "confidence": 0.5}, {"objects": 0.0}, {"objects": 3.0, "confidence": 0.75}]
    arrays = Summary()
    arrays.add_arrays({"objects": np.array([2.0, 0, 3]), "confidence": np.array([0.5, np.nan, 0.75])})
    by_rows, by_arrays = profile(rows), arrays.profile()
    for name in ("objects", "confidence"):
        one, other = by_rows.columns[name], by_arrays.columns[name]
        assert same(one.values, other.values)
        assert (one.missing, one.whole) == (other.missing, other.whole)
    assert by_rows.columns["objects"].whole
    assert not by_rows.columns["confidence"].whole


def test_foreign_names_do_not_fill_the_memory() -> None:
    summary = Summary()
    for number in range(1000):
        summary.add([{f"name{number}": 1.0}], model=f"model{number}")
        summary.malformed(f"reason {number}")
    found: Profile = summary.profile()
    assert len(found.columns) == 300
    assert len(found.models) == len(found.malformed) == 17
    assert found.images == 1000
    assert found.records == 2000


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="not equally long"):
        Summary().add_arrays({"a": np.zeros(2), "b": np.zeros(3)})
