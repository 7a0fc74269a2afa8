"""What ran and costs: a row a job, and a row for every configuration that an endpoint has served with.

Written by the leading worker from what SageMaker says (`bot.bookkeeping`), read for what a person, a step or an
endpoint has cost. Amounts are Decimals, so that sums are exact.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from state.tables import jobs

Kind = Literal["training", "processing", "transform", "tuning", "endpoint"]

HOUR_S = Decimal(3600)
_COLUMNS = [column for column in jobs.c if column.name != "changed_at"]


@dataclass(frozen=True)
class Job:
    """One job, or one configuration of an endpoint (`id` is then `<endpoint arn>#<endpoint config>#<its start>`).

    `seconds` are billable seconds of one instance, None while it runs. `per_hour` is the price of one instance, None
    when no price list had one. `execution` is a pipeline execution's ARN; `endpoint` the name of the endpoint that a
    job or row belongs to. `team` and `user_id` are who started it, None for what nobody did by hand. `work` is what a
    job that completed got through (epochs, photos, image_size where it has them), None for all others.
    """

    id: str
    kind: Kind
    name: str
    environment: str | None
    step: str | None
    execution: str | None
    endpoint: str | None
    team: str | None
    user_id: str | None
    instance_type: str
    instances: int
    spot: bool
    started_at: datetime
    ended_at: datetime | None
    seconds: Decimal | None
    per_hour: Decimal | None
    currency: str | None
    work: Mapping[str, int] | None = None

    def cost(self, now: datetime) -> Decimal | None:
        """What it has cost up to `now`, None where the price is unknown."""
        if self.per_hour is None:
            return None
        ran = self.seconds
        if ran is None:
            ran = Decimal(str(max(0.0, ((self.ended_at or now) - self.started_at).total_seconds())))
        return ran * self.instances * self.per_hour / HOUR_S


def put(connection: Connection, job: Job) -> None:
    """Write a job as it is now, in the place of what was known of it."""
    values = asdict(job)
    new = insert(jobs).values(**values)
    del values["id"]
    connection.execute(new.on_conflict_do_update(index_elements=["id"], set_={**values, "changed_at": func.now()}))


def end(connection: Connection, job: Job, at: datetime) -> None:
    """Write down until when an endpoint's configuration served."""
    ran = Decimal(str((at - job.started_at).total_seconds()))
    values = {"ended_at": at, "seconds": ran, "changed_at": func.now()}
    connection.execute(update(jobs).where(jobs.c.id == job.id).values(values))


def running(connection: Connection) -> Sequence[Job]:
    """What had not ended when it was last looked at."""
    return _jobs(connection, jobs.c.ended_at.is_(None))


def of_execution(connection: Connection, arn: str) -> Sequence[Job]:
    """The jobs of one pipeline execution, earliest first."""
    return _jobs(connection, jobs.c.execution == arn)


def of_ids(connection: Connection, ids: Collection[str]) -> Sequence[Job]:
    """Some jobs by their ARNs, earliest first; those that are not known are missing."""
    return _jobs(connection, jobs.c.id.in_(ids))


def serving(connection: Connection, endpoint: str) -> Sequence[Job]:
    """What an endpoint runs on now, as far as it is known."""
    return _jobs(connection, (jobs.c.kind == "endpoint") & (jobs.c.endpoint == endpoint) & jobs.c.ended_at.is_(None))


def like(connection: Connection, step: str, instance_type: str, limit: int, *, spot: bool = False) -> Sequence[Job]:
    """The last jobs of a step that completed on this type of instance, on spot capacity or not, the latest first."""
    same = (jobs.c.step == step) & (jobs.c.instance_type == instance_type) & (jobs.c.spot == spot)
    completed = same & jobs.c.work.is_not(None) & jobs.c.seconds.is_not(None)
    query = select(*_COLUMNS).where(completed).order_by(jobs.c.ended_at.desc(), jobs.c.id).limit(limit)
    return [Job(**row._mapping) for row in connection.execute(query)]


def deployed_by(connection: Connection, environment: str | None, at: datetime) -> Job | None:
    """The pipeline's own deployment in an environment that was going on at a moment."""
    going = (jobs.c.started_at <= at) & (jobs.c.ended_at.is_(None) | (jobs.c.ended_at >= at))
    found = _jobs(connection, (jobs.c.step == "Deploy") & (jobs.c.environment == environment) & going)
    return found[-1] if found else None


def between(connection: Connection, start: datetime, end: datetime) -> Sequence[Job]:
    """What ran at any moment of [start, end), earliest first."""
    return _jobs(connection, (jobs.c.started_at < end) & (jobs.c.ended_at.is_(None) | (jobs.c.ended_at > start)))


def begins(connection: Connection) -> datetime | None:
    """When the first job began that is recorded."""
    found: datetime | None = connection.scalar(select(func.min(jobs.c.started_at)))
    return found


def _jobs(connection: Connection, which: object) -> Sequence[Job]:
    query = select(*_COLUMNS).where(which).order_by(jobs.c.started_at, jobs.c.id)  # type: ignore[arg-type]
    return [Job(**row._mapping) for row in connection.execute(query)]
