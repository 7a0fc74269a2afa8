"""Ending single kinds of waste: models that nothing serves, and logs that are kept for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated

from cyclopts import Parameter

from commands.arguments import Between, Env, Yes
from commands.cleanup import ENDERS, not_in_dev
from commands.command import Approval, Context, Need, Plan, command
from commands.idle import DAYS, LOOK, look_first
from commands.reply import Audience, Fact, Mention, Reply, Step
from commands.wording import shorten, size
from pipeline import idle
from pipeline.errors import BadInput, NotFound, Refused
from pipeline.idle import Idle
from pipeline.names import ENVIRONMENTS, Environment

LIMITER = "ml-engineer"
RETENTIONS = (7, 14, 30, 60, 90, 180, 365)
"""Days, of those that CloudWatch Logs knows."""
LOGS = (
    *(f"arn:aws:logs:{{region}}:{{account}}:log-group:/aws/sagemaker/{name}:*" for name in idle.SHARED_LOGS),
    "arn:aws:logs:{region}:{account}:log-group:/aws/sagemaker/Endpoints/groundcrew-*",
)

Days = Annotated[int, Parameter(help="Leave alone what is younger than this many days", validator=Between(0, 365))]
Keep = Annotated[int, Parameter(help=f"Days that logs are kept: {', '.join(map(str, RETENTIONS))}")]


def _plan_models(ctx: Context, *, env: Environment, days: int, yes: bool) -> Plan:
    configs, models = _unserved(ctx, env, days)
    facts = [
        Fact("Models", shorten(", ".join(models) or "none", 280)),
        Fact("Endpoint configurations", shorten(", ".join(configs) or "none", 280)),
        Fact("Stays", "the registered versions and their artifacts: any of them can be deployed again"),
    ]
    return Plan(f"delete what nothing serves in {env}", facts, {"names": " ".join([*models, *configs])})


@command(
    "cleanup models",
    allowed=ENDERS,
    needs=[
        Need(("sagemaker:ListEndpoints", "sagemaker:ListEndpointConfigs", "sagemaker:ListModels")),
        LOOK,
        Need("sagemaker:DescribeEndpoint", "endpoint/groundcrew-{env}-*"),
        Need(
            ("sagemaker:DescribeEndpointConfig", "sagemaker:DeleteEndpointConfig"),
            "endpoint-config/groundcrew-{env}-*",
        ),
        Need("sagemaker:DeleteModel", "model/groundcrew-{env}-*"),
    ],
    changes=True,
    audience=Audience.CHANNEL,
    approval=Approval("ml-engineer", when=not_in_dev),
    confirm=True,
    plan=_plan_models,
    example="cleanup models dev",
)
def models(ctx: Context, env: Env, *, days: Days = DAYS, yes: Yes = False) -> Reply:
    """Delete old models and endpoint configurations that no endpoint serves; registered versions stay."""
    configs, old = _unserved(ctx, env, days)
    sagemaker = ctx.client("sagemaker")
    for name in configs:
        idle.unless_gone(partial(sagemaker.delete_endpoint_config, EndpointConfigName=name))
    for name in old:
        idle.unless_gone(partial(sagemaker.delete_model, ModelName=name))
    return Reply(
        title=f"Deleted what nothing served in {env}",
        context=["done by ", Mention(ctx.person.user)],
        steps=[
            *(Step(name, "done", "endpoint configuration · deleted") for name in configs),
            *(Step(name, "done", "model · deleted") for name in old),
        ],
        text="The registered versions and their artifacts stay.",
        environment=env,
    )


def _unserved(ctx: Context, env: Environment, days: int) -> tuple[list[str], list[str]]:
    look_first(ctx, env)
    before = datetime.now(UTC) - timedelta(days=days)
    configs, old = idle.unserved(ctx.client("sagemaker"), ctx.names, env, before)
    if not configs and not old:
        raise NotFound(
            "unserved model older than", f"{days} days", advice=f"`cost idle --env {env}` shows what else is idle."
        )
    return configs, old


def _plan_logs(ctx: Context, *, keep: int, yes: bool) -> Plan:
    if not ctx.person.holds(LIMITER):
        raise Refused(
            f"How long logs are kept is asked for by somebody with the role {LIMITER}; you are {ctx.person.role}.",
            "They hold what production has logged.",
        )
    found = _endless(ctx, keep)
    facts = [Fact(each.name, size(each.stored)) for each in found]
    facts.append(Fact("Shared", "jobs of the whole account write there, other projects' too; older lines are lost"))
    return Plan(f"keep logs for {keep} days", facts, {"keep": str(keep), "groups": " ".join(e.name for e in found)})


@command(
    "cleanup logs",
    allowed={LIMITER: ENVIRONMENTS},
    needs=[Need("logs:DescribeLogGroups"), *(Need("logs:PutRetentionPolicy", group) for group in LOGS)],
    changes=True,
    audience=Audience.CHANNEL,
    approval=Approval(LIMITER),
    confirm=True,
    plan=_plan_logs,
    example="cleanup logs --keep 90",
)
def logs(ctx: Context, *, keep: Keep = 90, yes: Yes = False) -> Reply:
    """Give log groups that are kept for ever a limit; they hold production's logs, so a second person agrees."""
    found, client = _endless(ctx, keep), ctx.client("logs")
    for each in found:
        idle.unless_gone(partial(client.put_retention_policy, logGroupName=each.name, retentionInDays=keep))
    return Reply(
        title=f"Logs are kept for {keep} days from now on",
        context=["done by ", Mention(ctx.person.user)],
        steps=[Step(each.name, "done", f"held {size(each.stored)}") for each in found],
        text="CloudWatch deletes what is older within some days.",
    )


def _endless(ctx: Context, keep: int) -> list[Idle]:
    """The groups to limit. Raises BadInput for days that AWS does not know, NotFound when all have a limit."""
    if keep not in RETENTIONS:
        near = min(RETENTIONS, key=lambda days: abs(days - keep))
        raise BadInput(f"Logs cannot be kept for {keep} days.", f"Nearest: `--keep {near}`.")
    found = [each for env in ENVIRONMENTS for each in idle.endless_logs(ctx.client("logs"), ctx.names, env)]
    if not found:
        raise NotFound("log group", "without a limit", advice="All of them have one already.")
    return [*{each.name: each for each in found}.values()]
