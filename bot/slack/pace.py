"""How fast the bot may talk: token buckets for every method and every channel (Slack's tiers, kept from our side)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

CHANNEL_PER_SECOND, CHANNEL_BURST = 1.0, 3.0
PER_MINUTE: Mapping[str, float] = MappingProxyType(
    {  # a minute's budget may be spent at once; it refills evenly
        "chat.postMessage": 200,  # bounded by the channel first; a workspace-wide cap stands behind it
        "chat.update": 50,
        "chat.postEphemeral": 100,
        "response_url": 200,
    }
)


@dataclass
class _Bucket:
    per_second: float
    burst: float
    tokens: float
    at: float

    def level(self, now: float) -> float:
        return min(self.burst, self.tokens + (now - self.at) * self.per_second)


class Pace:
    """Says how long to wait before a call, and remembers the calls made. For one thread, but for `close`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}
        self._closed: dict[str, float] = {}

    def wait(self, method: str, channel: str | None, *, keep: float = 0.0) -> float:
        """Seconds until the call may be made, 0 for now. `keep` tokens of the channel stay for more urgent messages."""
        now = self._clock()
        waits = [self._until(self._method(method, now), 1.0, now), self._closed.get(method, 0.0) - now]
        if channel is not None:
            waits.append(self._until(self._channel(channel, now), 1.0 + keep, now))
        return max(0.0, *waits)

    def spend(self, method: str, channel: str | None) -> None:
        """Count a call that is being made."""
        now = self._clock()
        buckets = [self._method(method, now)] + ([self._channel(channel, now)] if channel is not None else [])
        for bucket in buckets:
            bucket.tokens, bucket.at = bucket.level(now) - 1.0, now

    def close(self, method: str, seconds: float) -> None:
        """Slack said Retry-After: nothing by this method until then."""
        self._closed[method] = max(self._closed.get(method, 0.0), self._clock() + seconds)

    @staticmethod
    def _until(bucket: _Bucket, tokens: float, now: float) -> float:
        return (tokens - bucket.level(now)) / bucket.per_second

    def _method(self, name: str, now: float) -> _Bucket:
        per_minute = PER_MINUTE[name]
        fresh = _Bucket(per_minute / 60, per_minute, per_minute, now)
        return self._buckets.setdefault(f"method {name}", fresh)

    def _channel(self, name: str, now: float) -> _Bucket:
        fresh = _Bucket(CHANNEL_PER_SECOND, CHANNEL_BURST, CHANNEL_BURST, now)
        return self._buckets.setdefault(f"channel {name}", fresh)
