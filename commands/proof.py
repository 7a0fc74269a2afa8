"""Is the audit log what it was? The chain is walked from its first record and held against the anchors in the bucket.

One anchor that fits proves every record before it, because each hash goes into the next. So the newest anchor is
compared first; only when that one does not fit are others read, to find where the log parts from them.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from botocore.exceptions import ClientError
from sqlalchemy import Connection, Engine

from pipeline.errors import Unavailable
from state import anchors, audit, chain
from state.anchors import Anchor
from state.chain import Walk

_KEY = re.compile(rf"{anchors.PREFIX}\d{{4}}/\d{{2}}/\d{{2}}/\d{{12}}\.json")
_GONE = frozenset({"NoSuchKey", "404", "NotFound"})

Fault = Literal["edited", "replaced", "deleted", "truncated", "rewritten", "anchor missing", "anchor unreadable"]


@dataclass(frozen=True)
class Finding:
    """What is wrong, in which records (`first` to `last`), and with which anchor where one shows it.

    Beside the breaks of `state.chain`: *truncated*, the log ends before an anchored record; *rewritten*, the chain fits
    in itself but not to the anchor of `last`; *anchor missing* or *unreadable*, the bucket lacks what was put there.
    """

    fault: Fault
    first: int
    last: int
    anchor: str = ""


@dataclass(frozen=True)
class Proof:
    """Outcome of a verification. `anchored` is the newest anchor that fits, `anchors` how many the bucket holds."""

    walk: Walk
    anchored: Anchor | None
    anchors: int
    finding: Finding | None


class Bucket(Protocol):
    """The anchors outside the database."""

    def keys(self) -> Sequence[str]:
        """All keys, in the order of their records."""
        ...

    def read(self, key: str) -> Anchor | None:
        """One anchor; None when what stands there is none."""
        ...


class Anchors:
    """The anchors in S3, read with the person's own session: AWS decides who may look into the log."""

    def __init__(self, s3: Any, name: str) -> None:
        self._s3 = s3
        self._name = name

    def keys(self, first: str = anchors.PREFIX) -> Sequence[str]:
        """The keys that begin with `first`. Raises Unavailable when there is no bucket."""
        try:
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=first)
            found = [item["Key"] for page in pages for item in page.get("Contents", [])]
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchBucket":
                raise Unavailable(
                    f"There is no bucket {self._name}, so nothing can be compared with what was anchored.",
                    "`python -m infra up` creates it.",
                ) from error
            raise
        return [key for key in found if _KEY.fullmatch(key)]

    def read(self, key: str) -> Anchor | None:
        """One anchor; None when it is gone or no anchor."""
        try:
            return anchors.read(key, self._s3.get_object(Bucket=self._name, Key=key)["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] in _GONE:
                return None
            raise


def prove(engine: Engine, bucket: Bucket) -> Proof:
    """Verify the whole log. Memory does not grow with the records; a key of some bytes is kept for each anchor.

    What is noted is read before what is stored, and that before the records, so that whatever is appended and anchored
    meanwhile does no harm.
    """
    with engine.connect() as connection:
        noted = list(anchors.keys(connection))
    stored = bucket.keys()
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        walk = chain.walk(audit.every(connection))
        if walk.broken:
            broken = walk.broken
            return Proof(walk, None, len(stored), Finding(broken.fault, broken.record, broken.last))
        return _against(connection, bucket, walk, stored, noted)


def _against(connection: Connection, bucket: Bucket, walk: Walk, stored: Sequence[str], noted: Sequence[str]) -> Proof:
    """Hold an unbroken chain against the anchors."""

    def parted(place: int) -> bool:
        found = bucket.read(stored[place])
        return found is None or audit.hash_of(connection, found.record) != found.hash

    count = len(stored)
    fitting = bisect.bisect_left(range(count), True, key=parted) if stored and parted(count - 1) else count
    anchored = bucket.read(stored[fitting - 1]) if fitting else None
    finding = None
    if fitting < count:
        end = walk.head.record if walk.head else 0
        finding = _parting(anchored.record if anchored else 0, end, stored, fitting, bucket)
    elif gone := sorted(set(noted) - set(stored)):
        finding = Finding("anchor missing", _record(gone[0]), _record(gone[-1]), gone[0])
    return Proof(walk, anchored, count, finding)


def _parting(proven: int, end: int, stored: Sequence[str], at: int, bucket: Bucket) -> Finding:
    """What the first anchor that does not fit means; everything up to record `proven` is as it was."""
    key = stored[at]
    if bucket.read(key) is None:
        return Finding("anchor unreadable", _record(key), _record(key), key)
    if _record(key) > end:
        return Finding("truncated", end + 1, _record(stored[-1]), stored[-1])
    return Finding("rewritten", proven + 1, _record(key), key)


def _record(key: str) -> int:
    return int(key.rsplit("/", 1)[1].removesuffix(".json"))
