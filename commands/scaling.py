"""How many instances an endpoint may have: its bounds moved, in its stack."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from cyclopts import Parameter

from commands import watching
from commands.arguments import Between, Env, Yes
from commands.command import Approval, Context, Plan, Spend, Use, command
from commands.deployment import CHANGERS, UPDATE, in_prod
from commands.reply import Action, Audience, Fact, Reply
from commands.watching import EndpointName
from pipeline import deployment, scaling
from pipeline.deployment import Stack
from pipeline.errors import Refused
from pipeline.names import Environment
from pipeline.scaling import Bounds, ScaleOn

Least = Annotated[int | None, Parameter(name="--min", help="Fewest instances", validator=Between(1, 10))]
Most = Annotated[int | None, Parameter(name="--max", help="Most instances", validator=Between(1, 10))]
On = Annotated[
    ScaleOn | None,
    Parameter(help="Scale on requests at once, or a minute where SageMaker lacks that metric"),
]


def _wanted(stack: Stack, env: Environment, least: int | None, most: int | None, on: ScaleOn | None) -> dict[str, str]:
    """The parameters to change. Raises BadInput, and Refused for what has no instances."""
    if stack.instance_type == deployment.SERVERLESS:
        raise Refused(
            f"{stack.name} is serverless: it has no instances to count.",
            f"`deployment delete --env {env}`, then deploy it on an instance type.",
        )
    before = scaling.now(stack.parameters, env)
    bounds = before if least is None and most is None and on else scaling.moved(before, env, least, most)
    return {**scaling.parameters(bounds), **({"ScaleOn": on} if on else {})}


def _plan(
    ctx: Context,
    *,
    endpoint: str,
    env: Environment,
    min_: int | None,
    max_: int | None,
    scale_on: ScaleOn | None,
    yes: bool = False,
) -> Plan:
    stack = watching.stack(ctx, endpoint, env)
    wanted = _wanted(stack, env, min_, max_, scale_on)
    new = scaling.now(wanted, env)
    facts = [
        Fact("Endpoint", stack.name),
        Fact("Instance", stack.instance_type),
        Fact("Now", scaling.now(stack.parameters, env).words()),
        Fact("Then", f"{new.words()}, by {scaling.CARRIES[wanted.get('ScaleOn') or carries(stack)]}"),
    ]
    return Plan(f"scale {stack.name} between {new.words()}", facts, {"stack": stack.id, **wanted, **watching.code()})


def _spends(
    ctx: Context, *, endpoint: str, env: Environment, min_: int | None, max_: int | None, **_: object
) -> Spend | None:
    """The instances that are kept whatever happens; those that come with load cost while they are there."""
    stack = watching.stack(ctx, endpoint, env)
    before = scaling.now(stack.parameters, env)
    if (min_ is None and max_ is None) or stack.instance_type == deployment.SERVERLESS:
        return None
    more = scaling.moved(before, env, min_, max_).least - before.least
    if more <= 0:
        return None
    return Spend([Use("Endpoint", "Hosting", stack.instance_type, stays=True, instances=more)])


@command(
    "deployment scale",
    allowed=CHANGERS,
    needs=UPDATE,
    changes=True,
    audience=Audience.CHANNEL,
    approval=Approval("ml-engineer", when=in_prod),
    plan=_plan,
    spends=_spends,
    example="deployment scale --env staging --min 1 --max 4",
)
def scale(
    ctx: Context,
    endpoint: EndpointName = "",
    *,
    env: Env = "dev",
    min_: Least = None,
    max_: Most = None,
    scale_on: On = None,
    yes: Yes = False,
) -> Reply:
    """Set between how many instances an endpoint scales; prod needs an approval."""
    stack = watching.stack(ctx, endpoint, env)
    wanted = _wanted(stack, env, min_, max_, scale_on)
    bounds, on = scaling.now(wanted, env), wanted.get("ScaleOn") or carries(stack)
    reply = watching.change(ctx, env, wanted)
    facts = [Fact("Instances", bounds.words()), Fact("By", scaling.CARRIES[on]), Fact("Instance", stack.instance_type)]
    if reply.follow is None:
        return replace(reply, title=f"{stack.name} scales like that already", facts=facts)
    return replace(
        reply,
        title=f"{stack.name} scales between {words(bounds)}",
        text="A smaller number is reached when there is less to do, a larger minimum at once.",
        facts=facts,
        actions=[Action("Status", f"deployment status --env {env}")],
    )


def words(bounds: Bounds) -> str:
    """The bounds with what they count."""
    return f"{bounds.words()} instance{'s' * (bounds.most != 1)}"


def carries(stack: Stack) -> str:
    """What a stack scales on."""
    return stack.parameters.get("ScaleOn") or "concurrency"
