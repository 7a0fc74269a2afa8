"""Is the audit log what it was? The chain is walked from its first record and held against the anchors in the bucket.

Every anchor is compared, not the newest alone: whoever changes a record and makes all hashes after it fit again cannot
change the anchors that stand, but the next one is written over what they made of the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from botocore.exceptions import ClientError
from sqlalchemy import Engine

from pipeline.errors import Unavailable
from state import anchors, audit, chain
from state.anchors import Anchor
from state.chain import Walk

Fault = Literal["edited", "replaced", "deleted", "truncated", "rewritten", "anchor missing"]


@dataclass(frozen=True)
class Finding:
    """What is wrong, in which records (`first` to `last`), and with which anchor where one shows it.

    Beside the breaks of `state.chain`: *truncated*, the log ends before an anchored record; *rewritten*, the chain fits
    in itself but not to the anchor of `last`; *anchor missing*, the bucket lacks what was put there.
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

    def anchors(self) -> Iterable[Anchor]:
        """All of them, in the order of their records."""
        ...


class Anchors:
    """The anchors in S3, listed with the person's own session: AWS decides who may look into the log.

    All versions count: Object Lock keeps what was put there, but keeps nobody from hiding it by a delete marker.
    """

    def __init__(self, s3: Any, name: str) -> None:
        self._s3 = s3
        self._name = name

    def anchors(self, first: str = anchors.PREFIX) -> Iterator[Anchor]:
        """Those whose keys begin with `first`. Raises Unavailable when there is no bucket."""
        try:
            for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=self._name, Prefix=first):
                found = (anchors.read(item["Key"], item["LastModified"]) for item in page.get("Versions", []))
                yield from (anchor for anchor in found if anchor)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchBucket":
                raise Unavailable(
                    f"There is no bucket {self._name}, so nothing can be compared with what was anchored.",
                    "`python -m infra up` creates it.",
                ) from error
            raise


def prove(engine: Engine, bucket: Bucket) -> Proof:
    """Verify the whole log. Memory does not grow with the records; some hundred bytes are kept for each anchor.

    What is noted is read before what is stored, and that before the records, so that whatever is appended and anchored
    meanwhile does no harm.
    """
    with engine.connect() as connection:
        noted = list(anchors.keys(connection))
    stored = list(bucket.anchors())
    held = _Held(stored)
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        walk = chain.walk(held.passing(audit.every(connection)))
    if walk.broken:
        broken = walk.broken
        return Proof(walk, None, len(stored), Finding(broken.fault, broken.record, broken.last))
    return Proof(walk, held.fits, len(stored), _parted(held, walk) or _missing(noted, stored))


class _Held:
    """Holds the records that pass against the anchors.

    `fits` is the last anchor that fits before any that does not, `parts` the first one that does not; `beyond` are the
    anchors of records after the last.
    """

    def __init__(self, stored: Sequence[Anchor]) -> None:
        self._stored = stored
        self.fits: Anchor | None = None
        self.parts: Anchor | None = None
        self.beyond = stored

    def passing(self, records: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """The records, unchanged. `beyond` is known when they have all passed."""
        place = 0
        for record in records:
            start = place
            while place < len(self._stored) and self._stored[place].record <= record["id"]:
                place += 1
            if start < place and self.parts is None:
                self._compare(self._stored[start:place], record)
            yield record
        self.beyond = self._stored[place:]

    def _compare(self, here: Sequence[Anchor], record: Mapping[str, Any]) -> None:
        """More than one anchor of a record were written for more than one log: one of them does not fit."""
        told = record["id"], record["hash"]
        self.parts = next((anchor for anchor in here if (anchor.record, anchor.hash) != told), None)
        if self.parts is None:
            self.fits = here[-1]


def _parted(held: _Held, walk: Walk) -> Finding | None:
    """What the first anchor that does not fit an unbroken chain means."""
    if held.parts:
        proven = held.fits.record if held.fits else 0
        return Finding("rewritten", proven + 1, held.parts.record, held.parts.key)
    if held.beyond:
        end = walk.head.record if walk.head else 0
        return Finding("truncated", end + 1, held.beyond[-1].record, held.beyond[-1].key)
    return None


def _missing(noted: Sequence[str], stored: Sequence[Anchor]) -> Finding | None:
    """The anchors that were put into the bucket and are no longer there."""
    gone = sorted(set(noted) - {anchor.key for anchor in stored})
    return Finding("anchor missing", _record(gone[0]), _record(gone[-1]), gone[0]) if gone else None


def _record(key: str) -> int:
    return int(key.removeprefix(anchors.PREFIX).split("-")[0])
