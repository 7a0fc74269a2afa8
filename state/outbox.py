"""The outbox: what Slack is to be told. One row is one message; a row with a slot is edited in place.

A new edit of a slot replaces the one that has not been sent yet. `revision` tells a sender that the content changed
while it was sending; `unsure` that a post may have happened although no answer came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, Literal

from sqlalchemy import Connection, Row, Text, case, cast, func, null, select, text, update
from sqlalchemy.dialects.postgresql import insert

from state.database import CHANNEL_OUTBOX
from state.tables import outbox

Kind = Literal["message", "ephemeral", "respond"]


class Priority(IntEnum):
    """Who must not wait: lower goes first."""

    ANSWER = 0
    POST = 1
    LIVE = 2


@dataclass(frozen=True)
class OutboxRow:
    """One message. `ts` is set once it stands in the channel: from then on it is edited, not posted."""

    id: int
    kind: Kind
    state: str
    priority: int
    channel: str | None
    user_id: str | None
    thread_ts: str | None
    response_url: str | None = field(repr=False)
    slot: str | None
    content: Mapping[str, Any] = field(repr=False)
    revision: int
    picture: bytes | None = field(repr=False)
    picture_name: str | None
    ts: str | None
    unsure: bool
    attempts: int
    error: str | None
    invocation: str | None
    not_before: datetime
    created_at: datetime
    sent_at: datetime | None


def put(
    connection: Connection,
    kind: Kind,
    content: Mapping[str, Any],
    *,
    priority: Priority,
    channel: str | None = None,
    user: str | None = None,
    thread_ts: str | None = None,
    response_url: str | None = None,
    slot: str | None = None,
    picture: bytes | None = None,
    picture_name: str | None = None,
    invocation: str | None = None,
) -> int | None:
    """Queue a message, or the next edit of the slot's message, which stays in the channel where it was first posted.

    Returns the row's id, or None for an edit of a slot whose message could never be posted.
    """
    new = insert(outbox).values(
        kind=kind,
        content=content,
        priority=priority,
        channel=channel,
        user_id=user,
        thread_ts=thread_ts,
        response_url=response_url,
        slot=slot,
        picture=picture,
        picture_name=picture_name,
        invocation=invocation,
    )
    edited = {
        "content": new.excluded.content,
        "priority": case((outbox.c.ts.is_(None), outbox.c.priority), else_=new.excluded.priority),
        "picture": new.excluded.picture,
        "picture_name": new.excluded.picture_name,
        "revision": outbox.c.revision + 1,
        "state": case((outbox.c.state == "sending", "sending"), else_="queued"),
        "attempts": 0,
        "not_before": case((outbox.c.state == "queued", outbox.c.not_before), else_=func.now()),
    }
    upsert = new.on_conflict_do_update(
        index_elements=["slot"], set_=edited, where=(outbox.c.state != "failed") | outbox.c.ts.is_not(None)
    )
    row = connection.execute(upsert.returning(outbox.c.id)).one_or_none()
    connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL_OUTBOX})
    return None if row is None else int(row.id)


def slot_exists(connection: Connection, slot: str) -> bool:
    """Whether a message with this slot was ever queued."""
    return connection.scalar(select(outbox.c.id).where(outbox.c.slot == slot)) is not None


def copies(connection: Connection, slot: str) -> Sequence[str]:
    """The slots of the same message in other places: they are called after it (`copy_of`)."""
    return list(connection.scalars(select(outbox.c.slot).where(outbox.c.slot.startswith(f"{slot}#", autoescape=True))))


def copy_of(slot: str, place: str) -> str:
    """The slot of a message's copy in a channel: it is edited together with the message."""
    return f"{slot}#{place}"


def detach(connection: Connection, slot: str) -> None:
    """Let the slot's message rest as it is: the next `put` with this slot posts a new one."""
    resting = outbox.c.slot + "@" + cast(outbox.c.id, Text)
    connection.execute(update(outbox).where(outbox.c.slot == slot).values(slot=resting))


def waiting(connection: Connection, limit: int = 50) -> Sequence[OutboxRow]:
    """What could be sent now, most urgent first. Picture bytes are left out; `take` brings them."""
    columns = [null().label("picture") if column.name == "picture" else column for column in outbox.c]
    query = select(*columns).where(outbox.c.state == "queued", outbox.c.not_before <= func.now())
    return [_row(row) for row in connection.execute(query.order_by(outbox.c.priority, outbox.c.id).limit(limit))]


def seconds_to_next(connection: Connection) -> float | None:
    """Seconds until a queued row may be sent (0 if now), None when nothing is queued."""
    wait = connection.scalar(
        select(func.extract("epoch", func.min(outbox.c.not_before) - func.now())).where(outbox.c.state == "queued")
    )
    return None if wait is None else max(0.0, float(wait))


def take(connection: Connection, id: int) -> OutboxRow | None:
    """Mark a queued row as being sent and return it as it is now."""
    change = update(outbox).where(outbox.c.id == id, outbox.c.state == "queued")
    values = {"state": "sending", "attempts": outbox.c.attempts + 1}
    row = connection.execute(change.values(values).returning(outbox)).one_or_none()
    return None if row is None else _row(row)


def sent(connection: Connection, row: OutboxRow, ts: str | None) -> None:
    """The message stands. If its content changed meanwhile it is queued again, as an edit."""
    unchanged = outbox.c.revision == row.revision
    connection.execute(
        update(outbox)
        .where(outbox.c.id == row.id)
        .values(
            ts=func.coalesce(ts, outbox.c.ts),
            state=case((unchanged, "sent"), else_="queued"),
            picture=case((unchanged, null()), else_=outbox.c.picture),
            response_url=null(),
            unsure=False,
            error=None,
            sent_at=func.now(),
        )
    )


def again(connection: Connection, id: int, *, pause: timedelta, unsure: bool, error: str) -> None:
    """Send the row later. `unsure`: this attempt may have reached Slack, so look before posting again."""
    values = {"state": "queued", "not_before": func.now() + pause, "error": error, "unsure": outbox.c.unsure | unsure}
    connection.execute(update(outbox).where(outbox.c.id == id).values(values))


def redirect(connection: Connection, id: int, content: Mapping[str, Any]) -> None:
    """Send the row by its response_url instead: the bot is not in that channel."""
    values = {"kind": "respond", "content": content, "priority": Priority.ANSWER, "state": "queued", "picture": null()}
    connection.execute(update(outbox).where(outbox.c.id == id).values(values))


def replace_content(connection: Connection, row: OutboxRow, content: Mapping[str, Any]) -> None:
    """Queue the row with simpler content because Slack refused what it had; an edit that came meanwhile goes first."""
    same = (outbox.c.id == row.id) & (outbox.c.revision == row.revision)
    connection.execute(update(outbox).where(same).values(content=content, picture=null()))
    connection.execute(update(outbox).where(outbox.c.id == row.id).values(state="queued"))


def store_content(connection: Connection, row: OutboxRow, content: Mapping[str, Any]) -> None:
    """Remember content that gained something while it is being sent (an uploaded file's id), unless it was replaced."""
    same = (outbox.c.id == row.id) & (outbox.c.revision == row.revision)
    connection.execute(update(outbox).where(same).values(content=content))


def failed(connection: Connection, id: int, error: str) -> None:
    """Give up on a row and say why."""
    connection.execute(
        update(outbox).where(outbox.c.id == id).values(state="failed", error=error, picture=null(), response_url=null())
    )


def take_over(connection: Connection) -> int:
    """After a change of leader: what the last one was sending goes back into the queue, marked unsure.

    What cannot be recognised in Slack afterwards (ephemerals, response_url) is sent at most once and given up here.
    Returns how many rows were in doubt.
    """
    doubtful = outbox.c.state == "sending"
    lost = connection.execute(
        update(outbox)
        .where(doubtful, outbox.c.kind != "message")
        .values(state="failed", error="the sender stopped while sending", picture=null(), response_url=null())
    ).rowcount
    kept = connection.execute(
        update(outbox).where(doubtful).values(state="queued", unsure=True, not_before=func.now())
    ).rowcount
    return lost + kept


def _row(row: Row[Any]) -> OutboxRow:
    return OutboxRow(**row._mapping)
