"""What CloudWatch finds when it looks at an alarm: periods, M of N, missing data. Pure.

Source: CloudWatch user guide, "Using Amazon CloudWatch alarms" and its tables of missing data. Real data points decide
when there are as many as evaluation periods, even if some lie further back; only else does `missing` have a say.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]

FURTHER_BACK = 2
"""Periods that are looked at beyond the evaluation periods when data are missing (AWS does not say how many)."""

OPERATORS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanThreshold": (lambda value, limit: value > limit, "greater than"),
    "GreaterThanOrEqualToThreshold": (lambda value, limit: value >= limit, "greater than or equal to"),
    "LessThanThreshold": (lambda value, limit: value < limit, "less than"),
    "LessThanOrEqualToThreshold": (lambda value, limit: value <= limit, "less than or equal to"),
}


@dataclass(frozen=True)
class Sample:
    """What was published at a time: one value, or the statistics of several.

    `values` are the values themselves; empty where only their statistics were published, which have no percentile.
    """

    at: datetime
    count: float
    total: float
    low: float
    high: float
    values: tuple[float, ...] = ()


STATISTICS: dict[str, Callable[[Sequence[Sample]], float]] = {
    "SampleCount": lambda found: sum(each.count for each in found),
    "Sum": lambda found: sum(each.total for each in found),
    "Minimum": lambda found: min(each.low for each in found),
    "Maximum": lambda found: max(each.high for each in found),
    "Average": lambda found: sum(each.total for each in found) / sum(each.count for each in found),
}
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)")


def is_statistic(name: str) -> bool:
    """Whether an alarm may look at it: one of the five statistics, or a percentile such as `p95`."""
    return name in STATISTICS or _PERCENTILE.fullmatch(name) is not None


def statistic(name: str, found: Sequence[Sample]) -> float | None:
    """The statistic of a period's samples; None for a percentile of what has no values."""
    if name in STATISTICS:
        return STATISTICS[name](found)
    values = sorted(value for each in found for value in each.values)
    if not values or any(not each.values for each in found):
        return None
    # The value below which that share lies, by nearest rank.
    rank = math.ceil(float(name[1:]) / 100 * len(values))
    return values[max(rank, 1) - 1]


@dataclass(frozen=True)
class Rule:
    """An alarm's definition; `missing` is TreatMissingData."""

    statistic: str
    period: int
    periods: int
    datapoints: int
    threshold: float
    operator: str
    missing: str

    @property
    def reach(self) -> timedelta:
        """How far back a look goes."""
        return timedelta(seconds=self.period * (self.periods + FURTHER_BACK))


@dataclass(frozen=True)
class Finding:
    """The state an alarm is found in and why; `points` are (beginning of the period, value), newest first."""

    state: State
    reason: str
    points: tuple[tuple[datetime, float], ...] = ()


def assess(rule: Rule, samples: Iterable[Sample], now: datetime, state: State) -> Finding:
    """Look at an alarm that is in `state`. The latest period ends with the minute that runs."""
    end = _next_minute(now)
    known = list(samples)
    points = []
    for back in range(rule.periods + FURTHER_BACK):
        to = end - timedelta(seconds=rule.period * back)
        since = to - timedelta(seconds=rule.period)
        found = [each for each in known if since <= each.at < to]
        value = statistic(rule.statistic, found) if found else None
        if value is not None:
            points.append((back + 1, since, value))
    enough = len(points) >= rule.periods
    points = points[: rule.periods] if enough else points
    crossing = [OPERATORS[rule.operator][0](value, rule.threshold) for _, _, value in points]
    wanted = _state(rule, [age for age, _, _ in points], crossing, state, filled=rule.periods - len(points))
    values = tuple((since, value) for _, since, value in points)
    return Finding(wanted, _reason(rule, values, sum(crossing), state, wanted), values)


def _state(rule: Rule, ages: list[int], crossing: list[bool], state: State, *, filled: int) -> State:
    """`ages` (1: the latest period) and `crossing` are those of the data that exist; `filled` periods have none."""
    bad = sum(crossing)
    if filled <= 0 or rule.missing == "notBreaching":
        return "ALARM" if bad >= rule.datapoints else "OK"
    if rule.missing == "breaching":
        return "ALARM" if bad + filled >= rule.datapoints else "OK"
    if bad >= rule.datapoints:
        return "ALARM"
    if not all(crossing):
        return "OK"
    if rule.missing == "missing":
        if not ages:
            return "INSUFFICIENT_DATA"
        # Nothing has been seen but crossings, the first of them long enough ago: AWS does not wait for more.
        return "ALARM" if max(ages) >= rule.datapoints else state
    return state


def _reason(rule: Rule, points: Sequence[tuple[datetime, float]], bad: int, before: State, after: State) -> str:
    if not points:
        treated = {"breaching": "Breaching", "notBreaching": "NonBreaching"}.get(rule.missing)
        told = f"no datapoints were received for {rule.periods} period{'s' * (rule.periods > 1)}"
        if treated is None or after == "INSUFFICIENT_DATA":
            return f"Insufficient Data: {told}."
        return f"Threshold Crossed: {told} and {rule.periods} missing datapoints were treated as [{treated}]."
    shown = bad if after == "ALARM" else len(points) - bad
    values = ", ".join(f"{value} ({since:%d/%m/%y %H:%M:%S})" for since, value in points)
    least = rule.datapoints if after == "ALARM" else rule.periods - rule.datapoints + 1
    verb = ("was" if shown == 1 else "were") + ("" if after == "ALARM" else " not")
    return (
        f"Threshold Crossed: {shown} out of the last {len(points)} datapoints [{values}] {verb} "
        f"{OPERATORS[rule.operator][1]} the threshold ({rule.threshold}) "
        f"(minimum {least} datapoint{'s' * (least > 1)} for {before} -> {after} transition)."
    )


def _next_minute(moment: datetime) -> datetime:
    return moment.fromtimestamp((math.floor(moment.timestamp() / 60) + 1) * 60, moment.tzinfo)
