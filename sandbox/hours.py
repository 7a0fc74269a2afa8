"""Hours of an endpoint's traffic without waiting for them: the account's clock is moved, photos are sent between.

The clock is set back first, so that every window lies in the past of whoever reads its report. Signatures, sessions and
the record of calls go by the machine's time all along.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from sandbox import operator
from sandbox.record import Record

HOUR = timedelta(hours=1)
BEFORE = timedelta(minutes=10)
"""Of the first hour that is left when it begins."""
AFTER = timedelta(seconds=2)
"""Past the full hour: what is due at it has happened."""
FLIGHTS = 20
"""Flights of one sending: the next one takes later ones."""


@dataclass
class Hours:
    """The account's time, set back by so many whole hours, and traffic of one survey (`seed`) in it."""

    state: Path
    seed: int
    ends: list[datetime] = field(default_factory=list)
    """When the windows that have passed ended, in UTC."""
    _sent: int = 0

    def begin(self, back: int) -> None:
        """Stand in the hour that ended `back` - 1 hours before the present one began."""
        whole = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        self._to(whole - (back - 1) * HOUR - BEFORE)

    def send(self, kind: str, count: int = 200, *options: str) -> None:
        """Send photos in the hour that runs, and wait until they are captured. Raises CalledProcessError."""
        first = FLIGHTS * self._sent
        self._sent += 1
        about = ("--kind", kind, "--count", count, "--seed", self.seed, "--first", first)
        operator.run(self.state, "sandbox.traffic", *about, *options)

    def pass_hour(self) -> datetime:
        """Let the hour end: schedules fire, windows close. Returns when it ended."""
        end = self._now().replace(minute=0, second=0, microsecond=0) + HOUR
        self._to(end + AFTER)
        self.ends.append(end)
        return end

    def present(self) -> None:
        """Put the clock where the machine's is; what falls due on the way happens."""
        self._to(datetime.now(UTC))

    def _now(self) -> datetime:
        return self._move(timedelta())

    def _to(self, moment: datetime) -> None:
        self._move(moment - self._now())

    def _move(self, by: timedelta) -> datetime:
        aws = f"http://127.0.0.1:{Record(self.state).read('ports.json')['aws']}"
        body, headers = {"seconds": by.total_seconds()}, {"X-Sandbox": "1"}
        answer = httpx.post(f"{aws}/_sandbox/clock", json=body, headers=headers, trust_env=False, timeout=120)
        return datetime.fromisoformat(answer.raise_for_status().json()["now"])


def stamp(moment: datetime) -> str:
    """A moment as commands take it."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
