"""What the account cost before the sandbox began: a pure function of a seed and a day.

A day's lines depend on nothing but (seed, first day, day), so a benchmark computes the same bill again, and a clock
that moves on finds further days without changing those before. Weekends are lower, storage grows, spikes are planted
at the seed's whim, a part is untagged, and a part belongs to another project.

The numbers are invented; hours are priced by the sandbox's price list, the rest by the rates beside them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from sandbox.aws.costs import prices
from sandbox.aws.costs.lines import CENT, SAGEMAKER, Line, cost, pairs

DAYS = 90
SEED = 8
CLIPPED = 2.5
"""Standard deviations beyond which noise does not go: only a spike is one."""

_QUIET, _APART = 21, 9
"""Days at the beginning without a spike, so that what is usual can be learnt, and between two of them."""


def tags(environment: str, owner: str = "ml-engineering") -> dict[str, str]:
    """The tags of what belongs to the project."""
    return {"Project": "groundcrew", "Environment": environment, "CostCenter": "groundcrew", "Owner": owner}


PORTAL = {"Project": "field-portal", "Environment": "prod", "CostCenter": "field-services", "Owner": "web"}
"""The tags of what belongs to somebody else in the same account."""


@dataclass(frozen=True)
class Source:
    """Something that is used every day: units on a workday and on a day of the weekend, and how much they vary.

    `noise` is the standard deviation relative to the mean, `growth` the rise from one day to the next. Without `usd`
    the component's and instance's hour has its price from the price list.
    """

    service: str
    usage: str
    workday: float
    weekend: float
    noise: float = 0.0
    growth: float = 0.0
    tags: Mapping[str, str] = field(default_factory=dict)
    usd: Decimal | None = None
    unit: str = "Hrs"
    operation: str = ""


def _hours(component: str, instance: str, workday: float, weekend: float, noise: float, **tagged: str) -> Source:
    return Source(SAGEMAKER, f"{component}/{instance}", workday, weekend, noise, tags=tags(**tagged))


_S3, _EC2 = "Amazon Simple Storage Service", "Amazon Elastic Compute Cloud - Compute"
SOURCES = (
    _hours("Hosting", "ml.m5.large", 48, 48, 0.0, environment="prod"),
    _hours("Hosting", "ml.m5.large", 24, 24, 0.0, environment="staging"),
    _hours("Hosting", "ml.m5.large", 11, 5, 0.12, environment="dev", owner="data-science"),
    _hours("Training", "ml.c5.xlarge", 9, 2, 0.18, environment="dev", owner="data-science"),
    _hours("Training", "ml.g5.xlarge", 2.6, 0.6, 0.2, environment="dev", owner="data-science"),
    _hours("Training", "ml.c5.xlarge", 2, 0.4, 0.18, environment="staging"),
    _hours("Processing", "ml.m5.large", 8, 2, 0.15, environment="dev", owner="data-science"),
    _hours("Processing", "ml.m5.large", 3, 2, 0.1, environment="staging"),
    _hours("Processing", "ml.m5.large", 4, 4, 0.08, environment="prod"),
    _hours("Studio JupyterLab", "ml.t3.medium", 18, 3, 0.15, environment="dev", owner="data-science"),
    Source(
        _S3, "TimedStorage-ByteHrs", 40, 40, 0.01, 0.014, tags("dev"), Decimal("0.023"), "GB-Mo", "StandardStorage"
    ),
    Source(_S3, "TimedStorage-ByteHrs", 9, 9, 0.01, 0.008, tags("prod"), Decimal("0.023"), "GB-Mo", "StandardStorage"),
    Source("AmazonCloudWatch", "DataProcessing-Bytes", 1.6, 0.7, 0.1, 0.004, tags("dev"), Decimal("0.5"), "GB",
           "PutLogEvents"),
    # without a tag: requests, disks, transfer, what no tag reaches
    Source(_S3, "Requests-Tier1", 52000, 21000, 0.1, usd=Decimal("0.000005"), unit="Requests", operation="PutObject"),
    Source(SAGEMAKER, "Host:VolumeUsage.gp2", 6.5, 6.5, 0.02, usd=Decimal("0.14"), unit="GB-Mo",
           operation="CreateVolume-Gp2"),
    Source("AWS CloudTrail", "PaidEventsRecorded", 24000, 9000, 0.1, usd=Decimal("0.00002"), unit="Events"),
    Source("EC2 - Other", "NatGateway-Hours", 24, 24, usd=Decimal("0.045"), operation="NatGateway"),
    Source("AWS Cost Explorer", "APIRequest", 14, 6, 0.2, usd=Decimal("0.01"), unit="Requests",
           operation="GetCostAndUsage"),
    # somebody else's
    Source(_EC2, "BoxUsage:t3.large", 48, 48, tags=PORTAL, usd=Decimal("0.0832"), operation="RunInstances"),
    Source("Amazon Relational Database Service", "InstanceUsage:db.t3.medium", 24, 24, tags=PORTAL,
           usd=Decimal("0.068"), operation="CreateDBInstance"),
    Source("AWS Lambda", "Lambda-GB-Second", 61000, 30000, 0.12, tags=PORTAL, usd=Decimal("0.0000166667"),
           unit="Lambda-GB-Second", operation="Invoke"),
)  # fmt: skip


@dataclass(frozen=True)
class Spike:
    """More of something than usual: `quantity` units on each of `days` days from `first` on."""

    first: date
    days: int
    source: Source
    quantity: Decimal

    def covers(self, day: date) -> bool:
        """Whether the spike is going on."""
        return self.first <= day < self.first + timedelta(days=self.days)


def left_on(environment: str) -> Source:
    """A training on a GPU that nobody stopped."""
    return _hours("Training", "ml.g5.xlarge", 0, 0, 0.0, environment=environment, owner="data-science")


_LEFT_ON = (
    (left_on("dev"), 18, 30),
    (_hours("Hosting", "ml.g5.xlarge", 0, 0, 0.0, environment="dev", owner="data-science"), 20, 24),
    (_hours("Processing", "ml.m5.xlarge", 0, 0, 0.0, environment="staging"), 95, 140),
)
"""What is forgotten now and then, with the least and the most units of such a day."""


def spikes(seed: int, today: date, days: int = DAYS) -> tuple[Spike, ...]:
    """The one to three spikes of the `days` days before `today`, the earliest first."""
    dice, found = _dice(f"{seed}/spikes"), list[int]()
    for _ in range(dice.randint(1, 3)):
        free = [at for at in range(_QUIET, days - 2) if all(abs(at - other) >= _APART for other in found)]
        if free:
            found.append(dice.choice(free))
    made = []
    for at in sorted(found):
        source, least, most = dice.choice(_LEFT_ON)
        quantity = Decimal(dice.randint(least * 10, most * 10)) / 10
        made.append(Spike(today - timedelta(days=days - at), dice.choice((1, 1, 2)), source, quantity))
    return tuple(made)


def history(
    seed: int, today: date, until: date | None = None, *, days: int = DAYS, region: str = "us-east-1"
) -> list[Line]:
    """The bill of the `days` days before `today`, and of those from then on until `until` (exclusive), by day."""
    first, planted = today - timedelta(days=days), spikes(seed, today, days)
    count = ((until or today) - first).days
    return [line for at in range(count) for line in _day(seed, first + timedelta(days=at), at, planted, region)]


def _dice(text: str) -> random.Random:
    """The same numbers for the same text, on every machine."""
    return random.Random(text)  # noqa: S311 (invented costs, not secrets)


def _day(seed: int, day: date, at: int, planted: tuple[Spike, ...], region: str) -> Iterator[Line]:
    for number, source in enumerate(SOURCES):
        dice = _dice(f"{seed}/{day.isoformat()}/{number}")
        mean = (source.weekend if day.weekday() >= 5 else source.workday) * (1 + source.growth) ** at
        off = max(-CLIPPED, min(CLIPPED, dice.gauss(0, 1))) * source.noise
        yield line(source, day, Decimal(f"{mean * (1 + off):.4f}"), region)
    for spike in planted:
        if spike.covers(day):
            yield line(spike.source, day, spike.quantity, region)


def line(source: Source, day: date, quantity: Decimal, region: str) -> Line:
    """The line of so many units of a source on a day. Raises KeyError for hours that have no price in the region."""
    usage_type, operation, usd = source.usage, source.operation, source.usd
    if usd is None:
        component, _, instance = source.usage.partition("/")
        price = prices.load().hour(region, component, instance)
        if price is None:
            raise KeyError(f"{source.usage} in {region}")
        usage_type, operation, usd = price.usage_type, price.operation, price.usd
    amount, tagged = cost(quantity, usd), pairs(source.tags)
    return Line(
        day, source.service, usage_type, operation, region, source.unit, quantity.quantize(CENT), amount, tagged
    )
