"""What this month will come to: our own forecast, AWS's beside it, and both against the budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from commands import bill
from commands.bill import Spending
from commands.command import Context, Need, command
from commands.cost_chart import EXPECTED, Layer, daily
from commands.cost_report import span
from commands.reply import Action, Audience, Code, Fact, Picture, Reply
from commands.wording import money
from pipeline import budgets, forecast, spending
from pipeline.budgets import Budget
from pipeline.errors import GroundcrewError
from pipeline.forecast import LEAST_DAYS
from pipeline.names import PROJECT

BUDGET = Need("budgets:ViewBudget", "arn:aws:budgets::{account}:budget/" + budgets.NAME)
BEFORE = 14
"""Days before the month that the picture shows too, so that its beginning has something to be compared with."""


@dataclass(frozen=True)
class Month:
    """A month from `start` to the day before `end`. `days` are today and those after it, as they are expected.

    `spent` is up to yesterday; `today` is what of today is charged already, and is expected at least. `low` and `high`
    hold the month in 8 of 10 cases, None where there is too little history to say.
    """

    start: date
    end: date
    spent: Decimal
    today: Decimal
    days: Sequence[Decimal]
    low: Decimal | None
    high: Decimal | None

    @property
    def total(self) -> Decimal:
        """What the month comes to."""
        return self.spent + sum(self.days, Decimal(0))


@command(
    "cost forecast",
    allowed=bill.SPENDERS,
    needs=[*bill.READ, Need("ce:GetCostForecast"), BUDGET],
    audience=Audience.CHANNEL,
    example="cost forecast",
)
def forecast_(ctx: Context) -> Reply:
    """Show what this month will come to, by our own forecast and by AWS's, against the budget."""
    read = bill.read(ctx)
    found = month(read)
    budget, trouble = budget_or_why(ctx)
    actions = [Action("Report", "cost report"), Action("Budget", "cost budget show")]
    if found is None:
        return Reply(
            title="There is too little history for a forecast",
            text=f"It takes {LEAST_DAYS} days with costs of ours. " + (_began(read) or "So far there are none."),
            facts=[*theirs(ctx, read), *against(None, budget, trouble, read.currency)],
            actions=actions,
        )
    unit = read.currency
    name = f"{found.start:%B %Y}"
    return Reply(
        title=f"{name} will come to about {money(found.total, unit)}",
        context=f"{PROJECT} · {span(found.start, found.end)} (UTC) · forecast from the bill of the days before",
        facts=[
            Fact("Up to yesterday", money(found.spent, unit)),
            Fact(
                "Still to come", f"{money(found.total - found.spent, unit)} in {len(found.days)} days, today included"
            ),
            Fact("In 8 of 10 cases", likely(found, unit)),
            *theirs(ctx, read),
            *against(found, budget, trouble, unit),
        ],
        picture=_picture(read, found),
        actions=actions,
    )


def month(read: Spending) -> Month | None:
    """The month of today, with our forecast of its days to come; None with fewer than LEAST_DAYS days of history."""
    start = read.today.replace(day=1)
    end = _next(start)
    known = read.daily(max(read.since, read.begins), read.today) if read.begins else []
    if len(known) < LEAST_DAYS:
        return None
    values, yesterday, left = list(map(float, known)), read.today - timedelta(days=1), (end - read.today).days
    spent, today = sum(read.daily(start, read.today), Decimal(0)), read.daily(read.today, end)[0]
    first, *later = (_exact(amount) for amount in forecast.ahead(values, yesterday, left))
    days = [max(today, first), *later]
    off = forecast.off(values, yesterday, left)
    low, high = (spent + max(today, sum(days) * _exact(each)) for each in off) if off else (None, None)
    return Month(start, end, spent, today, days, low, high)


def likely(found: Month, unit: str) -> str:
    """The range of the month, in words."""
    if found.low is None or found.high is None:
        return "unknown: too little history to see how far off such forecasts are"
    return f"{money(found.low, unit)} to {money(found.high, unit)}"


def theirs(ctx: Context, read: Spending) -> list[Fact]:
    """What AWS says the month will come to, or why it says nothing."""
    start, end = read.today, _next(read.today.replace(day=1))
    question = ["forecast", start.isoformat(), end.isoformat()]
    try:
        told = bill.kept(ctx, question, lambda: dict(spending.ask_forecast(ctx.client("ce"), start, end)))
    except GroundcrewError as error:
        return [Fact("AWS's forecast", f"none: {error.message}")]
    rest, unit = Decimal(told["Amount"]), told["Unit"]
    if read.currency and unit != read.currency:
        return [Fact("AWS's forecast", f"{money(rest, unit)} for the days to come")]
    spent = sum(read.daily(start.replace(day=1), start), Decimal(0))
    return [Fact("AWS's forecast", money(spent + rest, unit))]


def against(found: Month | None, budget: Budget | None, trouble: str, unit: str) -> list[Fact]:
    """The month against its budget; a budget in another currency is only named."""
    if budget is None:
        return [Fact("Budget", trouble or ["none; ", Code("cost budget set 500"), " makes one"])]
    limit = money(budget.limit, budget.currency)
    if found is None or budget.limit <= 0 or (unit and budget.currency != unit):
        return [Fact("Budget", f"{limit}; {money(budget.left, budget.currency)} of it is left")]
    over, share = found.total - budget.limit, round(found.total * 100 / budget.limit)
    words = f"{money(over, unit)} too much" if over > 0 else f"{money(-over, unit)} to spare"
    return [Fact("Budget", f"{limit}: the month is expected to take {share} % of it, {words}")]


def budget_or_why(ctx: Context) -> tuple[Budget | None, str]:
    """The month's budget, None when there is none or when AWS does not tell; then why."""
    try:
        return budgets.load(ctx.client("budgets"), ctx.names.account), ""
    except GroundcrewError as error:
        return None, f"unknown: {error.message}"


def _picture(read: Spending, found: Month) -> Picture:
    first = max(read.since, found.start - timedelta(days=BEFORE))
    known, none = read.daily(first, read.today), Decimal(0)
    still = [found.days[0] - found.today, *found.days[1:]]
    layers = [
        Layer("charged", [*known, found.today, *[none] * (len(still) - 1)]),
        Layer("expected", [*[none] * len(known), *still], EXPECTED),
    ]
    unit = read.currency
    image = daily(first, layers, f"Cost a day in {unit}, and what is expected", provisional=read.own.provisional)
    alt = (
        f"Bars of the cost of each day since {first.day} {first:%B}, then of what is expected: "
        f"{money(found.spent, unit)} this month so far, about {money(found.total, unit)} in all."
    )
    return Picture(image, f"cost_forecast_{found.start:%Y_%m}.png", alt)


def _began(read: Spending) -> str:
    return f"The first charge was on {read.begins.day} {read.begins:%B}." if read.begins else ""


def _next(first: date) -> date:
    """The first day of the month after."""
    return (first + timedelta(days=31)).replace(day=1)


def _exact(amount: float) -> Decimal:
    return Decimal(f"{amount:.10f}")
