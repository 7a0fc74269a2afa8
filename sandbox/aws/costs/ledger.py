"""The account's bill: the seeded history, what the sandbox really used, and what somebody let happen on top.

`Conditions` are what differs from one account to another, and what a test or a person on this machine may change by
POST /_sandbox/costs (`Ledger.control`).
"""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from sandbox.aws.costs import history, prices
from sandbox.aws.costs.lines import Line
from sandbox.aws.costs.meter import Meter

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud

TAG_KEYS = ("CostCenter", "Environment", "Owner", "Project")
PROVISIONAL = timedelta(days=2)
"""How long after its end a day's costs still change on AWS: reports mark it as estimated."""


@dataclass(frozen=True)
class Conditions:
    """What this account is like.

    `enabled`: Cost Explorer was switched on. `tags_active`: the cost allocation tags were activated, long ago.
    `age_days`: how old the account is, None for older than its history. `currency`: what amounts are given in.
    `page_rows`: rows (groups of a period) in one answer of Cost Explorer. `seed`: of the history.
    """

    enabled: bool = True
    tags_active: bool = True
    age_days: int | None = None
    currency: str = "USD"
    page_rows: int = 5000
    seed: int = history.SEED


class Ledger:
    """All lines of the bill. `opened` is the day on which the history ends and the sandbox begins."""

    def __init__(self, cloud: Cloud, meter: Meter) -> None:
        self._cloud, self._meter = cloud, meter
        self._lock = threading.Lock()
        self._seeded: tuple[tuple[int, date], list[Line]] | None = None
        self.planted: list[history.Spike] = []
        self.conditions = Conditions()
        self.opened = self.today()
        self.active: dict[str, date] = dict.fromkeys(TAG_KEYS, date.min)

    @property
    def account(self) -> str:
        """The account's number."""
        return self._cloud.account

    @property
    def region(self) -> str:
        """The region everything is used in: the account's, or the first of the price list where that has no prices."""
        known = list(dict.fromkeys(price.region for price in prices.load().products))
        return self._cloud.region if self._cloud.region in known else known[0]

    def now(self) -> datetime:
        """The account's time."""
        return self._cloud.clock.now()

    def today(self) -> date:
        """The account's day (UTC)."""
        return self.now().date()

    def spikes(self) -> list[history.Spike]:
        """What was more than usual: seeded, then planted."""
        return [*history.spikes(self.conditions.seed, self.opened), *self.planted]

    def lines(self, first: date, last: date) -> list[Line]:
        """The lines of the days from `first` until `last` (exclusive), with the tags that cost allocation knows."""
        planted = [
            history.line(spike.source, spike.first + timedelta(days=at), spike.quantity, self.region)
            for spike in self.planted
            for at in range(spike.days)
        ]
        age, today = self.conditions.age_days, self.today()
        first = first if age is None else max(first, today - timedelta(days=age))
        found = [*self._history(today), *planted, *self._meter.lines()]
        return [self.allocated(line) for line in found if first <= line.day < last and line.day <= today]

    @property
    def first(self) -> date:
        """The first day of the history."""
        return self.opened - timedelta(days=history.DAYS)

    def tag_keys(self) -> set[str]:
        """The tag keys that something in the account carries, active or not."""
        return {*TAG_KEYS, *self.active}

    def estimated(self, day: date) -> bool:
        """Whether a day's costs may still change."""
        return day >= self.today() - PROVISIONAL

    def control(self, body: Any) -> dict[str, Any]:
        """Change conditions, those named only; the answer is all of them with `opened` and the seeded spikes.

        `{"reset": true}` brings them back to what they were at the start, and forgets what was planted. Raises
        ValueError for a condition that does not exist or has another type.
        """
        if not isinstance(body, dict):
            raise ValueError("conditions come as an object")
        wanted = dict(body)
        if wanted.pop("reset", False):
            self.conditions, self.planted = Conditions(), []
            self.active = dict.fromkeys(TAG_KEYS, date.min)
        known = asdict(self.conditions)
        for name, value in wanted.items():
            allowed = (int, type(None)) if name == "age_days" else (type(known.get(name)),)
            if name not in known or type(value) not in allowed:
                raise ValueError(f"{name} is one of {', '.join(known)} and of the type it has")
        if "tags_active" in wanted:
            self.active = dict.fromkeys(TAG_KEYS, date.min) if wanted["tags_active"] else {}
        self.conditions = replace(self.conditions, **wanted)
        return {**asdict(self.conditions), "opened": str(self.opened), "today": str(self.today())}

    def show(self, body: Any) -> list[dict[str, Any]]:
        """`{"start": "2026-11-01", "end": "2026-11-08"}`: the lines of these days (end exclusive), to reckon with."""
        first, last = (date.fromisoformat(body[name]) for name in ("start", "end"))
        return [{**asdict(line), "tags": dict(line.tags)} for line in self.lines(first, last)]

    def plant(self, body: Any) -> history.Spike:
        """`{"hours": 30, "environment": "dev"}`: training on ml.g5.xlarge that nobody expected, yesterday."""
        try:
            hours = Decimal(str(body.get("hours", 30)))
        except InvalidOperation as error:
            raise ValueError("hours is a number") from error
        source = history.left_on(body.get("environment", "dev"))
        spike = history.Spike(self.today() - timedelta(days=1), 1, source, hours)
        self.planted.append(spike)
        return spike

    def _history(self, today: date) -> list[Line]:
        wanted = (self.conditions.seed, max(today, self.opened))
        with self._lock:
            if self._seeded is None or self._seeded[0] != wanted:
                lines = history.history(wanted[0], self.opened, wanted[1], region=self.region)
                self._seeded = wanted, lines
            return self._seeded[1]

    def allocated(self, line: Line) -> Line:
        """The line with those tags only that were active on its day: activation does not reach back."""
        kept = tuple(tag for tag in line.tags if self.active.get(tag[0], date.max) <= line.day)
        return line if kept == line.tags else replace(line, tags=kept)
