"""Schedules: what is to be posted when, and which of its periods were dealt with.

A period is dealt with by whoever writes its row, in the transaction that also queues the message: with any number of
workers, and however they die, a period has at most one message and no period that was written down lacks its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, case, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import distinct_on, insert

from pipeline.errors import NotFound
from state.database import CHANNEL_SCHEDULES
from state.tables import outbox, schedule_runs, schedules

QUEUED, POSTED, MOVED, SKIPPED, FAILED = "queued", "posted", "posted in the fallback channel", "skipped", "failed"
"""What became of a period; `failed` is followed by a colon and the reason."""


@dataclass(frozen=True)
class ScheduleRow:
    """One schedule. `cron` and `zone` are those of `commands.timetable`, `user_id` is who set it and `created_at` when.

    `late_minutes`: so long after its time a report is still worth posting.
    """

    name: str
    report: str
    cron: str
    zone: str
    team: str
    channel: str
    user_id: str
    late_minutes: int
    created_at: datetime


@dataclass(frozen=True)
class RunRow:
    """A period that was dealt with. `at` is when, `due_at` when it should have been."""

    schedule: str
    period: str
    due_at: datetime
    outcome: str
    at: datetime


def slot(name: str, period: str) -> str:
    """The outbox slot of the message of a period."""
    return f"schedule-{name}-{period}"


def put(
    engine: Engine,
    *,
    name: str,
    report: str,
    cron: str,
    zone: str,
    team: str,
    channel: str,
    user: str,
    late_minutes: int,
) -> ScheduleRow:
    """Write a schedule, in the place of one of the same name. Only what falls due from now on counts."""
    values: dict[str, Any] = {"report": report, "cron": cron, "zone": zone, "team": team, "channel": channel}
    values |= {"user_id": user, "late_minutes": late_minutes, "created_at": func.now()}
    new = insert(schedules).values(name=name, **values)
    upsert = new.on_conflict_do_update(index_elements=["name"], set_=values).returning(schedules)
    with engine.begin() as connection:
        row = ScheduleRow(**connection.execute(upsert).one()._mapping)
        _tell(connection)
    return row


def find(connection: Connection, name: str) -> ScheduleRow | None:
    """A schedule by its name."""
    row = connection.execute(select(schedules).where(schedules.c.name == name)).one_or_none()
    return None if row is None else ScheduleRow(**row._mapping)


def every(connection: Connection) -> Sequence[ScheduleRow]:
    """All schedules by name."""
    return [ScheduleRow(**row._mapping) for row in connection.execute(select(schedules).order_by(schedules.c.name))]


def remove(engine: Engine, name: str) -> ScheduleRow:
    """Take a schedule away; what it has posted stays. Raises NotFound with the nearest names."""
    with engine.begin() as connection:
        row = connection.execute(schedules.delete().where(schedules.c.name == name).returning(schedules)).one_or_none()
        if row is None:
            known = connection.scalars(select(schedules.c.name).order_by(schedules.c.name))
            raise NotFound("schedule", name, [*known], "`schedule list` shows them.")
        _tell(connection)
        return ScheduleRow(**row._mapping)


def claim(connection: Connection, row: ScheduleRow, period: str, due_at: datetime, outcome: str) -> bool:
    """Deal with a period. False when somebody else has, or when the schedule was changed or removed meanwhile."""
    unchanged = select(schedules.c.name, literal(period), literal(due_at), literal(outcome)).where(
        schedules.c.name == row.name, schedules.c.created_at == row.created_at
    )
    new = insert(schedule_runs).from_select(["schedule", "period", "due_at", "outcome"], unchanged.with_for_update())
    mine = new.on_conflict_do_nothing().returning(schedule_runs.c.period)
    return connection.execute(mine).one_or_none() is not None


def dealt_with(connection: Connection, name: str, period: str) -> bool:
    """Whether somebody has dealt with a period."""
    mine = (schedule_runs.c.schedule == name) & (schedule_runs.c.period == period)
    return connection.scalar(select(schedule_runs.c.period).where(mine)) is not None


def last_told(connection: Connection, name: str) -> datetime | None:
    """When the newest report was due that was posted, or waits to be; None when there is none."""
    mine = (schedule_runs.c.schedule == name) & schedule_runs.c.outcome.in_([QUEUED, POSTED, MOVED])
    found: datetime | None = connection.scalar(select(func.max(schedule_runs.c.due_at)).where(mine))
    return found


def last_runs(connection: Connection) -> dict[str, RunRow]:
    """The newest period that was dealt with, by the name of the schedule."""
    newest = select(schedule_runs).ext(distinct_on(schedule_runs.c.schedule))
    rows = connection.execute(newest.order_by(schedule_runs.c.schedule, schedule_runs.c.due_at.desc()))
    return {row.schedule: RunRow(**row._mapping) for row in rows}


def settle(connection: Connection) -> Sequence[RunRow]:
    """Write down what became of the messages that waited to be posted. Returns those that could not be, anywhere."""
    mine = outbox.c.slot == literal("schedule-") + schedule_runs.c.schedule + "-" + schedule_runs.c.period
    ended = (schedule_runs.c.outcome == QUEUED) & outbox.c.state.in_(["sent", "failed"])
    became = case(
        (outbox.c.state == "failed", literal(f"{FAILED}: ") + func.coalesce(outbox.c.error, "not posted")),
        (outbox.c.meant_for.is_not(None), MOVED),
        else_=POSTED,
    )
    change = update(schedule_runs).where(mine, ended).values(outcome=became)
    rows = [RunRow(**row._mapping) for row in connection.execute(change.returning(*schedule_runs.c))]
    return [row for row in rows if row.outcome.startswith(FAILED)]


def _tell(connection: Connection) -> None:
    connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL_SCHEDULES})
