"""What a line will cost before it runs: by what our own runs like it took, else by a typical time, at list prices.

The rule is `pipeline.estimate`; what a line uses, each command declares (`spends`). The runner shows the estimate, and
asks when it is high; `cost estimate` only shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import prod
from typing import Annotated, Literal

from cyclopts import Parameter

from commands import budget
from commands.arguments import Verbatim
from commands.command import Command, Context, Spend, Use, command
from commands.parsing import parse
from commands.pricing import hourly
from commands.reply import Action, Code, Fact, Reply, Table
from commands.wording import duration, exact, money, money_range
from pipeline import estimate as rule
from pipeline.errors import BadInput, Denied, Refused, Unavailable
from pipeline.estimate import NOTHING, Money, Past, Seconds
from pipeline.names import ENVIRONMENTS
from state import jobs
from state.estimates import EstimateRow
from state.jobs import Job
from state.prices import PriceRow

HISTORY = 10
"""Runs looked back at: what has changed since (code, data) is forgotten."""
MONTH_H = 730
"""Hours of a month, as AWS reckons."""
DAY_H = 24
SQUARED = frozenset({"image_size"})
SPOT_SAVES = 0.9
"""The most that AWS says managed spot training saves (SageMaker developer guide, "Managed Spot Training")."""
WORTH_SAYING = Decimal("0.5")
"""Below this nobody needs a cheaper way to do it."""

Level = Literal["nothing", "confirmation", "approval"]


@dataclass(frozen=True)
class Limits:
    """From which amounts on a line is asked about: the person themselves, or somebody else as well."""

    confirm: Decimal
    approval: Decimal


@dataclass(frozen=True)
class Part:
    """One use with its time and price; what stays on has no time. `runs`: earlier ones that it is reckoned from."""

    use: Use
    price: PriceRow | None
    time: Seconds | None = None
    runs: int = 0
    needs_s: float = 0.0
    """What it is expected to take if it were let."""

    @property
    def cut(self) -> bool:
        """Whether runs like it tell that SageMaker will stop it before it is done."""
        return self.runs > 0 and self.needs_s > self.use.most_s

    @property
    def money(self) -> Money | None:
        """What its time costs; None where the price is unknown, or where it stays on."""
        if self.time is None or self.rate is None:
            return None
        return rule.cost(self.time, self.rate, self.use.instances)

    @property
    def rate(self) -> Decimal | None:
        """The price of one instance for an hour."""
        return self.price.per_hour if self.price else None


@dataclass(frozen=True)
class Estimate:
    """What a line will cost. `silent`: the price list did not answer, so what is unknown may be known in a minute."""

    parts: Sequence[Part]
    silent: bool = False
    cheaper: Sequence[str] = ()

    @property
    def currency(self) -> str:
        """Of all amounts."""
        return next((part.price.currency for part in self.parts if part.price), "USD")

    @property
    def jobs(self) -> Sequence[Part]:
        """What ends by itself."""
        return [part for part in self.parts if not part.use.stays]

    @property
    def unknown(self) -> Sequence[str]:
        """What has no known price."""
        return list(dict.fromkeys(part.use.instance_type for part in self.parts if part.rate is None))

    @property
    def total(self) -> Money | None:
        """Of what ends by itself; None where a price is unknown."""
        found = [part.money for part in self.jobs]
        return None if None in found else sum((each for each in found if each), NOTHING)

    @property
    def per_hour(self) -> Decimal:
        """What stays on costs an hour, as far as it is known."""
        return sum((part.rate * part.use.instances for part in self.parts if part.use.stays and part.rate), Decimal(0))

    @property
    def counted(self) -> Decimal:
        """What the limits are compared with: the high end, and the first day of what stays on; known prices only."""
        known = sum((part.money.high for part in self.jobs if part.money), Decimal(0))
        return known + self.per_hour * DAY_H

    def level(self, limits: Limits) -> Level:
        """Whether somebody has to be asked.

        An unknown price is asked about too, unless the list is just silent, and so is what would end before it is done.
        """
        if self.counted > limits.approval:
            return "approval"
        in_vain = any(part.cut for part in self.parts)
        asks = self.counted > limits.confirm or in_vain or (self.unknown and not self.silent)
        return "confirmation" if asks else "nothing"

    @property
    def basis(self) -> str:
        """What it is reckoned from, in words."""
        runs = [part.runs for part in self.jobs]
        if not runs:
            words = "price list"
        elif all(runs):
            words = "from the last run like this" if min(runs) == 1 else f"from the last {min(runs)} runs like this"
        elif any(runs):
            blind = [part.use.step for part in self.jobs if not part.runs]
            words = f"from runs like this; {', '.join(blind)} by a typical time"
        else:
            words = "price list × typical time: nothing like it has run yet"
        known = [part.price.as_of for part in self.parts if part.price]
        return f"{words}, prices of {min(known):%Y-%m-%d}" if known else words


def of(ctx: Context, asked: Command, arguments: Mapping[str, object]) -> Estimate | None:
    """What a command with these arguments will cost; None for one that uses nothing. Raises what `spends` raises."""
    spend = asked.spends(ctx, **arguments) if asked.spends else None
    if spend is None:
        return None
    found = _priced(ctx, spend.uses, spend.work)
    return replace(found, cheaper=_cheaper(ctx, found, spend)) if found.parts else found


def words(estimate: Estimate) -> str:
    """The estimate of what ends by itself in a few words: `0.0034 USD, 0.0029 to 0.0041`."""
    total = estimate.total
    if total is None:
        return f"unknown: {_why(estimate)}"
    return f"{money(total.expected, estimate.currency)} ({money_range(total.low, total.high)})"


def facts(estimate: Estimate, *, briefly: bool = False) -> list[Fact]:
    """What somebody has to know who is about to spend it; `briefly`, below what has been started."""
    if not estimate.parts:
        return [Fact("Estimated cost", "nothing more than now")]
    found = []
    if estimate.jobs:
        found.append(Fact("Estimated cost", f"{words(estimate)}, {estimate.basis}"))
    if any(part.use.stays for part in estimate.parts):
        found.append(Fact("Estimated monthly cost", _monthly(estimate)))
    if estimate.cheaper and not briefly:
        found.append(Fact("Cheaper", "; ".join(estimate.cheaper)))
    return found


def left(ctx: Context) -> list[Fact]:
    """What the month's budget still allows, as it is shown to whoever is asked; nothing where there is no budget."""
    try:
        found = budget.left(ctx)
    except (Denied, Unavailable) as error:
        return [Fact("Budget left", f"unknown: {error.message}")]
    return [Fact("Budget left", money(found.left, found.currency))] if found else []


def row(ctx: Context, estimate: Estimate, line: str, env: str | None, subject: str | None) -> EstimateRow:
    """As it is kept: the jobs' range, or a month where something only stays on."""
    range_, basis = estimate.total, estimate.basis
    if not estimate.jobs:
        month = None if estimate.unknown else estimate.per_hour * MONTH_H
        range_ = None if month is None else Money(month, month, month)
        basis = f"a month until it is deleted, {basis}"
    low, expected, high = (
        (_exact(each) for each in (range_.low, range_.expected, range_.high)) if range_ else (None,) * 3
    )
    me = ctx.person
    return EstimateRow(
        ctx.invocation, subject, line, env, me.team, me.user, low, expected, high, estimate.currency, basis
    )


def monthly(ctx: Context, instance_type: str) -> str:
    """What an endpoint on such an instance costs a month, in words."""
    return _monthly(_priced(ctx, [Use("Endpoint", "Hosting", instance_type, stays=True)], {}))


@command("cost estimate", allowed=None, example="cost estimate pipeline run --epochs 8")
def estimate_(
    ctx: Context, line: Annotated[str, Parameter(help="The command, as you would type it"), Verbatim()]
) -> Reply:
    """Tell what a command would cost, without running it: by runs like it, at list prices."""
    asked, arguments = parse(line)
    if asked.spends is None:
        raise BadInput(f"`{asked.name}` starts nothing that costs by the hour.", "Try `cost estimate pipeline run`.")
    env = next((each for each in ENVIRONMENTS if each == arguments.get("env")), None)
    if not asked.may(ctx.person.role, env):
        where = f" in {env}" if env else ""
        raise Refused(f"A {ctx.person.role} may not do that{where}.", "`access matrix` shows who may.")
    # A price is asked for without the rights to spend it; what exists is looked at with the bot's own eyes.
    found = of(replace(ctx, client=ctx.eyes), asked, arguments)
    if found is None or not found.parts:
        return Reply(title="That would cost nothing more", context=[Code(line)], environment=env)
    title = f"About {money(found.total.expected, found.currency)}" if found.total else "What that costs is unknown"
    if not found.jobs and not found.unknown:
        title = f"About {money(found.per_hour * MONTH_H, found.currency)} a month until it is deleted"
    return Reply(
        title=title,
        context=[Code(line)],
        text=_why(found) if found.unknown else "",
        facts=[*facts(found), *left(ctx)],
        table=Table(
            ("What", "Instance", "An hour", "Time", "Cost", "From"), [_row(part) for part in found.parts], "Parts"
        ),
        actions=[Action("Do it", line)],
        environment=env,
    )


def _priced(ctx: Context, uses: Sequence[Use], work: Mapping[str, int]) -> Estimate:
    parts, silent = [], False
    for use in uses:
        price = None
        if not silent:
            try:
                price = hourly(ctx, use.component, use.instance_type)
            except Unavailable:
                silent = True  # the others are not asked for either: somebody waits
        parts.append(_part(ctx, use, price, work))
    return Estimate(parts, silent)


def _part(ctx: Context, use: Use, price: PriceRow | None, work: Mapping[str, int]) -> Part:
    if use.stays:
        return Part(use, price)
    with ctx.state.begin() as connection:
        found = jobs.like(connection, use.step, use.instance_type, HISTORY, spot=use.spot)
        # A spot job is known by the seconds that were billed; where none has run yet, its high end is the full price.
        others = jobs.like(connection, use.step, use.instance_type, HISTORY) if use.spot and not found else []
    past = _history(found or others, use, work)
    time = rule.from_history(past, 1.0) if past else rule.typical(use.seconds)
    if use.spot and not found:
        time = rule.at_best(time, SPOT_SAVES)
    return Part(use, price, time.at_most(use.most_s), len(past), time.expected)


def _history(found: Sequence[Job], use: Use, work: Mapping[str, int]) -> list[Past]:
    """Earlier jobs, the work of each in units of this one's: by what is known of both."""
    photos = next((job.work["photos"] for job in found if job.work and job.work.get("photos")), 0)
    given = dict(work)
    if photos:
        given["photos"] = min(work.get("photos") or photos, photos)
    history = []
    for job in found:
        known = [name for name in use.grows_with if given.get(name) and job.work and job.work.get(name)]
        ratio = prod((job.work[name] / given[name]) ** (2 if name in SQUARED else 1) for name in known if job.work)
        history.append(Past(float(job.seconds or 0), ratio))
    return [past for past in history if past.seconds > 0]


def _cheaper(ctx: Context, found: Estimate, spend: Spend) -> list[str]:
    """Other ways to nearly the same, with what speaks for and against them."""
    said = [words for part in found.parts for words in [*_smaller(ctx, part), *_on_spot(ctx, found, part, spend.work)]]
    cut = next((part for part in found.jobs if part.cut), None)
    if cut is not None:
        limit = duration(cut.use.most_s)
        said.append(f"do less at once: {cut.use.step} needs about {duration(cut.needs_s)} and is stopped after {limit}")
    if spend.less and found.total and found.total.expected >= WORTH_SAYING:
        less = _priced(ctx, spend.uses, {**spend.work, **spend.less[1]}).total
        if less is not None and less.expected < found.total.expected:
            said.append(
                f"{spend.less[0]} costs about {money(less.expected, found.currency)}; see first what it reaches"
            )
    return said


def _on_spot(ctx: Context, found: Estimate, part: Part, work: Mapping[str, int]) -> list[str]:
    """The same training on capacity that AWS may take back, where it is worth it: by our own such trainings, if any."""
    if part.use.component != "Training" or part.use.spot or part.money is None or part.money.expected < WORTH_SAYING:
        return []
    other = _part(ctx, replace(part.use, spot=True), part.price, work)
    if other.money is None:
        return []
    low, now = money(other.money.low, found.currency), money(part.money.expected, found.currency)
    words = f"--spot may train for as little as {low} instead of {now}"
    return [f"{words}; it waits for free machines, and goes on from its last epoch when one is taken away"]


def _smaller(ctx: Context, part: Part) -> list[str]:
    """The cheapest other instance type, where there is one."""
    if part.rate is None:
        return []
    try:
        prices = [hourly(ctx, part.use.component, other) for other in part.use.instead]
    except Unavailable:
        return []
    best = min((price for price in prices if price.per_hour is not None), key=lambda p: p.per_hour or 0, default=None)
    if best is None or best.per_hour is None or best.per_hour >= part.rate:
        return []
    month = money(best.per_hour * MONTH_H, best.currency)
    return [f"{best.instance_type} costs {month} a month: smaller, enough where few photos a minute are asked about"]


def _monthly(estimate: Estimate) -> str:
    unknown = [part.use.instance_type for part in estimate.parts if part.use.stays and part.rate is None]
    if unknown:
        return f"unknown: {_why(estimate)}"
    rate, currency = estimate.per_hour, estimate.currency
    types = ", ".join(part.use.instance_type for part in estimate.parts if part.use.stays)
    return f"{money(rate * MONTH_H, currency)} until it is deleted ({types}, {exact(rate)} an hour)"


def _why(estimate: Estimate) -> str:
    if estimate.silent:
        return "the AWS price list does not answer"
    return f"the AWS price list has no price for {', '.join(estimate.unknown)} here"


def _row(part: Part) -> tuple[str, ...]:
    rate = "unknown" if part.rate is None else exact(part.rate)
    if part.time is None:
        month = "unknown" if part.rate is None else f"{money(part.rate * part.use.instances * MONTH_H)} a month"
        return part.use.step, part.use.instance_type, rate, "until deleted", month, "price list"
    shortest, longest = duration(part.time.low), duration(part.time.high)
    time = longest if shortest == longest else f"{shortest} to {longest}"
    cost = money_range(part.money.low, part.money.high) if part.money else "unknown"
    origin = f"{part.runs} run{'s' if part.runs > 1 else ''}" if part.runs else "typical time"
    return part.use.step, part.use.instance_type, rate, time, cost, origin


def _exact(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.000001"))
