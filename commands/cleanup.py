"""Ending what an environment costs: `cleanup plan` shows what would go, `cleanup apply` ends it, a message follows.

Everything is begun in the person's own session, in a few seconds; the message that follows is drawn with the bot's own
eyes from what is left. So nothing has to be remembered: after an interruption the same line goes on where it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from botocore.exceptions import ClientError
from cyclopts import Parameter

from commands.arguments import Env
from commands.command import READERS, Allowed, Approval, Context, Need, Plan, command
from commands.deployment import CHANGERS, PASS
from commands.monthly import Cost, Monthly, total
from commands.reply import Action, Audience, Code, Fact, Follow, Inline, Mention, Outcome, Reply, Step
from commands.wording import shorten, size
from pipeline import cleanup, deployment, idle
from pipeline.cleanup import Item
from pipeline.errors import BadInput, Refused
from pipeline.names import ENVIRONMENTS, Environment
from state import approvals, grants

ENDERS: Allowed = CHANGERS
"""Who may end what an environment costs: whoever may deploy there."""
STACKS = "arn:aws:cloudformation:{region}:{account}:stack/groundcrew-{env}-*/*"
READ = (
    Need(
        (
            "sagemaker:ListEndpoints",
            "sagemaker:ListEndpointConfigs",
            "sagemaker:ListModels",
            "sagemaker:ListMonitoringSchedules",
            "sagemaker:ListProcessingJobs",
            "sagemaker:ListDomains",
            "sagemaker:ListApps",
            "cloudformation:ListStacks",
            "cloudwatch:GetMetricStatistics",
            "logs:DescribeLogGroups",
        )
    ),
    Need("sagemaker:ListPipelineExecutions", "pipeline/{pipeline}"),
    Need("sagemaker:DescribeEndpoint", "endpoint/groundcrew-{env}-*"),
    Need("sagemaker:DescribeEndpointConfig", "endpoint-config/groundcrew-{env}-*"),
    Need("cloudformation:DescribeStackResources", STACKS),
)
END = (
    # Production has no pipeline.
    Need("sagemaker:StopPipelineExecution", "pipeline/{pipeline}/execution/*", where=("dev", "staging")),
    Need("sagemaker:StopProcessingJob", "processing-job/groundcrew-{env}-*"),
    Need("sagemaker:DeleteMonitoringSchedule", "monitoring-schedule/groundcrew-{env}-*"),
    Need("sagemaker:DeleteEndpoint", "endpoint/groundcrew-{env}-*"),
    Need("sagemaker:DeleteEndpointConfig", "endpoint-config/groundcrew-{env}-*"),
    Need("sagemaker:DeleteModel", "model/groundcrew-{env}-*"),
    Need("cloudformation:DeleteStack", STACKS),
    PASS,
)
_WORDS: Mapping[cleanup.Kind, str] = {
    "run": "run",
    "job": "job",
    "schedule": "monitoring schedule",
    "stack": "deployment",
    "endpoint": "endpoint",
    "config": "endpoint configuration",
    "model": "model without a deployment",
}
STAYS = "Registered models, data, artifacts, logs, the audit log and MLflow stay"


def not_in_dev(arguments: Mapping[str, Any]) -> bool:
    """Everything of staging or production goes only when a second person agrees."""
    return bool(arguments["env"] != "dev")


@command("cleanup plan", allowed=READERS, needs=READ, example="cleanup plan dev")
def plan(ctx: Context, env: Env) -> Reply:
    """Show everything of an environment that `cleanup apply` would end, what that saves, and what stays."""
    monthly = Monthly(ctx)
    found = cleanup.found(ctx.client, ctx.names, env)
    stays = _stays(ctx, monthly, env)
    if not found:
        return Reply(
            title=f"Nothing in {env} runs or is left over",
            text=f"There is nothing to end. {STAYS}:",
            facts=stays,
            environment=env,
        )
    costs = [monthly.instances("Hosting", item.runs_on) for item in found]
    return Reply(
        title=f"Cleaning up {env} would end {_count(found)}: {_saves(total(costs))}",
        context="nothing has happened yet · this is the order in which it goes",
        text=[*_how(ctx, env), f" {STAYS}."],
        steps=[
            Step(item.name, "running" if item.going else "waiting", _about(item, cost))
            for item, cost in zip(found, costs, strict=True)
        ],
        facts=stays,
        actions=[Action("Only what is idle", f"cost idle --env {env}")],
        environment=env,
    )


def _asked(ctx: Context, *, env: Environment, confirm: str) -> Plan:
    """What the second person agrees to. What is made after that is not part of it (`_agreed`)."""
    _typed(env, confirm)
    monthly = Monthly(ctx)
    found = cleanup.found(ctx.client, ctx.names, env)
    if not found and ctx.approval is None:
        raise Refused(f"Nothing in {env} runs or is left over.", f"`cleanup plan {env}` shows what stays and costs.")
    costs = [monthly.instances("Hosting", item.runs_on) for item in found]
    goes = ", ".join(item.name for item in found) or "nothing: it has all gone meanwhile"
    facts = [Fact("Goes", shorten(goes, 280)), Fact("Then", _saves(total(costs))), Fact("Stays", STAYS)]
    return Plan(f"end everything that costs in {env}", facts, {"environment": env})


@command(
    "cleanup apply",
    allowed=ENDERS,
    needs=[*READ, *END],
    changes=True,
    audience=Audience.CHANNEL,
    approval=Approval("ml-engineer", when=not_in_dev),
    plan=_asked,
    example="cleanup apply dev --confirm dev",
)
def apply(
    ctx: Context,
    env: Env,
    *,
    confirm: Annotated[str, Parameter(help="The environment's name once more, typed out")] = "",
) -> Reply:
    """End everything of an environment that costs or is left over; the registry, data and records stay."""
    _typed(env, confirm)
    monthly = Monthly(ctx)
    found = cleanup.found(ctx.client, ctx.names, env)
    agreed, late = _agreed(ctx, found)
    costs = {item.id: monthly.instances("Hosting", item.runs_on) for item in agreed}
    by: list[Inline] = ["started by ", Mention(ctx.person.user)]
    if not agreed:
        gone = f"Nothing in {env} is there any more of what was agreed to" if late else ""
        return Reply(
            title=gone or f"Nothing in {env} runs or is left over",
            context=by,
            text=f"There is nothing to end. {STAYS}.",
            steps=[_kept(item) for item in late],
            facts=_stays(ctx, monthly, env),
            environment=env,
        )
    steps = _end(ctx, env, agreed)
    saving = total(costs.values())
    return Reply(
        title=f"Cleaning up {env}: {_count(agreed)}, {_saves(saving)}",
        context=by,
        text=f"It goes on by itself. {STAYS}.",
        steps=[*steps, *(_kept(item) for item in late)],
        environment=env,
        slot=f"cleanup-{env}-{ctx.invocation}",
        follow=Follow("cleanup", f"{env} {ctx.person.user} {len(agreed)} {_saves(saving)}"),
    )


def cleanup_live(ctx: Context, what: str) -> tuple[Reply, bool]:
    """The message of a clean-up as things are now, and whether it has come to rest.

    `what`: environment, person, how many things were to go, and what that saves in words.
    """
    name, user, count, saves = what.split(" ", 3)
    env = next(each for each in ENVIRONMENTS if each == name)
    left = cleanup.found(ctx.client, ctx.names, env)
    shown = Reply(
        title=f"Cleaned up {env}: nothing in it costs by the hour any more",
        context=["started by ", Mention(user), f" · {saves}"],
        environment=env,
        audience=Audience.CHANNEL,
    )
    if going := [item for item in left if item.going]:
        return replace(
            shown,
            title=f"Cleaning up {env}: {max(0, int(count) - len(left))} of {count} gone",
            text=f"{STAYS}.",
            steps=[_going(item) for item in going],
        ), False
    if left:
        return _stopped(ctx, env, shown, left), True
    return replace(
        shown,
        text=f"{STAYS}; what that costs is below. How to end that too is in docs/cleanup.md.",
        facts=_stays(ctx, Monthly(ctx), env),
        actions=[Action(f"Deploy to {env} again", f"deployment create --env {env}")],
    ), True


def _stopped(ctx: Context, env: Environment, shown: Reply, left: Sequence[Item]) -> Reply:
    """What is still there although nothing is going on any more, and why."""
    monthly, cloudformation = Monthly(ctx), ctx.client("cloudformation")
    reasons = [deployment.first_failure(cloudformation, item.id) for item in left if item.kind == "stack"]
    return replace(
        shown,
        title=f"Cleaning up {env} has come to a stop: {_count(left)} still there",
        outcome=Outcome.ERROR,
        text="It could not be ended, or was made meanwhile. A second try goes on where this one stopped.",
        steps=[Step(item.name, "failed", _about(item, monthly.instances("Hosting", item.runs_on))) for item in left],
        quote="\n".join(reason for reason in reasons if reason),
        actions=[Action("Plan again", f"cleanup plan {env}", "primary")],
    )


def _typed(env: Environment, confirm: str) -> None:
    if confirm != env:
        said = f"You typed {confirm!r}" if confirm else "Nothing is confirmed yet"
        raise BadInput(
            f"This ends everything that {env} costs. {said}; nothing was done.",
            f"`cleanup plan {env}` shows what goes. Then type the environment's name out: `{_line(env)}`.",
        )


def _line(env: Environment) -> str:
    return f"cleanup apply {env} --confirm {env}"


def _how(ctx: Context, env: Environment) -> list[Inline]:
    """How it is done, and by whom where that is not the person who looks."""
    role = next(role for role, where in ENDERS.items() if env in where)
    who = "To do it, type " if ctx.person.holds(role) else f"Somebody with the role {role} does it with "
    return [who, Code(_line(env)), "; another ML engineer then agrees." if not_in_dev({"env": env}) else "."]


def _agreed(ctx: Context, found: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """What may go, and what was made or changed after the second person was asked, which they have not agreed to."""
    if ctx.approval is None or ctx.approval.startswith(grants.LETTERS["break-glass"]):
        return [*found], []
    asked = approvals.get(ctx.state, ctx.person.team, ctx.approval).created_at
    return [item for item in found if item.made <= asked], [item for item in found if item.made > asked]


def _end(ctx: Context, env: Environment, items: Sequence[Item]) -> list[Step]:
    """Begin to end one after the other; what AWS refuses is said and does not keep the rest.

    Raises the first refusal when nothing at all could be begun.
    """
    steps, refusals, begun = [], [], 0
    for item in items:
        if item.going:
            steps.append(_going(item))
            begun += 1
            continue
        try:
            there = cleanup.end(ctx.client, ctx.names, env, item, token=ctx.token)
        except ClientError as refusal:
            refusals.append(refusal)
            words = refusal.response["Error"].get("Message", str(refusal))
            steps.append(Step(item.name, "failed", shorten(words, 200)))
            continue
        begun += 1
        steps.append(_begun(item) if there else Step(item.name, "done", f"{_WORDS[item.kind]} · gone already"))
    if refusals and not begun:
        raise refusals[0]
    return steps


def _begun(item: Item) -> Step:
    return Step(item.name, "running", f"{_WORDS[item.kind]} · its end has begun")


def _kept(item: Item) -> Step:
    return Step(item.name, "skipped", f"made or changed {item.made:%H:%M} UTC, after this was asked for: it stays")


def _stays(ctx: Context, monthly: Monthly, env: Environment) -> list[Fact]:
    """What still costs afterwards: storage, by its size; Studio, which belongs to no environment."""
    now, cloudwatch = datetime.now(UTC), ctx.client("cloudwatch")
    buckets = {
        "Artifacts (all environments)": ctx.names.bucket,
        "Audit record (locked)": ctx.names.audit_bucket,
        "Survey photos": ctx.names.data_bucket,
    }
    facts = []
    for label, bucket in buckets.items():
        count = idle.stored(cloudwatch, bucket, now)
        facts.append(Fact(label, _storage(count, monthly.stored("AmazonS3", count))))
    logs = idle.stored_logs(ctx.client("logs"), ctx.names, env)
    facts.append(Fact("Logs", _storage(logs, monthly.stored("AmazonCloudWatch", logs))))
    apps = [*idle.running_apps(ctx.client("sagemaker"), ctx.names)]
    return [*facts, *([Fact("Studio apps on", [f"{len(apps)}: ", Code("cost idle --days 0")])] if apps else [])]


def _storage(count: int | None, cost: Cost) -> str:
    return "size not known yet" if count is None else f"{size(count)}, {cost} a month"


def _about(item: Item, cost: Cost) -> str:
    on = "".join(f" on {kind}" if count == 1 else f" on {count} × {kind}" for kind, count in item.runs_on.items())
    status = "" if item.kind in ("config", "model") else f" · {item.status}"
    return f"{_WORDS[item.kind]}{on}{status}{f' · {cost} a month' if item.runs_on else ''}"


def _saves(cost: Cost) -> str:
    if cost.amount is None:
        return "what that saves is not known"
    return f"saves {cost} a month" if cost.amount else "saves nothing by the hour"


def _going(item: Item) -> Step:
    return Step(item.name, "running", f"{_WORDS[item.kind]} · {item.status}", progress=item.gone)


def _count(items: Sequence[Item]) -> str:
    return "one thing" if len(items) == 1 else f"{len(items)} things"
