"""Grants: power for a while. An elevation (another role, agreed to by a second person), or break-glass (one resource).

    elevation     begins with an approval, ends by itself
    break-glass   begins at once, ends by itself, and stays open for a review until another person has closed it

A grant is a row with an end; nothing has to happen for it to stop counting.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Engine, Row, func, insert, select, update

from pipeline.errors import NotFound, Refused
from state.tables import grants

Kind = Literal["elevation", "break-glass"]
LETTERS: dict[Kind, str] = {"elevation": "G", "break-glass": "B"}
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True)
class Grant:
    """One grant. `role` is what the person may act as, `resource` the one thing break-glass is for."""

    id: str
    kind: Kind
    team: str
    user_id: str
    role: str
    resource: str | None
    reason: str
    approval: str | None
    decided_by: str | None
    channel: str | None
    invocation: str
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    reviewed_by: str | None
    reviewed_at: datetime | None
    finding: str


def begin(
    engine: Engine,
    kind: Kind,
    *,
    team: str,
    user: str,
    role: str,
    lasts: timedelta,
    reason: str,
    invocation: str,
    resource: str | None = None,
    approval: str | None = None,
    decided_by: str | None = None,
    channel: str | None = None,
) -> Grant:
    """Write a grant that counts from now on and return it. Its id is a letter for the kind and five characters."""
    values = {
        "id": LETTERS[kind] + "".join(secrets.choice(_ALPHABET) for _ in range(5)),
        "kind": kind,
        "team": team,
        "user_id": user,
        "role": role,
        "resource": resource,
        "reason": reason,
        "approval": approval,
        "decided_by": decided_by,
        "channel": channel,
        "invocation": invocation,
        "expires_at": func.now() + lasts,
    }
    with engine.begin() as connection:
        return _row(connection.execute(insert(grants).values(values).returning(grants)).one())


def active(engine: Engine, team: str, user: str | None = None, *, kind: Kind | None = None) -> Sequence[Grant]:
    """The grants that count now, oldest first; of one person, or of everybody in the team."""
    where = [grants.c.team == team, grants.c.expires_at > func.now(), grants.c.ended_at.is_(None)]
    where += [grants.c.user_id == user] if user is not None else []
    where += [grants.c.kind == kind] if kind is not None else []
    return _found(engine, *where)


def unreviewed(engine: Engine, team: str | None = None) -> Sequence[Grant]:
    """Break-glass that nobody has closed yet, oldest first, whether or not it still lasts; of one team or of all."""
    where = [grants.c.team == team] if team is not None else []
    return _found(engine, *where, grants.c.kind == "break-glass", grants.c.reviewed_at.is_(None))


def get(engine: Engine, team: str, id: str) -> Grant:
    """A grant of a team by its id (upper or lower case). Raises NotFound with the nearest, those to review first."""
    where = (grants.c.team == team, func.lower(grants.c.id) == id.lower())
    with engine.begin() as connection:
        found = connection.execute(select(grants).where(*where)).one_or_none()
        return _row(found) if found is not None else _missing(connection, team, id)


def review(engine: Engine, team: str, id: str, *, by: str, finding: str) -> Grant:
    """Close a break-glass of `team` with what was found; exactly one caller wins.

    Raises NotFound, and Refused for a grant that needs no review, by the person it was given to, or a second time.
    """
    grant = get(engine, team, id)
    if grant.kind != "break-glass":
        raise Refused(f"{grant.id} is an elevation: somebody agreed to it beforehand.", "Only break-glass is reviewed.")
    if grant.user_id == by:
        raise Refused("You broke the glass yourself, so somebody else has to review it.")
    change = update(grants).where(grants.c.id == grant.id, grants.c.reviewed_at.is_(None), grants.c.user_id != by)
    values = {"reviewed_by": by, "reviewed_at": func.now(), "finding": finding}
    with engine.begin() as connection:
        row = connection.execute(change.values(values).returning(grants)).one_or_none()
    if row is None:
        raise Refused(f"{grant.id} was already reviewed by <@{get(engine, team, id).reviewed_by}>.")
    return _row(row)


def _found(engine: Engine, *where: ColumnElement[bool]) -> Sequence[Grant]:
    with engine.begin() as connection:
        rows = connection.execute(select(grants).where(*where).order_by(grants.c.created_at))
        return [_row(row) for row in rows]


def _missing(connection: Connection, team: str, id: str) -> Grant:
    order = (grants.c.kind != "break-glass", grants.c.reviewed_at.is_not(None), grants.c.created_at.desc())
    known = connection.scalars(select(grants.c.id).where(grants.c.team == team).order_by(*order).limit(200))
    raise NotFound("grant", id, [*known], "`whoami` shows what is open.")


def _row(row: Row[Any]) -> Grant:
    return Grant(**row._mapping)
