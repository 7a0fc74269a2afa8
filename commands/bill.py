"""The bill as commands read it: asked of AWS once an hour for each role, whoever asks and in whichever worker.

An answer is kept for the role it was given to: what AWS refuses to a role is not shown to it from somebody else's
answer. Two requests hold all that reports, forecasts, anomalies and digests need of the last HISTORY_DAYS days, so
that within an hour they cost two cents together (and two more for each who asks in the very second of the first).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from commands.command import Allowed, Context, Need
from pipeline import spending
from pipeline.names import ENVIRONMENTS, PROJECT
from pipeline.spending import Bill
from state import answers

KEPT = timedelta(hours=1)
HISTORY_DAYS = 132
"""Three months, and the six weeks before them from which is learnt what is usual."""
UNTAGGED = "untagged"
"""What a charge is called that does not carry the tag asked for."""

SPENDERS: Allowed = MappingProxyType(dict.fromkeys(("data-scientist", "ml-engineer", "stakeholder"), ENVIRONMENTS))
"""Who may read what is spent: Cost Explorer answers about the whole account or not at all."""
READ = (Need("ce:GetCostAndUsage"),)


@dataclass(frozen=True)
class Spending:
    """What was spent from `since` to today: ours by service and by a tag, and the account by whose it is."""

    today: date
    since: date
    own: Bill
    whole: Bill

    @property
    def currency(self) -> str:
        """Of the whole; empty when nothing was ever charged."""
        return self.own.currency or self.whole.currency

    @property
    def begins(self) -> date | None:
        """The first day on which anything of ours was charged; what was before its tags counted is unknown."""
        return min((charge.day for charge in self.own.charges), default=None)

    def daily(self, start: date, end: date) -> list[Decimal]:
        """What is ours, for each day from `start` to the day before `end`."""
        days = {day: Decimal(0) for day in spending.days(start, end)}
        for charge in self.own.charges:
            if charge.day in days:
                days[charge.day] += charge.amount
        return list(days.values())

    def apart(self, start: date, end: date) -> tuple[Decimal, Decimal]:
        """What carries no tag that says whose it is, and what is somebody else's, in a period."""
        rest = [charge for charge in self.whole.charges if start <= charge.day < end]
        nobody = sum((charge.amount for charge in rest if not charge.tag), Decimal(0))
        others = sum((charge.amount for charge in rest if charge.tag not in ("", PROJECT)), Decimal(0))
        return nobody, others


def read(ctx: Context, back: int = 0, tag: str = "Environment") -> Spending:
    """The bill of the last HISTORY_DAYS days, or of `back` when those are more, up to today.

    Raises Denied, Unavailable, BadInput, Refused (`pipeline.spending`).
    """
    today = datetime.now(UTC).date()
    since, tomorrow = today - timedelta(days=max(HISTORY_DAYS, back)), today + timedelta(days=1)
    own, whole = (asked(ctx, each) for each in (spending.own(since, tomorrow, tag), spending.whole(since, tomorrow)))
    return Spending(today, since, own, whole)


def asked(ctx: Context, request: spending.Request) -> Bill:
    """Cost Explorer's answer, from the last hour or from now. Raises as `pipeline.spending` does."""
    return spending.read(kept(ctx, dict(request), lambda: list(spending.ask(ctx.client("ce"), request))))


def kept(ctx: Context, question: object, ask: Callable[[], Any]) -> Any:
    """An answer (JSON) that this role got within the hour, or `ask` for it now. What is refused is not kept."""
    words = json.dumps([ctx.names.account, ctx.person.role, question], sort_keys=True)
    key = hashlib.sha256(words.encode()).hexdigest()
    with ctx.state.begin() as connection:
        found = answers.find(connection, key, KEPT)
    if found is None:
        found = ask()
        with ctx.state.begin() as connection:
            answers.put(connection, key, found)
    return found
