"""The measures, the limits and the rule."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from pipeline.monitoring.calibration import LEAST, Limits, calibrate
from pipeline.monitoring.drift import Reference, fit, js, judge, ks, psi, unusual, w1, w1_over_sigma
from pipeline.monitoring.metrics import figures
from pipeline.monitoring.sketch import sketched
from pipeline.monitoring.summary import Profile, Summary

SAMPLES = st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=60).map(np.array)
FLOATS = NDArray[np.float64]
LIMITS = Limits((200, 1000), (0.4, 0.35), "flight", 40)


def table(columns: dict[str, FLOATS], model: str = "") -> Profile:
    summary = Summary()
    summary.add_arrays(columns, model)
    return summary.profile()


def normal(count: int, seed: int = 0, **shift: float) -> dict[str, FLOATS]:
    """Brightness and sharpness of so many images, each moved by so many deviations."""
    rng = np.random.default_rng(seed)
    values = {"brightness": rng.normal(120, 10, count), "sharpness": rng.normal(900, 200, count).clip(0)}
    for name, by in shift.items():
        values[name] = values[name] + by * (10 if name == "brightness" else 200)
    return values


REFERENCE = Reference(table(normal(1000)), LIMITS, "b1")


@given(SAMPLES, SAMPLES)
def test_measures_agree_with_scipy(one: FLOATS, other: FLOATS) -> None:
    a, b = sketched(one), sketched(other)
    assert w1(a, b) == pytest.approx(stats.wasserstein_distance(one, other), abs=1e-9)
    gap, p = ks(a, b)
    edges = np.union1d(one, other)
    shares = [np.searchsorted(np.sort(side), edges, side="right") / len(side) for side in (one, other)]
    assert gap == pytest.approx(np.abs(shares[0] - shares[1]).max(), abs=1e-9)
    size = np.sqrt(len(one) * len(other) / (len(one) + len(other)))
    assert p == pytest.approx(stats.kstwobign.sf(gap * size), abs=1e-6)


@given(SAMPLES, SAMPLES, st.floats(-100, 100))
def test_laws_of_w1(one: FLOATS, other: FLOATS, shift: float) -> None:
    a, b = sketched(one), sketched(other)
    assert w1(a, b) == pytest.approx(w1(b, a), abs=1e-9)
    assert w1(a, a) == pytest.approx(0, abs=1e-12)
    assert w1(a, sketched(one + shift)) == pytest.approx(abs(shift), abs=1e-9)
    assert w1(sketched(one + shift), sketched(other + shift)) == pytest.approx(w1(a, b), abs=1e-9)
    assert w1(a, sketched(-one)) == pytest.approx(w1(sketched(-one), a), abs=1e-9)


@given(SAMPLES, SAMPLES)
def test_the_order_of_rows_does_not_matter(one: FLOATS, other: FLOATS) -> None:
    a, b = sketched(one), sketched(other)
    mixed = sketched(np.random.default_rng(1).permutation(other))
    for measure in (w1, psi, js, ks):
        assert measure(a, mixed) == measure(a, b)


@given(SAMPLES, SAMPLES)
def test_psi_and_js_are_nothing_for_the_same_and_bounded(one: FLOATS, other: FLOATS) -> None:
    a, b = sketched(one), sketched(other)
    assert psi(a, a) == pytest.approx(0)
    assert js(a, a) == pytest.approx(0, abs=1e-7)
    assert psi(a, b) >= -1e-12
    assert 0 <= js(a, b) <= 1


def test_a_column_without_spread_is_measured_against_its_floor() -> None:
    still, moved = sketched(np.zeros(1000)), sketched(np.full(200, 0.0004))
    assert w1_over_sigma("clipped_low", still, moved) == pytest.approx(0.0004 / 0.005)


def test_no_traffic_no_verdict_and_a_small_sample() -> None:
    assert judge(REFERENCE, Profile(0, {})).kind == "no traffic"
    unreadable = judge(REFERENCE, Profile(0, {}, malformed={"a line is not JSON": 3}))
    assert unreadable.kind == "no verdict"
    few = judge(REFERENCE, table(normal(29, 1, brightness=5)))
    assert (few.kind, few.moved) == ("no verdict", ())
    assert few.columns[0].distance > 4  # figures are shown all the same
    small = judge(REFERENCE, table(normal(30, 1, brightness=5)))
    assert small.kind == "warning"
    assert [moved.column for moved in small.moved] == ["brightness"]
    assert small.caveats[0].startswith("Small sample (30 images, 200 are needed)")
    quiet = judge(REFERENCE, table(normal(199, 1)))
    assert quiet.kind == "no drift"
    assert quiet.caveats[0].startswith("Small sample")


def test_the_rule_at_the_edge_of_its_limit() -> None:
    flat = np.tile([110.0, 130.0], 500)  # deviation 10
    reference = Reference(table({"brightness": flat}), LIMITS)
    just, over = (judge(reference, table({"brightness": flat[:200] + by})) for by in (3.999, 4.001))
    assert (just.kind, over.kind) == ("no drift", "drift")
    assert over.moved[0].limit == 0.4
    assert over.moved[0].distance == pytest.approx(0.4001)
    assert "brightness 120 → 124" in over.headline
    assert over.caveats == ()


def test_a_small_baseline_only_warns() -> None:
    reference = Reference(table(normal(499)), LIMITS)
    found = judge(reference, table(normal(300, 1, brightness=5)))
    assert found.kind == "warning"
    assert "a baseline of 499 images, 500 are needed" in found.caveats[0]


def test_a_baseline_of_few_flights_only_warns() -> None:
    few = replace(REFERENCE, limits=replace(LIMITS, flights=9))
    found = judge(few, table(normal(300, 1, brightness=5)))
    assert found.kind == "warning"
    assert "9 flights only" in found.caveats[0]
    assert "drift_distance_ratio" not in figures(found, table(normal(300, 1, brightness=5)), 0, None)
    assert judge(few, table(normal(300, 1))).kind == "no drift"
    one = replace(REFERENCE, limits=Limits((), (), "flight", 1))
    found = judge(one, table(normal(300, 1, brightness=5)))
    assert found.kind == "warning"
    assert "1 flight(s), too few" in found.caveats[0]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400), st.floats(-20, 20), st.integers(0, 2**32), st.sampled_from([100, 499, 500, 800]))
def test_never_drift_below_enough_images(count: int, shift: float, seed: int, baseline: int) -> None:
    reference = Reference(table(normal(baseline)), LIMITS)
    found = judge(reference, table(normal(count, seed, brightness=shift)) if count else Profile(0, {}))
    if count < 200 or baseline < 500:
        assert found.kind != "drift"
    if count < 30:
        assert found.kind == ("no verdict" if count else "no traffic")
        assert not found.moved
    assert bool(found.moved) == (found.kind in ("drift", "warning"))


def test_columns_of_another_class_list_are_said_and_not_compared() -> None:
    rng = np.random.default_rng(2)
    old = table(normal(600) | {"class_boat": rng.poisson(2, 600).astype(float)})
    new = table(normal(300, 1) | {"class_car": rng.poisson(9, 300).astype(float)})
    found = judge(Reference(old, LIMITS), new)
    assert found.kind == "no drift"
    assert {moved.column for moved in found.columns} == {"brightness", "sharpness"}
    assert found.caveats == (
        "Not compared, missing in this window: class_boat.",
        "Not compared, unknown to the baseline: class_car.",
    )


def test_predictions_of_another_model_are_not_compared() -> None:
    rng = np.random.default_rng(2)
    reference = Reference(
        table(normal(600) | {"objects": rng.poisson(2, 600).astype(float)}, "old"), LIMITS, model="old"
    )
    now = normal(300, 1) | {"objects": rng.poisson(9, 300).astype(float)}
    assert judge(reference, table(now, "old")).kind == "drift"
    found = judge(reference, table(now, "new"))
    assert found.kind == "no drift"
    assert "another model" in found.caveats[0]


def test_a_column_with_hardly_a_value_is_not_compared() -> None:
    confidence = np.full(300, np.nan)
    confidence[:20] = 0.1
    old = table(normal(600) | {"confidence": np.random.default_rng(2).beta(9, 2, 600)})
    found = judge(Reference(old, LIMITS), table(normal(300, 1) | {"confidence": confidence}))
    assert found.kind == "no drift"
    assert found.caveats == ("Not compared, hardly a value in this window: confidence.",)


def test_how_unusual_an_image_is() -> None:
    assert unusual(REFERENCE, {"brightness": REFERENCE.profile.columns["brightness"].values.mean}) == 0
    assert unusual(REFERENCE, {"brightness": 220.0, "class_new": 9}) == pytest.approx(10, abs=0.5)


# --- limits ---------------------------------------------------------------------------------------------------------


def by_flight(flights: int, length: int, share: float, seed: int = 0) -> tuple[dict[str, FLOATS], list[str]]:
    """Rows of which so great a share of the variance lies between flights."""
    rng = np.random.default_rng(seed)
    names = [f"class_{index}" for index in range(6)]
    common = np.repeat(rng.normal(0, np.sqrt(share), (flights, 6)), length, 0)
    values = 50 + 10 * (common + rng.normal(0, np.sqrt(1 - share), common.shape))
    return dict(zip(names, values.T, strict=True)), [f"f{index // length}" for index in range(len(values))]


def test_limits_are_repeatable_and_fall_with_the_window() -> None:
    columns, flights = by_flight(60, 10, 0.2)
    one, again, other = (calibrate(columns, flights, seed, draws=100) for seed in (1, 1, 2))
    assert one == again != other
    assert one.sizes[:4] == (30, 50, 100, 200)
    assert list(one.limits) == sorted(one.limits, reverse=True)
    assert (one.by, one.flights, one.few) == ("flight", 60, False)


def test_flights_raise_the_limit() -> None:
    columns, flights = by_flight(60, 10, 0.5)
    whole, single = calibrate(columns, flights, draws=100), calibrate(columns, draws=100)
    assert whole.at(200) > 1.5 * single.at(200)
    assert (single.by, single.flights) == ("image", 0)


def test_a_limit_is_the_percentile_of_disjoint_windows() -> None:
    """Against a plain loop that draws, refits and measures one window after the other."""
    columns, _ = by_flight(800, 1, 0.0)
    rng, worst = np.random.default_rng(5), []
    for _ in range(400):
        order = rng.permutation(800)
        inside, outside = order[:200], order[200:]
        worst.append(
            max(
                stats.wasserstein_distance(values[inside], values[outside]) / values[outside].std()
                for values in columns.values()
            )
        )
    raw = calibrate(columns, draws=400)
    assert raw.limits[raw.sizes.index(200)] == pytest.approx(np.quantile(worst, 0.99), rel=0.12)


def test_missing_values_and_constant_columns_do_not_break_the_limits() -> None:
    columns, flights = by_flight(60, 10, 0.2)
    columns["confidence"] = np.full(600, np.nan)
    columns["box_area"] = np.where(np.arange(600) % 3, 0.1, np.nan)
    columns["clipped_low"] = np.zeros(600)
    assert np.isfinite(calibrate(columns, flights, draws=50).limits).all()


@pytest.mark.parametrize(("flights", "length"), [(1, 600), (2, 300)])
def test_too_few_flights_give_few_sizes_or_none(flights: int, length: int) -> None:
    columns, names = by_flight(flights, length, 0.3)
    found = calibrate(columns, names, draws=50)
    assert found.few
    assert bool(found.sizes) == (flights > 1)


@given(
    st.lists(st.tuples(st.integers(30, 9999), st.floats(0, 3)), max_size=6, unique_by=lambda pair: pair[0]),
    st.integers(0, 20000),
    st.integers(1, 20000),
)
def test_a_limit_is_never_below_the_least_nor_rises(points: list[tuple[int, float]], images: int, more: int) -> None:
    sizes = tuple(sorted(size for size, _ in points))
    limits = Limits(sizes, tuple(sorted((limit for _, limit in points), reverse=True)))
    assert limits.at(images) >= limits.at(images + more) >= LEAST


def test_between_two_sizes_the_limit_lies_between_theirs() -> None:
    assert 0.35 < LIMITS.at(400) < 0.4
    assert (LIMITS.at(200), LIMITS.at(50), LIMITS.at(5000)) == (0.4, 0.4, 0.35)


def test_a_fitted_baseline_calls_itself_no_drift_and_a_change_drift() -> None:
    columns, flights = by_flight(70, 10, 0.2)
    rows = [dict(zip(columns, map(float, values), strict=True)) for values in zip(*columns.values(), strict=True)]
    reference = fit(rows, flights, "b", "m")
    fresh, _ = by_flight(30, 10, 0.2, seed=9)
    assert judge(reference, table(fresh, "m")).kind == "no drift"
    fresh["class_3"] = fresh["class_3"] + 12
    found = judge(reference, table(fresh, "m"))
    assert (found.kind, [moved.column for moved in found.moved]) == ("drift", ["class_3"])


def test_nothing_heavy_is_imported() -> None:
    program = (
        "import sys, importlib\n"
        "for name in 'features sketch summary calibration drift capture quality formats report chart'.split():\n"
        "    importlib.import_module('pipeline.monitoring.' + name)\n"
        "print(sorted({'torch', 'pandas', 'scipy', 'matplotlib', 'onnxruntime', 'boto3'} & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
