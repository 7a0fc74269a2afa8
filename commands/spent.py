"""What something has cost so far, by our own job records: the amount in a live message, beside what was estimated."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from commands.command import Context
from commands.reply import Fact
from commands.wording import exact, money, money_range
from state import estimates, jobs
from state.estimates import EstimateRow
from state.jobs import Job

WRITTEN_WITHIN = timedelta(seconds=30)
"""After its end a job is on record; what is not by then never ran (it failed before it started)."""


def of_execution(ctx: Context, arn: str, ran: Collection[str], ended: datetime | None) -> tuple[list[Fact], bool]:
    """What a pipeline execution has cost, and whether that is the last word. `ran` are the ARNs of its steps' jobs."""
    with ctx.state.begin() as connection:
        rows, told = jobs.of_execution(connection, arn), estimates.of_subject(connection, arn)
    return _facts(rows, told, ended), _settled(rows, ran, ended)


def of_job(ctx: Context, arn: str, ended: datetime | None) -> tuple[list[Fact], bool]:
    """The same of a single job."""
    with ctx.state.begin() as connection:
        rows, told = jobs.of_ids(connection, [arn]), estimates.of_subject(connection, arn)
    return _facts(rows, told, ended), _settled(rows, [arn], ended)


def of_jobs(ctx: Context, subject: str, ran: Collection[str], ended: datetime | None) -> tuple[list[Fact], bool]:
    """The same of several jobs that were started, and estimated, as one."""
    with ctx.state.begin() as connection:
        rows, told = jobs.of_ids(connection, ran), estimates.of_subject(connection, subject)
    return _facts(rows, told, ended), _settled(rows, ran, ended)


def of_endpoint(ctx: Context, name: str) -> list[Fact]:
    """What an endpoint costs as it is, and has cost with what it serves now."""
    with ctx.state.begin() as connection:
        rows = jobs.serving(connection, name)
    if not rows:
        return []
    so_far = [row.cost(datetime.now(UTC)) for row in rows]
    known = [each for each in so_far if each is not None]
    if not known:
        return [Fact("Cost", f"unknown: the AWS price list has no price for {rows[0].instance_type} here")]
    rate = sum((row.per_hour * row.instances for row in rows if row.per_hour), Decimal(0))
    spent = money(sum(known, Decimal(0)))
    return [Fact("Cost", f"{exact(rate)} {rows[0].currency} an hour until it is deleted, {spent} so far")]


def _facts(rows: Sequence[Job], told: Sequence[EstimateRow], ended: datetime | None) -> list[Fact]:
    costs = [row.cost(datetime.now(UTC)) for row in rows]
    known = [each for each in costs if each is not None]
    currency = next((row.currency for row in rows if row.currency), told[-1].currency if told else "USD")
    if not known:
        said = "unknown: no price is known" if rows else "not yet counted"
        return [Fact("Cost", said + _estimated(rows, told))] if rows or told else []
    spent = money(sum(known, Decimal(0)), currency)
    more = " and what has no known price" if len(known) < len(costs) else ""
    return [Fact("Cost" if ended else "Cost so far", f"{spent}{more}{_estimated(rows, told)}")]


def _estimated(rows: Sequence[Job], told: Sequence[EstimateRow]) -> str:
    """The estimate; of something that was retried, what had been spent by then and the last estimate."""
    last = told[-1] if told else None
    if last is None or last.low is None or last.high is None or last.created_at is None:
        return " (estimate unknown)" if last else ""
    before = [row.cost(last.created_at) for row in rows if len(told) > 1 and row.started_at < last.created_at]
    spent = sum((each for each in before if each), Decimal(0))
    return f" (estimate {money_range(last.low + spent, last.high + spent)})"


def _settled(rows: Sequence[Job], ran: Collection[str], ended: datetime | None) -> bool:
    """Whether nothing more will come: all has ended and is on record, or would be by now."""
    if ended is None:
        return False
    recorded = {row.id for row in rows if row.ended_at is not None}
    return set(ran) <= recorded or datetime.now(UTC) - ended > WRITTEN_WITHIN
