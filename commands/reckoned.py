"""Costs that no bill can tell apart: by endpoint, step and person, from our own job records and the price list.

The time of every job is laid over the days it ran on. Amounts have ten decimals, as a bill's have, so that all sums
are exact: a job's days add up to the job, and any grouping to the same total.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Literal

from sqlalchemy import Engine

from pipeline.tally import Entry
from state import invocations, jobs
from state.jobs import Job

By = Literal["endpoint", "step", "person"]
SMALLEST = Decimal("0.0000000001")


@dataclass(frozen=True)
class Reckoned:
    """What the records come to. `entries` by currency: different ones are never added.

    `unpriced` jobs of the period have no known price.

    `begins` is the first day of all records.
    """

    entries: Mapping[str, Sequence[Entry]]
    unpriced: int
    begins: date | None


def reckon(engine: Engine, by: By, start: date, end: date, now: datetime) -> Reckoned:
    """What ran from `start` to the day before `end` (UTC days), and in the equally long period before, by `by`."""
    earlier = start - (end - start)
    with engine.begin() as connection:
        found = jobs.between(connection, _midnight(earlier), _midnight(end))
        begins = jobs.begins(connection)
        names = invocations.called(connection, {job.user_id for job in found if job.user_id})
    entries: dict[str, list[Entry]] = {}
    for job in found:
        for day, amount in by_day(job, now):
            if earlier <= day < end:
                entries.setdefault(job.currency or "", []).append(Entry(day, _label(job, by, names), amount))
    unpriced = [job for job in found if job.per_hour is None and (job.ended_at or now) > _midnight(start)]
    return Reckoned(entries, len(unpriced), begins and begins.astimezone(UTC).date())


def by_day(job: Job, now: datetime) -> Iterator[tuple[date, Decimal]]:
    """What a job cost on each UTC day it ran on, up to `now`; nothing where its price is unknown."""
    cost = job.cost(now)
    if cost is None:
        return
    began, ended = job.started_at.astimezone(UTC), max(job.started_at, job.ended_at or now).astimezone(UTC)
    left, day = cost.quantize(SMALLEST), began.date()
    ran = Decimal(str((ended - began).total_seconds()))
    while day < ended.date():
        upto = _midnight(day + timedelta(days=1))
        part = (cost * Decimal(str((upto - max(began, _midnight(day))).total_seconds())) / ran).quantize(SMALLEST)
        yield day, part
        left, day = left - part, day + timedelta(days=1)
    yield day, left


def _label(job: Job, by: By, names: Mapping[str, str]) -> str:
    if by == "endpoint":
        return job.endpoint or "no endpoint"
    if by == "step":
        return job.step or job.kind
    return names.get(job.user_id, job.user_id) if job.user_id else "nobody by hand"


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
