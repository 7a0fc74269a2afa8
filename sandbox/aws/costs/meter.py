"""What the sandbox really used: the seconds of jobs, and the life of endpoints and Studio apps, by the account's clock.

SageMaker's records go by the machine's clock, the bill by the account's, which may have been moved. So the meter looks
at what runs whenever the clock ticks: what is first seen then began then, and what runs while the clock is moved on
has run all that time.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sandbox.aws.costs.lines import CENT, SAGEMAKER, Line, cost, pairs
from sandbox.aws.costs.prices import Prices
from sandbox.aws.sagemaker.endpoints import ENDPOINT, Endpoint
from sandbox.aws.sagemaker.jobs import PROCESSING, TRAINING
from sandbox.aws.sagemaker.resources import Record, Resources
from sandbox.aws.sagemaker.transforms import WORD as TRANSFORM

HOUR = Decimal(3600)

# Kind of job -> the word in its members, what is billed, and where its instances stand.
_JOBS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    TRAINING.word: ("Training", "Training", ("ResourceConfig",)),
    PROCESSING.word: ("Processing", "Processing", ("ProcessingResources", "ClusterConfig")),
    TRANSFORM: ("Transform", "Batch Transform", ("TransformResources",)),
}


@dataclass(frozen=True)
class Used:
    """Instances that a resource holds: `component` and `instance` as the price list names them."""

    arn: str
    component: str
    instance: str
    count: int
    tags: tuple[tuple[str, str], ...]


@dataclass
class Life:
    """From when to when something ran, as far as it was seen."""

    since: datetime
    until: datetime
    ended: bool = False


class Meter:
    """Watches the records of SageMaker. `region` and `prices` say what it all costs."""

    def __init__(self, resources: Resources, region: str, prices: Prices) -> None:
        self._resources, self._region, self._prices = resources, region, prices
        self._lock = threading.Lock()
        self._lives: list[tuple[Used, Life]] = []
        self._ahead: dict[str, timedelta] = {}
        self._latest = timedelta()

    def tick(self, now: datetime) -> None:
        """Look at what runs now, by the account's clock."""
        self._latest = ahead = now - datetime.now(UTC)
        with self._lock:
            for kind in _JOBS:
                for record in self._resources.all(kind):
                    self._ahead.setdefault(record.arn, ahead)
            running = set(self._running())
            for used, life in self._lives:
                if life.ended:
                    continue
                if used in running:
                    life.until = max(life.until, now)
                    running.discard(used)
                else:
                    life.ended = True
            self._lives += [(used, Life(now, now)) for used in sorted(running, key=lambda one: one.arn)]

    def lines(self) -> Iterator[Line]:
        """What all of it cost, a line for a job and one for each day of an endpoint's or app's life.

        What has no price in the list costs nothing here and is left out.
        """
        with self._lock:
            lives, ahead = [(used, life.since, life.until) for used, life in self._lives], dict(self._ahead)
        for used, since, until in lives:
            for day, seconds in _by_day(since, until):
                yield from self._line(used, day, seconds)
        for kind in _JOBS:
            for record in self._resources.all(kind):
                yield from self._job(record, ahead.get(record.arn, self._latest))

    def _job(self, record: Record, ahead: timedelta) -> Iterator[Line]:
        (word, component, path), body = _JOBS[record.kind], dict(record.body)
        started = body.get(f"{word}StartTime")
        if started is None:
            return
        ended = body.get(f"{word}EndTime") or datetime.now(UTC)
        seconds = body.get("BillableTimeInSeconds") or max(1, math.ceil((ended - started).total_seconds()))
        cluster = body
        for member in path:
            cluster = cluster[member]
        used = Used(record.arn, component, cluster["InstanceType"], cluster["InstanceCount"], pairs(record.tags))
        yield from self._line(used, (started + ahead).date(), Decimal(seconds))

    def _line(self, used: Used, day: date, seconds: Decimal) -> Iterator[Line]:
        price = self._prices.hour(self._region, used.component, used.instance)
        quantity = (seconds * used.count / HOUR).quantize(CENT)
        if price is not None and quantity:
            amount = cost(quantity, price.usd)
            yield Line(
                day, SAGEMAKER, price.usage_type, price.operation, self._region, "Hrs", quantity, amount, used.tags
            )

    def _running(self) -> Iterator[Used]:
        for record in self._resources.all(ENDPOINT):
            if isinstance(record, Endpoint):
                for fleet in (record.fleet, record.preparing):
                    for variant in fleet.config["ProductionVariants"] if fleet is not None else ():
                        yield from _variant(record, variant)
        for record in self._resources.all("app"):
            instance = record.body.get("ResourceSpec", {}).get("InstanceType", "system")
            if record.body["Status"] == "InService" and instance != "system":
                yield Used(record.arn, "Studio JupyterLab", instance, 1, pairs(record.tags))


def _variant(record: Endpoint, variant: Mapping[str, Any]) -> Iterator[Used]:
    if "InstanceType" in variant:
        count = record.counts.get(variant["VariantName"], variant.get("InitialInstanceCount", 1))
        yield Used(record.arn, "Hosting", variant["InstanceType"], count, pairs(record.tags))


def _by_day(since: datetime, until: datetime) -> Iterator[tuple[date, Decimal]]:
    while since < until:
        midnight = datetime.combine(since.date() + timedelta(days=1), datetime.min.time(), UTC)
        end = min(until, midnight)
        yield since.date(), Decimal(str(round((end - since).total_seconds(), 3)))
        since = end
