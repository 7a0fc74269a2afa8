"""When the monitor looks: its schedule, and a look with what the photos really showed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Annotated

from cyclopts import Parameter

from commands import watching
from commands.arguments import Env, Yes
from commands.command import READERS, Approval, Context, Need, Plan, command
from commands.deployment import CHANGERS, UPDATE, in_prod
from commands.reply import Action, Audience, Code, Fact, Moment, Reply, Table
from commands.watching import EndpointName, Window
from commands.wording import day, duration, shorten
from pipeline import monitor, truths
from pipeline.deployment import Stack
from pipeline.errors import BadInput
from pipeline.monitor import Watch
from pipeline.names import Environment

TIMES: Mapping[int, str] = MappingProxyType({1: "cron(0 * ? * * *)", 6: "cron(0 0/6 ? * * *)", 24: "cron(0 0 ? * * *)"})
"""When, by the hours between two looks; Model Monitor and EventBridge Scheduler both understand these (UTC)."""
LATEST = 5
"""Runs of the monitor shown."""
SCHEDULE = (
    Need("scheduler:GetSchedule", "arn:aws:scheduler:{region}:{account}:schedule/{stack}/{stack}-monitor"),
    Need("sagemaker:DescribeMonitoringSchedule", "monitoring-schedule/{stack}-monitor"),
    Need(("sagemaker:ListProcessingJobs", "sagemaker:ListMonitoringExecutions")),
)


@command(
    "drift schedule show",
    allowed=READERS,
    needs=[watching.FIND, *SCHEDULE],
    example="drift schedule show --env prod",
)
def show(ctx: Context, endpoint: EndpointName = "", *, env: Env = "dev") -> Reply:
    """Show when the monitor looks, and how its last runs ended."""
    stack, sagemaker = watching.stack(ctx, endpoint, env), ctx.client("sagemaker")
    watch = monitor.watch(ctx.client("scheduler"), sagemaker, stack)
    runs = monitor.executions(sagemaker, stack, LATEST) if watch.state != "none" else []
    rows = [(day(run.at), _said(run.status), shorten(run.reason, 100)) for run in runs]
    return Reply(
        title=f"{stack.name}: {_state(watch)}",
        context=[Code(watch.name), " · ", "Model Monitor" if watch.kind == "native" else "Processing job"],
        text=_advice(watch, env),
        facts=[Fact("Times (UTC)", [Code(watch.times or "none")]), *_next_look(watch)],
        table=Table(("Started", "Ended", "Why"), rows, "The last runs of the monitor") if rows else None,
        actions=_buttons(watch, env),
        environment=env,
    )


def _plan_state(ctx: Context, *, endpoint: str, env: Environment, yes: bool) -> Plan:
    return _changing(ctx, endpoint, env, "stop watching", "nobody hears of drift until it is resumed")


@command(
    "drift schedule pause",
    allowed=CHANGERS,
    needs=UPDATE,
    changes=True,
    audience=Audience.CHANNEL,
    approval=Approval("ml-engineer", when=in_prod),
    confirm=True,
    plan=_plan_state,
    example="drift schedule pause --env staging",
)
def pause(ctx: Context, endpoint: EndpointName = "", *, env: Env = "dev", yes: Yes = False) -> Reply:
    """Stop watching an endpoint until the schedule is resumed; prod needs an approval."""
    stack = watching.stack(ctx, endpoint, env)
    reply = watching.change(ctx, env, {"MonitorState": "DISABLED"})
    return _resumable(reply, f"Pausing the monitor of {stack.name}", "resume", env)


def _plan_resume(ctx: Context, *, endpoint: str, env: Environment) -> Plan:
    return _changing(ctx, endpoint, env, "watch again", "the next look is at the next full window")


@command(
    "drift schedule resume",
    allowed=CHANGERS,
    needs=UPDATE,
    changes=True,
    audience=Audience.CHANNEL,
    approval=Approval("ml-engineer", when=in_prod),
    plan=_plan_resume,
    example="drift schedule resume --env staging",
)
def resume(ctx: Context, endpoint: EndpointName = "", *, env: Env = "dev") -> Reply:
    """Watch an endpoint again; prod needs an approval."""
    stack = watching.stack(ctx, endpoint, env)
    reply = watching.change(ctx, env, {"MonitorState": "ENABLED"})
    return _resumable(reply, f"Resuming the monitor of {stack.name}", "pause", env)


Every = Annotated[str, Parameter(help="1h, 6h or 24h: how often, and how long a window")]


def _plan_set(ctx: Context, *, every: str, endpoint: str, env: Environment) -> Plan:
    hours = _hours(every)
    return _changing(ctx, endpoint, env, f"watch every {hours} h", f"each look is at the last {hours} h", every=every)


@command(
    "drift schedule set",
    allowed=CHANGERS,
    needs=UPDATE,
    changes=True,
    audience=Audience.CHANNEL,
    approval=Approval("ml-engineer", when=in_prod),
    plan=_plan_set,
    example="drift schedule set --every 6h --env staging",
)
def set_(ctx: Context, endpoint: EndpointName = "", *, every: Every, env: Env = "dev") -> Reply:
    """Choose how often the monitor looks; each look is at the time since the one before."""
    hours, stack = _hours(every), watching.stack(ctx, endpoint, env)
    reply = watching.change(ctx, env, {"MonitorTimes": TIMES[hours], "MonitorHours": str(hours)})
    words = "A window needs 200 images to be called drift, the alarm two windows: long ones say more, and later."
    return replace(reply, title=f"{stack.name} is looked at every {hours} h", text=words)


def _plan_truth(ctx: Context, *, prefix: str, endpoint: str, env: Environment, window: str, yes: bool) -> Plan:
    stack, span = watching.stack(ctx, endpoint, env), watching.span(window)
    place = _place(ctx, prefix, stack, env)
    return watching.plan(stack, f"the last {duration(span.total_seconds())}", {"window": window, "ground truth": place})


@command(
    "drift ground-truth",
    allowed=CHANGERS,
    needs=[
        *watching.READ[:2],
        Need("s3:GetObject", "arn:aws:s3:::{bucket}/{env}/ground-truth/*"),
        *watching.start(),
    ],
    changes=True,
    audience=Audience.CHANNEL,
    approval=Approval("ml-engineer", when=in_prod),
    plan=_plan_truth,
    spends=watching.spends,
    example="drift ground-truth labels-may --env staging --window 24h",
)
def ground_truth(
    ctx: Context,
    prefix: Annotated[str, Parameter(help="Folder below the environment's ground-truth/, or its s3:// address")],
    endpoint: EndpointName = "",
    *,
    env: Env = "dev",
    window: Window = "24h",
    yes: Yes = False,
) -> Reply:
    """Compare what the model said with what the photos really showed; prod needs an approval."""
    stack = watching.stack(ctx, endpoint, env)
    begin, end = watching.last(watching.span(window))
    place = _place(ctx, prefix, stack, env)
    seen = truths.look(ctx.client("s3"), place, begin, end)
    if not seen.records:
        raise BadInput(
            f"Nothing in {place} can be used as ground truth: {seen.words()}.",
            f"Put files into {place}/{end:%Y/%m/%d/%H}/, one JSON object a line, with the inference id under "
            "`eventMetadata.eventId` and `groundTruthData` with encoding JSON (docs/monitoring.md).",
        )
    more = f"{seen.words()}. How many belong to captured requests the monitor counts, by inference id."
    return watching.look(ctx, stack, env, begin, end, truth=place, more=more[0].upper() + more[1:])


def _changing(ctx: Context, endpoint: str, env: Environment, what: str, effect: str, **more: str) -> Plan:
    """The plan of a change of the schedule."""
    stack = watching.stack(ctx, endpoint, env)
    given = stack.parameters
    state = "paused" if given.get("MonitorState") == "DISABLED" else "on"
    facts = [
        Fact("Endpoint", stack.name),
        Fact("Now", f"{state}, every {given.get('MonitorHours', '1')} h"),
        Fact("Then", effect),
    ]
    return Plan(f"{what} in {env}", facts, {"stack": stack.id, **watching.code(), **more})


def _resumable(reply: Reply, title: str, back: str, env: Environment) -> Reply:
    action = Action(back.capitalize(), f"drift schedule {back} --env {env}")
    return replace(reply, title=title, actions=[action])


def _hours(every: str) -> int:
    """The hours between two looks. Raises BadInput for others than there are."""
    hours = every.strip().lower().removesuffix("h")
    if not hours.isdecimal() or int(hours) not in TIMES:
        raise BadInput(f"The monitor cannot look every {every}.", "Choose 1h, 6h or 24h.")
    return int(hours)


def _place(ctx: Context, prefix: str, stack: Stack, env: Environment) -> str:
    """The `s3://` address of ground truth. Raises BadInput for one that lies elsewhere than it may."""
    home = f"s3://{ctx.names.bucket}/{env}/ground-truth"
    given = prefix.strip().rstrip("/")
    place = given if given.startswith("s3://") else f"{home}/{given.strip('/')}"
    if not place.startswith(f"{home}/") or ".." in place or len(place) > 900:
        raise BadInput(
            f"Ground truth of {env} lies below {home}/, not in {shorten(prefix, 80)}.",
            f"Copy it there and type its folder: `drift ground-truth <folder> --env {env}`.",
        )
    return place


def _state(watch: Watch) -> str:
    words = {"on": f"looked at every {watch.hours} h", "paused": "the monitor is paused", "none": "nobody watches it"}
    return words[watch.state]


def _advice(watch: Watch, env: Environment) -> str:
    if watch.state == "none":
        return f"There is no schedule: `deployment create --env {env}` deploys with a monitor."
    if watch.state == "paused":
        return "Nobody hears of drift until it is resumed."
    return (
        "" if watch.kind == "native" else "A job may start some minutes after the hour: captured requests arrive late."
    )


def _next_look(watch: Watch) -> list[Fact]:
    if watch.state != "on":
        return []
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    following = midnight + timedelta(hours=(now.hour // watch.hours + 1) * watch.hours)
    return [Fact("Next", [Moment(following.timestamp())])]


def _said(status: str) -> str:
    words = {"CompletedWithViolations": "with violations", "Completed": "nothing violated", "InProgress": "running"}
    return words.get(status, status.lower())


def _buttons(watch: Watch, env: Environment) -> list[Action]:
    report = Action("Report", f"drift report --env {env}")
    if watch.state == "none":
        return [Action(f"Deploy to {env}", f"deployment create --env {env}", "primary")]
    if watch.state == "paused":
        return [Action("Resume", f"drift schedule resume --env {env}", "primary"), report]
    return [report, Action("Pause…", f"drift schedule pause --env {env}")]
