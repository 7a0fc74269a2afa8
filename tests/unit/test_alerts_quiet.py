"""Quiet hours across midnight and across both changes of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.quiet import Quiet

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Quiet(time(22), time(7), BERLIN)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("quiet", "at", "until"),
    [
        # An ordinary winter night in Berlin is 21:00 to 06:00 in UTC.
        (NIGHT, "2026-01-10 20:59:59", None),
        (NIGHT, "2026-01-10 21:00", "2026-01-11 06:00"),
        (NIGHT, "2026-01-11 03:00", "2026-01-11 06:00"),
        (NIGHT, "2026-01-11 05:59:59", "2026-01-11 06:00"),
        (NIGHT, "2026-01-11 06:00", None),
        # 29 March 2026, 02:00 becomes 03:00: the night is an hour shorter.
        (NIGHT, "2026-03-28 21:00", "2026-03-29 05:00"),
        (NIGHT, "2026-03-29 05:00", None),
        # 25 October 2026, 03:00 becomes 02:00: the night is an hour longer.
        (NIGHT, "2026-10-24 20:00", "2026-10-25 06:00"),
        (NIGHT, "2026-10-25 05:30", "2026-10-25 06:00"),
        # An end that is skipped (02:30 does not exist): by the offset before the change, 03:30 summer time.
        (Quiet(time(22), time(2, 30), BERLIN), "2026-03-29 00:59", "2026-03-29 01:30"),
        (Quiet(time(22), time(2, 30), BERLIN), "2026-03-29 01:30", None),
        # An end that comes twice: the first, and no second night begins when the clock is set back before it.
        (Quiet(time(22), time(2, 30), BERLIN), "2026-10-25 00:29", "2026-10-25 00:30"),
        (Quiet(time(22), time(2, 30), BERLIN), "2026-10-25 01:10", None),
        # A beginning that comes twice: the first, and no gap when the clock is set back before it.
        (Quiet(time(2, 30), time(6), BERLIN), "2026-10-25 00:30", "2026-10-25 05:00"),
        (Quiet(time(2, 30), time(6), BERLIN), "2026-10-25 01:10", "2026-10-25 05:00"),
        # Within one day, and in a zone far from UTC.
        (Quiet(time(12), time(13), ZoneInfo("Pacific/Kiritimati")), "2026-01-10 22:30", "2026-01-10 23:00"),
        (Quiet(time(12), time(13), ZoneInfo("Pacific/Kiritimati")), "2026-01-10 12:30", None),
    ],
)
def test_until_when_it_is_quiet(quiet: Quiet, at: str, until: str | None) -> None:
    assert quiet.until(utc(at)) == (utc(until) if until else None)


CLOCKS = st.times().map(lambda clock: clock.replace(second=0, microsecond=0))
ZONES = st.sampled_from(
    ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Santiago"]
)
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2029, 1, 1), timezones=st.just(UTC))


@given(CLOCKS, CLOCKS, ZONES, MOMENTS)
def test_quiet_hours_end_after_less_than_a_day_and_an_hour_and_everything_until_then_is_quiet(
    start: time, end: time, zone: str, at: datetime
) -> None:
    quiet = Quiet(start, end, ZoneInfo(zone))
    if (until := quiet.until(at)) is not None and start != end:
        assert at < until <= at + timedelta(hours=25)
        assert quiet.until(until - timedelta(seconds=1)) == until
        assert quiet.until(at + (until - at) / 2) == until
        assert quiet.until(until) is None
        assert until.tzinfo is UTC


@given(CLOCKS, CLOCKS, MOMENTS)
def test_where_clocks_never_change_the_wall_clock_decides(start: time, end: time, at: datetime) -> None:
    if start == end:
        return
    clock = at.time()
    within = start <= clock < end if start < end else clock >= start or clock < end
    until = Quiet(start, end, ZoneInfo("UTC")).until(at)
    assert (until is not None) == within
    assert until is None or until.time() == end
