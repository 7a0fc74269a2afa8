"""The picture of a trend: it begins where something is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from commands.drift_chart import _times

NOW = datetime(2026, 5, 4, 10, 30, tzinfo=UTC)


def test_a_short_time_is_told_in_hours_and_a_long_one_in_days() -> None:
    assert [name for _, name in _times(NOW - timedelta(hours=3), NOW)] == ["08:00", "09:00", "10:00"]
    assert [name for _, name in _times(NOW - timedelta(days=3), NOW)] == ["05-02", "05-03", "05-04"]
