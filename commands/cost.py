"""What was spent: from the bill by service, environment or tag; from our own records by endpoint, step or person."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal

from cyclopts import Parameter

from commands import bill, reckoned
from commands.arguments import Between
from commands.bill import Spending
from commands.command import Context, Need, command
from commands.cost_report import Account, drawn
from commands.reply import Action, Audience, Fact, Reply
from commands.wording import money, shorten
from pipeline import spending
from pipeline.errors import BadInput, GroundcrewError
from pipeline.names import PROJECT
from pipeline.tally import Entry, tally

By = Literal["service", "environment", "tag", "endpoint", "step", "person"]
LONGEST = 200
"""Days: as many again before them are read too, and Cost Explorer keeps fourteen months."""


@command(
    "cost report",
    allowed=bill.SPENDERS,
    needs=[*bill.READ, Need("ce:ListCostAllocationTags")],
    audience=Audience.CHANNEL,
    example="cost report --days 30 --by environment",
)
def report(
    ctx: Context,
    *,
    days: Annotated[int, Parameter(help="How many days", validator=Between(1, LONGEST))] = 30,
    by: Annotated[By, Parameter(help="What is told apart; the last three from our own records")] = "service",
    until: Annotated[str, Parameter(help="The last day, as 2026-10-31; yesterday, of our own records today")] = "",
    tag: Annotated[str, Parameter(help="With --by tag: which cost allocation tag")] = "CostCenter",
) -> Reply:
    """Show what was spent, how that has changed and what moved most."""
    now = datetime.now(UTC)
    actions = _actions(by, days, until)
    if by == "endpoint" or by == "step" or by == "person":
        start, end = period(days, until or f"{now:%Y-%m-%d}", now.date())
        return drawn(_from_records(ctx, by, start, end, now), start, end, by, actions)
    start, end = period(days, until, now.date())
    read = bill.read(ctx, (now.date() - start).days + days, tag if by == "tag" else "Environment")
    return drawn(from_bill(ctx, read, by, start, end), start, end, f"tag {tag}" if by == "tag" else by, actions)


def period(days: int, until: str, today: date) -> tuple[date, date]:
    """First day and the day after the last. Raises BadInput for what is no day or lies in the future."""
    try:
        last = date.fromisoformat(until) if until else today - timedelta(days=1)
    except ValueError as error:
        raise BadInput(f"{shorten(until, 40)!r} is no day.", "Write it as 2026-10-31.") from error
    if last > today:
        raise BadInput(
            f"{last} lies in the future: nothing was spent there yet.",
            "`cost forecast` tells what this month may come to.",
        )
    return last - timedelta(days=days - 1), last + timedelta(days=1)


def entries(read: Spending, by: Literal["service", "environment", "tag"]) -> list[Entry]:
    """What is ours, by service or by the tag that was asked for."""
    return [
        Entry(charge.day, charge.service if by == "service" else charge.tag or bill.UNTAGGED, charge.amount)
        for charge in read.own.charges
    ]


def from_bill(
    ctx: Context, read: Spending, by: Literal["service", "environment", "tag"], start: date, end: date
) -> Account:
    """What the bill says of a period; what is not ours is told beside it."""
    nobody, others = read.apart(start, end)
    facts = [Fact("Without a project tag", f"{money(nobody, read.currency)}, not in the total")]
    facts += [Fact("Other projects", f"{money(others, read.currency)}, not in the total")] if others else []
    return Account(
        entries(read, by),
        read.currency,
        read.begins,
        "from the bill (Cost Explorer)",
        read.own.provisional | read.whole.provisional,
        facts,
        [*_untagged(ctx, read)],
    )


def _from_records(ctx: Context, by: reckoned.By, start: date, end: date, now: datetime) -> Account:
    found = reckoned.reckon(ctx.state, by, start, end, now)
    sums = {unit: sum((each.amount for each in rows), Decimal(0)) for unit, rows in found.entries.items()}
    unit = max(sums, key=sums.__getitem__, default="")
    caveats = ["Reckoned from our own job records and list prices, not from the bill: no storage, no discounts."]
    if end > now.date():
        caveats.append("Today is counted up to now.")
    for other in sorted(sums.keys() - {unit}):
        beside = tally(found.entries[other], start, end).total
        caveats.append(f"{money(beside, other)} more is in another currency, and not added.")
    if found.unpriced:
        caveats.append(f"{found.unpriced} of the records have no known price and count as nothing.")
    if not found.entries:
        caveats.append("No job with a price was recorded in this time.")
    return Account(found.entries.get(unit, []), unit, found.begins, "from our own job records", caveats=caveats)


def _untagged(ctx: Context, read: Spending) -> list[str]:
    """Why nothing is ours although something was charged, and what to do about it."""
    if read.own.charges or not read.whole.charges:
        return []
    try:
        active: list[str] | None = bill.kept(ctx, "active tags", lambda: list(spending.active_tags(ctx.client("ce"))))
    except GroundcrewError:
        active = None  # what can be said without knowing is said below
    if active is not None and spending.TAG in active:
        return [f"The tag {spending.TAG} is active, but nothing with the value {PROJECT} was charged since it is."]
    lead = f"Nothing of the bill carries the tag {spending.TAG}={PROJECT}."
    known = "" if active is None else f" Active are: {', '.join(active[:8]) or 'none'}."
    return [
        f"{lead}{known} Activate {spending.TAG}, Environment, CostCenter and Owner as cost allocation tags in the "
        "Billing console of the payer account. They count from then on, not for days before, and lag a day."
    ]


def _actions(by: By, days: int, until: str) -> list[Action]:
    rest = f" --days {days}" + (f" --until {until}" if until else "")
    others = [each for each in ("service", "environment", "person", "step") if each != by]
    return [
        *(Action(f"By {each}", f"cost report --by {each}{rest}") for each in others[:3]),
        Action("Forecast", "cost forecast"),
        Action("Anomalies", "cost anomalies"),
    ]
