"""GetCostForecast: how much more there will be, by weekday and trend, with an interval around it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from statistics import NormalDist, fmean, median
from typing import Any

from sandbox.aws.costs.explorer import text
from sandbox.aws.costs.filters import Wanted, compiled, invalid
from sandbox.aws.costs.ledger import Ledger
from sandbox.aws.costs.lines import CENT
from sandbox.aws.costs.periods import Period, cut, future, shown
from sandbox.aws.errors import AwsError

LEARNT = 60
"""Days before today that a forecast goes by."""
LEAST = 28
"""Days with costs without which there is none."""
SIGMA = 1.4826
"""The standard deviation of a normal distribution in terms of its median deviation, which spikes do not move."""
METRICS = ("UNBLENDED_COST", "AMORTIZED_COST", "BLENDED_COST", "NET_UNBLENDED_COST", "NET_AMORTIZED_COST")


class Forecaster:
    """GetCostForecast over the account's bill."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def get_cost_forecast(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """GetCostForecast: the sum, and the mean of each day or month; bounds where an interval is asked for."""
        if params["Metric"] not in METRICS:
            raise invalid(f"Metric {params['Metric']} is not available here.")
        period = future(params["TimePeriod"], params["Granularity"], self._ledger.today())
        level = params.get("PredictionIntervalLevel")
        if level is not None and not 51 <= level <= 99:
            raise invalid("PredictionIntervalLevel must be from 51 to 99.")
        means, off = self.days(compiled(params.get("Filter"), self._ledger.account), period)
        results = []
        for each in cut(period, params["Granularity"]):
            inside = [means[day] for day, _ in cut(each, "DAILY")]
            results.append({"TimePeriod": shown(each), **_row(inside, off, level)})
        total = text(sum((Decimal(row["MeanValue"]) for row in results), Decimal(0)))
        return {
            "Total": {"Amount": total, "Unit": self._ledger.conditions.currency},
            "ForecastResultsByTime": results,
        }

    def days(self, wanted: Wanted, period: Period) -> tuple[dict[date, float], float]:
        """What each day of a period may cost, and the standard deviation of a day.

        Raises AwsError (DataUnavailableException) when the account is too young for it.
        """
        today = self._ledger.today()
        series = dict.fromkeys((today - timedelta(days=at) for at in range(LEARNT, 0, -1)), 0.0)
        for line in self._ledger.lines(today - timedelta(days=LEARNT), today):
            if wanted(line):
                series[line.day] += float(line.amount)
        while series and not series[min(series)]:
            del series[min(series)]
        if len(series) < LEAST:
            raise AwsError("DataUnavailableException", "Insufficient amount of historical data to generate forecast")
        return _extended(series, period)


def _extended(series: Mapping[date, float], period: Period) -> tuple[dict[date, float], float]:
    """A weekday's usual share of the level, times a level that goes on rising or falling as it did."""
    level = median(series.values())
    shares = {
        weekday: median(value for day, value in series.items() if day.weekday() == weekday) / level if level else 1.0
        for weekday in range(7)
    }
    plain = {day: value / (shares[day.weekday()] or 1.0) for day, value in series.items()}
    slope, middle, centre = _trend(plain)
    first = min(series)

    def mean(day: date) -> float:
        return max(0.0, shares[day.weekday()] * (centre + slope * ((day - first).days - middle)))

    off = SIGMA * median(abs(value - mean(day)) for day, value in series.items())
    return {day: mean(day) for day, _ in cut(period, "DAILY")}, off


def _trend(plain: Mapping[date, float]) -> tuple[float, float, float]:
    """Slope by the means of the first and last third (spikes cut off), the middle day and the level there."""
    first, ordered = min(plain), sorted(plain)
    usual = median(plain.values())
    calm = {day: min(value, 1.5 * usual) for day, value in plain.items()}
    third = max(1, len(ordered) // 3)
    early, late = fmean(calm[day] for day in ordered[:third]), fmean(calm[day] for day in ordered[-third:])
    slope = (late - early) / max(1, len(ordered) - third)
    return slope, fmean((day - first).days for day in ordered), fmean(calm.values())


def _row(means: Sequence[float], off: float, level: int | None) -> dict[str, str]:
    mean = sum(means)
    row = {"MeanValue": _written(mean)}
    if level is not None:
        width = NormalDist().inv_cdf(0.5 + level / 200) * off * math.sqrt(len(means))
        row["PredictionIntervalLowerBound"] = _written(max(0.0, mean - width))
        row["PredictionIntervalUpperBound"] = _written(mean + width)
    return row


def _written(value: float) -> str:
    return text(Decimal(value).quantize(CENT))
