"""The month's budget: how much of it is left, and setting it, which takes a second person.

Who reads the budget may ask for another one; the change runs as the ML engineer who agrees.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from cyclopts import Parameter

from commands import bill
from commands.approvals import consent
from commands.arguments import Between, Reason
from commands.command import Approval, Context, Need, Plan, command
from commands.cost_forecast import BUDGET
from commands.reply import Action, Audience, Code, Fact, Inline, Reply
from commands.wording import money, who
from pipeline import budgets
from pipeline.budgets import NAME, Budget
from pipeline.errors import BadInput
from pipeline.names import ENVIRONMENTS

LARGEST = 10_000_000


def left(ctx: Context) -> Budget | None:
    """The month's budget as the bot's own eyes see it, None when there is none: what an estimate is held against.

    `.left` is what may still be spent, `.currency` its currency. Raises Denied and Unavailable.
    """
    return budgets.load(ctx.eyes("budgets"), ctx.names.account)


@command(
    "cost budget show", allowed=bill.SPENDERS, needs=[BUDGET], audience=Audience.CHANNEL, example="cost budget show"
)
def show(ctx: Context) -> Reply:
    """Show the month's budget: spent, left, and what AWS expects."""
    found = budgets.load(ctx.client("budgets"), ctx.names.account)
    if found is None:
        return Reply(
            title="There is no budget",
            text=["Nobody is warned when the month gets dear. An ML engineer sets one: ", Code("cost budget set 500")],
            actions=[Action("Forecast", "cost forecast")],
        )
    return Reply(
        title=_title(found),
        context=[Code(found.name), " · AWS Budgets, whose figures are some hours old"],
        facts=_facts(found),
        actions=[Action("Forecast", "cost forecast"), Action("Report", "cost report")],
    )


def _plan(ctx: Context, *, limit: float, currency: str, reason: str) -> Plan:
    there, amount, unit = _wanted(ctx, limit, currency)
    was = money(there.limit, there.currency) if there else "no budget"
    facts = [
        Fact("Budget", [Code(NAME)]),
        Fact("From", was),
        Fact("To", f"{money(amount, unit)} a month"),
        *([Fact("Spent this month", money(there.spent, unit))] if there else []),
        *([Fact("Why", reason)] if reason else []),
    ]
    return Plan(f"set the month's budget to {money(amount, unit)}", facts, {"budget": NAME, "was": was, "unit": unit})


@command(
    "cost budget set",
    allowed={"ml-engineer": ENVIRONMENTS},
    needs=[
        BUDGET,
        Need("budgets:ModifyBudget", "arn:aws:budgets::{account}:budget/" + NAME),
        *bill.READ,
    ],
    changes=True,
    audience=Audience.CHANNEL,
    approval=Approval("ml-engineer", asked_by={"data-scientist": ENVIRONMENTS, "stakeholder": ENVIRONMENTS}),
    plan=_plan,
    example='cost budget set 500 --reason "two surveys a week"',
)
def set_(
    ctx: Context,
    limit: Annotated[float, Parameter(help="What a month may cost", validator=Between(1, LARGEST))],
    *,
    currency: Annotated[str, Parameter(help="That of the budget or the bill if not given")] = "",
    reason: Reason = "",
) -> Reply:
    """Set what a month may cost; anybody asks, and another ML engineer agrees."""
    there, amount, unit = _wanted(ctx, limit, currency)
    budgets.put(ctx.client("budgets"), ctx.names.account, amount, unit)
    agreed = consent(ctx)
    by: list[Inline] = []
    if agreed and agreed.agreed:
        by = [" · agreed by ", who(agreed.agreed), ", asked by ", who(agreed.asked)]
    return Reply(
        title=f"The month's budget is {money(amount, unit)}",
        context=[Code(NAME), *by],
        text="It was " + (f"{money(there.limit, there.currency)}." if there else "none: nobody was warned."),
        facts=[Fact("Why", reason)] if reason else [],
        actions=[Action("Budget", "cost budget show"), Action("Forecast", "cost forecast")],
    )


def _wanted(ctx: Context, limit: float, currency: str) -> tuple[Budget | None, Decimal, str]:
    """The budget there is, and the limit as it is to be. Raises BadInput for another currency than the account's."""
    there = budgets.load(ctx.client("budgets"), ctx.names.account)
    known = there.currency if there else bill.read(ctx).currency
    unit = currency.upper() or known
    if not unit:
        raise BadInput("Nothing was charged yet, so the account's currency is unknown.", "Name it: `--currency USD`.")
    if known and unit != known:
        raise BadInput(f"The account is billed in {known}; a budget in {unit} would watch nothing.", "Leave it out.")
    return there, Decimal(repr(limit)).quantize(Decimal("0.01")), unit


def _title(found: Budget) -> str:
    if found.left < 0:
        return f"The month's budget is overdrawn by {money(-found.left, found.currency)}"
    return f"{money(found.left, found.currency)} of the month's budget is left"


def _facts(found: Budget) -> list[Fact]:
    share = f" ({round(found.spent * 100 / found.limit)} %)" if found.limit > 0 else ""
    expected = money(found.forecast, found.currency) if found.forecast is not None else "not told yet"
    return [
        Fact("Budget", f"{money(found.limit, found.currency)} a month"),
        Fact("Spent this month", money(found.spent, found.currency) + share),
        Fact("AWS expects", expected),
    ]
