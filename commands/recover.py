"""A stack that is stuck half-way: its last change failed, and so did taking it back."""

from __future__ import annotations

from commands import deployed
from commands.arguments import Env, Yes
from commands.command import Approval, Context, Need, Plan, command
from commands.deployment import CHANGERS, PASS, STACK, in_prod
from commands.reply import Audience, Code, Fact, Follow, Mention, Reply
from pipeline import deployment
from pipeline.deployment import Stack
from pipeline.errors import NotFound, Refused
from pipeline.names import Environment


def _stuck(ctx: Context, env: Environment) -> Stack:
    stack = deployment.find(ctx.client("cloudformation"), ctx.names.stack(env))
    if stack is None or stack.gone:
        raise NotFound("deployment in environment", env, advice=f"`deployment create --env {env}` makes one.")
    if not stack.stuck:
        raise Refused(
            f"{stack.name} is not stuck: {stack.status}.", f"`deployment status --env {env}` shows what can be done."
        )
    return stack


def _plan(ctx: Context, *, env: Environment, yes: bool) -> Plan:
    stack = _stuck(ctx, env)
    reason = deployment.first_failure(ctx.client("cloudformation"), stack.id) or stack.reason
    facts = [Fact("Stack", stack.name), Fact("State", stack.status), Fact("It failed at", reason)]
    return Plan(f"take the last change in {env} back once more", facts, {"stack": stack.id, "status": stack.status})


@command(
    "deployment recover",
    allowed=CHANGERS,
    needs=[
        Need(
            (
                "cloudformation:ContinueUpdateRollback",
                "cloudformation:DescribeStacks",
                "cloudformation:DescribeStackEvents",
            ),
            STACK,
        ),
        PASS,
    ],
    changes=True,
    audience=Audience.CHANNEL,
    approval=Approval("ml-engineer", when=in_prod),
    confirm=True,
    plan=_plan,
    example="deployment recover --env staging",
)
def recover(ctx: Context, *, env: Env = "dev", yes: Yes = False) -> Reply:
    """Go on taking a change back that is stuck half-way; prod needs an approval."""
    stack = _stuck(ctx, env)
    deployment.recover(ctx.client("cloudformation"), ctx.names, env, token=ctx.token)
    return Reply(
        title=f"Taking the last change in {env} back once more",
        context=["started by ", Mention(ctx.person.user), " · ", Code(stack.name)],
        environment=env,
        slot=deployed.slot(stack.id),
        follow=Follow("deployment", stack.id),
    )
