"""What was said that something would cost, before it ran: one row an invocation that was going to spend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from state.tables import estimates


@dataclass(frozen=True)
class EstimateRow:
    """An estimate as it was shown. Amounts are None where a price was unknown.

    `subject` is the ARN of what was started (an execution, a job, a stack); None when nothing was started, or not yet.
    """

    invocation: str
    subject: str | None
    command: str
    environment: str | None
    team: str
    user_id: str
    low: Decimal | None
    expected: Decimal | None
    high: Decimal | None
    currency: str
    basis: str
    created_at: datetime | None = None


def put(connection: Connection, row: EstimateRow) -> None:
    """Write an estimate; the invocation's own row is replaced."""
    values = asdict(row)
    del values["created_at"]
    new = insert(estimates).values(**values)
    del values["invocation"]
    connection.execute(new.on_conflict_do_update(index_elements=["invocation"], set_=values))


def of_invocation(connection: Connection, invocation: str) -> EstimateRow | None:
    """What one invocation was told."""
    row = connection.execute(select(estimates).where(estimates.c.invocation == invocation)).one_or_none()
    return EstimateRow(**row._mapping) if row else None


def of_subject(connection: Connection, subject: str) -> Sequence[EstimateRow]:
    """What was said about one thing, earliest first: a run that was retried has several."""
    found = select(estimates).where(estimates.c.subject == subject).order_by(estimates.c.created_at)
    return [EstimateRow(**row._mapping) for row in connection.execute(found)]


def of_stack(connection: Connection, name: str, until: datetime) -> EstimateRow | None:
    """What was said last, up to a moment, about a stack of that name in any of its lives."""
    named = estimates.c.subject.contains(f":stack/{name}/", autoescape=True)
    query = select(estimates).where(named, estimates.c.created_at <= until)
    row = connection.execute(query.order_by(estimates.c.created_at.desc()).limit(1)).one_or_none()
    return EstimateRow(**row._mapping) if row else None
