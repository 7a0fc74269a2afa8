"""Anchors: where the end of the audit chain was, kept outside the database where nobody can change it.

Here lives which anchors were written and how one is worded. Who writes them is `bot.anchoring`; what is compared with
them, `commands.audit`. The bucket's copy is the proof; the rows here only say what must be found there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func, insert, select

from state import audit
from state.chain import Link
from state.tables import anchors

PREFIX = "anchors/"
PAUSE = timedelta(minutes=1)
"""At most one anchor in this time."""


@dataclass(frozen=True)
class Anchor:
    """The chain ended at `record` with `hash` at a moment; `key` names the object that says so."""

    record: int
    hash: str
    key: str
    at: datetime

    @property
    def document(self) -> bytes:
        """What is stored under `key`."""
        return json.dumps({"record": self.record, "hash": self.hash, "at": self.at.isoformat()}).encode()


def anchor(end: Link, at: datetime) -> Anchor:
    """The anchor of an end of the chain. Keys sort in the order of the records, as records are numbered in time."""
    key = f"{PREFIX}{at.astimezone(UTC):%Y/%m/%d}/{end.record:012d}.json"
    return Anchor(end.record, end.hash, key, at.astimezone(UTC))


def read(key: str, document: bytes) -> Anchor | None:
    """The anchor in a stored document; None when it is none, or not the one its key says."""
    try:
        found = json.loads(document)
        told = Anchor(int(found["record"]), str(found["hash"]), key, datetime.fromisoformat(found["at"]))
        return told if anchor(Link(told.record, told.hash), told.at).key == key else None
    except (ValueError, KeyError, TypeError):
        return None


def due(connection: Connection) -> Anchor | None:
    """The anchor to write now: the chain has moved since the last one, and that one is a minute old."""
    end, last = audit.head(connection), newest(connection)
    now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    if end is None or (last is not None and (last.hash == end.hash or now - last.at < PAUSE)):
        return None
    return anchor(end, now)


def add(connection: Connection, written: Anchor) -> None:
    """Note an anchor that stands in the bucket."""
    values = {"record": written.record, "hash": written.hash, "key": written.key, "at": written.at}
    connection.execute(insert(anchors).values(values))


def newest(connection: Connection) -> Anchor | None:
    """The last anchor noted here."""
    row = connection.execute(_ANCHORS.order_by(anchors.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else Anchor(**row._mapping)


def keys(connection: Connection) -> Iterator[str]:
    """The keys of all anchors noted here, in their order."""
    query = select(anchors.c.key).order_by(anchors.c.key.collate("C")).execution_options(yield_per=audit.BATCH)
    yield from connection.execute(query).scalars()


_ANCHORS = select(anchors.c.record, anchors.c.hash, anchors.c.key, anchors.c.at)
