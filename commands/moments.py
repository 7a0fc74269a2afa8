"""Lengths of time and points in time as people type them: `1h`, `tomorrow 08:00 Europe/Berlin`, `2026-05-04T08:00`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipeline.errors import BadInput

_LENGTH = re.compile(r"(\d{1,5})\s*(m|min|h|d|w)")
_UNITS = {
    "m": timedelta(minutes=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MOMENT = re.compile(
    r"(?:(?P<day>[a-z]+|20\d\d-\d\d-\d\d)[ t]+)?(?P<hour>\d\d?):(?P<minute>\d\d)(?::\d\d)?"
    r"\s*(?P<offset>z|[+-]\d\d:?\d\d)?(?:\s+(?P<zone>\S+))?",
    re.IGNORECASE,
)
EXAMPLES = "Write `08:00`, `tomorrow 08:00`, `monday 08:00` or `2026-05-04 08:00`, and a time zone if it is not yours."


def length(words: str) -> timedelta:
    """How long `30m`, `1h`, `1d` or `2w` is. Raises BadInput for anything else, and for nothing at all."""
    found = _LENGTH.fullmatch(words.strip().lower())
    if found is None or not int(found[1]):
        raise BadInput(f"{words!r} is no length of time.", "Write it as `30m`, `1h`, `1d` or `2w`.")
    return int(found[1]) * _UNITS[found[2]]


def moment(words: str, now: datetime, zone_of: Callable[[], str] = lambda: "UTC") -> datetime:
    """The point in time, in UTC, that `words` mean at `now`: the next one after it where they name no date.

    `zone_of` is asked for the time zone when they name none; an empty one is UTC.

    Local times follow the zone's own rules: what is skipped in spring is an hour later, what comes twice in autumn is
    the first. Raises BadInput for what cannot be understood, and for what has passed.
    """
    found = _MOMENT.fullmatch(" ".join(words.split()))
    if found is None or int(found["hour"]) > 23 or int(found["minute"]) > 59:
        raise BadInput(f"{words!r} is no point in time.", EXAMPLES)
    zone = _zone(found["zone"] or zone_of() or "UTC")
    clock, here = time(int(found["hour"]), int(found["minute"])), now.astimezone(zone)
    day = (found["day"] or "").lower()
    if found["offset"]:
        at = datetime.fromisoformat(f"{_date(day, words) if day else here.date()}T{clock}{found['offset'].upper()}")
    elif day in ("", "today"):
        at = _on(here.date(), clock, zone)
        at = at if at > now or day else _on(here.date() + timedelta(days=1), clock, zone)
    elif day == "tomorrow":
        at = _on(here.date() + timedelta(days=1), clock, zone)
    elif day in _DAYS:
        ahead = (_DAYS.index(day) - here.weekday()) % 7
        at = _on(here.date() + timedelta(days=ahead), clock, zone)
        at = at if at > now else _on(here.date() + timedelta(days=7), clock, zone)
    else:
        at = _on(_date(day, words), clock, zone)
    if at <= now:
        raise BadInput(f"{words} has passed.", EXAMPLES)
    return at.astimezone(UTC)


def _on(day: date, clock: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, clock, zone).astimezone(UTC)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadInput(f"{name!r} is no time zone.", "Write it as `Europe/Berlin`.") from error


def _date(words: str, whole: str) -> date:
    try:
        return date.fromisoformat(words)
    except ValueError as error:
        raise BadInput(f"{whole!r} is no point in time.", EXAMPLES) from error
