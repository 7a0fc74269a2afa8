"""Ask a model about all photos of a folder at once: no endpoint, several instances, one summary."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from botocore.exceptions import ClientError
from cyclopts import Parameter

from commands import batch_chart
from commands.arguments import Between, Env, Version, Yes, data_folder
from commands.command import Approval, Context, Need, Plan, Spend, Use, command
from commands.deployment import CHANGERS, PACKAGES, deployable, in_prod
from commands.reply import Action, Audience, Code, Fact, Follow, Inline, Mention, Outcome, Picture, Reply, Step, Table
from commands.wording import duration, short_digest
from pipeline import batches, executions, quotas, registry
from pipeline.batches import Job, Summary
from pipeline.names import Environment

Folder = Annotated[str, Parameter(help="Folder of photos in the data bucket, such as survey/images/")]
Instances = Annotated[
    int, Parameter(help="Machines that share the photos", validator=Between(1, batches.MOST_INSTANCES))
]


def _spends(ctx: Context, *, instances: int, **_: object) -> Spend:
    """One job on so many machines."""
    use = Use("Batch", "Batch Transform", batches.INSTANCE_TYPE, batches.TYPICAL_S, batches.MOST_S, instances=instances)
    return Spend([use])


def _plan(ctx: Context, *, version: int, prefix: str, env: Environment, instances: int, yes: bool = False) -> Plan:
    package = deployable(ctx, env, version)
    folder = data_folder(ctx.names.data_bucket, prefix)
    count = batches.photos(ctx.client("s3"), ctx.names.data_bucket, folder)
    facts = [
        Fact("Model", f"v{version}, {short_digest(package.digest)}"),
        Fact("Photos", f"{count:,} below {folder}"),
        Fact("Machines", f"{instances} × {batches.INSTANCE_TYPE}"),
    ]
    bound = {"package": package.arn, "digest": package.digest, "folder": folder, "instances": str(instances)}
    return Plan(f"run detector v{version} of {env} over {folder}", facts, bound)


@command(
    "deployment batch",
    allowed=CHANGERS,
    needs=[
        *PACKAGES,
        Need("s3:GetObject", "arn:aws:s3:::{bucket}/{env}/models/*"),
        Need("s3:GetObject", "arn:aws:s3:::{bucket}/{env}/runs/*/model.tar.gz"),
        Need("s3:ListBucket", "arn:aws:s3:::{data_bucket}"),
        Need(("sagemaker:CreateModel", "sagemaker:AddTags"), "model/groundcrew-{env}-batch-*"),
        Need(("sagemaker:CreateTransformJob", "sagemaker:AddTags"), "transform-job/groundcrew-{env}-batch-*"),
        Need("iam:PassRole", "arn:aws:iam::{account}:role/groundcrew-{env}-execution"),
    ],
    changes=True,
    audience=Audience.CHANNEL,
    approval=Approval("ml-engineer", when=in_prod),
    plan=_plan,
    spends=_spends,
    example="deployment batch 3 survey/images/ --instances 2",
)
def batch(
    ctx: Context, version: Version, prefix: Folder, *, env: Env = "dev", instances: Instances = 1, yes: Yes = False
) -> Reply:
    """Detect objects on every photo of a folder, with a summary; prod needs an approval."""
    package = deployable(ctx, env, version)
    folder = data_folder(ctx.names.data_bucket, prefix)
    count = batches.photos(ctx.client("s3"), ctx.names.data_bucket, folder)
    registry.verify(ctx.client("s3"), package)
    arn = batches.start(ctx.client("sagemaker"), ctx.names, env, package, folder, instances, ctx.token)
    return Reply(
        title=f"Running detector v{version} over {count:,} photos of {folder}",
        context=["started by ", Mention(ctx.person.user), " · ", Code(arn.rsplit("/", 1)[-1])],
        text="This message becomes the summary when the job is done.",
        steps=[Step("Batch", "running", f"starting on {_machines(instances)}")],
        environment=env,
        slot=_slot(arn),
        follow=Follow("batch", arn),
    )


def batch_live(ctx: Context, arn: str) -> tuple[Reply, bool]:
    """The message of a batch (by its job's ARN) as it is now, and whether its job has ended.

    Raises NotFound when there is no such job.
    """
    job = batches.job(ctx.client("sagemaker"), arn)
    if job.running:
        return _working(job), False
    if job.status != "Completed":
        return _ended(ctx, job), True
    return _done(job, batches.summary(ctx.client("s3"), job)), True


def _working(job: Job) -> Reply:
    lasted = duration((datetime.now(UTC) - job.created).total_seconds())
    return Reply(
        title=f"Running a batch over {job.source}",
        context=_context(job),
        text="This message becomes the summary when the job is done.",
        steps=[Step("Batch", "running", f"running for {lasted} on {_machines(job.instances)}")],
        environment=job.env,
        audience=Audience.CHANNEL,
        slot=_slot(job.arn),
    )


def _ended(ctx: Context, job: Job) -> Reply:
    stopped = job.status == "Stopped"
    try:
        lines = executions.last_lines(ctx.client("logs"), job.arn)
    except ClientError as error:
        lines = [f"Its log cannot be read: {error.response['Error'].get('Message', error)}"]
    return Reply(
        title=f"The batch over {job.source} {'was stopped' if stopped else 'failed'}",
        outcome=Outcome.OK if stopped else Outcome.ERROR,
        context=_context(job),
        text=f"{job.reason or 'No reason was given.'}{quotas.advice(job.reason)} "
        f"Answers until then are in {job.output}/.",
        steps=[Step("Batch", "stopped" if stopped else "failed")],
        quote="\n".join(lines),
        environment=job.env,
        audience=Audience.CHANNEL,
        slot=_slot(job.arn),
    )


def _done(job: Job, found: Summary) -> Reply:
    sure = "" if found.confidence is None else f", mean confidence {found.confidence:.2f}"
    rows = [(name, str(count)) for name, count in found.fullest]
    return Reply(
        title=f"{found.objects:,} objects on {found.photos:,} photos of {job.source}",
        context=_context(job),
        text=f"Nothing was found on {found.empty:,} of them{sure}. The answers are in {job.output}/, one a photo.",
        steps=[Step("Batch", "done", f"on {_machines(job.instances)}")],
        facts=[Fact("Classes", ", ".join(f"{count:,} {name}" for name, count in found.classes.items()) or "none")],
        table=Table(("Photo", "Objects"), rows, "The photos with the most objects") if rows else None,
        picture=Picture(batch_chart.draw(found), f"{job.name}.png", batch_chart.alt(found)),
        actions=[Action("Predict on a photo", f"deployment predict --env {job.env}")],
        environment=job.env,
        audience=Audience.CHANNEL,
        slot=_slot(job.arn),
    )


def _context(job: Job) -> list[Inline]:
    return ["job ", Code(job.name), f" · model {job.digest} · ", job.env]


def _slot(arn: str) -> str:
    return f"batch-{arn.rsplit('/', 1)[-1]}"


def _machines(count: int) -> str:
    return "one machine" if count == 1 else f"{count} machines"
