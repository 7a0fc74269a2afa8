"""The catalog: runs, endpoints and model versions as the leader last saw them, for forms and the Home.

A copy for showing and suggesting, never for deciding: what a command does, it does by what AWS says then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, delete, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert

from state.database import CHANNEL_HOMES
from state.tables import catalog

Kind = Literal["run", "endpoint", "version"]

_COLUMNS = [column for column in catalog.c if column.name != "changed_at"]


@dataclass(frozen=True)
class Entry:
    """One thing of an environment. `name` is what a person types for it; `team` and `user_id` are whose it is.

    `detail` are words to show, e.g. a run's progress. `at` is when it began or was made.
    """

    kind: Kind
    environment: str
    name: str
    state: str
    at: datetime
    detail: Mapping[str, Any] = field(default_factory=dict)
    team: str | None = None
    user_id: str | None = None


def replace(connection: Connection, kind: Kind, environment: str, entries: Sequence[Entry]) -> bool:
    """Make this what is known of a kind in an environment. Returns whether anything is different now.

    Whoever shows it is woken when it is.
    """
    before = {entry.name: entry for entry in newest(connection, kind, [environment], limit=1_000)}
    after = {entry.name: entry for entry in entries}
    if before == after:
        return False
    for entry in after.values():
        if before.get(entry.name) != entry:
            values = asdict(entry) | {"changed_at": func.now()}
            new = insert(catalog).values(values)
            connection.execute(new.on_conflict_do_update(index_elements=["kind", "environment", "name"], set_=values))
    gone = [name for name in before if name not in after]
    if gone:
        here = (catalog.c.kind == kind) & (catalog.c.environment == environment)
        connection.execute(delete(catalog).where(here, catalog.c.name.in_(gone)))
    connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL_HOMES})
    return True


def newest(connection: Connection, kind: Kind, environments: Collection[str], *, limit: int = 100) -> Sequence[Entry]:
    """What is known of a kind in some environments, the newest first."""
    query = select(*_COLUMNS).where(catalog.c.kind == kind, catalog.c.environment.in_(environments))
    rows = connection.execute(query.order_by(catalog.c.at.desc(), catalog.c.name).limit(limit))
    return [Entry(**row._mapping) for row in rows]


def runs_of(connection: Connection, team: str, user: str, *, since: datetime, limit: int = 10) -> Sequence[Entry]:
    """A person's own runs that began since then or still go on, the newest first."""
    mine = (catalog.c.kind == "run") & (catalog.c.team == team) & (catalog.c.user_id == user)
    recent = or_(catalog.c.at >= since, catalog.c.state == "running")
    rows = connection.execute(select(*_COLUMNS).where(mine, recent).order_by(catalog.c.at.desc()).limit(limit))
    return [Entry(**row._mapping) for row in rows]
