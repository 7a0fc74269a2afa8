"""A window of traffic as the next baseline: what can be one, and the limits it gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.monitoring import candidate, formats
from pipeline.monitoring.calibration import Limits
from pipeline.monitoring.candidate import Rows
from pipeline.monitoring.drift import Reference, judge
from pipeline.monitoring.summary import Profile, profile

MODEL = "9" * 64
BEFORE = Reference(Profile(800, {}), Limits((30, 200), (0.9, 0.7), "flight", 14), "b", MODEL)


def rows(count: int, mean: float = 100.0, seed: int = 0) -> list[dict[str, float]]:
    rng = np.random.default_rng(seed)
    return [{"brightness": float(value), "objects": 3.0} for value in rng.normal(mean, 12, count)]


def sampled(found: list[dict[str, float]]) -> Rows:
    sample = Rows()
    for row in found:
        sample.consider(row)
    return sample


def test_a_window_becomes_a_baseline_that_the_next_windows_do_not_drift_from(tmp_path: Path) -> None:
    seen = rows(600, 80)
    found = candidate.candidate(profile(seen, MODEL), sampled(seen), BEFORE)
    assert found is not None
    assert (found.model, found.profile.images, len(found.id)) == (MODEL, 600, 12)
    candidate.write(tmp_path, found, [])
    again = formats.read_reference(tmp_path / candidate.FOLDER / "statistics.json")
    assert again.id == found.id
    assert formats.read_constraints(tmp_path / candidate.FOLDER / "constraints.json").models == (MODEL,)
    assert judge(again, profile(rows(250, 80, seed=1), MODEL)).kind == "no drift"
    assert judge(again, profile(rows(250, 100, seed=1), MODEL)).kind == "drift"


def test_limits_never_fall_below_those_of_the_baseline_that_knew_flights() -> None:
    seen = rows(600)
    alone = candidate.candidate(profile(seen, MODEL), sampled(seen), None)
    after = candidate.candidate(profile(seen, MODEL), sampled(seen), BEFORE)
    assert alone is not None
    assert after is not None
    assert (alone.limits.by, after.limits.by, after.limits.flights) == ("image", "flight", 14)
    for size in (30, 100, 200):
        assert after.limits.at(size) >= max(BEFORE.limits.at(size), alone.limits.at(size)) - 1e-3


@pytest.mark.parametrize(("count", "models"), [(499, [MODEL]), (600, [MODEL, "8" * 64]), (600, [""])])
def test_too_few_images_or_several_models_make_no_baseline(count: int, models: list[str]) -> None:
    seen = rows(count)
    found = profile(seen, models[0])
    shared = {model: count // len(models) for model in models}
    window = Profile(found.images, found.columns, shared)
    assert candidate.candidate(window, sampled(seen), BEFORE) is None


def test_the_sample_is_fair_bounded_and_without_what_a_column_cannot_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidate, "ROWS", 100)
    sample = sampled([{"brightness": float(number % 200)} for number in range(5_000)])
    values = sample.columns(["brightness"])["brightness"]
    assert len(values) == 100
    assert 80 < values.mean() < 120
    odd = sampled([{"brightness": -5.0}, {"brightness": float("inf")}, {}, {"brightness": 7.0}])
    assert np.isnan(odd.columns(["brightness"])["brightness"]).tolist() == [True, True, True, False]
