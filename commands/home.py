"""What a person wants before their eyes: who they are here, their runs, what waits for them, health, alerts, money.

Read from the database alone (the catalog for what is in AWS), so it is there at once and costs AWS nothing. Slack's
Home shows it section by section, `home` as one answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from commands.command import READERS, Context, command
from commands.elevation import notices
from commands.reply import Action, Code, Fact, Inline, Mention, Menu, Moment, Reply, Step, StepState, Strong
from commands.wording import money, shorten
from iam.mapping import ROLES
from pipeline.names import Environment
from state import alerts, approvals, catalog, jobs
from state.alerts import AlertRow
from state.approvals import ApprovalRow
from state.catalog import Entry
from state.jobs import Job

RECENT = timedelta(days=7)
NAMED = 5
"""Things of a kind named one by one; the others are counted."""
ENDPOINTS = 20
_RUN_STATES: dict[str, StepState] = {"running": "running", "done": "done", "failed": "failed", "stopped": "stopped"}
NEXT: dict[str, Sequence[Action]] = {
    "data-scientist": (
        Action("Start a training run…", "form pipeline run", "primary"),
        Action("Ask for a promotion", "registry list"),
        Action("Look at the data", "dataset sample"),
    ),
    "ml-engineer": (
        Action("Deploy…", "form deployment create", "primary"),
        Action("Models in staging", "registry list --env staging"),
        Action("What costs and is not used", "cost idle"),
    ),
    "stakeholder": (
        Action("Cost report", "cost report", "primary"),
        Action("Models in production", "registry list --env prod"),
        Action("Drift in production", "drift report --env prod"),
    ),
}
"""What somebody of a role does most; their first button is the one they look for."""


@command("home", allowed=None, example="home")
def home(ctx: Context) -> Reply:
    """Show what is yours: role, runs, approvals, endpoints, alerts, money, and what you can do next."""
    first, *others = sections(ctx)
    text: list[Inline] = [*_parts(first)]
    for part in others:
        text += ["\n" if text else "", Strong(part.title), "\n", *_parts(part)] if _parts(part) else []
    return Reply(
        title=first.title,
        context=first.context,
        text=text,
        steps=[step for part in others for step in part.steps],
        facts=[*first.facts, *(fact for part in others for fact in part.facts)],
        actions=[*others[-1].actions, Action("All commands", "help")],
    )


def sections(ctx: Context) -> Sequence[Reply]:
    """Who you are, your runs, what waits for you, endpoints, alerts, money, what next: in this order, all seven."""
    places, now = _places(ctx), datetime.now(UTC)
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    with ctx.state.begin() as connection:
        mine = catalog.runs_of(connection, ctx.person.team, ctx.person.user, since=now - RECENT)
        serving = catalog.newest(connection, "endpoint", places, limit=ENDPOINTS)
        ran = jobs.between(connection, month, now)
    firing = alerts.listed(ctx.state, environments=[*places, None], limit=50)
    waiting = approvals.list(ctx.state, ctx.person.team)
    return [
        _who(ctx),
        _runs(mine, now),
        _waiting(ctx, waiting),
        _endpoints(serving, firing),
        _alerts(firing),
        _money(ctx, ran, month, now),
        Reply(title="What you can do next", actions=[*NEXT[ctx.person.role], Action("Any command…", "form")]),
    ]


def _places(ctx: Context) -> Sequence[Environment]:
    roles = [ctx.person.role, *(grant.role for grant in ctx.person.elevations)]
    return list(dict.fromkeys(env for role in roles for env in READERS.get(role, ())))


def _parts(part: Reply) -> Sequence[Inline]:
    return [part.text] if isinstance(part.text, str) and part.text else [*part.text]


def _who(ctx: Context) -> Reply:
    person = ctx.person
    until = [f" · {grant.role} for a while" for grant in person.elevations]
    return Reply(
        title=f"You are {person.role}" if person.role in ROLES else "You",
        context=[Mention(person.user), " · for as long as the access file says so", *until],
        text=notices(ctx),
    )


def _runs(mine: Sequence[Entry], now: datetime) -> Reply:
    shown = [
        Action(f"{run.name[:4]} in {run.environment}: {run.state}", f"pipeline show {run.name} --env {run.environment}")
        for run in mine
    ]
    return Reply(
        title="Your runs",
        text="" if mine else "None in the last seven days.",
        steps=[_run(run) for run in mine],
        actions=[Menu("Show a run…", shown)] if shown else [],
    )


def _run(run: Entry) -> Step:
    about = str(run.detail.get("about") or run.state)
    progress = run.detail.get("progress")
    detail: list[Inline] = [f"{about} · started ", Moment(run.at.timestamp())]
    drawn = float(progress) if progress is not None and run.state == "running" else None
    return Step(f"Run {run.name[:4]} in {run.environment}", _RUN_STATES.get(run.state, "failed"), detail, drawn)


def _waiting(ctx: Context, rows: Sequence[ApprovalRow]) -> Reply:
    """What this person can decide; then what they have asked for themselves."""
    theirs = [row for row in rows if row.requester != ctx.person.user and ctx.person.holds(row.role)]
    asked = [row for row in rows if row.requester == ctx.person.user]
    text: list[Inline] = []
    for row in theirs[:NAMED]:
        text += [Code(row.id), f" {shorten(row.title, 120)} · asked by ", Mention(row.requester), " · until "]
        text += [Moment(row.expires_at.timestamp()), "\n"]
    text += [f"… {len(theirs) - NAMED} more\n"] if len(theirs) > NAMED else []
    for row in asked[:NAMED]:
        text += ["You asked: ", Code(row.id), f" {shorten(row.title, 120)} · needs another {row.role}\n"]
    return Reply(
        title="Waiting for you" if theirs or not asked else "Waiting for others",
        text=text or "Nothing waits for your approval.",
        actions=[Action(f"Look at {row.id}", f"approvals show {row.id}") for row in theirs[:NAMED]],
    )


def _endpoints(serving: Sequence[Entry], firing: Sequence[AlertRow]) -> Reply:
    return Reply(
        title="Endpoints",
        text="" if serving else "None is deployed where you may look.",
        steps=[_endpoint(each, firing) for each in serving],
    )


def _endpoint(each: Entry, firing: Sequence[AlertRow]) -> Step:
    """In service without an alert is healthy; AWS's own word for everything else."""
    troubles = [row for row in firing if f"/{each.name}" in row.subject or each.name in row.title]
    words = {"InService": "in service", "Failed": "failed"}.get(each.state, each.state.lower())
    state: StepState = "failed" if each.state == "Failed" or troubles else "running"
    if each.state == "InService" and not troubles:
        return Step(each.name, "done", [f"healthy: {words} since ", Moment(each.at.timestamp())])
    told = f" · {len(troubles)} alert{'s' if len(troubles) != 1 else ''} open" if troubles else ""
    return Step(each.name, state, f"{words}{told}")


def _alerts(firing: Sequence[AlertRow]) -> Reply:
    text: list[Inline] = []
    for row in firing[:NAMED]:
        has: list[Inline] = ["nobody has it"]
        if who := row.assigned_to or row.acknowledged_by:
            has = ["with " if row.assigned_to else "seen by ", Mention(who)]
        text += [Code(row.id[:8]), f" {row.severity} · {shorten(row.title, 120)} · ", *has, "\n"]
    text += [f"… {len(firing) - NAMED} more\n"] if len(firing) > NAMED else []
    return Reply(
        title="Open alerts",
        text=text or "No alert is open.",
        actions=[Action("All alerts", "alerts list")] if firing else [],
    )


def _money(ctx: Context, ran: Sequence[Job], month: datetime, now: datetime) -> Reply:
    """By our own records, as they are at once; the bill comes a day late."""
    own = [job for job in ran if job.team == ctx.person.team and job.user_id == ctx.person.user]
    return Reply(
        title="Money",
        facts=[
            Fact("This month, everybody", _sum(ran, month, now)),
            Fact("This month, you", _sum(own, month, now)),
        ],
    )


def _sum(ran: Sequence[Job], month: datetime, now: datetime) -> str:
    """What jobs have cost since the month began; what has no known price is said and not left out in silence."""
    sums: dict[str, Decimal] = {}
    unknown = 0
    for job in ran:
        cost = _since(job, month, now)
        if cost is None:
            unknown += 1
        else:
            sums[job.currency or "USD"] = sums.get(job.currency or "USD", Decimal(0)) + cost
    told = " and ".join(money(amount, currency) for currency, amount in sums.items()) or "nothing"
    return told + (f", and {unknown} without a known price" if unknown else "")


def _since(job: Job, month: datetime, now: datetime) -> Decimal | None:
    """The share of a job's cost that lies in the month, by its time."""
    cost = job.cost(now)
    if cost is None or job.started_at >= month:
        return cost
    end = job.ended_at or now
    return cost * Decimal((end - month) / (end - job.started_at)) if end > month else Decimal(0)
