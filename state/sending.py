"""The outbox as the leader's sender works through it: which row is next, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, case, delete, func, null, select, update

from state.outbox import NO_ROOT, OutboxRow, Priority, root_of, thread_of
from state.tables import outbox

KEEP = timedelta(days=15)
"""How long a message without a slot is kept after it was queued: to see why it did not come, should somebody ask."""
_URGENT_FIRST = (outbox.c.priority, outbox.c.queued_at, outbox.c.id)


def _first_of_lanes() -> Select[Any]:
    ready = [outbox.c.state == "queued", outbox.c.not_before <= func.now()]
    turn = (outbox.c.lane, *_URGENT_FIRST)
    heads = select(outbox.c.id, outbox.c.lane).where(*ready).order_by(*turn).limit(1).cte("heads", recursive=True)
    after = select(outbox.c.id, outbox.c.lane).where(*ready, outbox.c.lane > heads.c.lane).order_by(*turn).limit(1)
    heads = heads.union_all(select(after.correlate(heads).lateral("after")).select_from(heads))
    columns = [null().label("picture") if column.name == "picture" else column for column in outbox.c]
    return select(*columns).join(heads, heads.c.id == outbox.c.id).order_by(*_URGENT_FIRST)


_WAITING = _first_of_lanes()


def waiting(connection: Connection) -> Sequence[OutboxRow]:
    """What could be sent now: the first row of every lane, most urgent first and then in the order they were queued.

    The index is entered once for each lane, so a lane of ten thousand rows costs no more than one of ten.
    Picture bytes are left out; `take` brings them.
    """
    return [_row(row) for row in connection.execute(_WAITING)]


def seconds_to_next(connection: Connection) -> float | None:
    """Seconds until a queued row that must wait may be sent, None when none must wait."""
    wait = func.extract("epoch", func.min(outbox.c.not_before) - func.now())
    later = connection.scalar(select(wait).where(outbox.c.state == "queued", outbox.c.not_before > func.now()))
    return None if later is None else max(0.0, float(later))


def take(connection: Connection, row: OutboxRow) -> OutboxRow | None:
    """Mark a waiting row as being sent and return it as it is now; None when it no longer waits in its lane."""
    same = (outbox.c.id == row.id) & (outbox.c.lane == row.lane)
    change = update(outbox).where(same, outbox.c.state == "queued")
    values = {"state": "sending", "attempts": outbox.c.attempts + 1}
    taken = connection.execute(change.values(values).returning(outbox)).one_or_none()
    return None if taken is None else _row(taken)


def sent(connection: Connection, row: OutboxRow, ts: str | None) -> None:
    """The message stands. If its content changed meanwhile it is queued again, as an edit.

    What was to hang below it goes into its thread now.
    """
    unchanged = outbox.c.revision == row.revision
    stands = connection.execute(
        update(outbox)
        .where(outbox.c.id == row.id)
        .values(
            ts=func.coalesce(ts, outbox.c.ts),
            state=case((unchanged, "sent"), else_="queued"),
            picture=case((unchanged, null()), else_=outbox.c.picture),
            response_url=null(),
            unsure=False,
            error=None,
            queued_at=func.now(),
            sent_at=func.now(),
        )
        .returning(outbox.c.slot, outbox.c.channel, outbox.c.thread_ts, outbox.c.ts)
    ).one_or_none()
    if stands is not None and stands.slot is not None:
        _release(connection, stands)


def _release(connection: Connection, root: Row[Any]) -> None:
    values = {"state": "queued", "channel": root.channel, "thread_ts": thread_of(root), "queued_at": func.now()}
    connection.execute(update(outbox).where(outbox.c.below == root.slot, outbox.c.state == "held").values(values))


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
    """Give up on a row and say why; what was to hang below it is given up too."""
    values = {"state": "failed", "picture": null(), "response_url": null()}
    gone = update(outbox).where(outbox.c.id == id).values(values | {"error": error}).returning(outbox.c.slot)
    slot = connection.scalar(gone)
    if slot is not None:
        held = (outbox.c.below == slot) & (outbox.c.state == "held")
        connection.execute(update(outbox).where(held).values(values | {"error": NO_ROOT}))


def move(connection: Connection, row: OutboxRow, channel: str) -> None:
    """Post the row's message anew in another channel; a message and what hangs below it go there together."""
    root = root_of(connection, row.below) if row.below else None
    root_id, slot = (root.id, root.slot) if root else (row.id, row.slot)
    anew = {"ts": null(), "thread_ts": null(), "channel": channel, "unsure": False, "attempts": 0}
    anew |= {"meant_for": func.coalesce(outbox.c.meant_for, outbox.c.channel), "queued_at": func.now()}
    # What is being sent just now will come here by itself, and what has failed stays so.
    theirs = (outbox.c.channel == row.channel) & (
        outbox.c.state.not_in(["sending", "failed"]) | (outbox.c.id == row.id)
    )
    connection.execute(update(outbox).where(outbox.c.id == root_id, theirs).values(anew | {"state": "queued"}))
    if slot is not None:
        connection.execute(update(outbox).where(outbox.c.below == slot, theirs).values(anew | {"state": "held"}))
    if root is not None and root.channel != row.channel and root.ts is not None:
        _release(connection, root)


def to_person(connection: Connection, row: OutboxRow) -> None:
    """Post the row in the chat with the person it is for, saying for which channel it was meant."""
    anew = {"kind": "message", "channel": row.user_id, "meant_for": row.channel, "thread_ts": null()}
    values = anew | {"state": "queued", "unsure": False, "attempts": 0, "queued_at": func.now()}
    connection.execute(update(outbox).where(outbox.c.id == row.id).values(values))


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


def posted_within(connection: Connection, span: timedelta) -> bool:
    """Whether something was sent, or may have been, so short a time ago."""
    recent = (outbox.c.state == "sending") | (outbox.c.sent_at > func.now() - span)
    return connection.scalar(select(outbox.c.id).where(recent).limit(1)) is not None


def forget(connection: Connection, limit: int = 1_000) -> int:
    """Delete what was said long ago and is never edited again, `limit` at most. Returns how many."""
    over = outbox.c.state.in_(["sent", "failed"]) & outbox.c.slot.is_(None) & (outbox.c.created_at < func.now() - KEEP)
    old = select(outbox.c.id).where(over).order_by(outbox.c.id).limit(limit)
    return connection.execute(delete(outbox).where(outbox.c.id.in_(old))).rowcount


def _row(row: Row[Any]) -> OutboxRow:
    return OutboxRow(**row._mapping)
