"""The account's time, which a person or a test on this machine may let pass, and who is called as it passes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
LONGEST = timedelta(days=31)
"""How far the clock can be moved at once: whatever falls due on the way happens."""

Follower = Callable[[datetime], None]


class Clock:
    """The machine's clock plus an offset. What goes by the hour (schedules, windows, alarms) goes by this one;
    signatures, sessions and the record of calls go by the machine's.
    """

    def __init__(self) -> None:
        self._ahead = timedelta()
        self._followers: list[Follower] = []
        self._passing = threading.Lock()
        self._stopped = threading.Event()

    def now(self) -> datetime:
        """The present moment here, in UTC, to the millisecond."""
        moment = datetime.now(UTC) + self._ahead
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def follow(self, follower: Follower) -> None:
        """Call `follower` with the time, again and again, in the order of registration."""
        self._followers.append(follower)

    def move(self, by: timedelta) -> datetime:
        """Let time pass (what falls due happens before this returns), or set the clock back; the new time."""
        self._ahead += by
        self.tick()
        return self.now()

    def control(self, body: Any) -> dict[str, str]:
        """`{"seconds": 3600}` lets an hour pass, a negative number sets the clock back. Raises ValueError."""
        seconds = body.get("seconds") if isinstance(body, dict) else None
        if not isinstance(seconds, int | float) or not abs(seconds) <= LONGEST.total_seconds():
            raise ValueError(f"seconds must be a number, at most {LONGEST.days} days")
        return {"now": f"{self.move(timedelta(seconds=seconds)):%Y-%m-%dT%H:%M:%SZ}"}

    def tick(self) -> None:
        """Tell the followers the time. One that fails does not keep the others from hearing it."""
        with self._passing:
            for follower in list(self._followers):
                try:
                    follower(self.now())
                except Exception:
                    log.exception("%s failed at its time", follower)

    def start(self) -> None:
        """Begin to tick, on a thread of its own."""
        threading.Thread(target=self._run, name="clock", daemon=True).start()

    def stop(self) -> None:
        """End the ticking."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(TICK_SECONDS):
            self.tick()
