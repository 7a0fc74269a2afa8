"""Anchors: where the end of the audit chain was, kept outside the database where nobody can change it.

Here lives which anchors were written and how one is worded. Who writes them is `bot.anchoring`; what is compared with
them, `commands.proof`. The bucket's copy is the proof; the rows here only say what must be found there.

An anchor's key says all of it. So one listing of the bucket shows every anchor, and every one of them is compared: the
newest alone would prove nothing, as it may have been written after the log was changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func, insert, select

from state import audit
from state.tables import anchors

PREFIX = "anchors/"
PAUSE = timedelta(minutes=1)
"""At most one anchor in this time."""

_KEY = re.compile(rf"{PREFIX}(\d{{12}})-([0-9a-f]{{64}})\.json")


@dataclass(frozen=True)
class Anchor:
    """The chain ended at `record` with `hash` at a moment."""

    record: int
    hash: str
    at: datetime

    @property
    def key(self) -> str:
        """The name of the object that says so. Keys sort in the order of the records."""
        return f"{PREFIX}{self.record:012d}-{self.hash}.json"

    @property
    def document(self) -> bytes:
        """What is stored under `key`, for whoever looks at the bucket without this program."""
        at = self.at.astimezone(UTC).isoformat()
        return json.dumps({"record": self.record, "hash": self.hash, "at": at}).encode()


def read(key: str, at: datetime) -> Anchor | None:
    """The anchor that a key names; None for a key that is none. `at` is when its object was stored."""
    found = _KEY.fullmatch(key)
    return Anchor(int(found[1]), found[2], at) if found else None


def due(connection: Connection) -> Anchor | None:
    """The anchor to write now: the chain has moved since the last one, and that one is a minute old."""
    end, last = audit.head(connection), newest(connection)
    now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    if end is None or (last is not None and (last.hash == end.hash or now - last.at < PAUSE)):
        return None
    return Anchor(end.record, end.hash, now)


def add(connection: Connection, written: Anchor) -> None:
    """Note an anchor that stands in the bucket."""
    values = {"record": written.record, "hash": written.hash, "key": written.key, "at": written.at}
    connection.execute(insert(anchors).values(values))


def newest(connection: Connection) -> Anchor | None:
    """The last anchor noted here."""
    query = select(anchors.c.record, anchors.c.hash, anchors.c.at)
    row = connection.execute(query.order_by(anchors.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else Anchor(**row._mapping)


def keys(connection: Connection) -> Iterator[str]:
    """The keys of all anchors noted here, in their order."""
    query = select(anchors.c.key).order_by(anchors.c.key.collate("C")).execution_options(yield_per=audit.BATCH)
    yield from connection.execute(query).scalars()
