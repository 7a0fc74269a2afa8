"""Costs nobody expected: what AWS's detection found, what our own test found besides, and what is behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Literal

from cyclopts import Parameter

from commands import bill
from commands.arguments import Between
from commands.bill import Spending
from commands.command import Context, Need, command
from commands.cost import entries
from commands.cost_chart import MOST_LAYERS, Layer, daily
from commands.cost_report import span
from commands.reckoned import by_day
from commands.reply import Action, Audience, Code, Fact, Inline, Mention, Menu, Picture, Reply, Strong
from commands.wording import money, shorten
from pipeline import anomalies, spending
from pipeline.anomalies import Anomaly
from pipeline.errors import GroundcrewError, NotFound
from pipeline.names import ENVIRONMENTS, PROJECT
from pipeline.tally import Entry, tally
from state import feedback, jobs
from state.feedback import FeedbackRow
from state.jobs import Job

Verdict = Literal["yes", "no", "planned"]

LONGEST = 90
"""Days; what is read goes back further, so that it is known by then what is usual."""
NAMED = 5
"""Findings told one by one, and asked about; the others are counted."""
BEHIND = 3
"""Jobs or types of usage named behind a finding."""
SAID: Mapping[str, str] = MappingProxyType({"yes": "unexpected indeed", "no": "no anomaly", "planned": "planned"})
READ = (*bill.READ, Need(("ce:GetAnomalies", "ce:GetAnomalyMonitors")))


@dataclass(frozen=True)
class Findings:
    """What was found, the newest first. `trouble` is why AWS's detection said nothing; empty where it did its work."""

    all: Sequence[Anomaly]
    trouble: Sequence[Inline] = ()


@command(
    "cost anomalies", allowed=bill.SPENDERS, needs=READ, audience=Audience.CHANNEL, example="cost anomalies --days 30"
)
def show(
    ctx: Context, *, days: Annotated[int, Parameter(help="How far back", validator=Between(1, LONGEST))] = 30
) -> Reply:
    """Show what cost more than expected, and what is behind it."""
    read = bill.read(ctx)
    start = read.today - timedelta(days=days)
    found, unit = findings(ctx, read, start), read.currency
    with ctx.state.begin() as connection:
        said = feedback.of(connection, [each.id for each in found.all])
    lines: list[Inline] = []
    for at, each in enumerate(found.all[:NAMED]):
        lines += [*told(each, unit), *_behind(ctx, each, unit, ask=at == 0), *_said(each, said.get(each.id)), "\n"]
    if rest := found.all[NAMED:]:
        lines.append(f"… {len(rest)} more, {money(sum((each.excess for each in rest), Decimal(0)), unit)} beyond\n")
    excess = sum((each.excess for each in found.all), Decimal(0))
    number = f"{len(found.all)} unexpected costs" if len(found.all) != 1 else "One unexpected cost"
    return Reply(
        title=f"{number} in {days} days, {money(excess, unit)} beyond what was expected"
        if found.all
        else f"No unexpected costs in {days} days",
        context=f"{PROJECT} · {span(start, read.today)} (UTC)",
        text=lines,
        facts=[Fact("Looked by", _eyes(found))],
        picture=_picture(read, start, found.all) if read.begins else None,
        actions=[
            *(_question(each) for each in found.all[:NAMED] if not (each.verdict or each.id in said)),
            Action("Report", f"cost report --days {days}"),
        ],
    )


@command(
    "cost feedback",
    allowed={"data-scientist": ENVIRONMENTS, "ml-engineer": ENVIRONMENTS},
    needs=[*READ, Need("ce:ProvideAnomalyFeedback")],
    changes=True,
    audience=Audience.CHANNEL,
    example="cost feedback own-20261112-amazon-sagemaker --verdict planned",
)
def judge(
    ctx: Context,
    anomaly: Annotated[str, Parameter(help="Id of the finding, as `cost anomalies` shows it")],
    *,
    verdict: Annotated[Verdict, Parameter(help="Was it unexpected? planned: more than usual, but meant")],
) -> Reply:
    """Say whether a cost was unexpected; AWS's detection learns from it."""
    read = bill.read(ctx)
    found = findings(ctx, read, read.today - timedelta(days=LONGEST)).all
    each = next((one for one in found if one.id == anomaly), None)
    if each is None:
        raise NotFound("cost anomaly", shorten(anomaly, 60), [one.id for one in found], "`cost anomalies` shows them.")
    if not each.ours:
        anomalies.tell(ctx.client("ce"), each.id, verdict)
    with ctx.state.begin() as connection:
        feedback.put(connection, each.id, verdict, ctx.person.user)
    learns = "It is kept with the finding." if each.ours else "Cost Anomaly Detection was told, and learns from it."
    return Reply(
        title=f"{each.service}, {_when(each)}: {SAID[verdict]}",
        context=["said by ", Mention(ctx.person.user), " · ", Code(each.id)],
        text=learns,
        facts=[Fact("Cost", _amounts(each, read.currency))],
        actions=[Action("Anomalies", "cost anomalies")],
    )


def findings(ctx: Context, read: Spending, start: date) -> Findings:
    """What AWS found since `start`, and what our own test found besides, in the days up to yesterday."""
    ours = [each for each in anomalies.find(*_series(read)) if each.end >= start]
    question = ["anomalies", start.isoformat(), read.today.isoformat()]
    try:
        rows = bill.kept(ctx, question, lambda: [_asked(ctx, start, read.today)])[0]
    except GroundcrewError as error:
        return Findings(ours, [f"Cost Anomaly Detection could not be asked: {error.message}"])
    if rows is None:
        up = Code("python -m infra up")
        return Findings(ours, [f"Cost Anomaly Detection has no monitor {PROJECT}; ", up, " sets it up"])
    theirs = anomalies.read(rows)
    return Findings(anomalies.newest_first([*theirs, *anomalies.unnoticed(ours, theirs)]))


def told(each: Anomaly, unit: str) -> list[Inline]:
    """A finding in a line."""
    return [Strong(f"{_when(each)}, {each.service}"), f": {_amounts(each, unit)} · ", Code(each.id)]


def _asked(ctx: Context, start: date, end: date) -> list[Mapping[str, object]] | None:
    rows = anomalies.ask(ctx.client("ce"), start, end)
    return None if rows is None else [dict(row) for row in rows]


def _series(read: Spending) -> tuple[Mapping[str, Sequence[Decimal]], date]:
    """What every service cost each day up to yesterday, and the first of these days."""
    first = read.begins or read.today
    return {row.label: row.daily for row in tally(entries(read, "service"), first, read.today).rows}, first


def _behind(ctx: Context, each: Anomaly, unit: str, *, ask: bool) -> list[Inline]:
    """What used more than usual: AWS's causes, or with `ask` the bill's types of usage (a cent); and our jobs."""
    causes = list(each.causes[:BEHIND]) or (_usage(ctx, each, unit) if ask else [])
    lines: list[Inline] = [f"\n    used: {', '.join(causes)}"] if causes else []
    for job, amount in _jobs(ctx, each) if "SageMaker" in each.service else ():
        by: list[Inline] = [" · ", Mention(job.user_id)] if job.user_id else []
        name = shorten(job.name, 60)
        lines += [
            f"\n    {job.step or job.kind} ",
            Code(name),
            *by,
            f" · {money(amount, job.currency or '')}, reckoned",
        ]
    return lines


def _usage(ctx: Context, each: Anomaly, unit: str) -> list[str]:
    """The types of usage that rose most against the same days a week before."""
    week = timedelta(days=7)
    try:
        found = bill.asked(ctx, spending.usage(each.start - week, each.end + timedelta(days=1), each.service))
    except GroundcrewError as error:
        return [f"not known ({error.message})"]
    rows = [Entry(charge.day, charge.service, charge.amount) for charge in found.charges]
    rose = tally(rows, each.start, each.end + timedelta(days=1), each.start - week).movers(BEHIND)
    return [f"{row.label} +{money(row.change, unit)}" for row in rose if row.change > 0]


def _jobs(ctx: Context, each: Anomaly) -> list[tuple[Job, Decimal]]:
    """Our dearest jobs of these days, and what they cost on them."""
    start, end = (datetime.combine(day, time(), UTC) for day in (each.start, each.end + timedelta(days=1)))
    with ctx.state.begin() as connection:
        found = jobs.between(connection, start, end)
    costs = [(job, _within(job, each)) for job in found]
    return sorted((pair for pair in costs if pair[1] > 0), key=lambda pair: -pair[1])[:BEHIND]


def _within(job: Job, each: Anomaly) -> Decimal:
    days = by_day(job, datetime.now(UTC))
    return sum((amount for day, amount in days if each.start <= day <= each.end), Decimal(0))


def _said(each: Anomaly, row: FeedbackRow | None) -> list[Inline]:
    if row is not None:
        return [f"\n    {SAID[row.verdict]}, says ", Mention(row.user_id)]
    return [f"\n    {SAID[each.verdict]}, says somebody in AWS"] if each.verdict else []


def _question(each: Anomaly) -> Menu:
    answers = {"yes": "Unexpected", "no": "No anomaly", "planned": "Planned"}
    options = [Action(words, f"cost feedback {each.id} --verdict {key}") for key, words in answers.items()]
    return Menu(f"{_when(each)}: was it?", options)


def _eyes(found: Findings) -> Sequence[Inline]:
    if found.trouble:
        return ["our own test only. ", *found.trouble]
    return ["Cost Anomaly Detection, and our own test"]


def _when(each: Anomaly) -> str:
    last = f"{each.end.day} {each.end:%b}"
    return last if each.start == each.end else f"{each.start.day} {each.start:%b} to {last}"


def _amounts(each: Anomaly, unit: str) -> str:
    by = "our test" if each.ours else "AWS"
    return f"{money(each.actual, unit)} where {money(each.expected, unit)} was expected ({by})"


def _picture(read: Spending, start: date, found: Sequence[Anomaly]) -> Picture:
    shown = tally(entries(read, "service"), start, read.today).folded(MOST_LAYERS)
    odd = {day for each in found for day in spending.days(each.start, each.end + timedelta(days=1))}
    layers = [Layer(row.label, row.daily) for row in shown.rows] or [Layer("nothing", [Decimal(0)])]
    image = daily(start, layers, f"Cost a day in {read.currency}, by service", odd=odd)
    marked = ", ".join(_when(each) for each in found[:NAMED]) or "none"
    return Picture(image, f"cost_anomalies_{read.today}.png", f"Bars of the cost of each day. Unexpected: {marked}.")
