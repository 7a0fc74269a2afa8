"""The audit log: two records for every invocation, `opened` before and `closed` after it, whatever came.

Records are only ever appended. They are numbered without gaps and chained (`state.chain`), one after the other under a
lock: the chain has one end, however many workers write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, and_, exists, func, insert, or_, select, true

from state.chain import GENESIS, Link, digest
from state.database import LOCK_AUDIT
from state.redaction import redact
from state.tables import audit

Type = Literal["command", "break-glass", "elevation", "review"]

BATCH = 1000
"""Records held in memory at a time while the whole log is read."""


@dataclass(frozen=True)
class AuditRow:
    """One record as it was written. `session` is the AWS session's name, `requests` the ids AWS gave its calls."""

    id: int
    invocation: str
    type: Type
    phase: Literal["opened", "closed"]
    surface: str
    team: str
    user_id: str
    role: str | None
    command: str
    arguments: Mapping[str, Any]
    approval: str | None
    outcome: str | None
    detail: str
    session: str | None
    requests: Sequence[str]
    at: datetime
    previous: str
    hash: str


@dataclass(frozen=True)
class Filter:
    """Which records; what is None does not matter. `command` is how the line begins, `before` a record's number."""

    user: str | None = None
    command: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    before: int | None = None


def append(
    connection: Connection,
    phase: Literal["opened", "closed"],
    *,
    invocation: str,
    surface: str,
    team: str,
    user: str,
    command: str,
    role: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    approval: str | None = None,
    outcome: str | None = None,
    detail: str = "",
    session: str | None = None,
    requests: Sequence[str] = (),
    type: Type = "command",
) -> int:
    """Write one record and return its number. What looks like a key, token or signature is replaced before it is kept.

    Holds the end of the chain until the transaction ends: nobody else appends meanwhile.
    """
    connection.execute(select(func.pg_advisory_xact_lock(LOCK_AUDIT)))
    newest = connection.execute(_NEWEST).one()  # asked after the lock is ours, so nobody has appended since
    record = {
        "id": (newest.id or 0) + 1,
        "invocation": invocation,
        "type": type,
        "phase": phase,
        "surface": surface,
        "team": team,
        "user_id": user,
        "role": role,
        "command": redact(command),
        "arguments": {name: redact(str(value)) for name, value in (arguments or {}).items()},
        "approval": approval,
        "outcome": outcome,
        "detail": redact(detail),
        "session": session,
        "requests": list(requests),
        "at": newest.at,
        "previous": newest.hash or GENESIS,
    }
    connection.execute(insert(audit).values(record | {"hash": digest(record)}))
    return int(record["id"])


def head(connection: Connection) -> Link | None:
    """The end of the chain; None while nothing was recorded."""
    newest = connection.execute(_NEWEST).one()
    return None if newest.id is None else Link(newest.id, newest.hash)


def every(connection: Connection, since: datetime | None = None) -> Iterator[dict[str, Any]]:
    """All records in their order, as the columns stand there; read in batches, so memory does not grow."""
    query = select(audit).order_by(audit.c.id).execution_options(yield_per=BATCH)
    if since is not None:
        query = query.where(audit.c.at >= since)
    with connection.execute(query) as rows:  # closed also when the reader stops half-way
        for row in rows:
            yield row._asdict()


def find(connection: Connection, wanted: Filter, limit: int) -> Sequence[AuditRow]:
    """What was done, newest first: the closed records, and the opened ones of what has not ended."""
    other = audit.alias()
    ended = exists().where(other.c.invocation == audit.c.invocation, other.c.phase == "closed")
    query = select(audit).where(or_(audit.c.phase == "closed", and_(audit.c.phase == "opened", ~ended)))
    if wanted.user is not None:
        query = query.where(audit.c.user_id == wanted.user)
    if wanted.command is not None:
        query = query.where(audit.c.command.istartswith(wanted.command, autoescape=True))
    if wanted.outcome is not None:
        query = query.where(audit.c.outcome == wanted.outcome)
    if wanted.since is not None:
        query = query.where(audit.c.at >= wanted.since)
    if wanted.before is not None:
        query = query.where(audit.c.id < wanted.before)
    rows = connection.execute(query.order_by(audit.c.id.desc()).limit(limit))
    return [AuditRow(**row._mapping) for row in rows]


def of_invocation(connection: Connection, invocation: str) -> Sequence[AuditRow]:
    """The records of one invocation, or of all whose ids begin so, oldest first."""
    begins = audit.c.invocation.startswith(invocation, autoescape=True)
    rows = connection.execute(select(audit).where(begins).order_by(audit.c.id))
    return [AuditRow(**row._mapping) for row in rows]


def hash_of(connection: Connection, record: int) -> str | None:
    """A record's hash as it stands there, None when there is no such record."""
    return connection.scalar(select(audit.c.hash).where(audit.c.id == record))


def written(connection: Connection, record: int) -> datetime | None:
    """When a record was written, None when there is no such record."""
    return connection.scalar(select(audit.c.at).where(audit.c.id == record))


_LAST = select(audit.c.id, audit.c.hash).order_by(audit.c.id.desc()).limit(1).subquery()
_NEWEST = select(func.clock_timestamp().label("at"), _LAST.c.id, _LAST.c.hash).select_from(
    select(true().label("always")).subquery().outerjoin(_LAST, true())
)
"""Always one row: the time, and the last record if there is one."""
