"""What the days to come will cost, from the days that were: what is usual for a weekday, times a level that may rise.

Robust throughout, so that a day on which something was left on does not become the forecast of the weeks after it:

1. The weight of a weekday is the middle, over PROFILE_WEEKS weeks, of its cost against the mean of the seven days
   around it.
2. A day divided by its weight is a level. The levels' slope is the median of the slopes between all pairs of the last
   SLOPE_DAYS days (Theil 1950, Sen 1968), where enough pairs agree on its sign.
3. The level of today is the middle of the last LEVEL_DAYS levels, each moved along the slope to today.

The middle is the interquartile mean: nearly as steady as a mean, and as deaf to a few odd days as a median.
Pure: a list of days in, a list of days out. Nothing later than the list is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import combinations
from statistics import median, quantiles

PROFILE_WEEKS = 8
SLOPE_DAYS = 56
LEVEL_DAYS = 14
LEAST_DAYS = 14
"""Days of history without which there is no forecast: each weekday was seen twice."""
AGREED = 0.6
"""Share of the pairs that must agree on whether it rises or falls; else the level stays as it is."""
TRIES = 20
"""Forecasts of the past without which nothing is said about how far off they are."""


def ahead(values: Sequence[float], last: date, days: int) -> Sequence[float]:
    """The `days` days after `last`, the day of the last value. Raises ValueError with fewer than LEAST_DAYS values."""
    if len(values) < LEAST_DAYS:
        raise ValueError(f"a forecast needs {LEAST_DAYS} days, there are {len(values)}")
    weights = _weights(values, last)
    level, slope = _trend(values, last, weights)
    following = [(last + timedelta(days=step)).weekday() for step in range(1, days + 1)]
    return [max(0.0, level + slope * step) * weights[weekday] for step, weekday in enumerate(following, start=1)]


def off(values: Sequence[float], last: date, days: int) -> tuple[float, float] | None:
    """How far such forecasts were off: what a sum of `days` days came to, against its forecast, in 8 of 10 cases.

    The forecasts are made anew for every day of the past, each from what was known by then. None with too few of them.
    """
    ratios = []
    for known in range(LEAST_DAYS, len(values) - days + 1):
        told = sum(ahead(values[:known], last - timedelta(days=len(values) - known), days))
        if told > 0:
            ratios.append(sum(values[known : known + days]) / told)
    if days < 1 or len(ratios) < TRIES:
        return None
    tenths = quantiles(ratios, n=10)
    return tenths[0], tenths[-1]


def _weights(values: Sequence[float], last: date) -> Sequence[float]:
    """What a weekday (Monday first) costs against the mean of the week around it; 0 where nothing ever was charged."""
    recent = values[-7 * PROFILE_WEEKS :]
    shares: list[list[float]] = [[] for _ in range(7)]
    for at, value in enumerate(recent):
        start = min(max(0, at - 3), len(recent) - 7)
        mean = sum(recent[start : start + 7]) / 7
        if mean > 0:
            shares[(last - timedelta(days=len(recent) - 1 - at)).weekday()].append(value / mean)
    return [_middle(found) for found in shares]


def _trend(values: Sequence[float], last: date, weights: Sequence[float]) -> tuple[float, float]:
    """Today's level, and its rise a day."""
    levels = []
    for age, value in enumerate(reversed(values[-SLOPE_DAYS:])):
        if weight := weights[(last - timedelta(days=age)).weekday()]:
            levels.append((-age, value / weight))
    slopes = [(one[1] - other[1]) / (one[0] - other[0]) for one, other in combinations(levels, 2)]
    rising, falling = sum(slope > 0 for slope in slopes), sum(slope < 0 for slope in slopes)
    slope = median(slopes) if slopes and max(rising, falling) >= AGREED * len(slopes) else 0.0
    return _middle([value - slope * at for at, value in levels[:LEVEL_DAYS]]), slope


def _middle(values: Sequence[float]) -> float:
    """The mean of the middle half; 0 of nothing."""
    ordered, cut = sorted(values), len(values) // 4
    kept = ordered[cut : len(ordered) - cut]
    return sum(kept) / len(kept) if kept else 0.0
