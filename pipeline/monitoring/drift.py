"""Whether a window of images differs from the baseline: four measures, and the rule that decides.

Pure statistics. The limits come from `calibration`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pipeline.monitoring.calibration import Limits, calibrate
from pipeline.monitoring.features import IMAGE, floor
from pipeline.monitoring.sketch import Distribution, Values
from pipeline.monitoring.summary import Profile, Summary

Kind = Literal["drift", "no drift", "warning", "no verdict", "no traffic"]

ENOUGH = 200
"""Images in a window from which the size of the effect decides."""
FEW = 30
"""Images below which nothing is said."""
BASELINE = 500
"""Images a baseline needs before anyone is alarmed because of it."""
SIGNIFICANCE = 0.05
BINS = 10
"""Of PSI and Jensen-Shannon, at the baseline's deciles."""
TERMS = 100
SLOW = 0.2
"""Below this Kolmogorov's series converges slowly and p is 1 to twelve digits."""


@dataclass(frozen=True)
class Reference:
    """A baseline, fitted once: what was normal, and how far a normal window may lie from it."""

    profile: Profile
    limits: Limits
    id: str = ""
    """Names the baseline in reports."""
    model: str = ""
    """Digest of the model that made the prediction columns; "" when it is not known."""


@dataclass(frozen=True)
class Moved:
    """How far one column is from the baseline."""

    column: str
    distance: float
    """W1 in deviations of the baseline."""
    limit: float
    """What `distance` may be at most; 0 where only the test decides."""
    psi: float
    p: float
    """Of the two-sample Kolmogorov-Smirnov test, before the correction for several columns."""
    before: float
    """Mean of the baseline."""
    now: float
    beyond: bool
    """Beyond what the rule for this window allows."""


@dataclass(frozen=True)
class Verdict:
    """What is said about a window. `columns` are all that were compared, the one that moved most first."""

    kind: Kind
    images: int
    columns: tuple[Moved, ...] = ()
    caveats: tuple[str, ...] = ()

    @property
    def moved(self) -> tuple[Moved, ...]:
        """Columns beyond what is allowed."""
        return tuple(column for column in self.columns if column.beyond)

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        moved = ", ".join(f"{column.column} {column.before:.4g} → {column.now:.4g}" for column in self.moved[:3])
        more = f" and {len(self.moved) - 3} more" if len(self.moved) > 3 else ""
        match self.kind:
            case "no traffic":
                return "No traffic: nothing was recorded in this window."
            case "no verdict" if self.images >= FEW:
                return f"No verdict: nothing to compare {self.images} images with."
            case "no verdict":
                return f"No verdict: {self.images} image(s); {FEW} are needed to say anything."
            case "warning":
                return f"Warning, not an alarm ({self.images} images): {moved}{more}."
            case "drift":
                return f"Drift in {self.images} images: {moved}{more}."
        return f"No drift in {self.images} images."


def fit(
    rows: Sequence[Mapping[str, float]],
    flights: Sequence[str] | None = None,
    id: str = "",
    model: str = "",
    seed: int = 0,
) -> Reference:
    """A baseline from the rows of its images, in order, and the flight of each (None: not known).

    Limits are calibrated on the image and prediction columns together; the same rows and seed give the same ones.
    """
    summary = Summary()
    summary.add(rows, model)
    profile = summary.profile()
    columns = {
        name: np.array([row.get(name, math.nan) for row in rows], np.float64)
        for name, column in profile.columns.items()
        if not column.mistyped
    }
    return Reference(profile, calibrate(columns, flights, seed), id, model)


def judge(reference: Reference, window: Profile) -> Verdict:
    """The rule.

    From ENOUGH images, against a baseline of at least BASELINE: drift when a column lies farther from the baseline
    than the baseline's own windows of that size do (W1 in deviations). Otherwise, from FEW images: a warning when
    Kolmogorov-Smirnov rejects a column after Bonferroni's correction, never more. Fewer: no verdict. Nothing
    recorded: no traffic; nothing that could be read is no verdict.

    A baseline of few flights knows little about how flights differ: measured, its limits cry wolf at .02 to .05 in
    place of .01, so it warns and does not alarm.
    """
    if not window.records:
        return Verdict("no traffic", 0)
    names, caveats = _comparable(reference, window)
    limits = reference.limits
    effect = window.images >= ENOUGH and reference.profile.images >= BASELINE and bool(limits.sizes)
    columns = sorted((_compare(reference, window, name) for name in names), key=lambda moved: -moved.distance)
    if window.images < FEW or not columns:
        return Verdict("no verdict", window.images, tuple(columns), caveats)
    if effect:
        judged = [replace(column, beyond=column.distance > column.limit) for column in columns]
        caveats += _of_limits(limits)
    else:
        judged = [replace(column, beyond=column.p < SIGNIFICANCE / len(columns), limit=0.0) for column in columns]
        caveats = (_small(reference, window), *caveats)
    beyond = any(column.beyond for column in judged)
    kind: Kind = ("drift" if effect and not limits.few else "warning") if beyond else "no drift"
    return Verdict(kind, window.images, tuple(judged), caveats)


def unusual(reference: Reference, row: Mapping[str, float]) -> float:
    """How far one image lies from the baseline: the largest distance of a column from its mean, in deviations."""
    known = reference.profile.columns
    apart = [
        abs(value - known[name].values.mean) / _deviation(name, known[name].values)
        for name, value in row.items()
        if name in known and known[name].values.count
    ]
    return max(apart, default=0.0)


def w1(one: Distribution, other: Distribution) -> float:
    """Wasserstein-1: the area between the two cumulative distributions, in the column's own unit. Symmetric."""
    return _area(*_apart(one, other))


def ks(one: Distribution, other: Distribution) -> tuple[float, float]:
    """The largest gap between the cumulative distributions, and its p-value (Kolmogorov's asymptotic series)."""
    gap = _gap(*_apart(one, other))
    return gap, _p(gap, one.count, other.count)


def psi(baseline: Distribution, window: Distribution) -> float:
    """Population stability index over the baseline's deciles; half an image is added to each bin, so none is empty."""
    was, now = _shares(baseline, window)
    return float(((now - was) * np.log(now / was)).sum())


def js(baseline: Distribution, window: Distribution) -> float:
    """Jensen-Shannon distance, base 2, 0..1, over the same bins as `psi`."""
    was, now = _shares(baseline, window)
    middle = (was + now) / 2
    divergence = (was * np.log2(was / middle)).sum() / 2 + (now * np.log2(now / middle)).sum() / 2
    return math.sqrt(max(0.0, float(divergence)))


def w1_over_sigma(column: str, baseline: Distribution, window: Distribution) -> float:
    """W1 in deviations of the baseline, which are never taken smaller than the column's floor."""
    return w1(baseline, window) / _deviation(column, baseline)


def _deviation(column: str, baseline: Distribution) -> float:
    return max(baseline.deviation, floor(column))


def _apart(one: Distribution, other: Distribution) -> tuple[Values, Values]:
    """All values in order, and the difference of the two cumulative distributions at each."""
    values = np.concatenate([one.values, other.values])
    steps = np.concatenate([np.diff(one.cumulative, prepend=0.0), -np.diff(other.cumulative, prepend=0.0)])
    order = np.argsort(values, kind="stable")  # two sorted runs: only merged
    return values[order], np.cumsum(steps[order])


def _area(values: Values, apart: Values) -> float:
    return float((np.abs(apart[:-1]) * np.diff(values)).sum())


def _gap(values: Values, apart: Values) -> float:
    last = np.append(values[1:] != values[:-1], True)  # a gap inside of a tie is none
    return float(np.abs(apart[last]).max())


def _p(gap: float, one: int, other: int) -> float:
    scaled = gap * math.sqrt(one * other / (one + other))
    if scaled < SLOW:
        return 1.0
    terms = np.arange(1, TERMS + 1)
    series = 2 * float(((-1.0) ** (terms - 1) * np.exp(-2 * terms**2 * scaled**2)).sum())
    return min(1.0, max(0.0, series))


def _shares(baseline: Distribution, window: Distribution) -> tuple[Values, Values]:
    edges = np.unique(baseline.quantile(np.arange(1, BINS) / BINS))
    counts = [
        np.diff(np.concatenate([[0.0], side.share_below(edges), [1.0]])) * side.count for side in (baseline, window)
    ]
    was, now = ((count + 0.5) / (count.sum() + 0.5 * len(count)) for count in counts)
    return was, now


def _comparable(reference: Reference, window: Profile) -> tuple[list[str], tuple[str, ...]]:
    """The columns that can be compared, and in words why others cannot."""
    known, seen = reference.profile.columns, window.columns
    caveats = []
    if lacking := [name for name in known if name not in seen]:
        caveats.append(f"Not compared, missing in this window: {_listed(lacking)}.")
    if extra := [name for name in seen if name not in known]:
        caveats.append(f"Not compared, unknown to the baseline: {_listed(extra)}.")
    names = [name for name in known if name in seen and known[name].values.count]
    others = sum(count for model, count in window.models.items() if model != reference.model)
    if reference.model and others:
        caveats.append(
            f"{others} of {window.images} images were answered by another model than the baseline's: only image "
            f"columns are compared. Make a new baseline for that model."
        )
        names = [name for name in names if name in IMAGE]
    if thin := [name for name in names if seen[name].values.count < min(FEW, window.images)]:
        caveats.append(f"Not compared, hardly a value in this window: {_listed(thin)}.")
        names = [name for name in names if name not in thin]
    return names, tuple(caveats)


def _compare(reference: Reference, window: Profile, name: str) -> Moved:
    was, now = reference.profile.columns[name].values, window.columns[name].values
    values, apart = _apart(was, now)  # once for both measures
    distance = _area(values, apart) / _deviation(name, was)
    # A column with missing values has a smaller sample than the window.
    limit = reference.limits.at(now.count)
    p = _p(_gap(values, apart), was.count, now.count)
    return Moved(name, distance, limit, psi(was, now), p, was.mean, now.mean, beyond=False)


def _of_limits(limits: Limits) -> tuple[str, ...]:
    """What must be known about the limits to trust them."""
    if limits.by == "image":
        return (
            "Limits were calibrated image by image: the baseline's flights are not known. They are too low if images "
            "of one flight resemble each other.",
        )
    if limits.few:
        return (f"The baseline has {limits.flights} flights only, so this warns and does not alarm.",)
    return ()


def _small(reference: Reference, window: Profile) -> str:
    reasons = []
    if window.images < ENOUGH:
        reasons.append(f"{window.images} images, {ENOUGH} are needed")
    if reference.profile.images < BASELINE:
        reasons.append(f"a baseline of {reference.profile.images} images, {BASELINE} are needed")
    elif not reference.limits.sizes:
        reasons.append(f"a baseline of {reference.limits.flights} flight(s), too few for windows of their own")
    return (
        f"Small sample ({'; '.join(reasons)}): a test decided that takes every image for an observation of its own; "
        f"it warns and does not alarm."
    )


def _listed(names: Sequence[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
