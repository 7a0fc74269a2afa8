"""A timetable fires exactly once on every day it names, whatever the clocks of the place do."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.cron import CronTrigger
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.timetable import Firing, Timetable, known_zone, moment_of, timetable
from pipeline.errors import BadInput, NotFound

ZURICH, NEW_YORK = "Europe/Zurich", "America/New_York"
LORD_HOWE, KATHMANDU = "Australia/Lord_Howe", "Asia/Kathmandu"


def utc(words: str) -> datetime:
    return datetime.fromisoformat(words).replace(tzinfo=UTC)


def firings(table: Timetable, start: datetime, count: int) -> list[Firing]:
    found = [table.after(start)]
    while len(found) < count:
        found.append(table.after(found[-1].at))
    return found


@pytest.mark.parametrize(
    ("zone", "wall", "moment"),
    [
        (ZURICH, "2026-01-15T08:30", "2026-01-15T07:30"),
        (ZURICH, "2026-03-29T02:30", "2026-03-29T01:00"),  # skipped: 02:00 becomes 03:00 at 01:00 UTC
        (ZURICH, "2026-03-29T02:00", "2026-03-29T01:00"),
        (ZURICH, "2026-03-29T03:00", "2026-03-29T01:00"),
        (ZURICH, "2026-10-25T02:30", "2026-10-25T00:30"),  # twice: the first is summer time
        (NEW_YORK, "2026-03-08T02:30", "2026-03-08T07:00"),
        (NEW_YORK, "2026-11-01T01:30", "2026-11-01T05:30"),
        (LORD_HOWE, "2026-10-04T02:15", "2026-10-03T15:30"),  # half an hour is skipped
        (LORD_HOWE, "2026-04-05T01:45", "2026-04-04T14:45"),  # and comes twice
        (KATHMANDU, "2026-06-01T08:30", "2026-06-01T02:45"),
        ("Pacific/Apia", "2011-12-30T08:30", "2011-12-30T10:00"),  # a whole day is skipped
    ],
)
def test_a_time_on_the_wall_is_one_moment(zone: str, wall: str, moment: str) -> None:
    assert moment_of(datetime.fromisoformat(wall), ZoneInfo(zone)) == utc(moment)


@pytest.mark.parametrize(
    ("zone", "at", "before", "moments"),
    [
        (ZURICH, "02:30", "2026-03-27T12:00", ["03-28T01:30", "03-29T01:00", "03-30T00:30"]),
        (ZURICH, "02:30", "2026-10-23T12:00", ["10-24T00:30", "10-25T00:30", "10-26T01:30"]),
        (NEW_YORK, "02:30", "2026-03-07T00:00", ["03-07T07:30", "03-08T07:00", "03-09T06:30"]),
        (NEW_YORK, "01:30", "2026-10-31T00:00", ["10-31T05:30", "11-01T05:30", "11-02T06:30"]),
        (LORD_HOWE, "02:15", "2026-10-02T00:00", ["10-02T15:45", "10-03T15:30", "10-04T15:15"]),
        (LORD_HOWE, "01:45", "2026-04-03T00:00", ["04-03T14:45", "04-04T14:45", "04-05T15:15"]),
        (KATHMANDU, "02:30", "2026-03-27T20:00", ["03-27T20:45", "03-28T20:45", "03-29T20:45"]),
    ],
)
def test_the_days_around_a_change_of_the_clocks(zone: str, at: str, before: str, moments: list[str]) -> None:
    found = firings(timetable(at, "daily", zone), utc(before), 3)
    assert [firing.at for firing in found] == [utc(f"2026-{moment}") for moment in moments]
    assert len({firing.period for firing in found}) == 3


def test_what_apscheduler_does_in_the_zone_itself() -> None:
    """Why it is asked about the wall only: twice at 02:30 in October, and in March half an hour after the gap."""

    def itself(start: str, count: int) -> list[datetime]:
        trigger: Any = CronTrigger.from_crontab("30 2 * * *", timezone=ZoneInfo(ZURICH))
        moment, found = utc(start), []
        for _ in range(count):
            moment = trigger.get_next_fire_time(None, moment)
            found.append(moment.astimezone(UTC))
            moment += timedelta(minutes=1)
        return found

    assert itself("2026-10-24T12:00", 2) == [utc("2026-10-25T00:30"), utc("2026-10-25T01:30")]
    assert itself("2026-03-28T12:00", 1) == [utc("2026-03-29T01:30")]


zones = st.one_of(
    st.sampled_from([ZURICH, NEW_YORK, LORD_HOWE, KATHMANDU, "Africa/Casablanca", "America/Santiago"]),
    st.sampled_from(sorted(known_zone(name) for name in ("europe/london", "asia/gaza", "pacific/chatham", "utc"))),
)
clocks = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


@settings(max_examples=60, deadline=None)
@given(zones, clocks, moments)
def test_exactly_once_every_local_day(zone: str, at: str, start: datetime) -> None:
    """Over forty days anywhere in the year, one firing a day, in order, at its time or at the end of its gap."""
    found = firings(timetable(at, "daily", zone), start, 40)
    days = [date.fromisoformat(firing.period.split()[0]) for firing in found]
    assert days == [days[0] + timedelta(days=count) for count in range(40)]
    assert all(early.at < late.at for early, late in pairwise(found))
    for day, firing in zip(days, found, strict=True):
        wall = datetime.combine(day, time.fromisoformat(at))
        shown = firing.at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        assert shown == wall or (shown > wall and moment_of(shown - timedelta(seconds=1), ZoneInfo(zone)) == firing.at)


@settings(max_examples=60, deadline=None)
@given(zones, clocks, moments, st.sampled_from(["daily", "mon-fri", "thu", "monthly:28", "monthly:last"]))
def test_last_and_after_leave_nothing_between(zone: str, at: str, moment: datetime, days: str) -> None:
    table = timetable(at, days, zone)
    last = table.last(moment)
    assert last.at <= moment < table.after(moment).at
    assert table.after(last.at) == table.after(moment)
    assert table.last(last.at) == last


@pytest.mark.parametrize(
    ("days", "words", "named"),
    [
        ("daily", "daily", "Mo Tu We Th Fr Sa Su Mo Tu"),
        ("mon-fri", "mon-fri", "Mo Tu We Th Fr Mo Tu We Th"),
        ("Monday, thu", "mon, thu", "Mo Th Mo Th Mo Th Mo Th Mo"),
        ("fri-mon", "mon, fri, sat, sun", "Mo Fr Sa Su Mo Fr Sa Su Mo"),
        ("sun-sat", "mon-sun", "Mo Tu We Th Fr Sa Su Mo Tu"),
    ],
)
def test_days_of_the_week(days: str, words: str, named: str) -> None:
    table = timetable("8:30", days, ZURICH)
    assert table.words() == f"{words} at 08:30, {ZURICH}"
    found = firings(table, utc("2026-05-03T12:00"), 9)
    assert " ".join(f"{firing.at:%a}"[:2] for firing in found) == named


@pytest.mark.parametrize(
    ("days", "words", "named"),
    [
        ("monthly:1", "monthly on day 1", ["02-01", "03-01", "04-01"]),
        ("monthly:last", "monthly on the last day", ["01-31", "02-28", "03-31"]),
    ],
)
def test_days_of_the_month(days: str, words: str, named: list[str]) -> None:
    table = timetable("12:00", days, "UTC")
    assert table.words().startswith(words)
    assert [f"{firing.at:%m-%d}" for firing in firings(table, utc("2026-01-15T00:00"), 3)] == named


@pytest.mark.parametrize("at", ["", "24:00", "08:60", "8", "0830", "08:30:00", "noon", "-1:00"])
def test_what_is_no_time_is_explained(at: str) -> None:
    with pytest.raises(BadInput, match="no time of the day") as caught:
        timetable(at, "daily", ZURICH)
    assert "08:30" in caught.value.advice


@pytest.mark.parametrize(
    "days", ["", "weekdays", "mon-", "m", "mon;tue", "monthly", "monthly:31", "monthly:0", "monthly:²"]
)
def test_what_are_no_days_is_explained(days: str) -> None:
    with pytest.raises(BadInput) as caught:
        timetable("08:30", days, ZURICH)
    assert "monthly:1" in caught.value.advice


@pytest.mark.parametrize("zone", ["Europe/Zurick", "", "../etc/passwd", "CEST"])
def test_an_unknown_zone_names_the_nearest(zone: str) -> None:
    with pytest.raises(NotFound, match="no time zone") as caught:
        known_zone(zone)
    assert "Europe/Zurich" in caught.value.advice


def test_a_zone_is_found_in_any_case() -> None:
    assert known_zone(" europe/zurich ") == ZURICH
