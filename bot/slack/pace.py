"""How fast the bot may talk: a budget for every method (Slack's tiers), one message a second in every channel."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

LANE_S = 1.02
"""Seconds from the end of one call in a lane to the next: Slack allows one message a second and channel. Counted from
the end, because a call may take any time to arrive; the rest is for clocks."""


@dataclass(frozen=True)
class Budget:
    """Calls a minute, and how many of them may come at once."""

    per_minute: float
    at_once: float


EDITS = Budget(45, 5)
"""`chat.update` is allowed 50 times a minute: whatever minute one looks at, these make no more."""
KEPT_FROM_LIVE = 4.0
"""So many edits stay for answers and final states when live messages have used up theirs."""
BUDGETS: Mapping[str, Budget] = MappingProxyType(
    {
        "chat.postMessage": Budget(200, 200),  # bounded by the channels first; a workspace-wide cap stands behind it
        "chat.update": EDITS,
        "chat.postEphemeral": Budget(100, 100),
        "response_url": Budget(200, 200),
    }
)


class Bucket:
    """What is left of a budget; it refills evenly. For one thread."""

    def __init__(self, budget: Budget, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget = budget
        self._clock = clock
        self._left, self._at = budget.at_once, clock()

    def wait(self, keep: float = 0.0) -> float:
        """Seconds until one more may be used and `keep` are still left."""
        return max(0.0, (1.0 + keep - self._level()) * 60 / self._budget.per_minute)

    def spend(self) -> None:
        """Use one."""
        self._left, self._at = self._level() - 1.0, self._clock()

    def _level(self) -> float:
        refilled = (self._clock() - self._at) * self._budget.per_minute / 60
        return min(self._budget.at_once, self._left + refilled)


class Pace:
    """Says how long to wait before a call, and remembers the calls made. For one thread, but for `done` and `close`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._methods = {method: Bucket(budget, clock) for method, budget in BUDGETS.items()}
        self._lanes: dict[str, float] = {}
        self._closed: dict[str, float] = {}

    def wait(self, method: str, lane: str, *, keep: float = 0.0) -> float:
        """Seconds until the call may be made, 0 for now. `keep` calls of the method stay for more urgent messages."""
        opens = max(self._closed.get(method, 0.0), self._lanes.get(lane, 0.0))
        return max(0.0, opens - self._clock(), self._methods[method].wait(keep))

    def spend(self, method: str) -> None:
        """Count a call that is being made."""
        self._methods[method].spend()

    def done(self, lane: str) -> None:
        """A call in this lane has ended, well or not: the next one may come a second later."""
        self._lanes[lane] = self._clock() + LANE_S

    def close(self, method: str, seconds: float) -> None:
        """Slack said Retry-After: nothing by this method until then."""
        self._closed[method] = max(self._closed.get(method, 0.0), self._clock() + seconds)
