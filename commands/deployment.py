"""Deployments: create or update an environment's endpoint, say how it stands, remove it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from cyclopts import Parameter

from commands import spent
from commands.arguments import Between, Env, Yes
from commands.command import READERS, Allowed, Approval, Context, Need, Plan, Spend, Use, command
from commands.registry import comparison
from commands.reply import Action, Audience, Code, Fact, Follow, Inline, Mention, Outcome, Reply, Step, StepState
from commands.wording import short_digest
from pipeline import definition, deployment, registry, scaling, source
from pipeline.deployment import EndpointNow, Resource, Stack
from pipeline.errors import NotFound, Refused
from pipeline.names import ENVIRONMENTS, Environment
from pipeline.registry import Package
from state import jobs

STACK = "arn:aws:cloudformation:{region}:{account}:stack/{stack}/*"
PACKAGES = (
    Need("sagemaker:ListModelPackages"),
    Need("sagemaker:DescribeModelPackage", "model-package/{group}/*"),
)
READ = (
    Need(
        (
            "cloudformation:DescribeStacks",
            "cloudformation:DescribeStackResources",
            "cloudformation:DescribeStackEvents",
        ),
        STACK,
    ),
    Need("sagemaker:DescribeEndpoint", "endpoint/{stack}"),
)
CHANGERS: Allowed = {"data-scientist": ("dev",), "ml-engineer": ("staging", "prod")}
PASS = Need("iam:PassRole", "arn:aws:iam::{account}:role/groundcrew-{env}-deploy")
CREATE = (
    *PACKAGES,
    Need(("cloudformation:CreateStack", "cloudformation:UpdateStack", "cloudformation:DescribeStacks"), STACK),
    Need(("s3:PutObject", "s3:GetObject"), "arn:aws:s3:::{bucket}/{env}/code/*"),
    Need("s3:GetObject", "arn:aws:s3:::{bucket}/{env}/models/*"),
    # A version that was trained here and not promoted lies with its run.
    Need("s3:GetObject", "arn:aws:s3:::{bucket}/{env}/runs/*/model.tar.gz"),
    PASS,
)
UPDATE = (
    Need(("cloudformation:UpdateStack", "cloudformation:DescribeStacks"), STACK),
    Need(("s3:PutObject", "s3:GetObject"), "arn:aws:s3:::{bucket}/{env}/code/*"),
    PASS,
)
"""What it takes to change a deployment and not its model."""


def in_prod(arguments: Mapping[str, Any]) -> bool:
    """Production is changed only with a second person's approval."""
    return bool(arguments["env"] == "prod")


def _package(ctx: Context, env: Environment, version: int | None) -> Package:
    """The version to deploy. Raises Refused for one that may not be."""
    sagemaker = ctx.client("sagemaker")
    if version is None:
        return registry.newest(sagemaker, ctx.names, env)
    package = registry.load(sagemaker, ctx.names, env, version)
    if package.approval == "Rejected" or (env != "dev" and package.approval != "Approved"):
        raise Refused(
            f"Version {version} in {env} is not approved: {package.approval}.",
            f"`registry list --env {env}` shows the versions that are.",
        )
    return package


def additional(ctx: Context, env: Environment, instance_type: str) -> list[Use]:
    """What an endpoint on this instance type adds to what runs already: nothing, when it is on that type now.

    Counted is what it has without load: what more load brings is gone with the load.
    """
    with ctx.state.begin() as connection:
        rows = jobs.serving(connection, ctx.names.stack(env))
    if any(row.instance_type == instance_type for row in rows):
        return []
    least = scaling.DEFAULT[env].least
    return [Use("Endpoint", "Hosting", instance_type, stays=True, instances=least, instead=definition.SERVED_ON)]


def spends(ctx: Context, *, env: Environment, instance_type: str, **_: object) -> Spend:
    """An instance for as long as nobody deletes the deployment."""
    return Spend(additional(ctx, env, instance_type))


def plan(ctx: Context, *, env: Environment, version: int | None, instance_type: str, yes: bool = False) -> Plan:
    """What deploying a version would do, as a confirmation or an approval shows it."""
    # The stack first: whoever may not look at an environment hears so from AWS, whatever else is there or is not.
    stack = deployment.changeable(ctx.client("cloudformation"), ctx.names, env)
    package = _package(ctx, env, version)
    deployment.runs_on(package, instance_type)
    bounds = scaling.now(stack.parameters if stack else {}, env)
    serving = stack.digest if stack is not None else ""
    before = registry.with_digest(ctx.client("sagemaker"), ctx.names, env, serving) if serving else None
    facts = [
        *comparison(env, package, before, serving=serving),
        Fact("Environment", env),
        Fact("Replaces", short_digest(serving) if serving else "nothing: the first deployment"),
        Fact("Instance", instance_type),
        Fact("Instances", f"{bounds.words()} by load"),
        Fact("Endpoint", ctx.names.stack(env)),
    ]
    bound = {
        "package": package.arn,
        "digest": package.digest,
        "artifact": package.model,
        "content": registry.content_tag(ctx.client("s3"), package.model),
        "replaces": serving,
        "environment": env,
        "instance_type": instance_type,
        "template": source.template().digest,
        "monitor": source.code().digest,
    }
    return Plan(f"deploy detector v{package.version} to {env}", facts, bound)


@command(
    "deployment create",
    allowed=CHANGERS,
    needs=CREATE,
    changes=True,
    audience=Audience.CHANNEL,
    approval=Approval("ml-engineer", when=in_prod),
    plan=plan,
    spends=spends,
    example="deployment create --env staging --version 3",
)
def create(
    ctx: Context,
    *,
    env: Env = "dev",
    version: Annotated[
        int | None, Parameter(help="Model version; the newest if not given", validator=Between(1, 1_000_000))
    ] = None,
    instance_type: Annotated[str, Parameter(help="Instance type of the endpoint")] = deployment.INSTANCE_TYPE,
    yes: Yes = False,
) -> Reply:
    """Deploy a model version to the environment's endpoint; prod needs an approval."""
    cloudformation = ctx.client("cloudformation")
    deployment.changeable(cloudformation, ctx.names, env)
    package = _package(ctx, env, version)
    if env != "dev" and not package.metadata.get("approval"):
        raise Refused(
            f"Version {package.version} did not come to {env} by an approved promotion.",
            f"`registry request <version> --to {env}` asks for one.",
        )
    url = deployment.publish_template(ctx.client("s3"), ctx.names, env)
    code = deployment.publish_code(ctx.client("s3"), ctx.names, env)
    stack_id, done = deployment.deploy(
        cloudformation,
        ctx.names,
        env,
        template_url=url,
        parameters=deployment.parameters(ctx.names, env, package, instance_type, code=code, monitor=ctx.monitor),
        token=ctx.token,
    )
    name = ctx.names.stack(env)
    facts = [
        Fact("Model", f"v{package.version}"),
        Fact("Digest", short_digest(package.digest)),
        Fact("Instance", instance_type),
    ]
    by: list[Inline] = ["started by ", Mention(ctx.person.user), " · ", Code(name)]
    if done == "unchanged":
        return Reply(
            title=f"{name} already serves v{package.version}",
            context=by,
            facts=facts,
            actions=_when_serving(env),
            environment=env,
        )
    return Reply(
        title=f"Deploying detector v{package.version} to {env}",
        context=by,
        facts=facts,
        actions=[Action("Status", f"deployment status --env {env}")],
        environment=env,
        slot=slot(stack_id),
        follow=Follow("deployment", stack_id),
    )


@command("deployment status", allowed=READERS, needs=[*READ, *PACKAGES], example="deployment status --env staging")
def status(ctx: Context, *, env: Env = "dev") -> Reply:
    """Show how an environment's deployment stands."""
    stack = deployment.find(ctx.client("cloudformation"), ctx.names.stack(env))
    if stack is None or stack.gone:
        return Reply(
            title=f"Nothing is deployed in {env}",
            text=f"There is no stack {ctx.names.stack(env)}.",
            actions=[Action(f"Deploy to {env}", f"deployment create --env {env}", style="primary")],
            environment=env,
        )
    return replace(_shown(ctx, stack, env), audience=Audience.PERSON, slot=None)


def _plan_delete(ctx: Context, *, env: Environment, yes: bool) -> Plan:
    stack = _existing(ctx, env)
    facts = [
        Fact("Endpoint", stack.name),
        Fact("Model", short_digest(stack.digest)),
        Fact("State", stack.status),
    ]
    return Plan(f"delete the deployment in {env}", facts, {"stack": stack.id})


@command(
    "deployment delete",
    allowed=CHANGERS,
    needs=[Need(("cloudformation:DeleteStack", "cloudformation:DescribeStacks"), STACK), PASS],
    changes=True,
    audience=Audience.CHANNEL,
    approval=Approval("ml-engineer", when=in_prod),
    confirm=True,
    plan=_plan_delete,
    example="deployment delete --env dev",
)
def delete(ctx: Context, *, env: Env, yes: Yes = False) -> Reply:
    """Delete an environment's deployment: nobody can ask it any more; the models stay."""
    stack = _existing(ctx, env)
    if stack.busy:
        raise Refused(
            f"{stack.name} is busy: {stack.status}.", f"`deployment status --env {env}` shows when it is done."
        )
    deployment.delete(ctx.client("cloudformation"), ctx.names, env, token=ctx.token)
    return Reply(
        title=f"Deleting the deployment in {env}",
        context=["started by ", Mention(ctx.person.user), " · ", Code(stack.name)],
        text="Registered models stay; a new deployment brings the endpoint back.",
        environment=env,
        slot=slot(stack.id),
        follow=Follow("deployment", stack.id),
    )


def _existing(ctx: Context, env: Environment) -> Stack:
    stack = deployment.find(ctx.client("cloudformation"), ctx.names.stack(env))
    if stack is None or stack.gone:
        raise NotFound("deployment in environment", env, advice=f"`deployment create --env {env}` makes one.")
    return stack


def deployment_live(ctx: Context, stack: str) -> tuple[Reply, bool]:
    """The message of a deployment (by stack ARN) as it is now, and whether it has come to rest.

    Raises NotFound when the stack never existed.
    """
    found = deployment.find(ctx.client("cloudformation"), stack)
    if found is None:
        raise NotFound("stack", stack)
    return _shown(ctx, found, _environment(found.name)), not found.busy


def version(ctx: Context, stack: Stack, env: Environment) -> str:
    """What is deployed, as people call it: `v3`; by its digest when no registered version has it."""
    if stack.version is not None:
        return f"v{stack.version}"
    package = registry.with_digest(ctx.client("sagemaker"), ctx.names, env, stack.digest)
    return f"v{package.version}" if package is not None else short_digest(stack.digest)


def slot(stack_id: str) -> str:
    """The message in which a deployment is shown: one for each life of a stack."""
    return f"deployment-{stack_id.rsplit('/', 1)[-1]}"


def _shown(ctx: Context, stack: Stack, env: Environment) -> Reply:
    cloudformation = ctx.client("cloudformation")
    endpoint = None if stack.gone else deployment.endpoint_now(ctx.client("sagemaker"), stack.name)
    state, reason = (endpoint.status, endpoint.reason) if endpoint else ("none", "")
    # CloudFormation's reason, which quotes the endpoint's; the endpoint's own where no stack has failed.
    failure = deployment.first_failure(cloudformation, stack.id) if stack.failed else "" if stack.busy else reason
    return Reply(
        title=f"{stack.name}: {_words(stack)}",
        outcome=Outcome.ERROR if stack.failed else Outcome.OK,
        context=["stack ", Code(stack.status), " · endpoint ", Code(state)],
        text="The change was taken back: what served before serves on." if "UPDATE_ROLLBACK" in stack.status else "",
        steps=[_step(row) for row in deployment.resources(cloudformation, stack.id)],
        facts=[
            Fact("Model", version(ctx, stack, env)),
            Fact("Digest", short_digest(stack.digest)),
            Fact("Instance", stack.instance_type),
            *_scaled(stack, env, endpoint),
            *spent.of_endpoint(ctx, stack.name),
        ],
        quote=failure,
        actions=_actions(stack, env),
        environment=env,
        audience=Audience.CHANNEL,
        slot=slot(stack.id),
    )


def _scaled(stack: Stack, env: Environment, endpoint: EndpointNow | None) -> list[Fact]:
    """How many instances there are and may be; nothing about a stack that does not scale."""
    if endpoint is None or "MinInstances" not in stack.parameters:
        return []
    return [Fact("Instances", f"{endpoint.instances} now, {scaling.now(stack.parameters, env).words()} by load")]


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


def _actions(stack: Stack, env: Environment) -> list[Action]:
    if stack.gone:
        return [Action("Deploy again", f"deployment create --env {env}")]
    if stack.busy:
        return [Action("Status", f"deployment status --env {env}")]
    remove = Action("Delete…", f"deployment delete --env {env}", style="danger")
    if stack.failed and stack.status != "UPDATE_ROLLBACK_COMPLETE":
        return [remove]
    return [*_when_serving(env), remove]


def _when_serving(env: Environment) -> list[Action]:
    return [
        Action("Predict on a photo", f"deployment predict --env {env}", style="primary"),
        Action("Status", f"deployment status --env {env}"),
    ]


def _environment(stack_name: str) -> Environment:
    return next(env for env in ENVIRONMENTS if stack_name.split("-")[1] == env)
