"""Alerts: what stands, its history, what is to be drawn. Events open and clear them (`state.happenings`), people handle
them (`state.handling`), and what nobody handles is looked at again (`state.reminders`).

    firing ──resolve (a person) or the event that clears it──> resolved ──fires again in its window──> firing
    info      worth a message, needs nobody

Acknowledged, assigned and muted are attributes of a firing alert. What people did is kept beside the events of the
alert, as its history. A mute belongs to a family (one pipeline, one endpoint), not to one alert.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Text,
    case,
    cast,
    func,
    null,
    or_,
    select,
    text,
    update,
)

from pipeline.errors import BadInput, NotFound
from state.database import CHANNEL_ALERTS
from state.tables import alerts, events, mutes, outbox

State = Literal["firing", "resolved", "info"]
ACT = "act"
"""The kind of an entry of the history that a person made, its subject. Its fingerprint begins so, as no event's does:
what an event calls its kind anybody may choose."""


@dataclass(frozen=True)
class AlertRow:
    """One alert. `channel` is None for what is only recorded; texts and facts are hostile until rendered.

    `evidence` is what was found out about the failure: `count` (the alert's when it was looked at), `step`, `reason`,
    `lines` of the log, and a `note` about what could not be read; None before anybody looked.
    """

    id: str
    family: str
    topic: str
    subject: str
    environment: str | None
    severity: str
    state: State
    last_state: str
    title: str
    text: str
    facts: Mapping[str, str]
    count: int
    route: str
    channel: str | None
    mention: str
    first_at: datetime
    last_at: datetime
    group_until: datetime
    opened_at: datetime
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    assigned_to: str | None
    resolved_by: str | None
    resolved_at: datetime | None
    hold_until: datetime | None
    remind_at: datetime | None
    reminded: int
    escalate_at: datetime | None
    escalated_at: datetime | None
    evidence: Mapping[str, Any] | None
    dirty: bool


@dataclass(frozen=True)
class Entry:
    """One line of an alert's history: an event, or what a person (`by`) did."""

    at: datetime
    state: str
    title: str
    by: str | None


@dataclass(frozen=True)
class History:
    """The newest entries, oldest of them first, and how many older ones there are."""

    entries: Sequence[Entry]
    more: int


@dataclass(frozen=True)
class Mute:
    """Nothing of this family is posted until then."""

    id: str
    family: str
    user_id: str
    reason: str
    created_at: datetime
    until: datetime
    ended_at: datetime | None


def slot(id: str) -> str:
    """The outbox slot of an alert's message."""
    return f"alert-{id}"


def get(engine: Engine, id: str) -> AlertRow:
    """One alert by its id or the beginning of it. Raises NotFound, and BadInput when several begin so."""
    wanted = id.strip().lower()
    with engine.begin() as connection:
        begins = func.lower(alerts.c.id).startswith(wanted, autoescape=True)
        found = connection.execute(select(alerts).where(begins).order_by(alerts.c.last_at.desc()).limit(4)).all()
        exact = [row for row in found if row.id.lower() == wanted] or found
        if wanted and len(exact) == 1:
            return row_of(exact[0])
        if wanted and exact:
            raise BadInput(
                f"Several alerts begin with {id!r}: {', '.join(row.id for row in exact)}.", "Type more of it."
            )
        order = (alerts.c.state != "firing", alerts.c.last_at.desc())
        known = connection.scalars(select(alerts.c.id).order_by(*order).limit(200))
        raise NotFound("alert", id, [*known], "`alerts list` shows what is open.")


def of_family(connection: Connection, family: str) -> AlertRow | None:
    """The newest alert of a family that is firing or was resolved."""
    query = select(alerts).where(alerts.c.family == family, alerts.c.state != "info")
    order = (alerts.c.state != "firing", alerts.c.resolved_at.desc(), alerts.c.id)
    row = connection.execute(query.order_by(*order).limit(1)).one_or_none()
    return None if row is None else row_of(row)


def of_event(connection: Connection, fingerprint: str) -> AlertRow | None:
    """The alert to which an event belongs, None for an event without one."""
    on = select(events.c.alert).where(events.c.fingerprint == fingerprint)
    row = connection.execute(select(alerts).where(alerts.c.id == on.scalar_subquery())).one_or_none()
    return None if row is None else row_of(row)


def listed(
    engine: Engine, *, open_only: bool = True, environments: Sequence[str | None] | None = None, limit: int = 50
) -> Sequence[AlertRow]:
    """Alerts, the firing ones first and critical before others, then by when something last happened.

    With `environments`, only those of these environments; None in it stands for alerts of no environment.
    """
    query = select(alerts).order_by(alerts.c.state != "firing", CRITICAL_FIRST, alerts.c.last_at.desc()).limit(limit)
    if open_only:
        query = query.where(alerts.c.state == "firing")
    if environments is not None:
        named = alerts.c.environment.in_([env for env in environments if env])
        query = query.where(or_(named, alerts.c.environment.is_(None)) if None in environments else named)
    with engine.begin() as connection:
        return [row_of(row) for row in connection.execute(query)]


def history(connection: Connection, id: str, limit: int = 25) -> History:
    """What happened to an alert and who did what."""
    mine = events.c.alert == id
    order = (events.c.at.desc(), events.c.received_at.desc(), events.c.fingerprint)
    rows = connection.execute(select(events).where(mine).order_by(*order).limit(limit)).all()
    total = connection.scalar(select(func.count()).select_from(events).where(mine)) or 0
    entries = [
        Entry(row.at, row.state, row.title, row.subject if row.fingerprint.startswith(f"{ACT}:") else None)
        for row in rows
    ]
    return History(entries[::-1], total - len(entries))


def wake(connection: Connection) -> None:
    """Tell whoever draws, when the transaction ends, that there is something to draw."""
    connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL_ALERTS})


def dirty(connection: Connection, limit: int = 20) -> Sequence[AlertRow]:
    """What has changed since it was drawn, critical first, locked until the transaction ends."""
    query = select(alerts).where(alerts.c.dirty).order_by(CRITICAL_FIRST, alerts.c.opened_at, alerts.c.id)
    return [row_of(row) for row in connection.execute(query.limit(limit).with_for_update(skip_locked=True))]


def drawn(
    connection: Connection,
    id: str,
    *,
    hold_until: datetime | None = None,
    remind: timedelta | None = None,
    escalate: timedelta | None = None,
) -> None:
    """The message says what the row says. `remind` and `escalate` count from now, unless they already run.

    `hold_until`: nothing was posted; look again then.
    """
    firing = alerts.c.state == "firing"
    values = {
        "dirty": False,
        "hold_until": hold_until,
        "remind_at": _counting(firing & alerts.c.acknowledged_at.is_(None), alerts.c.remind_at, remind),
        "escalate_at": _counting(firing & alerts.c.escalated_at.is_(None), alerts.c.escalate_at, escalate),
    }
    connection.execute(update(alerts).where(alerts.c.id == id).values(values))


def standing(connection: Connection, id: str) -> Literal["", "queued", "posted"]:
    """Whether the alert's message was never queued, waits to be posted, or stands in its channel."""
    row = connection.execute(select(outbox.c.ts).where(outbox.c.slot == slot(id))).one_or_none()
    return "" if row is None else "posted" if row.ts else "queued"


def unexplained(connection: Connection, limit: int = 10) -> Sequence[AlertRow]:
    """Failed executions that were posted and whose failure nobody has read up on since it last happened."""
    seen = alerts.c.evidence["count"].astext == cast(alerts.c.count, Text)
    stale = alerts.c.evidence.is_(None) | ~seen
    wanted = (alerts.c.topic == "execution") & (alerts.c.state == "firing") & ~alerts.c.dirty
    query = (
        select(alerts).where(wanted, alerts.c.hold_until.is_(None), stale).order_by(CRITICAL_FIRST, alerts.c.last_at)
    )
    return [row_of(row) for row in connection.execute(query.limit(limit))]


def explained(connection: Connection, id: str, evidence: Mapping[str, Any]) -> None:
    """Keep what was found out about a failure; the message is drawn again."""
    connection.execute(update(alerts).where(alerts.c.id == id).values(evidence=evidence, dirty=True))
    wake(connection)


def muted(connection: Connection, family: str) -> Mute | None:
    """The mute that counts now."""
    newest = select(mutes).where(mutes.c.family == family, MUTED).order_by(mutes.c.created_at.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    return None if row is None else Mute(**row._mapping)


def muted_families(connection: Connection) -> set[str]:
    """The families of which nothing is posted now."""
    return set(connection.scalars(select(mutes.c.family).where(MUTED)))


CRITICAL_FIRST = alerts.c.severity != "critical"
MUTED = mutes.c.ended_at.is_(None) & (mutes.c.until > func.now())


def _counting(when: ColumnElement[bool], moment: ColumnElement[Any], after: timedelta | None) -> Any:
    """The moment as it is or, where none runs and one should, a new one; none at all where none should run."""
    running = moment if after is None else func.coalesce(moment, func.now() + after)
    return case((when, running), else_=null())


def row_of(row: Row[Any]) -> AlertRow:
    """A row of the table as a value."""
    return AlertRow(**row._mapping)
