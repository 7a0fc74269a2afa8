"""Who looks at their Home in Slack, and what stands there: it is drawn again when that would be different."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from state.database import CHANNEL_HOMES
from state.tables import homes

LOOKED_AT = timedelta(days=1)
"""A Home nobody has opened for so long is not kept up to date; opening it draws it anew."""


@dataclass(frozen=True)
class Home:
    """One person's Home. `wanted`: opened since it was last drawn. `digest` tells what stands there."""

    team: str
    user_id: str
    wanted: bool
    digest: str | None


def opened(connection: Connection, team: str, user: str) -> None:
    """Somebody has opened their Home; whoever draws is told."""
    values = {"team": team, "user_id": user, "wanted": True, "opened_at": func.now()}
    new = insert(homes).values(values)
    connection.execute(new.on_conflict_do_update(index_elements=["team", "user_id"], set_=values))
    connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL_HOMES})


def looked_at(connection: Connection, *, opened_only: bool = False) -> Sequence[Home]:
    """The Homes to keep up to date, those just opened first; `opened_only`: no others."""
    recent = homes.c.wanted if opened_only else homes.c.wanted | (homes.c.opened_at > func.now() - LOOKED_AT)
    query = select(homes.c.team, homes.c.user_id, homes.c.wanted, homes.c.digest).where(recent)
    rows = connection.execute(query.order_by(homes.c.wanted.desc(), homes.c.opened_at.desc()))
    return [Home(**row._mapping) for row in rows]


def published(connection: Connection, home: Home, digest: str) -> None:
    """What stands there now."""
    mine = (homes.c.team == home.team) & (homes.c.user_id == home.user_id)
    connection.execute(update(homes).where(mine).values(wanted=False, digest=digest))
