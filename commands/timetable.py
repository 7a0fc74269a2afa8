"""When something happens again and again by the clocks of a place: `--at 08:30 --days mon-fri --zone Europe/Zurich`.

A timetable is a line of crontab and an IANA zone. Which days and times it names is reckoned on the wall, where no hour
is missing and none comes twice, by APScheduler's cron trigger; only then a time on the wall becomes a moment. (Left to
reckon in the zone itself, that trigger fires twice at 02:30 in October, and in March at 03:30 instead of 03:00.)
So every day it names has exactly one firing: what the clocks skip in spring happens at the first moment after the gap,
what they show twice in autumn at the first of the two.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from apscheduler.triggers.cron import CronTrigger

from pipeline.errors import BadInput, NotFound

WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EXAMPLES = "Write `daily`, `mon-fri`, `mon,thu`, `monthly:1` or `monthly:last`."
LONGEST_PAUSE = timedelta(days=33)
"""Longer than a timetable ever rests: a month, and the hours by which zones differ."""
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})")


@dataclass(frozen=True)
class Firing:
    """One time at which it happens. `period` names it by the wall and the zone, and no other firing."""

    period: str
    at: datetime


@dataclass(frozen=True)
class Timetable:
    """`cron` is minute, hour, day of the month, month, weekdays by name; `zone` the name of an IANA zone."""

    cron: str
    zone: str

    def after(self, moment: datetime) -> Firing:
        """The first firing later than `moment`."""
        return next(firing for firing in self._from(moment - timedelta(days=2)) if firing.at > moment)

    def last(self, moment: datetime) -> Firing:
        """The latest firing that is not later than `moment`."""
        for firing, following in pairwise(self._from(moment - LONGEST_PAUSE)):
            if following.at > moment:
                return firing
        raise AssertionError("a timetable does not end")

    def words(self) -> str:
        """As people say it: `mon-fri at 08:30, Europe/Zurich`."""
        minute, hour, day, _, weekdays = self.cron.split()
        when = _days_in_words(weekdays) if day == "*" else f"monthly on day {day}".replace("day last", "the last day")
        return f"{when} at {int(hour):02}:{int(minute):02}, {self.zone}"

    def _from(self, moment: datetime) -> Iterator[Firing]:
        """All firings, in order, from about `moment` on."""
        zone = ZoneInfo(self.zone)
        trigger: Any = CronTrigger.from_crontab(self.cron, timezone=UTC)
        wall = moment.astimezone(zone).replace(tzinfo=UTC)
        while True:
            wall = trigger.get_next_fire_time(None, wall)
            yield Firing(f"{wall:%Y-%m-%d %H:%M} {self.zone}", moment_of(wall.replace(tzinfo=None), zone))
            wall += timedelta(minutes=1)


def moment_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """The moment (UTC) at which clocks in `zone` show `wall`: the first of two, or the end of the gap it falls into."""
    at = wall.replace(tzinfo=zone).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) == wall:
        return at
    # Read with the offset from after the gap, the time lies before the gap, and the other way round (PEP 495).
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    offset = before.astimezone(zone).utcoffset()

    def changed(seconds: int) -> bool:
        return (before + timedelta(seconds=seconds)).astimezone(zone).utcoffset() != offset

    whole = range(int((at - before).total_seconds()))
    return before + timedelta(seconds=bisect_left(whole, True, key=changed))


def timetable(at: str, days: str, zone: str) -> Timetable:
    """The timetable of three words. Raises BadInput or NotFound with what to write instead."""
    clock = _CLOCK.fullmatch(at.strip())
    if clock is None or int(clock[1]) > 23 or int(clock[2]) > 59:
        raise BadInput(f"{at!r} is no time of the day.", "Write it as `08:30`, from 00:00 to 23:59.")
    return Timetable(f"{int(clock[2])} {int(clock[1])} {_days(days)}", known_zone(zone))


def known_zone(name: str) -> str:
    """The zone as the IANA data base spells it. Raises NotFound with the nearest names."""
    found = _zones().get(name.strip().lower())
    if found is None:
        raise NotFound("time zone", name, _zones().values(), "Write it as `Europe/Zurich`.")
    return found


@cache
def _zones() -> dict[str, str]:
    return {name.lower(): name for name in sorted(available_timezones())}


def _days(words: str) -> str:
    """The last three fields of a crontab line."""
    words = words.strip().lower().replace(" ", "")
    if words == "daily":
        return "* * *"
    kind, _, day = words.partition(":")
    if kind == "monthly":
        if day != "last" and not (day.isascii() and day.isdigit() and 1 <= int(day) <= 28):
            raise BadInput(
                f"Not every month has a day {day!r}." if day else "`monthly` needs a day.",
                "Write `monthly:1` to `monthly:28`, or `monthly:last`.",
            )
        return f"{day if day == 'last' else int(day)} * *"
    chosen = {day for part in words.split(",") for day in _weekdays(part)}
    return f"* * {','.join(day for day in WEEK if day in chosen)}"


def _weekdays(part: str) -> list[str]:
    """The days of `mon`, `monday` or `mon-fri`; a span may go over the weekend."""
    first, dash, last = part.partition("-")
    start = _weekday(first, part)
    end = _weekday(last, part) if dash else start
    return [WEEK[(start + step) % 7] for step in range((end - start) % 7 + 1)]


def _weekday(word: str, part: str) -> int:
    long = {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}
    if word not in WEEK and word not in long:
        raise BadInput(f"{part!r} is no day.", EXAMPLES)
    return WEEK.index(word[:3])


def _days_in_words(weekdays: str) -> str:
    if weekdays == "*":
        return "daily"
    chosen = weekdays.split(",")
    span = "-".join((chosen[0], chosen[-1]))
    return span if len(chosen) > 2 and _weekdays(span) == chosen else ", ".join(chosen)
