"""Schedule expressions of AWS: `cron(0 * * * ? *)`, `rate(1 hour)`, `at(2026-03-01T12:00:00)`.

Source: EventBridge Scheduler user guide, "Schedule types". Times of day are those of the schedule's zone; a time that
a change of the clocks leaves out is skipped, one that comes twice counts once. `L`, `W` and `#` do not exist here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

After = Callable[[datetime], datetime | None]
"""The first time later than a moment; None when there is none."""

_RATE = re.compile(r"rate\(([1-9]\d*) (minute|hour|day)s?\)")
_AT = re.compile(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\)")
_CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)")
_ITEM = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
YEARS = (1970, 2199)
_AHEAD_DAYS = 366 * 8
"""How far a cron expression is searched: 29 February comes at least every eight years."""


class BadExpression(ValueError):
    """The text is no schedule expression."""


def parse(text: str, zone: ZoneInfo, begin: datetime) -> After:
    """What a schedule expression means; a rate counts from `begin`, when it fires for the first time.

    Raises BadExpression.
    """
    if found := _RATE.fullmatch(text):
        return _rate(timedelta(**{f"{found[2]}s": int(found[1])}), begin)
    if found := _AT.fullmatch(text):
        return _once(found[1], zone)
    if found := _CRON.fullmatch(text):
        return _cron(found.groups(), zone)
    raise BadExpression(f"{text} is not of the form cron(...), rate(...) or at(...)")


def _rate(step: timedelta, begin: datetime) -> After:
    def after(moment: datetime) -> datetime:
        return begin if moment < begin else begin + step * ((moment - begin) // step + 1)

    return after


def _once(text: str, zone: ZoneInfo) -> After:
    try:
        moment = datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)
    except ValueError as error:
        raise BadExpression(f"{text}: {error}") from error
    return lambda earlier: moment if earlier < moment else None


def _cron(fields: tuple[str, ...], zone: ZoneInfo) -> After:
    minutes, hours = _values(fields[0], 0, 59), _values(fields[1], 0, 23)
    months, years = _values(fields[3], 1, 12, _MONTHS), _values(fields[5], *YEARS)
    if (fields[2] == "?") == (fields[4] == "?"):
        raise BadExpression("exactly one of day-of-month and day-of-week must be ?")
    dates = _values(fields[2], 1, 31) if fields[2] != "?" else None
    weekdays = _values(fields[4], 1, 7, _DAYS) if fields[4] != "?" else None
    times = [time(hour, minute) for hour in sorted(hours) for minute in sorted(minutes)]

    def falls_on(day: date) -> bool:
        if day.year not in years or day.month not in months:
            return False
        return day.day in dates if dates is not None else day.isoweekday() % 7 + 1 in (weekdays or ())

    def after(moment: datetime) -> datetime | None:
        today = moment.astimezone(zone).date()
        for ahead in range(_AHEAD_DAYS):
            day = today + timedelta(days=ahead)
            for each in times if falls_on(day) else ():
                local = datetime.combine(day, each, zone)
                found = local.astimezone(UTC)
                if found > moment and found.astimezone(zone).time() == each:
                    return found
        return None

    return after


def _values(field: str, low: int, high: int, words: tuple[str, ...] = ()) -> frozenset[int]:
    """The numbers of one cron field: `*`, `5`, `1-5`, `0/15`, `MON-FRI` and lists of them."""
    found: set[int] = set()
    for item in field.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise BadExpression(f"{item} in a cron expression is not understood here")
        first, last, step = match.groups()
        start = low if first == "*" else _number(first, low, words)
        end = _number(last, low, words) if last else high if step or first == "*" else start
        if not low <= start <= end <= high or step == "0":
            raise BadExpression(f"{item} in a cron expression is out of range")
        found.update(range(start, end + 1, int(step or 1)))
    return frozenset(found)


def _number(text: str, low: int, words: tuple[str, ...]) -> int:
    if text.upper() in words:
        return words.index(text.upper()) + low
    if not text.isdecimal():
        raise BadExpression(f"{text} in a cron expression is not understood here")
    return int(text)
