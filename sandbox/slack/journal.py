"""The record of everything that crossed the wire: calls of the app and deliveries to it. A JSON line each."""

from __future__ import annotations

import json
import time
from collections import deque
from pathlib import Path
from typing import Any

from sandbox.slack.feed import Change, Feed

KEPT = 5000
"""Entries kept in memory; the file has all."""


class Journal:
    """Appends to `<state>/journal.jsonl` and keeps the newest entries for the inspector."""

    def __init__(self, path: Path, feed: Feed) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._feed = feed
        self.entries: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def record(self, kind: str, **entry: Any) -> dict[str, Any]:
        """Write an entry with the time it was made (`at`, epoch seconds) and return it."""
        line = {"at": time.time(), "kind": kind, **entry}
        self.entries.append(line)
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._feed.publish(Change("journal", only_for=entry.get("user")))
        return line

    def close(self) -> None:
        """Close the file."""
        self._file.close()
