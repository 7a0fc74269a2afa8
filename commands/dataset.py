"""The photos and labels people train on: what they look like, a sample to look at, and which versions runs used."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Literal

from botocore.exceptions import ClientError
from cyclopts import Parameter

from commands import dataset_report as say
from commands import dataset_sample
from commands.arguments import Between, DataFolder, Env, Yes, data_folder
from commands.command import READERS, Allowed, Context, Need, Spend, Use, command
from commands.progress import event
from commands.reply import Action, Audience, Code, Follow, Mention, Outcome, Picture, Reply, Step
from commands.wording import duration
from pipeline import executions, profiles, versions
from pipeline.definition import HOUR
from pipeline.errors import BadInput, NotFound
from pipeline.names import ENVIRONMENTS
from pipeline.profile.sheet import printable
from pipeline.profiles import MOST_INSTANCES, Job

PROFILERS: Allowed = {"data-scientist": ("dev",), "ml-engineer": ("dev", "staging")}
"""Production trains nothing: there is no data set of its own to look at."""
LOOKERS: Allowed = {"data-scientist": ENVIRONMENTS, "ml-engineer": ENVIRONMENTS}
DATA = (
    Need("s3:GetObject", "arn:aws:s3:::{data_bucket}/*"),
    Need("s3:ListBucket", "arn:aws:s3:::{data_bucket}"),
)
TYPICAL_S = 120.0
"""How long a profile mostly takes, start included."""
LISTED = 10
"""Versions in the table."""


def _spends(ctx: Context, *, instances: int | None, **_: object) -> Spend:
    """One job; on how many machines the number of photos decides, unless the line says so."""
    return Spend([Use("Profile", "Processing", profiles.INSTANCE, TYPICAL_S, HOUR, instances=instances or 1)])


@command(
    "dataset profile",
    allowed=PROFILERS,
    needs=[
        Need("s3:ListBucket", "arn:aws:s3:::{data_bucket}"),
        Need("s3:ListBucket", "arn:aws:s3:::{bucket}"),
        Need("s3:GetObject", "arn:aws:s3:::{bucket}/{env}/profiles/*"),
        Need("s3:PutObject", "arn:aws:s3:::{bucket}/{env}/code/*"),
        Need("sagemaker:ListProcessingJobs"),
        Need(("sagemaker:CreateProcessingJob", "sagemaker:AddTags"), "processing-job/groundcrew-{env}-profile-*"),
        Need("iam:PassRole", "arn:aws:iam::{account}:role/groundcrew-{env}-execution"),
    ],
    changes=True,
    audience=Audience.CHANNEL,
    spends=_spends,
    example="dataset profile --prefix survey/",
)
def profile(
    ctx: Context,
    *,
    prefix: DataFolder = "survey/",
    env: Annotated[Literal["dev", "staging"], Parameter(help="Whose role looks, and where the result lies")] = "dev",
    instances: Annotated[
        int | None,
        Parameter(
            help="Machines that share the work; by the number of photos if not given",
            validator=Between(1, MOST_INSTANCES),
        ),
    ] = None,
    now: Annotated[bool, Parameter(help="Look anew, also at what was profiled before")] = False,
    yes: Yes = False,
) -> Reply:
    """Look at a data set: counts, classes, boxes, duplicates, blur and light, label errors, with plots and photos."""
    s3, sagemaker = ctx.client("s3"), ctx.client("sagemaker")
    what = profiles.folder(s3, ctx.names, data_folder(ctx.names.data_bucket, prefix))
    if not what.photos:
        raise NotFound(
            "photo below", f"s3://{ctx.names.data_bucket}/{what.prefix}", advice="A data set has images/*.jpg or *.png."
        )
    place = profiles.place(ctx.names, env, what, ctx.token)
    going = profiles.running(sagemaker, place)
    if going is None and not now and profiles.exists(s3, place):
        done = say.profile(profiles.read(s3, place), what.prefix, env)
        again = Action("Profile anew", f"dataset profile --env {env} --prefix {say.quoted(what.prefix)} --now")
        before = [*done.context, " · profiled before, asked by ", Mention(ctx.person.user)]
        return replace(done, context=before, actions=[*done.actions, again])
    machines = instances or what.instances
    if going is None:
        going = profiles.start(s3, sagemaker, ctx.names, place, what, machines, ctx.token)
    photos = f"{len(what.photos):,} photos" if what.whole else f"more than {len(what.photos):,} photos"
    return Reply(
        title=f"Profiling {say.shown(what.prefix)}: {photos}",
        context=["started by ", Mention(ctx.person.user), " · ", Code(f"s3://{ctx.names.data_bucket}/{what.prefix}")],
        text="This message becomes the profile when the job is done.",
        steps=[Step("Profile", "running", f"starting on {_machines(machines)}")],
        environment=env,
        slot=_slot(going),
        follow=Follow("profile", going),
    )


@command(
    "dataset sample",
    allowed=LOOKERS,
    needs=DATA,
    audience=Audience.CHANNEL,
    example="dataset sample --prefix survey/ --count 9",
)
def sample(
    ctx: Context,
    *,
    prefix: DataFolder = "survey/",
    count: Annotated[int, Parameter(help="How many photos", validator=Between(1, dataset_sample.MOST))] = 9,
    seed: Annotated[
        int | None, Parameter(help="Repeats a draw; another one if not given", validator=Between(0, 1_000_000))
    ] = None,
) -> Reply:
    """Show random photos of a data set with the boxes of their labels."""
    s3, bucket = ctx.client("s3"), ctx.names.data_bucket
    what = profiles.folder(s3, ctx.names, data_folder(bucket, prefix))
    drawn = int(ctx.token[:12], 16) % 1_000_000 if seed is None else seed
    found = dataset_sample.draw(s3, bucket, what, count, drawn)
    folder = say.quoted(what.prefix)
    boxes = sum(len(tile.boxes) for tile in found.tiles)
    alt = f"{len(found.tiles)} photos with {boxes} boxes: " + ", ".join(tile.name for tile in found.tiles)
    return Reply(
        title=f"{len(found.tiles)} of {found.of:,} photos of {say.shown(what.prefix)}, {boxes} labelled objects",
        context=["asked by ", Mention(ctx.person.user), f" · seed {drawn}"],
        text="\n".join(found.remarks),
        picture=Picture(found.picture, f"sample_{drawn}.jpg", printable(alt)),
        actions=[
            Action("Another sample", f"dataset sample --count {count} --prefix {folder}"),
            Action("Profile it", f"dataset profile --prefix {folder}"),
        ],
    )


@command(
    "dataset versions",
    allowed=READERS,
    needs=[
        Need("s3:ListBucket", "arn:aws:s3:::{bucket}"),
        Need("s3:GetObject", "arn:aws:s3:::{bucket}/{env}/data/*"),
    ],
    example="dataset versions",
)
def versions_(
    ctx: Context,
    version: Annotated[str, Parameter(help="A version, or the first characters of it; all if not given")] = "",
    *,
    env: Env = "dev",
) -> Reply:
    """Show which versions of the data runs have used, and what changed from one to the next."""
    s3 = ctx.client("s3")
    if version:
        found, older = versions.find(s3, ctx.names, env, version.lower())
        changes = versions.difference(s3, ctx.names, env, older.id, found.id) if older else None
        return say.version(found, older, changes, env)
    listed, count = versions.recent(s3, ctx.names, env, LISTED)
    if not listed:
        return Reply(
            title=f"No run in {env} has used any data yet",
            actions=[Action("Start one", f"pipeline run --env {env}", style="primary")],
            environment=env,
        )
    return say.versions(listed, count, env)


def profile_live(ctx: Context, arn: str) -> tuple[Reply, bool]:
    """The message of a profile (by its job's ARN) as it is now, and whether its job has ended.

    Raises NotFound when there is no such job.
    """
    job = profiles.job(ctx.client("sagemaker"), arn)
    if job.running:
        return _working(job), False
    if job.status != "Completed":
        return _failed(ctx, job), True
    try:
        reply = say.profile(profiles.read(ctx.client("s3"), job.place), job.prefix, job.place.env)
    except BadInput as error:
        reply = _unreadable(job, f"{error.message} {error.advice}")
    except ClientError as error:
        reply = _unreadable(job, error.response["Error"]["Message"])
    return replace(reply, slot=_slot(job.arn)), True


def _working(job: Job) -> Reply:
    lasted = duration((datetime.now(UTC) - job.created).total_seconds())
    return Reply(
        title=f"Profiling {say.shown(job.prefix)}",
        context=_context(job),
        text="This message becomes the profile when the job is done.",
        steps=[Step("Profile", "running", f"running for {lasted} on {_machines(job.instances)}")],
        environment=job.place.env,
        audience=Audience.CHANNEL,
        slot=_slot(job.arn),
    )


def _failed(ctx: Context, job: Job) -> Reply:
    stopped = job.status == "Stopped"
    try:
        lines = [line for line in executions.last_lines(ctx.client("logs"), job.arn) if not event(line)]
    except ClientError as error:
        lines = [f"Its log cannot be read: {error.response['Error'].get('Message', error)}"]
    return Reply(
        title=f"{say.shown(job.prefix)} was not profiled: the job {'was stopped' if stopped else 'failed'}",
        outcome=Outcome.OK if stopped else Outcome.ERROR,
        context=_context(job),
        text=job.said or job.reason or "No reason was given.",
        steps=[Step("Profile", "stopped" if stopped else "failed")],
        quote="\n".join(lines),
        actions=[_again(job)],
        environment=job.place.env,
        audience=Audience.CHANNEL,
        slot=_slot(job.arn),
    )


def _unreadable(job: Job, why: str) -> Reply:
    return Reply(
        title=f"{say.shown(job.prefix)} was profiled, but the result cannot be read",
        outcome=Outcome.ERROR,
        context=_context(job),
        text=why,
        actions=[_again(job)],
        environment=job.place.env,
        audience=Audience.CHANNEL,
    )


def _again(job: Job) -> Action:
    return Action("Profile again", f"dataset profile --env {job.place.env} --prefix {say.quoted(job.prefix)} --now")


def _context(job: Job) -> list[str | Code]:
    return ["job ", Code(job.arn.rsplit("/", 1)[-1])]


def _slot(arn: str) -> str:
    return f"profile-{arn.rsplit('/', 1)[-1]}"


def _machines(count: int) -> str:
    return "one machine" if count == 1 else f"{count} machines"
