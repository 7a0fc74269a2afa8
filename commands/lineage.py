"""Where a model comes from, read upwards from an endpoint or a version: who promoted it, which run, code and data."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from commands.arguments import Between, Env
from commands.command import READERS, Context, Need, command
from commands.model_report import DESCRIBE, LIST, RUN, execution, map50
from commands.reply import Action, Audience, Code, Inline, Mention, Outcome, Reply, Step
from commands.wording import day, short_digest, who
from pipeline import executions, lineage, registry, versions
from pipeline.errors import BadInput, NotFound
from pipeline.names import ENVIRONMENTS, Environment
from pipeline.registry import Package


@command(
    "registry lineage",
    allowed=READERS,
    needs=[
        LIST,
        DESCRIBE,
        RUN,
        Need("sagemaker:DescribeEndpoint", "endpoint/groundcrew-*-*"),
        Need("sagemaker:DescribeEndpointConfig", "endpoint-config/groundcrew-*-*"),
        Need("sagemaker:DescribeModel", "model/groundcrew-*-*"),
        Need("s3:ListBucket", "arn:aws:s3:::{bucket}"),
        Need("s3:GetObject", "arn:aws:s3:::{bucket}/*/data/*"),
    ],
    audience=Audience.CHANNEL,
    example="registry lineage --endpoint groundcrew-staging-detector",
)
def show(
    ctx: Context,
    version: Annotated[int | None, Parameter(help="Version of the model", validator=Between(1, 1_000_000))] = None,
    *,
    endpoint: Annotated[str, Parameter(help="Name of an endpoint, instead of a version")] = "",
    env: Env = "dev",
) -> Reply:
    """Trace a model back from its version or endpoint: promotions, run, code, data."""
    if (version is None) == (not endpoint):
        advice = f"Type `registry lineage 3`, or `registry lineage --endpoint {ctx.names.stack(env)}`."
        raise BadInput("A lineage is that of one version or of one endpoint.", advice)
    sagemaker = ctx.client("sagemaker")
    steps: list[Step] = []
    if version is not None:
        package: Package | None = registry.load(sagemaker, ctx.names, env, version)
        about = f"detector v{version} in {env}"
    else:
        env = lineage.environment(ctx.names, endpoint)
        served = lineage.served(sagemaker, ctx.names, env, endpoint)
        about = endpoint
        package = registry.with_digest(sagemaker, ctx.names, env, served.digest) if served.digest else None
        steps = [
            Step("Endpoint", "done", [Code(endpoint), f" is {served.status}"]),
            Step("Model", "done", [Code(served.model), f" · {short_digest(served.digest)} · ", Code(served.artifact)]),
        ]
    if package is None:
        missing = Step("Version", "failed", f"no registered version in {env} holds this model: it has no lineage")
        return _reply(ctx, about, env, [*steps, missing], [])
    found, gone = lineage.chain(sagemaker, package)
    steps += [_version(each) for each in found]
    if gone:
        steps.append(Step("Version before", "failed", [Code(gone.partition(":model-package/")[2]), " is gone"]))
    return _reply(ctx, about, env, [*steps, *_origin(ctx, found[-1])], _next(ctx, found, env))


def _reply(ctx: Context, about: str, env: Environment, steps: list[Step], actions: list[Action]) -> Reply:
    broken = [step.name.lower() for step in steps if step.state == "failed"]
    return Reply(
        title=f"Where {about} comes from" + (f": broken at {', '.join(broken)}" if broken else ""),
        outcome=Outcome.ERROR if broken else Outcome.OK,
        context=["asked by ", Mention(ctx.person.user)],
        steps=steps,
        actions=actions,
        environment=env,
    )


def _version(package: Package) -> Step:
    env, metadata = _environment(package.arn), package.metadata
    words: list[Inline] = [f"mAP50 {map50(package)} · {short_digest(package.digest)} · {day(package.created)}"]
    if metadata.get("approved_by"):
        words += [" · asked for by ", who(metadata.get("requested_by")), ", approved by ", who(metadata["approved_by"])]
        words.append(f" ({metadata.get('approval', '')})")
    return Step(f"Version {env} v{package.version}", "done", words)


def _origin(ctx: Context, trained: Package) -> list[Step]:
    """The run, the code and the data of the version that was trained."""
    metadata = trained.metadata
    run: list[Inline] = [Code(execution(trained) or "unknown")]
    if metadata.get("pipeline_execution"):
        by = executions.starter(ctx.client("sagemaker"), metadata["pipeline_execution"])
        run += [" started by ", who(by)] if by else [" is not known to AWS any more"]
    return [
        Step("Run", "done" if execution(trained) else "failed", run),
        Step("MLflow run", "done", [Code(metadata.get("mlflow_run_id", "untracked"))]),
        Step("Code", "done", ["revision ", Code(metadata.get("code_revision", "unknown")[:12])]),
        _data(ctx, trained),
    ]


def _data(ctx: Context, trained: Package) -> Step:
    id, env = trained.metadata.get("data_version", ""), _home(trained)
    if not id:
        return Step("Data", "failed", "the version does not name its data")
    try:
        found, _ = versions.find(ctx.client("s3"), ctx.names, env, id)
    except (BadInput, NotFound) as error:
        return Step("Data", "failed", ["version ", Code(id), f": {error.message}"])
    words = f": {found.photos:,} photos, {found.objects:,} objects of {len(found.classes)} classes, from "
    return Step("Data", "done", ["version ", Code(id), words, Code(f"s3://{ctx.names.data_bucket}/{found.prefix}")])


def _environment(arn: str) -> Environment:
    """The environment in the name of a version or an execution."""
    name = arn.rpartition(":")[2].split("/")[1].split("-")[1]
    return next(env for env in ENVIRONMENTS if env == name)


def _home(trained: Package) -> Environment:
    """Where it was trained; its run says so even if the version of that environment is gone."""
    return _environment(trained.metadata.get("pipeline_execution") or trained.arn)


def _next(ctx: Context, found: list[Package], env: Environment) -> list[Action]:
    trained, here = found[-1], _home(found[-1])
    actions = [Action("The version", f"registry show {found[0].version} --env {env}")]
    if id := execution(trained):
        actions.append(Action("The run", f"pipeline show {id} --env {here}"))
    if (id := trained.metadata.get("mlflow_run_id", "untracked")) != "untracked":
        actions.append(Action("How it learned", f"experiments show {id} --env {here}"))
    if data := trained.metadata.get("data_version"):
        actions.append(Action("The data", f"dataset versions {data} --env {here}"))
    return actions
