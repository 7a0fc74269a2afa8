"""Deployments: create or update an environment's endpoint, say how it stands, remove it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from cyclopts import Parameter

from commands import deployed, preview
from commands.arguments import Between, Env, Known, Yes
from commands.command import READERS, Allowed, Approval, Context, Need, Plan, Spend, Use, command
from commands.registry import comparison
from commands.reply import Action, Audience, Code, Fact, Follow, Inline, Mention, Reply
from commands.wording import short_digest
from pipeline import canary as canaries
from pipeline import definition, deployment, registry, scaling, source
from pipeline.deployment import Stack
from pipeline.errors import NotFound, Refused
from pipeline.names import Environment
from pipeline.registry import Package
from pipeline.scaling import ScaleOn
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
    # A canary's alarms are there and quiet before it begins.
    Need("cloudwatch:DescribeAlarms"),
    Need("cloudformation:DescribeStackResources", STACK),
    PASS,
)
PREVIEW = (
    Need(
        (
            "cloudformation:CreateChangeSet",
            "cloudformation:DescribeChangeSet",
            "cloudformation:DeleteChangeSet",
            # The empty shell that a change set of a first deployment leaves.
            "cloudformation:DeleteStack",
        ),
        STACK,
        only="dry_run",
    ),
)
UPDATE = (
    Need(("cloudformation:UpdateStack", "cloudformation:DescribeStacks"), STACK),
    Need(("s3:PutObject", "s3:GetObject"), "arn:aws:s3:::{bucket}/{env}/code/*"),
    PASS,
)
"""What it takes to change a deployment and not its model."""


UNWATCHED = (
    "Serverless captures nothing: nobody watches this endpoint for drift, and its photos are not kept. It wakes with "
    "the first request, takes at most 4 MB, and costs only while it answers."
)


def in_prod(arguments: Mapping[str, Any]) -> bool:
    """Production is changed only with a second person's approval."""
    return bool(arguments["env"] == "prod")


def deployable(ctx: Context, env: Environment, version: int | None) -> Package:
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
    if instance_type == deployment.SERVERLESS:
        return []  # paid by the request
    with ctx.state.begin() as connection:
        rows = jobs.serving(connection, ctx.names.stack(env))
    if any(row.instance_type == instance_type for row in rows):
        return []
    least = scaling.DEFAULT[env].least
    return [Use("Endpoint", "Hosting", instance_type, stays=True, instances=least, instead=definition.SERVED_ON)]


def spends(ctx: Context, *, env: Environment, instance_type: str, dry_run: bool, **_: object) -> Spend | None:
    """Instances for as long as nobody deletes the deployment."""
    return None if dry_run else Spend(additional(ctx, env, instance_type))


def plan(
    ctx: Context,
    *,
    env: Environment,
    version: int | None,
    instance_type: str,
    canary: int | None = None,
    scale_on: ScaleOn | None = None,
    dry_run: bool = False,
    yes: bool = False,
) -> Plan:
    """What deploying a version would do, as a confirmation or an approval shows it."""
    # The stack first: whoever may not look at an environment hears so from AWS, whatever else is there or is not.
    stack = deployment.changeable(ctx.client("cloudformation"), ctx.names, env)
    package = deployable(ctx, env, version)
    deployment.runs_on(package, instance_type, env)
    bounds = scaling.now(stack.parameters if stack else {}, env)
    share = canaries.chosen(env, bounds, canary)
    serving = stack.digest if stack is not None else ""
    before = registry.with_digest(ctx.client("sagemaker"), ctx.names, env, serving) if serving else None
    facts = [
        *comparison(env, package, before, serving=serving),
        Fact("Environment", env),
        Fact("Replaces", short_digest(serving) if serving else "nothing: the first deployment"),
        Fact("Instance", instance_type),
        Fact("Instances", f"{bounds.words()} by load"),
        Fact("Traffic", traffic(share) if serving else "all of it: nothing serves yet"),
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
        "canary": str(share),
        "scale_on": scale_on or "",
        "dry_run": str(dry_run),
    }
    what = "show what deploying detector v{} to {} would change" if dry_run else "deploy detector v{} to {}"
    return Plan(what.format(package.version, env), facts, bound)


def traffic(share: int) -> str:
    """How a new model takes over, in words."""
    minutes = "ten minutes of quiet alarms"
    return f"{share} % first, the rest after {minutes}; back by itself otherwise" if share else "all of it at once"


@command(
    "deployment create",
    allowed=CHANGERS,
    needs=[*CREATE, *PREVIEW],
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
        int | None,
        Parameter(help="Model version; the newest if not given", validator=Between(1, 1_000_000)),
        Known("version"),
    ] = None,
    instance_type: Annotated[
        str, Parameter(help="Instance type of the endpoint; in dev also `serverless`")
    ] = deployment.INSTANCE_TYPE,
    canary: Annotated[
        int | None,
        Parameter(help="Percent that gets traffic first, 0 for all at once", validator=Between(0, canaries.LARGEST)),
    ] = None,
    scale_on: Annotated[
        ScaleOn | None, Parameter(help="Scale on requests at once, or a minute where SageMaker lacks that metric")
    ] = None,
    dry_run: Annotated[bool, Parameter(help="Show CloudFormation's change set and change nothing")] = False,
    yes: Yes = False,
) -> Reply:
    """Deploy a model version to the environment's endpoint; prod needs an approval."""
    cloudformation = ctx.client("cloudformation")
    existing = deployment.changeable(cloudformation, ctx.names, env)
    package = deployable(ctx, env, version)
    if env != "dev" and not package.metadata.get("approval"):
        raise Refused(
            f"Version {package.version} did not come to {env} by an approved promotion.",
            f"`registry request <version> --to {env}` asks for one.",
        )
    registry.verify(ctx.client("s3"), package)
    share = canaries.chosen(env, scaling.now(existing.parameters if existing else {}, env), canary)
    if share and existing is not None and existing.digest != package.digest:
        canaries.ready(ctx.client("cloudwatch"), existing, _alarms(ctx, existing))
    url = deployment.publish_template(ctx.client("s3"), ctx.names, env)
    code = deployment.publish_code(ctx.client("s3"), ctx.names, env)
    given = deployment.parameters(
        ctx.names, env, package, instance_type, code=code, monitor=ctx.monitor, canary=share, scale_on=scale_on
    )
    if dry_run:
        chosen = {"canary": canary, "scale-on": scale_on}
        options = "".join(f" --{name} {value}" for name, value in chosen.items() if value is not None)
        line = f"deployment create --env {env} --version {package.version} --instance-type {instance_type}{options}"
        return preview.shown(ctx, env, existing, package, given, template_url=url, line=line)
    stack_id, done = deployment.deploy(
        cloudformation,
        ctx.names,
        env,
        template_url=url,
        parameters=given,
        token=ctx.token,
    )
    name = ctx.names.stack(env)
    facts = [
        Fact("Model", f"v{package.version}"),
        Fact("Digest", short_digest(package.digest)),
        Fact("Instance", instance_type),
        *([Fact("Traffic", traffic(share))] if share and existing is not None else []),
    ]
    by: list[Inline] = ["started by ", Mention(ctx.person.user), " · ", Code(name)]
    if done == "unchanged":
        return Reply(
            title=f"{name} already serves v{package.version}",
            context=by,
            facts=facts,
            actions=deployed.when_serving(env),
            environment=env,
        )
    return Reply(
        title=f"Deploying detector v{package.version} to {env}",
        context=by,
        text=UNWATCHED if instance_type == deployment.SERVERLESS else "",
        facts=facts,
        actions=[Action("Status", f"deployment status --env {env}")],
        environment=env,
        slot=deployed.slot(stack_id),
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
    return replace(deployed.shown(ctx, stack, env), audience=Audience.PERSON, slot=None)


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
        slot=deployed.slot(stack.id),
        follow=Follow("deployment", stack.id),
    )


def _alarms(ctx: Context, stack: Stack) -> set[str]:
    """The alarms that a stack says it has made."""
    found = deployment.resources(ctx.client("cloudformation"), stack.id)
    return {each.own for each in found if each.kind == "AWS::CloudWatch::Alarm" and each.status.endswith("_COMPLETE")}


def _existing(ctx: Context, env: Environment) -> Stack:
    stack = deployment.find(ctx.client("cloudformation"), ctx.names.stack(env))
    if stack is None or stack.gone:
        raise NotFound("deployment in environment", env, advice=f"`deployment create --env {env}` makes one.")
    return stack
