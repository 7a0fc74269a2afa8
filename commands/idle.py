"""`cost idle`: what costs and nobody uses, dearest first, with what ends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from botocore.exceptions import BotoCoreError, ClientError
from cyclopts import Parameter

from commands.arguments import Between, Env
from commands.command import READERS, Context, Need, command
from commands.deployment import STACK
from commands.monthly import NOTHING, Cost, Monthly, summed
from commands.parsing import parse
from commands.reply import Action, Code, Fact, Inline, Menu, Reply, Table
from commands.wording import shorten, size
from pipeline import deployment, idle
from pipeline.errors import GroundcrewError
from pipeline.idle import Idle
from pipeline.names import ENVIRONMENTS, Environment

DAYS = 7
"""Without use, before something is called idle when nobody says otherwise."""
BUTTONS = 5
DIGEST = 3
"""Findings named in a digest; the others are counted."""


LOOK = Need("cloudformation:DescribeStacks", STACK)


@dataclass(frozen=True)
class Finding:
    """Something idle, and what it costs a month."""

    idle: Idle
    cost: Cost


@command(
    "cost idle",
    allowed=READERS,
    needs=[
        Need(
            (
                "sagemaker:ListEndpoints",
                "sagemaker:ListEndpointConfigs",
                "sagemaker:ListModels",
                "sagemaker:ListDomains",
                "sagemaker:ListApps",
                "cloudformation:ListStacks",
                "cloudwatch:GetMetricStatistics",
                "logs:DescribeLogGroups",
            )
        ),
        LOOK,
        Need("sagemaker:DescribeEndpoint", "endpoint/groundcrew-{env}-*"),
        Need("sagemaker:DescribeEndpointConfig", "endpoint-config/groundcrew-{env}-*"),
        Need("sagemaker:DescribeApp", "app/*"),
    ],
    example="cost idle --env staging",
)
def idle_(
    ctx: Context,
    *,
    env: Env = "dev",
    days: Annotated[
        int, Parameter(help="Days without use; 0 shows all that is on, used or not", validator=Between(0, 60))
    ] = DAYS,
) -> Reply:
    """List what costs and is not used, dearest first, each with what ends it."""
    look_first(ctx, env)
    monthly = Monthly(ctx)
    found = findings(ctx, monthly, [env], timedelta(days=days))
    elsewhere = _elsewhere(ctx, env, days)
    since = f"unused for {days} days" if days > 1 else "unused for a day" if days else "on, used or not"
    if not found:
        return Reply(
            title=f"Nothing in {env} is idle",
            text=f"No endpoint, Studio app, model, log group or stack is {since}.",
            actions=[*([Action("All that is on", f"cost idle --env {env} --days 0")] if days else []), *elsewhere],
            environment=env,
        )
    rows = [(_what(each.idle), each.idle.name, each.idle.why, _price(each)) for each in found]
    costs = summed(each.cost for each in found)
    actions, hint = _buttons(ctx, found, env)
    return Reply(
        title=f"Idle in {env}: {costs} a month" if costs else f"Left over in {env}: nothing that costs by itself",
        context=f"{since} · a month is 730 hours · {_basis(found)}",
        text=[*_trouble(monthly), *hint],
        table=Table(("What", "Name", "Not used", "A month"), rows, f"What is idle in {env}, dearest first"),
        actions=[*actions, *elsewhere],
        environment=env,
    )


def look_first(ctx: Context, env: Environment) -> None:
    """A call on the environment's own stack: lists are the whole account's, and nobody is denied those.

    Whoever may not look at an environment so hears it from AWS, whatever there is to find.
    """
    deployment.find(ctx.client("cloudformation"), ctx.names.stack(env))


def findings(ctx: Context, monthly: Monthly, envs: Sequence[Environment], unused: timedelta) -> list[Finding]:
    """What is idle in these environments, and in none, dearest first; what costs an unknown amount comes first."""
    now = datetime.now(UTC)
    sagemaker, cloudwatch, logs = ctx.client("sagemaker"), ctx.client("cloudwatch"), ctx.client("logs")
    found = idle.apps(sagemaker, ctx.names, now, unused)
    for env in envs:
        found += idle.idle_endpoints(sagemaker, cloudwatch, ctx.names, env, now, unused)
        found += idle.leftovers(sagemaker, ctx.names, env, now, unused)
        found += idle.dead_stacks(ctx.client("cloudformation"), sagemaker, ctx.names, env)
        found += [each for each in idle.endless_logs(logs, ctx.names, env) if each not in found]
    priced = [Finding(each, _cost(monthly, each)) for each in found]
    return sorted(priced, key=lambda each: (each.cost.amount is not None, -(each.cost.amount or 0), each.idle.name))


def idle_facts(ctx: Context) -> Sequence[Fact]:
    """What is idle in all environments, for a digest: none when nothing is. Raises nothing of AWS's."""
    monthly = Monthly(ctx)
    try:
        found = findings(ctx, monthly, ENVIRONMENTS, timedelta(days=DAYS))
    except (ClientError, BotoCoreError, GroundcrewError) as error:
        return [Fact("Idle", f"cannot be looked for: {shorten(str(error), 200)}")]
    if not found:
        return []
    facts = [Fact(f"Idle: {each.idle.name}", f"{each.idle.why} · {_price(each)} a month") for each in found[:DIGEST]]
    more = f", {len(found) - DIGEST} more" if len(found) > DIGEST else ""
    return [
        *facts,
        Fact("Ending what is idle saves", f"{summed(each.cost for each in found) or 'nothing'} a month{more}"),
    ]


def _cost(monthly: Monthly, each: Idle) -> Cost:
    if each.kind == "logs":
        return monthly.stored("AmazonCloudWatch", each.stored)
    if each.kind in ("endpoint", "app"):
        return monthly.instances("Hosting" if each.kind == "endpoint" else "Notebook", each.runs_on)
    return NOTHING


def _what(each: Idle) -> str:
    """What it is, and on what: `endpoint on ml.m5.large`."""
    words = {"endpoint": "endpoint", "app": "Studio app", "stack": "stack", "models": "leftovers", "logs": "log group"}
    on = ", ".join(kind if count == 1 else f"{count} × {kind}" for kind, count in each.runs_on.items())
    about = f" on {on}" if on else f", {size(each.stored)}" if each.kind == "logs" else ""
    shared = " (all environments)" if each.env is None else ""
    return f"{words[each.kind]}{about}{shared}"


def _price(each: Finding) -> str:
    """Clutter costs nothing by itself, and is said to."""
    return "nothing by itself" if each.idle.kind in ("stack", "models") else str(each.cost)


def _basis(found: Sequence[Finding]) -> str:
    days = [each.cost.as_of for each in found if each.cost.as_of is not None]
    return f"prices of {min(days):%Y-%m-%d}" if days else "no price is known"


def _trouble(monthly: Monthly) -> list[Inline]:
    return [f"Some costs are unknown. {monthly.trouble} "] if monthly.trouble else []


def _buttons(ctx: Context, found: Sequence[Finding], env: Environment) -> tuple[list[Action], list[Inline]]:
    """What ends each, at most once, as far as it is for this person; and what to say when some is not.

    The commands ask before they act, and outside of dev mostly for somebody else's approval.
    """
    actions = {action.command: action for action in (_ending(ctx, each.idle, env) for each in found)}
    mine = [action for action in actions.values() if _may(ctx, action, env)]
    all_mine = len(mine) == len(actions)
    hint: list[Inline] = (
        [] if all_mine else ["Ending some of it takes another role than yours: ", Code("access matrix")]
    )
    return mine[:BUTTONS], hint


def _elsewhere(ctx: Context, env: Environment, days: int) -> list[Menu]:
    """The same question about the other environments that this person may look at."""
    mine = {each for role, where in READERS.items() if ctx.person.holds(role) for each in where}
    options = [Action(each, f"cost idle --env {each} --days {days}") for each in ENVIRONMENTS if each in mine - {env}]
    return [Menu("Another environment…", options)] if options else []


def _may(ctx: Context, action: Action, env: Environment) -> bool:
    """Whether one of the person's roles may do what a button does."""
    allowed = parse(action.command)[0].allowed or {}
    return any(ctx.person.holds(role) and env in where for role, where in allowed.items())


def _ending(ctx: Context, each: Idle, env: Environment) -> Action:
    if each.kind == "app":
        return Action(f"Stop Studio of {shorten(each.name, 40)}…", f"studio stop {each.name}", "danger")
    if each.kind == "logs":
        return Action("Limit the logs…", "cleanup logs")
    if each.kind == "models":
        return Action("Delete leftovers…", f"cleanup models {env}", "danger")
    if each.name == ctx.names.stack(env):
        return Action(f"Delete the deployment in {env}…", f"deployment delete --env {env}", "danger")
    return Action(f"What {env} holds", f"cleanup plan {env}")
