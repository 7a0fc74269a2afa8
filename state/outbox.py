"""The outbox: what Slack is to be told. One row is one message; a row with a slot is edited in place.

A new edit of a slot replaces the one that has not been sent yet. `revision` tells a sender that the content changed
while it was sending; `unsure` that a post may have happened although no answer came. A row `below` a slot is `held`
until the message of that slot stands, and then hangs in its thread. Rows of one `lane` are sent one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any, Literal

from sqlalchemy import Connection, Row, Text, case, cast, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from state.database import CHANNEL_OUTBOX
from state.redaction import redacted
from state.tables import outbox

Kind = Literal["message", "ephemeral", "respond"]

NO_ROOT = "the message it hangs below could not be posted"


class Priority(IntEnum):
    """Who must not wait: lower goes first."""

    ANSWER = 0
    """What a person asked for."""
    CRITICAL = 1
    """An alert that cannot wait."""
    FIRING = 2
    """Other alerts that need somebody."""
    POST = 3
    """Everything else that is said once: resolved alerts, cards, final states."""
    LIVE = 4
    """Progress, soon replaced by the next."""


@dataclass(frozen=True)
class OutboxRow:
    """One message. `ts` is set once it stands in the channel: from then on it is edited, not posted.

    `meant_for` is the channel it was for when that could not be reached.
    """

    id: int
    kind: Kind
    state: str
    priority: int
    channel: str | None
    user_id: str | None
    thread_ts: str | None
    response_url: str | None = field(repr=False)
    slot: str | None
    below: str | None
    meant_for: str | None
    lane: str
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
    queued_at: datetime
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
    below: str | None = None,
    not_before: datetime | None = None,
    unsure: bool = False,
) -> int | None:
    """Queue a message, or the next edit of the slot's message, which stays in the channel where it was first posted.

    `below` is the slot of the message in whose thread it hangs. `unsure`: it may stand in Slack already, so the sender
    looks for it before it posts. Returns the row's id, or None for what can never be posted: an edit of a message that
    could not be, or a message below one.
    """
    root = root_of(connection, below) if below else None
    new = insert(outbox).values(
        kind=kind,
        state="queued" if below is None else _state_below(root),
        content=redacted(content),
        priority=priority,
        channel=root.channel if root else channel,
        user_id=user,
        thread_ts=thread_of(root) if root else thread_ts,
        response_url=response_url,
        slot=slot,
        below=below,
        picture=picture,
        picture_name=picture_name,
        invocation=invocation,
        unsure=unsure,
        error=NO_ROOT if below and _state_below(root) == "failed" else None,
        not_before=not_before or func.now(),
    )
    waits = outbox.c.state == "queued"
    pending = waits | outbox.c.ts.is_(None)
    edited = {
        "content": new.excluded.content,
        "priority": case((pending, func.least(outbox.c.priority, new.excluded.priority)), else_=new.excluded.priority),
        "picture": new.excluded.picture,
        "picture_name": new.excluded.picture_name,
        "revision": outbox.c.revision + 1,
        "state": case((outbox.c.state.in_(["sending", "held"]), outbox.c.state), else_="queued"),
        "attempts": 0,
        "unsure": outbox.c.unsure | new.excluded.unsure,
        "not_before": case((waits, outbox.c.not_before), else_=new.excluded.not_before),
        "queued_at": case((waits, outbox.c.queued_at), else_=func.now()),
    }
    upsert = new.on_conflict_do_update(
        index_elements=["slot"], set_=edited, where=(outbox.c.state != "failed") | outbox.c.ts.is_not(None)
    )
    row = connection.execute(upsert.returning(outbox.c.id, outbox.c.state)).one_or_none()
    connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL_OUTBOX})
    return None if row is None or row.state == "failed" else int(row.id)


def root_of(connection: Connection, slot: str) -> Row[Any] | None:
    """The message of a slot, locked against being sent unnoticed until this transaction ends."""
    return connection.execute(select(outbox).where(outbox.c.slot == slot).with_for_update()).one_or_none()


def _state_below(root: Row[Any] | None) -> str:
    if root is None:
        return "held"
    if root.ts is not None or root.state == "sent":
        return "queued"
    return "failed" if root.state == "failed" else "held"


def thread_of(root: Row[Any]) -> str | None:
    """The thread in which a message hangs that is put below another."""
    thread: str | None = root.thread_ts or root.ts
    return thread


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
