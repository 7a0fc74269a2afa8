"""Invocations: every press, word and schedule as one row, worked on by one worker at a time.

A worker holds a row by a lease it keeps renewing. Slack's delivery id is unique: a repeated delivery changes nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Row, Select, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from state.database import CHANNEL_INVOCATIONS
from state.tables import invocations

LEASE = timedelta(seconds=15)
Surface = Literal["command", "action", "shortcut", "global", "form", "mention", "approval", "terminal"]
"""`shortcut` is one on a message, `global` one from anywhere; `mention` a message to the bot, also in its own chat."""


@dataclass(frozen=True)
class Arrival:
    """What a surface knows when somebody wants something. `delivery` is unique for this one press or word."""

    surface: Surface
    delivery: str
    team: str
    user: str
    text: str
    user_name: str = ""
    channel: str | None = None
    message_ts: str | None = None
    thread_ts: str | None = None
    response_url: str | None = field(default=None, repr=False)
    trigger_id: str | None = field(default=None, repr=False)
    """What opens one form for this person, for three seconds."""
    files: Sequence[str] = ()
    approval: str | None = None


@dataclass(frozen=True)
class Invocation:
    """A stored arrival with its identity and its place in the queue."""

    id: str
    delivery: str
    surface: Surface
    team: str
    user_id: str
    user_name: str
    channel: str | None
    text: str
    message_ts: str | None
    thread_ts: str | None
    response_url: str | None = field(repr=False)
    trigger_id: str | None = field(repr=False)
    files: Sequence[str]
    approval: str | None
    state: str
    outcome: str | None
    worker: str | None
    attempts: int
    lease_until: datetime | None
    created_at: datetime
    finished_at: datetime | None


_FIELDS = (
    "id",
    "delivery",
    "surface",
    "team",
    "user_id",
    "user_name",
    "channel",
    "text",
    "message_ts",
    "thread_ts",
    "response_url",
    "trigger_id",
    "files",
    "approval",
)


def _accepting() -> Select[tuple[str, Any]]:
    new = insert(invocations).values({name: bindparam(name) for name in _FIELDS})
    stored = new.on_conflict_do_nothing(index_elements=["delivery"]).returning(invocations.c.id).cte("stored")
    return select(stored.c.id, func.pg_notify(CHANNEL_INVOCATIONS, stored.c.id))


_ACCEPT = _accepting()
"""Built once: an acknowledgement waits for this statement."""


def accept(connection: Connection, arrival: Arrival) -> str | None:
    """Store an arrival and wake a worker, in one statement. Returns its id, None if this delivery was stored before."""
    row = connection.execute(_ACCEPT, _values(arrival)).one_or_none()
    return None if row is None else str(row.id)


def begin(connection: Connection, arrival: Arrival, worker: str) -> Invocation:
    """Store an arrival already claimed by `worker` (the terminal works on its own invocation)."""
    values = {
        **_values(arrival),
        "state": "running",
        "worker": worker,
        "attempts": 1,
        "lease_until": func.now() + LEASE,
    }
    return _row(connection.execute(insert(invocations).values(values).returning(invocations)).one())


def claim(engine: Engine, worker: str) -> Invocation | None:
    """Take the oldest waiting row, or None. Rows another worker is just taking are passed over."""
    oldest = (
        select(invocations.c.id)
        .where(invocations.c.state == "waiting")
        .order_by(invocations.c.created_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    return _take(engine, invocations.c.id == oldest, worker)


def claim_abandoned(engine: Engine, worker: str) -> Invocation | None:
    """Take one row whose worker stopped renewing its lease, or None. `attempts` says how often it was begun."""
    abandoned = (
        select(invocations.c.id)
        .where(invocations.c.state == "running", invocations.c.lease_until < func.now())
        .order_by(invocations.c.lease_until)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    return _take(engine, invocations.c.id == abandoned, worker)


def release(engine: Engine, id: str) -> None:
    """Give a row back, to be worked on again by whoever is free."""
    with engine.begin() as connection:
        connection.execute(
            update(invocations)
            .where(invocations.c.id == id, invocations.c.state == "running")
            .values(state="waiting", worker=None, lease_until=None)
        )
        connection.execute(select(func.pg_notify(CHANNEL_INVOCATIONS, id)))


def renew(engine: Engine, worker: str) -> int:
    """Lengthen the leases of everything `worker` is running. Returns how many there are."""
    held = (invocations.c.worker == worker) & (invocations.c.state == "running")
    with engine.begin() as connection:
        return connection.execute(update(invocations).where(held).values(lease_until=func.now() + LEASE)).rowcount


def holds(connection: Connection, id: str, worker: str) -> bool:
    """Whether `worker` still has the row; locks it, so that nobody takes it before the transaction ends."""
    row = connection.execute(
        select(invocations.c.id)
        .where(invocations.c.id == id, invocations.c.worker == worker, invocations.c.state == "running")
        .with_for_update()
    ).one_or_none()
    return row is not None


def finish(connection: Connection, id: str, outcome: str) -> None:
    """Close a row. Its response_url and trigger are forgotten with it: they are keys and no longer needed here."""
    ended = {"state": "finished", "outcome": outcome, "finished_at": func.now(), "lease_until": None}
    keys = {"response_url": None, "trigger_id": None}
    connection.execute(update(invocations).where(invocations.c.id == id).values(ended | keys))


def called(connection: Connection, users: Iterable[str]) -> dict[str, str]:
    """What some users were called when they last typed something."""
    known = invocations.c.user_id.in_(list(users)) & (invocations.c.user_name != "")
    newest = select(invocations.c.user_id, invocations.c.user_name).where(known).order_by(invocations.c.created_at)
    return {row.user_id: row.user_name for row in connection.execute(newest)}


def _values(arrival: Arrival) -> dict[str, Any]:
    return {
        "id": uuid.uuid4().hex,
        "delivery": arrival.delivery,
        "surface": arrival.surface,
        "team": arrival.team,
        "user_id": arrival.user,
        "user_name": arrival.user_name,
        "channel": arrival.channel,
        "text": arrival.text,
        "message_ts": arrival.message_ts,
        "thread_ts": arrival.thread_ts,
        "response_url": arrival.response_url,
        "trigger_id": arrival.trigger_id,
        "files": list(arrival.files),
        "approval": arrival.approval,
    }


def _take(engine: Engine, which: Any, worker: str) -> Invocation | None:
    with engine.begin() as connection:
        row = connection.execute(
            update(invocations)
            .where(which)
            .values(
                state="running",
                worker=worker,
                attempts=invocations.c.attempts + 1,
                lease_until=func.now() + LEASE,
            )
            .returning(invocations)
        ).one_or_none()
        return None if row is None else _row(row)


def _row(row: Row[Any]) -> Invocation:
    return Invocation(**row._mapping)
