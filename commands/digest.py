"""The cost digest: yesterday or the last week, the month so far and where it goes, what moved, what needs a look.

Typed by a person, or posted by a schedule with the bot's own eyes, then also with what is idle. Budget, AWS's forecast
and anomalies that cannot be read are named, and the rest is still told; without the bill there is no digest, and the
schedule says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated

from cyclopts import Parameter

from commands import anomalies, bill, cost_forecast
from commands.anomalies import Findings, told
from commands.bill import Spending
from commands.command import Context, Need, command
from commands.cost import entries, from_bill
from commands.cost_forecast import BUDGET
from commands.cost_report import compared, movers, picture, span
from commands.idle import idle_facts
from commands.reply import Action, Audience, Fact, Inline, Reply, Strong
from commands.wording import money
from pipeline.names import PROJECT
from pipeline.tally import Tally, tally

WEEK = timedelta(days=7)
PICTURED, PICTURED_WEEKLY = 14, 35
"""Days in the picture."""


@command(
    "cost digest now",
    allowed=bill.SPENDERS,
    needs=[*anomalies.READ, Need("ce:ListCostAllocationTags"), BUDGET],
    audience=Audience.CHANNEL,
    example="cost digest now --weekly",
)
def now(
    ctx: Context, *, weekly: Annotated[bool, Parameter(help="The last seven days instead of yesterday")] = False
) -> Reply:
    """Post the cost digest now: yesterday, the month, the forecast against the budget, what moved."""
    return _digest(ctx, 7 if weekly else 1)


def daily(ctx: Context, since: datetime) -> Reply:
    """What a schedule posts every day. It is about yesterday (UTC), whenever the last one was."""
    return _with_idle(ctx, _digest(ctx, 1))


def weekly(ctx: Context, since: datetime) -> Reply:
    """What a schedule posts every week. It is about the seven days up to yesterday (UTC)."""
    return _with_idle(ctx, _digest(ctx, 7))


def _with_idle(ctx: Context, reply: Reply) -> Reply:
    """With what is idle in all environments, which the bot's own eyes see; a person types `cost idle`."""
    return replace(reply, facts=[*reply.facts, *idle_facts(ctx)])


def _digest(ctx: Context, days: int) -> Reply:
    read = bill.read(ctx)
    start, end, unit = read.today - timedelta(days=days), read.today, read.currency
    found = tally(entries(read, "service"), start, end, start - WEEK)
    month, (budget, trouble) = cost_forecast.month(read), cost_forecast.budget_or_why(ctx)
    odd = anomalies.findings(ctx, read, start)
    account = from_bill(ctx, read, "service", start, end)
    pictured = tally(account.entries, end - timedelta(days=PICTURED if days == 1 else PICTURED_WEEKLY), end)
    return Reply(
        title=_title(read, found, days),
        context=f"{PROJECT} · {span(start, end)} (UTC) · from the bill (Cost Explorer), provisional",
        text=[
            *(f"{caveat}\n" for caveat in account.caveats),
            *_odd(odd, unit),
            *movers(found, unit, f"Moved most, against {'the same day last week' if days == 1 else 'the week before'}"),
        ],
        facts=[
            Fact("Month to date", f"{money(_spent(read), unit)}, up to yesterday"),
            *_forecast(month, unit),
            *cost_forecast.against(month, budget, trouble, unit),
            *account.facts,
        ],
        picture=picture(pictured, unit, "service", account.provisional),
        actions=_actions(odd),
    )


def _title(read: Spending, found: Tally, days: int) -> str:
    what = f"Cost of {_day(found.start)}" if days == 1 else "Cost of the last 7 days"
    whole = read.begins is not None and read.begins <= found.start - WEEK
    before = "the same day last week" if days == 1 else "the 7 days before"
    return f"{what}: {money(found.total, read.currency)}" + (f", {compared(found)} {before}" if whole else "")


def _day(day: date) -> str:
    return f"{day:%A} {day.day} {day:%B}"


def _spent(read: Spending) -> Decimal:
    """In the month of today, up to yesterday; on the first, nothing yet."""
    return sum(read.daily(read.today.replace(day=1), read.today), Decimal(0))


def _forecast(month: cost_forecast.Month | None, unit: str) -> list[Fact]:
    if month is None:
        return [Fact("Forecast", "too little history")]
    range_ = f"in 8 of 10 cases {cost_forecast.likely(month, unit)}"
    return [Fact(f"Forecast of {month.start:%B}", f"{money(month.total, unit)}; {range_}")]


def _odd(found: Findings, unit: str) -> Sequence[Inline]:
    if not found.all:
        return ["Nothing cost more than expected.\n"]
    lines: list[Inline] = [Strong("More than expected"), "\n"]
    for each in found.all[: anomalies.NAMED]:
        lines += [*told(each, unit), "\n"]
    return lines


def _actions(odd: Findings) -> list[Action]:
    return [
        Action("By environment", "cost report --by environment"),
        *([Action("What is behind it?", "cost anomalies", "primary")] if odd.all else []),
        Action("Forecast", "cost forecast"),
        Action("Budget", "cost budget show"),
    ]
