"""What was published to CloudWatch, minute by minute, for the alarms; and the services' own metrics.

moto keeps every datum for GetMetricStatistics. Alarms look again and again, so here each metric has one sample a
minute, whatever was published in it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sandbox.aws.evaluation import Sample

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud

KEPT = timedelta(days=15)
"""How long samples of a minute are kept, as in CloudWatch."""

Key = tuple[str, str, frozenset[tuple[str, str]]]
"""A metric: namespace, name, dimensions. Other dimensions are another metric."""


def key(namespace: str, name: str, dimensions: Iterable[tuple[str, str]]) -> Key:
    """The metric that these name."""
    return namespace, name, frozenset(dimensions)


def sample(datum: Mapping[str, Any], at: datetime) -> Sample:
    """One `MetricDatum` of PutMetricData."""
    if stats := datum.get("StatisticValues"):
        return Sample(at, *(float(stats[name]) for name in ("SampleCount", "Sum", "Minimum", "Maximum")))
    values = [float(value) for value in datum.get("Values") or [datum.get("Value", 0.0)]]
    counts = [float(count) for count in datum.get("Counts") or [1.0] * len(values)]
    every = tuple(value for value, count in zip(values, counts, strict=True) for _ in range(int(count)))
    total = sum(value * count for value, count in zip(values, counts, strict=True))
    return Sample(at, sum(counts), total, min(values), max(values), every)


class Metrics:
    """All metrics of the account. `changes` counts what was published, so that a look can tell whether it is due."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()
        self._minutes: dict[Key, dict[datetime, Sample]] = {}
        self._own: dict[Key, Sample] = {}
        self.changes = 0

    def count(self, namespace: str, name: str, dimensions: Mapping[str, str], value: float = 1.0) -> None:
        """A service's own metric; what comes in quick succession is published together."""
        wanted = key(namespace, name, dimensions.items())
        new = Sample(self._cloud.clock.now(), 1.0, value, value, value, (value,))
        with self._lock:
            before = self._own.get(wanted)
            self._own[wanted] = _merged(before, new) if before else new

    def publish_own(self, now: datetime) -> None:
        """Publish what the services counted since the last time."""
        from moto.cloudwatch.models import cloudwatch_backends

        with self._lock:
            own, self._own = self._own, {}
        for (namespace, name, dimensions), each in own.items():
            datum = {
                "MetricName": name,
                "Timestamp": each.at.replace(tzinfo=None),
                "Dimensions": [{"Name": one, "Value": other} for one, other in sorted(dimensions)],
                "Values": list(each.values),
            }
            cloudwatch_backends[self._cloud.account][self._cloud.region].put_metric_data(namespace, [datum])

    def take(self, namespace: str, data: Iterable[Mapping[str, Any]]) -> None:
        """Note what PutMetricData brought."""
        for datum in data:
            at = datum.get("Timestamp") or self._cloud.clock.now()
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
            dimensions = ((each["Name"], each["Value"]) for each in datum.get("Dimensions") or ())
            minute = at.replace(second=0, microsecond=0)
            new = sample(datum, minute)
            with self._lock:
                cells = self._minutes.setdefault(key(namespace, datum["MetricName"], dimensions), {})
                cells[minute] = _merged(cells[minute], new) if minute in cells else new
                for old in [each for each in cells if each < minute - KEPT]:
                    del cells[old]
                self.changes += 1

    def samples(self, metric: Key, since: datetime) -> list[Sample]:
        """A metric's minutes from a time on."""
        with self._lock:
            return [each for at, each in self._minutes.get(metric, {}).items() if at >= since]


def _merged(one: Sample, other: Sample) -> Sample:
    return Sample(
        one.at,
        one.count + other.count,
        one.total + other.total,
        min(one.low, other.low),
        max(one.high, other.high),
        # Statistics alone take the percentile of the whole with them.
        (*one.values, *other.values) if one.values and other.values else (),
    )
