"""How a deployment is shown: its stack, its parts, its endpoint, and what to do next."""

from __future__ import annotations

from commands import spent
from commands.command import Context
from commands.reply import Action, Audience, Code, Fact, Outcome, Reply, Step, StepState
from commands.wording import short_digest
from pipeline import deployment, registry, remedies, scaling
from pipeline.deployment import EndpointNow, Resource, Stack
from pipeline.errors import NotFound
from pipeline.names import ENVIRONMENTS, Environment


def deployment_live(ctx: Context, stack: str) -> tuple[Reply, bool]:
    """The message of a deployment (by stack ARN) as it is now, and whether it has come to rest.

    Raises NotFound when the stack never existed.
    """
    found = deployment.find(ctx.client("cloudformation"), stack)
    if found is None:
        raise NotFound("stack", stack)
    return shown(ctx, found, _environment(found.name)), not found.busy


def version(ctx: Context, stack: Stack, env: Environment) -> str:
    """What is deployed, as people call it: `v3`; by its digest when no registered version has it."""
    if stack.version is not None:
        return f"v{stack.version}"
    package = registry.with_digest(ctx.client("sagemaker"), ctx.names, env, stack.digest)
    return f"v{package.version}" if package is not None else short_digest(stack.digest)


def slot(stack_id: str) -> str:
    """The message in which a deployment is shown: one for each life of a stack."""
    return f"deployment-{stack_id.rsplit('/', 1)[-1]}"


def shown(ctx: Context, stack: Stack, env: Environment) -> Reply:
    """The stack as it is now, in its one message."""
    cloudformation = ctx.client("cloudformation")
    endpoint = None if stack.gone else deployment.endpoint_now(ctx.client("sagemaker"), stack.name)
    state, reason = (endpoint.status, endpoint.reason) if endpoint else ("none", "")
    # CloudFormation's reason, which quotes the endpoint's; the endpoint's own where no stack has failed.
    failure = deployment.first_failure(cloudformation, stack.id) if stack.failed else "" if stack.busy else reason
    return Reply(
        title=f"{stack.name}: {_words(stack)}",
        outcome=Outcome.ERROR if stack.failed else Outcome.OK,
        context=["stack ", Code(stack.status), " · endpoint ", Code(state)],
        text=" ".join(filter(None, (_after(stack), remedies.remedy(failure, env)))),
        steps=[_step(row) for row in deployment.resources(cloudformation, stack.id)],
        facts=[
            Fact("Model", version(ctx, stack, env)),
            Fact("Digest", short_digest(stack.digest)),
            Fact("Instance", stack.instance_type),
            *_scaled(stack, env, endpoint),
            *spent.of_endpoint(ctx, stack.name),
        ],
        quote=failure,
        actions=_actions(stack, env, failure),
        environment=env,
        audience=Audience.CHANNEL,
        slot=slot(stack.id),
    )


def _scaled(stack: Stack, env: Environment, endpoint: EndpointNow | None) -> list[Fact]:
    """How many instances there are and may be; nothing about a stack that does not scale."""
    if endpoint is None or "MinInstances" not in stack.parameters or stack.instance_type == deployment.SERVERLESS:
        return []
    return [Fact("Instances", f"{endpoint.instances} now, {scaling.now(stack.parameters, env).words()} by load")]


def _after(stack: Stack) -> str:
    """What a failure has left, in a sentence."""
    if stack.stuck:
        return "Taking the change back failed as well: the stack is half-way, and nothing changes before that is done."
    return "The change was taken back: what served before serves on." if "UPDATE_ROLLBACK" in stack.status else ""


def _words(stack: Stack) -> str:
    if stack.gone:
        return "deleted"
    if stack.busy:
        verbs = {"CREATE": "being created", "UPDATE": "being updated", "DELETE": "being deleted"}
        return "being rolled back" if "ROLLBACK" in stack.status else verbs[stack.status.split("_")[0]]
    if stack.status == "UPDATE_ROLLBACK_COMPLETE":
        return "the update failed and was rolled back"
    return f"failed: {stack.status}" if stack.failed else "in service"


def _step(row: Resource) -> Step:
    states: dict[str, StepState] = {"COMPLETE": "done", "IN_PROGRESS": "running", "FAILED": "failed"}
    kind = row.kind.removeprefix("AWS::").replace("::", " ")
    verb, _, ending = row.status.partition("_")
    state: StepState = next((state for word, state in states.items() if ending.endswith(word)), "waiting")
    return Step(row.name, state, f"{kind} · {verb.lower()} {ending.replace('_', ' ').lower()}")


def _actions(stack: Stack, env: Environment, failure: str) -> list[Action]:
    if stack.gone:
        return [Action("Deploy again", f"deployment create --env {env}")]
    if stack.busy:
        return [Action("Status", f"deployment status --env {env}")]
    if stack.stuck:
        return [Action("Try again…", f"deployment recover --env {env}", style="primary")]
    if remedies.unknown_metric(failure):
        return [Action("Scale on requests a minute", f"deployment create --env {env} --scale-on invocations")]
    remove = Action("Delete…", f"deployment delete --env {env}", style="danger")
    if stack.failed and stack.status != "UPDATE_ROLLBACK_COMPLETE":
        return [remove]
    return [*when_serving(env), remove]


def when_serving(env: Environment) -> list[Action]:
    """What to do with an endpoint that answers."""
    return [
        Action("Predict on a photo", f"deployment predict --env {env}", style="primary"),
        Action("Status", f"deployment status --env {env}"),
    ]


def _environment(stack_name: str) -> Environment:
    return next(env for env in ENVIRONMENTS if stack_name.split("-")[1] == env)
