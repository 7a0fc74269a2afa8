"""Schedule expressions: when they fire, in which zone, and what is no expression."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.aws.clock import Clock
from sandbox.aws.expressions import BadExpression, parse

BEGIN = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def times(text: str, count: int, zone: str = "UTC", begin: datetime = BEGIN) -> list[str]:
    after, moment, found = parse(text, ZoneInfo(zone), begin), begin, []
    while len(found) < count and (later := after(moment)) is not None:
        found.append(f"{later:%Y-%m-%d %H:%M}")
        moment = later
    return found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("cron(0 * * * ? *)", ["2026-03-01 13:00", "2026-03-01 14:00", "2026-03-01 15:00"]),
        ("cron(0 * ? * * *)", ["2026-03-01 13:00", "2026-03-01 14:00", "2026-03-01 15:00"]),
        ("cron(0 0/6 ? * * *)", ["2026-03-01 18:00", "2026-03-02 00:00", "2026-03-02 06:00"]),
        ("cron(15,45 9-10 ? * MON-FRI *)", ["2026-03-02 09:15", "2026-03-02 09:45", "2026-03-02 10:15"]),
        ("cron(0 8 1 JAN,jul ? *)", ["2026-07-01 08:00", "2027-01-01 08:00", "2027-07-01 08:00"]),
        ("cron(0 0 29 2 ? *)", ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"]),
        ("cron(0 12 ? * 1 2026)", ["2026-03-08 12:00", "2026-03-15 12:00", "2026-03-22 12:00"]),
        ("cron(0 12 31 12 ? 2026)", ["2026-12-31 12:00"]),
        ("rate(20 minutes)", ["2026-03-01 12:50", "2026-03-01 13:10", "2026-03-01 13:30"]),
        ("at(2026-03-01T18:00:00)", ["2026-03-01 18:00"]),
        ("at(2026-03-01T12:30:00)", []),
    ],
)
def test_an_expression_means_these_times(text: str, wanted: list[str]) -> None:
    assert times(text, 3) == wanted


def test_a_rate_begins_at_once() -> None:
    assert parse("rate(1 hour)", ZoneInfo("UTC"), BEGIN)(BEGIN - timedelta(milliseconds=1)) == BEGIN


def test_times_are_the_zone_s_and_a_skipped_one_does_not_happen() -> None:
    before_spring = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert times("cron(30 2 ? * * *)", 2, "Europe/Zurich", before_spring) == ["2026-03-30 00:30", "2026-03-31 00:30"]
    before_autumn = datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert times("cron(30 2 ? * * *)", 2, "Europe/Zurich", before_autumn) == ["2026-10-25 00:30", "2026-10-26 01:30"]


@pytest.mark.parametrize(
    "text",
    [
        "", "hourly", "rate(0 hours)", "rate(1 week)", "at(2026-13-01T00:00:00)", "at(tomorrow)",
        "cron(0 * * * * *)", "cron(0 * ? * ? *)", "cron(60 * * * ? *)", "cron(0 5-3 * * ? *)", "cron(0 * * * ?)",
        "cron(0 * L * ? *)", "cron(0 * ? * 2#1 *)", "cron(0/0 * * * ? *)", "cron(0 * * 13 ? *)",
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadExpression):
        parse(text, ZoneInfo("UTC"), BEGIN)


moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


@given(moments, st.sampled_from(["cron(0 * ? * * *)", "cron(7 0/5 * * ? *)", "rate(3 hours)"]))
def test_the_next_time_is_later_and_nothing_lies_between(moment: datetime, text: str) -> None:
    after = parse(text, ZoneInfo("America/New_York"), BEGIN)
    found = after(moment)
    assert found is not None
    assert found > moment
    assert after(found - timedelta(seconds=1)) == found


def test_the_clock_can_be_moved_and_everybody_hears_of_it(caplog: pytest.LogCaptureFixture) -> None:
    clock, heard = Clock(), list[datetime]()
    clock.follow(lambda now: 1 / 0)  # type: ignore[arg-type, return-value]
    clock.follow(heard.append)
    before = clock.now()
    ahead = clock.move(timedelta(hours=5))
    assert timedelta(hours=5) <= ahead - before < timedelta(hours=5, minutes=1)
    assert heard[0] >= before + timedelta(hours=5)
    assert "failed at its time" in caplog.text
    clock.control({"seconds": -18000})
    assert clock.now() - before < timedelta(minutes=1)
    with pytest.raises(ValueError, match="at most 31 days"):
        clock.control({"seconds": float("nan")})
