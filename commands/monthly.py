"""What things that are left on cost a month: instances by the hour, storage by its size, at the price list's prices.

A price that the list does not have, or a list that does not answer, makes a cost unknown: it is never made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from commands.command import Context
from commands.pricing import hourly
from commands.wording import money
from pipeline import prices
from pipeline.errors import Unavailable
from pipeline.prices import Component

HOURS = Decimal(730)
"""Hours of a month, as AWS's own calculator reckons: 365 days of 24 hours in 12 months."""
GIB = Decimal(1024**3)

Storage = Literal["AmazonS3", "AmazonCloudWatch"]


@dataclass(frozen=True)
class Cost:
    """A cost a month; `amount` is None when it is not known. `as_of`: the oldest price in it, None without one."""

    amount: Decimal | None
    currency: str = "USD"
    as_of: datetime | None = None

    def __str__(self) -> str:
        if self.amount is None:
            return "unknown"
        return money(self.amount, self.currency) if self.amount else "nothing"


NOTHING = Cost(Decimal(0))
UNKNOWN = Cost(None)


class Monthly:
    """Reckons for one reply. A price list that does not answer is not asked again in it; `trouble` says why."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._storage: dict[Storage, tuple[Decimal, str] | None] = {}
        self.trouble = ""

    def instances(self, component: Component, runs_on: Mapping[str, int]) -> Cost:
        """So many instances of each type, on all the time."""
        return total(self._instance(component, kind, count) for kind, count in runs_on.items())

    def stored(self, service: Storage, size: int | None) -> Cost:
        """So many bytes kept; unknown when the size is."""
        if size is None:
            return UNKNOWN
        if service not in self._storage:
            self._storage[service] = self._price(service)
        found = self._storage[service]
        return Cost(size / GIB * found[0], found[1], datetime.now(UTC)) if found else UNKNOWN

    def _instance(self, component: Component, kind: str, count: int) -> Cost:
        if self.trouble:
            return UNKNOWN
        try:
            row = hourly(self._ctx, component, kind)
        except Unavailable as error:
            self.trouble = error.message
            return UNKNOWN
        amount = None if row.per_hour is None else row.per_hour * count * HOURS
        return Cost(amount, row.currency, row.as_of)

    def _price(self, service: Storage) -> tuple[Decimal, str] | None:
        if self.trouble:
            return None
        try:
            return prices.storage(self._ctx.eyes("pricing"), self._ctx.names.region, service)
        except Unavailable as error:
            self.trouble = error.message
            return None


def total(costs: Iterable[Cost]) -> Cost:
    """The sum; unknown as soon as one of them is."""
    every = list(costs)
    known = [cost for cost in every if cost.amount]
    days = [cost.as_of for cost in every if cost.as_of]
    currency = known[0].currency if known else "USD"
    if any(cost.amount is None or cost.currency != currency for cost in every if cost.amount != 0):
        return Cost(None, currency, min(days, default=None))
    return Cost(sum((cost.amount or Decimal(0) for cost in known), Decimal(0)), currency, min(days, default=None))


def summed(costs: Iterable[Cost]) -> str:
    """The sum of what is known, in words, and how much is not: `94.17 USD and 2 of unknown cost`; empty for nothing."""
    every = list(costs)
    unknown = sum(cost.amount is None for cost in every)
    known = [cost for cost in every if cost.amount]
    by_currency = {cost.currency: Decimal(0) for cost in known}
    for cost in known:
        by_currency[cost.currency] += cost.amount or Decimal(0)
    words = [" + ".join(money(amount, currency) for currency, amount in by_currency.items())] if known else []
    words += [f"{unknown} of unknown cost"] if unknown else []
    return " and ".join(words)
