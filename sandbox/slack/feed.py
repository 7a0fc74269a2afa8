"""Who wants to know that something changed: open pages, waiting tests, the event deliveries."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Kind = Literal["posted", "edited", "deleted", "view", "journal", "read"]


@dataclass(frozen=True)
class Change:
    """Something happened. `only_for` names the one user who may know; None is everybody in the channel."""

    kind: Kind
    channel: str = ""
    ts: str = ""
    only_for: str | None = None


class Feed:
    """Hands every change to every follower. All of it runs in one event loop, so there is nothing to lock."""

    def __init__(self) -> None:
        self._followers: set[asyncio.Queue[Change | None]] = set()
        self._closed = False

    def publish(self, change: Change) -> None:
        """Tell all followers."""
        for queue in self._followers:
            queue.put_nowait(change)

    def close(self) -> None:
        """End all open streams, so that the server can stop; followers get None."""
        self._closed = True
        for queue in self._followers:
            queue.put_nowait(None)

    @contextmanager
    def follow(self) -> Iterator[asyncio.Queue[Change | None]]:
        """Changes from now on; leave the block to stop following."""
        queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self._followers.add(queue)
        if self._closed:
            queue.put_nowait(None)
        try:
            yield queue
        finally:
            self._followers.discard(queue)
