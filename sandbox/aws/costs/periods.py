"""The periods that Cost Explorer reports on: checked as AWS checks them, and cut into days or months."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from sandbox.aws.costs.filters import invalid

Period = tuple[date, date]
"""First day, and the day after the last."""

KEPT_MONTHS = 14
"""How far back Cost Explorer looks."""


def next_month(day: date) -> date:
    """The first day of the month after a day's."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def dates(wanted: Mapping[str, Any]) -> Period:
    """Start and End of a request. Raises AwsError for what is no day."""
    return _date("Start", wanted["Start"]), _date("End", wanted["End"])


def _date(name: str, text: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or len(text) != len("2026-01-01"):
        raise invalid(f"{name} time {text} is invalid. Valid format is: yyyy-MM-dd.")
    return found


def past(wanted: Mapping[str, Any], today: date) -> Period:
    """The period of a report on what was. Raises AwsError for a wrong order, the future, or too long ago."""
    first, last = dates(wanted)
    if first >= last:
        raise invalid("Start date (and hour) should be before end date (and hour)")
    if last > next_month(today):
        raise invalid("end date past the beginning of next month")
    if first > today:
        raise invalid("Start date must be equal to or no later than the current date.")
    months = (today.year - first.year) * 12 + today.month - first.month
    if months >= KEPT_MONTHS:
        raise invalid("You haven't enabled historical data beyond 14 months")
    return first, last


def future(wanted: Mapping[str, Any], granularity: str, today: date) -> Period:
    """The period of a forecast. Raises AwsError for a wrong order, the past, or too far ahead."""
    first, last = dates(wanted)
    if first >= last:
        raise invalid(f"Requested Start: {first} must be before requested End: {last}")
    if first < today:
        raise invalid(f"Earliest supported Start is {today}")
    latest = today
    for _ in range(3 if granularity == "DAILY" else 18):
        latest = next_month(latest)
    if last > latest:
        raise invalid(f"Latest supported End is {latest}")
    return first, last


def cut(period: Period, granularity: str) -> Iterator[Period]:
    """The days, or the months as far as they lie in the period. Raises AwsError for another granularity."""
    if granularity not in ("DAILY", "MONTHLY"):
        raise invalid("Hourly data granularity is not enabled, please enable it in the Cost Explorer settings.")
    first, last = period
    while first < last:
        end = min(last, next_month(first) if granularity == "MONTHLY" else first + timedelta(days=1))
        yield first, end
        first = end


def shown(period: Period) -> dict[str, str]:
    """A period as the API writes it."""
    return {"Start": str(period[0]), "End": str(period[1])}
