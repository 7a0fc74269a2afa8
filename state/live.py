"""Live messages: which executions and deployments are being followed, and in which message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from state.database import CHANNEL_LIVE
from state.tables import live


@dataclass(frozen=True)
class LiveRow:
    """A followed thing: what kind, which ARN, in which slot, and the digest of what was last shown."""

    id: int
    kind: str
    arn: str
    slot: str
    invocation: str
    digest: str | None
    ended: bool
    errors: int
    created_at: datetime
    next_look: datetime


def follow(connection: Connection, *, kind: str, arn: str, slot: str, invocation: str) -> None:
    """Keep the message `slot` up to date with `arn` from now on; a slot follows one thing, the latest."""
    new = insert(live).values(kind=kind, arn=arn, slot=slot, invocation=invocation)
    again = {"kind": kind, "arn": arn, "invocation": invocation, "digest": None, "ended": False, "errors": 0}
    connection.execute(new.on_conflict_do_update(index_elements=["slot"], set_={**again, "next_look": func.now()}))
    connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL_LIVE})


def due(connection: Connection, limit: int = 20) -> Sequence[LiveRow]:
    """What should be looked at now, longest waiting first."""
    query = select(live).where(live.c.ended.is_(False), live.c.next_look <= func.now())
    rows = connection.execute(query.order_by(live.c.next_look).limit(limit))
    return [LiveRow(**row._mapping) for row in rows]


def seconds_to_next(connection: Connection) -> float | None:
    """Seconds until something is due (0 if now), None when nothing is followed."""
    wait = connection.scalar(
        select(func.extract("epoch", func.min(live.c.next_look) - func.now())).where(live.c.ended.is_(False))
    )
    return None if wait is None else max(0.0, float(wait))


def looked(
    connection: Connection, id: int, *, digest: str | None, pause: timedelta, ended: bool, errors: int = 0
) -> None:
    """Note what was shown, when to look again, whether it is over, and how many looks in a row have failed."""
    values = {"digest": digest, "next_look": func.now() + pause, "ended": ended, "errors": errors}
    connection.execute(update(live).where(live.c.id == id).values(values))


def end_slot(connection: Connection, slot: str) -> None:
    """Stop following for a message that cannot be shown any more."""
    connection.execute(update(live).where(live.c.slot == slot).values(ended=True))
