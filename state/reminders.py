"""When an alert is looked at again by itself: held ones, mutes that end, reminders, the escalation.

What is due is locked until the transaction ends and changed by compare-and-set, in the transaction that queues the
message: two leaders in a change of leader ask once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, null, select, update

from state.alerts import CRITICAL_FIRST, MUTED, AlertRow, row_of
from state.tables import alerts, mutes


def release_held(connection: Connection) -> int:
    """What was held and is held no longer is drawn again. Returns how many."""
    over = alerts.c.hold_until <= func.now()
    return connection.execute(update(alerts).where(over).values(dirty=True, hold_until=null())).rowcount


def end_mutes(connection: Connection) -> int:
    """Mutes whose time is over end, and what they muted is drawn again. Returns how many ended."""
    over = update(mutes).where(mutes.c.ended_at.is_(None), mutes.c.until <= func.now()).values(ended_at=mutes.c.until)
    ended = list(connection.scalars(over.returning(mutes.c.family)))
    if ended:
        firing = alerts.c.family.in_(ended) & (alerts.c.state == "firing")
        connection.execute(update(alerts).where(firing).values(dirty=True, hold_until=null()))
    return len(ended)


def due_reminders(connection: Connection, limit: int = 20) -> Sequence[AlertRow]:
    """What nobody has acknowledged in time and nothing mutes, locked until the transaction ends."""
    return _due(connection, alerts.c.remind_at, limit)


def reminded(connection: Connection, row: AlertRow, next_at: datetime | None) -> bool:
    """Note a reminder and when the next is due, None for never.

    False when the alert has changed since, or somebody else did it.
    """
    same = (alerts.c.id == row.id) & (alerts.c.reminded == row.reminded) & (alerts.c.remind_at == row.remind_at)
    change = update(alerts).where(same, _WAITING).values(reminded=alerts.c.reminded + 1, remind_at=next_at)
    return connection.execute(change).rowcount == 1


def due_escalations(connection: Connection, limit: int = 20) -> Sequence[AlertRow]:
    """What must be told to others because nobody has acknowledged it, locked until the transaction ends."""
    return _due(connection, alerts.c.escalate_at, limit, alerts.c.escalated_at.is_(None))


def escalated(connection: Connection, row: AlertRow) -> bool:
    """Note the one escalation of an alert. False when it has changed since, or somebody else did it."""
    same = (alerts.c.id == row.id) & alerts.c.escalated_at.is_(None) & (alerts.c.escalate_at == row.escalate_at)
    change = update(alerts).where(same, _WAITING).values(escalated_at=func.now(), escalate_at=null())
    return connection.execute(change).rowcount == 1


def postpone(connection: Connection, row: AlertRow, until: datetime) -> None:
    """In quiet hours nobody is asked: what is due before `until` is due then."""
    moments = {
        name: case((alerts.c[name] < until, until), else_=alerts.c[name]) for name in ("remind_at", "escalate_at")
    }
    connection.execute(update(alerts).where(alerts.c.id == row.id).values(moments))


_WAITING = (alerts.c.state == "firing") & alerts.c.acknowledged_by.is_(None) & alerts.c.hold_until.is_(None)
_UNMUTED = ~select(mutes.c.id).where(mutes.c.family == alerts.c.family, MUTED).exists()


def _due(
    connection: Connection, moment: ColumnElement[Any], limit: int, *where: ColumnElement[bool]
) -> Sequence[AlertRow]:
    query = select(alerts).where(_WAITING, _UNMUTED, moment <= func.now(), *where).order_by(CRITICAL_FIRST, moment)
    return [row_of(row) for row in connection.execute(query.limit(limit).with_for_update(skip_locked=True))]
