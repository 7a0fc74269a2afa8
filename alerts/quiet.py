"""Quiet hours: a time of the day, in a zone, in which only what is critical is said at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Quiet:
    """From `start` to `end` on the wall clocks of `zone`, every day; over midnight when `end` is before `start`."""

    start: time
    end: time
    zone: ZoneInfo

    def until(self, at: datetime) -> datetime | None:
        """When the quiet hours end in which `at` lies, in the zone of `at`; None outside of them.

        An hour that the clocks skip or show twice is read as RFC 5545 (3.3.5) says: one that is skipped by the offset
        before the change, one that comes twice as its first. So each night is quiet once, without a gap.
        """
        today = at.astimezone(self.zone).date()
        for day in (today - timedelta(days=1), today):
            begins = self._instant(day, self.start)
            ends = self._instant(day + timedelta(days=self.end <= self.start), self.end)
            if begins <= at < ends:
                return ends.astimezone(at.tzinfo)
        return None

    def _instant(self, day: date, clock: time) -> datetime:
        """Through UTC, because Python compares two times of one zone by their wall clocks."""
        return datetime.combine(day, clock, self.zone).astimezone(ZoneInfo("UTC"))
