"""What a period cost, by whatever is grouped, against the same number of days before. Sums are exact.

Pure: entries in, a tally out. The entries may come from the bill (`pipeline.spending`) or from our own job records.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

ZERO = Decimal(0)
CENT = Decimal("0.01")


@dataclass(frozen=True)
class Entry:
    """What something cost on one day."""

    day: date
    label: str
    amount: Decimal


@dataclass(frozen=True)
class Row:
    """One group: what it cost on each day of the period, and in all in the period it is compared with."""

    label: str
    daily: Sequence[Decimal]
    before: Decimal

    @property
    def amount(self) -> Decimal:
        """In the period."""
        return sum(self.daily, ZERO)

    @property
    def change(self) -> Decimal:
        """More than in the period before; negative for less."""
        return self.amount - self.before


@dataclass(frozen=True)
class Tally:
    """A period from `start` to the day before `end`. `rows` are the groups, the largest first."""

    start: date
    end: date
    rows: Sequence[Row]

    @property
    def total(self) -> Decimal:
        """Of the period."""
        return sum((row.amount for row in self.rows), ZERO)

    @property
    def before(self) -> Decimal:
        """Of the period before."""
        return sum((row.before for row in self.rows), ZERO)

    @property
    def change(self) -> Decimal:
        """More than in the period before; negative for less."""
        return self.total - self.before

    @property
    def daily(self) -> Sequence[Decimal]:
        """Of each day."""
        columns = zip(*(row.daily for row in self.rows), strict=True)
        return [sum(column, ZERO) for column in columns] or [ZERO] * (self.end - self.start).days

    def folded(self, most: int) -> Tally:
        """The same with at most so many groups: the smallest become one."""
        if len(self.rows) <= most:
            return self
        rest = self.rows[most - 1 :]
        daily = [sum(day, ZERO) for day in zip(*(row.daily for row in rest), strict=True)]
        other = Row(f"{len(rest)} others", daily, sum((row.before for row in rest), ZERO))
        return Tally(self.start, self.end, [*self.rows[: most - 1], other])

    def movers(self, most: int = 3) -> Sequence[Row]:
        """The groups that changed most, up or down, by a cent at least."""
        moved = [row for row in self.rows if abs(row.change) >= CENT]
        return sorted(moved, key=lambda row: (-abs(row.change), row.label))[:most]


def tally(entries: Iterable[Entry], start: date, end: date, against: date | None = None) -> Tally:
    """The entries of a period and of the equally long one before it, or from `against` on; others are left out."""
    length = (end - start).days
    earlier = against or start - timedelta(days=length)
    daily: dict[str, list[Decimal]] = defaultdict(lambda: [ZERO] * length)
    before: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for entry in entries:
        if start <= entry.day < end:
            daily[entry.label][(entry.day - start).days] += entry.amount
        elif earlier <= entry.day < earlier + timedelta(days=length):
            before[entry.label] += entry.amount
    rows = [Row(label, daily[label], before[label]) for label in {*daily, *before}]
    return Tally(start, end, sorted(rows, key=lambda row: (-row.amount, -row.before, row.label)))
