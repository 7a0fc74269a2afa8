"""What people do about alerts: acknowledge, assign, resolve, mute. Each is a line in the history and is drawn again.

Every change of an alert is one compare-and-set: two people pressing at once have one effect, and the second learns it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, insert, null, update

from state.alerts import ACT, AlertRow, Mute, row_of, wake
from state.tables import alerts, events, mutes, subjects


def acknowledge(connection: Connection, id: str, user: str) -> AlertRow | None:
    """Somebody has seen it: no more reminders. None when it is not firing or was acknowledged before."""
    free = (alerts.c.state == "firing") & alerts.c.acknowledged_by.is_(None)
    values = {"acknowledged_by": user, "acknowledged_at": func.now(), "remind_at": null()}
    return _act(connection, id, free, values, user, "acknowledged")


def assign(
    connection: Connection, id: str, user: str, *, by: str | None = None, anyway: bool = False
) -> AlertRow | None:
    """Give it to somebody; that acknowledges it too. `by`: who says so, where that is another person.

    None when it is not firing or, unless `anyway`, when somebody has it already.
    """
    free = (alerts.c.state == "firing") & alerts.c.assigned_to.is_distinct_from(user)
    free = free if anyway else free & alerts.c.assigned_to.is_(None)
    who = by or user
    values = {
        "assigned_to": user,
        "acknowledged_by": func.coalesce(alerts.c.acknowledged_by, who),
        "acknowledged_at": func.coalesce(alerts.c.acknowledged_at, func.now()),
        "remind_at": null(),
    }
    return _act(connection, id, free, values, who, "assigned", "" if who == user else f"to {user}")


def resolve(connection: Connection, id: str, user: str, reason: str = "") -> AlertRow | None:
    """A person ends it, whatever its subjects say; a later failure fires again. None when it is not firing."""
    values = {"resolved_by": user, "resolved_at": func.now(), "state": "resolved", "remind_at": null()}
    values |= {"hold_until": null(), "escalate_at": null()}
    row = _act(connection, id, alerts.c.state == "firing", values, user, "resolved", reason)
    if row is not None:
        connection.execute(update(subjects).where(subjects.c.alert == id).values(alert=null()))
    return row


def mute(connection: Connection, family: str, user: str, until: datetime, reason: str = "") -> Mute:
    """Post nothing of this family until then; a newer mute takes the place of an older one."""
    _end_mutes(connection, mutes.c.family == family)
    values = {"id": f"M{secrets.token_hex(6)}", "family": family, "user_id": user, "reason": reason, "until": until}
    made = Mute(**connection.execute(insert(mutes).values(values).returning(mutes)).one()._mapping)
    until_words = f"until {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    _redraw(connection, family, user, "muted", f"{until_words} · {reason}" if reason else until_words)
    return made


def unmute(connection: Connection, family: str, user: str) -> bool:
    """Post again what happens to this family. False when it is not muted."""
    if not _end_mutes(connection, (mutes.c.family == family) & (mutes.c.until > func.now())):
        return False
    _redraw(connection, family, user, "unmuted", "")
    return True


def _act(
    connection: Connection,
    id: str,
    free: ColumnElement[bool],
    values: Mapping[str, Any],
    user: str,
    what: str,
    said: str = "",
) -> AlertRow | None:
    """One compare-and-set by a person, with its line in the history."""
    change = update(alerts).where(alerts.c.id == id, free).values(**values, dirty=True)
    row = connection.execute(change.returning(alerts)).one_or_none()
    if row is None:
        return None
    _write(connection, [id], user, what, said)
    wake(connection)
    return row_of(row)


def _redraw(connection: Connection, family: str, user: str, what: str, said: str) -> None:
    """The firing alert of a family says what was done to the family."""
    touched = (alerts.c.family == family) & ((alerts.c.state == "firing") | alerts.c.hold_until.is_not(None))
    change = update(alerts).where(touched).values(dirty=True, hold_until=null()).returning(alerts.c.id)
    _write(connection, list(connection.scalars(change)), user, what, said)
    wake(connection)


def _write(connection: Connection, ids: Sequence[str], user: str, what: str, said: str) -> None:
    rows = [
        {
            "fingerprint": f"{ACT}:{secrets.token_hex(16)}",
            "kind": ACT,
            "subject": user,
            "state": what,
            "title": said,
            "alert": id,
            "at": func.now(),
        }
        for id in ids
    ]
    if rows:
        connection.execute(insert(events).values(rows))


def _end_mutes(connection: Connection, where: ColumnElement[bool]) -> Sequence[str]:
    change = update(mutes).where(mutes.c.ended_at.is_(None), where).values(ended_at=func.now())
    return list(connection.scalars(change.returning(mutes.c.family)))
