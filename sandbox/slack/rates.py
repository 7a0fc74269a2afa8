"""How often the app may call: a budget per method (Slack's tiers) and one message a second and channel."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.slack.config import Rules

TIER_1, TIER_2, TIER_3, TIER_4 = 1, 20, 50, 100
"""Calls a minute."""


@dataclass
class _Bucket:
    tokens: float
    at: float


class Rates:
    """Token buckets. A budget of n a minute may be spent in one burst and refills evenly."""

    def __init__(self, rules: Rules, clock: Callable[[], float] = time.monotonic) -> None:
        self._rules = rules
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def method(self, name: str, per_minute: int) -> int:
        """Spend one call of a method. Returns 0, or the whole seconds to wait (`Retry-After`)."""
        return self._take(f"method {name}", per_minute / 60, per_minute)

    def channel(self, channel: str) -> int:
        """Spend one post into a channel. Returns 0, or the whole seconds to wait."""
        return self._take(f"channel {channel}", self._rules.channel_per_second, self._rules.channel_burst)

    def _take(self, key: str, per_second: float, burst: float) -> int:
        if not self._rules.rates:
            return 0
        now = self._clock()
        bucket = self._buckets.setdefault(key, _Bucket(burst, now))
        bucket.tokens = min(burst, bucket.tokens + (now - bucket.at) * per_second)
        bucket.at = now
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return 0
        return max(1, math.ceil((1 - bucket.tokens) / per_second))
