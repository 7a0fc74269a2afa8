"""Back to what an endpoint served before: one click, the same walk as any other deployment."""

from __future__ import annotations

from dataclasses import replace

from commands import deployment as deploying
from commands.arguments import Env, Yes
from commands.command import Approval, Context, Need, Plan, command
from commands.deployment import CHANGERS, in_prod
from commands.reply import Audience, Fact, Moment, Reply
from commands.wording import day, short_digest
from pipeline import deployment, rollback
from pipeline.deployment import Stack
from pipeline.errors import NotFound
from pipeline.names import Environment


def _stack(ctx: Context, env: Environment) -> Stack:
    stack = deployment.changeable(ctx.client("cloudformation"), ctx.names, env)
    if stack is None:
        raise NotFound("deployment in environment", env, advice=f"`deployment create --env {env}` makes one.")
    return stack


def _plan(ctx: Context, *, env: Environment, yes: bool) -> Plan:
    stack = _stack(ctx, env)
    package, since = rollback.previous(ctx.client("cloudformation"), ctx.client("sagemaker"), ctx.names, env, stack)
    # All at once: what serves now may be what is wrong, and a canary would leave it half of the traffic.
    plan = deploying.plan(ctx, env=env, version=package.version, instance_type=stack.instance_type, canary=0)
    back = Fact("Goes back to", f"v{package.version}, {short_digest(package.digest)}, deployed here {day(since)}")
    return Plan(
        f"roll {env} back to detector v{package.version}",
        [back, *plan.facts, Fact("Estimated monthly cost", "as now: the same instance")],
        plan.bound,
    )


@command(
    "deployment rollback",
    allowed=CHANGERS,
    needs=[
        *deploying.CREATE,
        Need("cloudformation:DescribeStackEvents", deploying.STACK),
    ],
    changes=True,
    audience=Audience.CHANNEL,
    approval=Approval("ml-engineer", when=in_prod),
    confirm=True,
    plan=_plan,
    example="deployment rollback --env staging",
)
def rollback_(ctx: Context, *, env: Env = "dev", yes: Yes = False) -> Reply:
    """Deploy the approved version again that was deployed before; prod needs an approval."""
    stack = _stack(ctx, env)
    package, since = rollback.previous(ctx.client("cloudformation"), ctx.client("sagemaker"), ctx.names, env, stack)
    reply = deploying.create(ctx, env=env, version=package.version, instance_type=stack.instance_type, canary=0)
    return replace(
        reply,
        title=f"Rolling {env} back to detector v{package.version}",
        text=["It was deployed here ", Moment(since.timestamp()), f" and replaces {short_digest(stack.digest)}."],
    )
