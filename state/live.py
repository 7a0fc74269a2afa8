"""Live messages: which executions and deployments are being followed, and in which message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, case, delete, func, select, text, update
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


def following(connection: Connection) -> int:
    """How many messages are being kept up to date."""
    return connection.scalar(select(func.count()).where(live.c.ended.is_(False))) or 0


def seconds_to_next(connection: Connection) -> float | None:
    """Seconds until something is due (0 if now), None when nothing is followed."""
    wait = connection.scalar(
        select(func.extract("epoch", func.min(live.c.next_look) - func.now())).where(live.c.ended.is_(False))
    )
    return None if wait is None else max(0.0, float(wait))


def looked(
    connection: Connection, row: LiveRow, *, digest: str | None, pause: timedelta, ended: bool, errors: int = 0
) -> bool:
    """Note what was shown, when to look again, whether it is over, and how many looks in a row have failed.

    Who was told meanwhile that something happened to it is not made to wait. Returns False, and notes nothing, when
    the slot follows something else by now.
    """
    untouched = live.c.next_look == row.next_look
    next_look = case((untouched, func.now() + pause), else_=live.c.next_look)
    values = {"digest": digest, "next_look": next_look, "ended": ended, "errors": errors}
    same = (live.c.id == row.id) & (live.c.arn == row.arn)
    return connection.execute(update(live).where(same).values(values)).rowcount == 1


def shows(connection: Connection, arn: str, begins: str) -> bool:
    """Whether a live message shows a thing: it follows or followed just that, or follows what `begins` so now."""
    exact = func.lower(live.c.arn).in_([name.lower() for name in (arn, begins) if name])
    now = live.c.ended.is_(False) & func.lower(live.c.arn).startswith(begins.lower(), autoescape=True)
    return connection.scalar(select(live.c.id).where(exact | now if begins else exact).limit(1)) is not None


def unfollow(connection: Connection, slot: str) -> None:
    """Stop following for a message that cannot be shown: what becomes of it is said as of what nobody follows."""
    connection.execute(delete(live).where(live.c.slot == slot))
