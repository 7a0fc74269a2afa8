"""Ground truth as people put it into S3, looked through before the monitor reads it.

The monitor looks where data capture would put it: `<prefix>/[<variant>/]yyyy/mm/dd/hh/*.jsonl`, UTC.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline import reports

MOST_FILES, MOST_BYTES = 200, 1 << 20
"""What is looked through: files of the window, and bytes of each."""
HOUR = timedelta(hours=1)

_HOUR = re.compile(r"/(20\d\d/\d\d/\d\d/\d\d)/[^/]+\.jsonl\Z")


@dataclass(frozen=True)
class Found:
    """What lies in a prefix. `files` of the window, `others` outside of its hours or of this layout."""

    files: int
    others: int
    records: int
    unusable: int
    whole: bool
    """Everything of the window was looked through."""

    def words(self) -> str:
        """As a sentence begins: `120 records in 3 files`."""
        words = (
            f"{'' if self.whole else 'at least '}{self.records:,} usable records in {self.files} files of this window"
        )
        words += f", {self.unusable:,} lines that cannot be used" if self.unusable else ""
        return words + (f", {self.others} files of other hours or names" if self.others else "")


def look(s3: Any, prefix: str, start: datetime, end: datetime) -> Found:
    """What a prefix holds for a window."""
    every = list(reports.listed(s3, f"{prefix}/"))
    files = [uri for uri in every if (hour := _hour(uri)) is not None and start - 2 * HOUR < hour < end]
    records = unusable = 0
    whole = len(files) <= MOST_FILES
    for uri in files[:MOST_FILES]:
        lines, complete = _lines(s3, uri)
        whole = whole and complete
        for line in lines:
            usable = _usable(line)
            records, unusable = records + usable, unusable + (not usable)
    return Found(len(files), len(every) - len(files), records, unusable, whole)


def _lines(s3: Any, uri: str) -> tuple[Iterator[bytes], bool]:
    """The lines of a file that are not empty, as far as it is read, and whether that is all of it."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    data: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read(MOST_BYTES + 1)
    complete = len(data) <= MOST_BYTES
    kept = data if complete else data[: data.rfind(b"\n", 0, MOST_BYTES) + 1]
    return (line for line in kept.splitlines() if line.strip()), complete


def _usable(line: bytes) -> bool:
    """Whether a line says of an inference what was there (`pipeline.monitoring.truth` reads it)."""
    try:
        body = json.loads(line)
        told = json.loads(body["groundTruthData"]["data"])
        return bool(body["eventMetadata"]["eventId"]) and isinstance(told["objects"], list)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def _hour(uri: str) -> datetime | None:
    found = _HOUR.search(uri)
    try:
        return datetime.strptime(found[1], "%Y/%m/%d/%H").replace(tzinfo=UTC) if found else None
    except ValueError:
        return None
