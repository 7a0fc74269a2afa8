"""What in a photo carried a model's detections: heat maps from a job, shown beside the photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Literal

from botocore.exceptions import ClientError
from cyclopts import Parameter

from commands import spent
from commands.arguments import Between, Yes
from commands.command import Allowed, Context, Need, Spend, Use, command
from commands.predict import FOLDER
from commands.progress import event
from commands.registry import DESCRIBE, LIST
from commands.reply import Action, Audience, Code, Follow, Inline, Mention, Outcome, Picture, Reply, Step, Table
from commands.wording import duration, score, shorten
from pipeline import executions, explain, registry
from pipeline.definition import HOUR
from pipeline.errors import BadInput, Refused
from pipeline.explain import Explained, Job, Result
from pipeline.explaining.config import INSTANCE
from pipeline.registry import Package

EXPLAINERS: Allowed = {"data-scientist": ("dev",), "ml-engineer": ("dev", "staging")}
"""Production's models are copies of staging's, byte for byte: they are explained there."""
USUAL = 3
"""Photos of an explanation that names no number."""
MOST = 6
"""Photos of one explanation: more rows cannot be seen in a message."""
EACH_S = 60.0
"""Typical seconds for a photo."""
MOSTLY = 0.5
"""Own share below which the surroundings carried a detection more than the object."""


def _spends(
    ctx: Context, *, env: Literal["dev", "staging"], version: int | None, photos: int | None, now: bool, **_: object
) -> Spend:
    """One job, longer with every photo; none to show what came with the model. Less where it was explained before."""
    if photos is None and not now and explain.registered(_package(ctx, env, version)):
        return Spend([])
    return Spend([Use("Explain", "Processing", INSTANCE, 60.0 + EACH_S * (photos or USUAL), HOUR)])


def _package(ctx: Context, env: Literal["dev", "staging"], version: int | None) -> Package:
    sagemaker = ctx.client("sagemaker")
    if version is None:
        return registry.newest(sagemaker, ctx.names, env)
    return registry.load(sagemaker, ctx.names, env, version)


@command(
    "drift explain",
    allowed=EXPLAINERS,
    needs=[
        LIST,
        DESCRIBE,
        Need("s3:GetObject", "arn:aws:s3:::{data_bucket}/*"),
        Need("s3:ListBucket", "arn:aws:s3:::{data_bucket}"),
        Need("s3:ListBucket", "arn:aws:s3:::{bucket}"),
        Need("s3:GetObject", "arn:aws:s3:::{bucket}/{env}/explain/*"),
        Need("s3:GetObject", "arn:aws:s3:::{bucket}/{env}/models/*"),
        Need("s3:PutObject", "arn:aws:s3:::{bucket}/{env}/explain/*/input/*"),
        Need("s3:PutObject", "arn:aws:s3:::{bucket}/{env}/code/*"),
        Need("sagemaker:ListProcessingJobs"),
        Need(("sagemaker:CreateProcessingJob", "sagemaker:AddTags"), "processing-job/groundcrew-{env}-explain-*"),
        Need("iam:PassRole", "arn:aws:iam::{account}:role/groundcrew-{env}-execution"),
    ],
    changes=True,
    audience=Audience.CHANNEL,
    spends=_spends,
    example="drift explain --env dev --version 3",
)
def drift_explain(
    ctx: Context,
    *,
    env: Annotated[
        Literal["dev", "staging"], Parameter(help="Environment; prod's models are those of staging")
    ] = "dev",
    version: Annotated[
        int | None, Parameter(help="Model version; the newest if not given", validator=Between(1, 1_000_000))
    ] = None,
    photos: Annotated[
        int | None,
        Parameter(
            help="On how many photos of the survey; what was explained when the model was registered if not given",
            validator=Between(1, MOST),
        ),
    ] = None,
    now: Annotated[bool, Parameter(help="Explain anew, also what was explained before")] = False,
    yes: Yes = False,
) -> Reply:
    """Show what in a few photos carried a model's detections, as heat maps."""
    sagemaker, s3 = ctx.client("sagemaker"), ctx.client("s3")
    image = _clarify(ctx)
    package = _package(ctx, env, version)
    came = explain.registered(package)
    if photos is None and not now and came:
        shown = _shown(explain.read(s3, env, package.version, came))
        again = Action("On more photos", f"drift explain --env {env} --version {package.version} --photos {USUAL}")
        return replace(
            shown,
            context=[*shown.context, " · explained when it was registered"],
            actions=[again, *shown.actions],
        )
    chosen = explain.choose(s3, ctx.names, FOLDER, photos or USUAL)
    place = explain.place(ctx.names, env, package, chosen, image)
    going = explain.running(sagemaker, place)
    if going is None and not now and explain.exists(s3, place):
        shown = _shown(explain.read(s3, env, package.version, place.result))
        return replace(shown, context=[*shown.context, " · explained before, asked by ", Mention(ctx.person.user)])
    if going is None:
        going = explain.start(
            s3, sagemaker, ctx.names, place, package, chosen, prefix=FOLDER, token=ctx.token, image=image
        )
    return Reply(
        title=f"Explaining detector v{package.version} in {env}",
        context=["started by ", Mention(ctx.person.user), " · ", _named([photo.key for photo in chosen])],
        steps=[Step("Explain", "running", "starting")],
        environment=env,
        slot=_slot(going),
        follow=Follow("explanation", going),
    )


def explanation_live(ctx: Context, arn: str) -> tuple[Reply, bool]:
    """The message of an explanation (by its job's ARN) as it is now, and whether its job has ended.

    Raises NotFound when there is no such job.
    """
    job = explain.job(ctx.client("sagemaker"), arn)
    if job.status in ("InProgress", "Stopping"):
        return _working(job), False
    cost, counted = spent.of_job(ctx, arn, job.ended or job.created)
    if job.status != "Completed":
        failed = _failed(ctx, job)
        return replace(failed, facts=[*failed.facts, *cost]), counted
    try:
        reply = _shown(explain.read(ctx.client("s3"), job.place.env, job.place.version, job.place.result))
    except BadInput as error:
        reply = _unreadable(job, f"{error.message} {error.advice}")
    except ClientError as error:
        reply = _unreadable(job, error.response["Error"]["Message"])
    return replace(reply, slot=_slot(job.arn), facts=[*reply.facts, *cost]), counted


def _clarify(ctx: Context) -> str:
    """Clarify's image where explanations run natively; empty for our own job. Raises Refused when it is not known."""
    if ctx.monitor == "processing":
        return ""
    if not ctx.clarify_image:
        raise Refused(
            "MONITOR is native, but CLARIFY_IMAGE is not set.",
            "Set it to the address of Clarify's image in your region, or MONITOR to processing.",
        )
    return ctx.clarify_image


def _shown(result: Result) -> Reply:
    objects, env, version = result.objects, result.env, result.version
    count = len(objects)
    detections = f"{count} detection{'' if count == 1 else 's'}"
    return Reply(
        title=f"Detector v{version} in {env}: what carried {detections}",
        context=[_named(result.images)] if result.images else [],
        text=["\n".join([*_told(result), ""]), *_files(result.folder)],
        table=_table(objects) if objects else None,
        picture=Picture(result.sheet, f"heat_maps_v{version}_{env}.jpg", _alt(result)) if result.sheet else None,
        actions=[
            Action("Show the model", f"registry show {version} --env {env}"),
            Action("Predict on a photo", f"deployment predict --env {env}"),
        ],
        environment=env,
        audience=Audience.CHANNEL,
    )


def _told(result: Result) -> list[str]:
    known = [each for each in result.objects if each.own is not None]
    outside = [each for each in known if each.own is not None and each.own < MOSTLY]
    if outside:
        lines = [
            f"{len(outside)} of {len(result.objects)} were carried more by their surroundings than by the segments "
            f"they occupy: {_listed([f'{each.name} on {each.image}' for each in outside])}."
        ]
    elif known:
        lines = ["Each was carried mostly by the segments that it occupies."]
    elif result.images and not result.objects:
        lines = ["Nothing was detected on these photos."]
    else:
        lines = []
    if result.sheet:
        lines.append("Warm segments raised the confidence, blue ones lowered it; the strongest of a heat map is full.")
    elif result.objects or not result.images:
        lines.append("There is no sheet of heat maps to show; each lies with the files.")
    lines += [f"{image} was left out: {shorten(reason, 120)}" for image, reason in result.unread.items()]
    return lines


def _table(objects: Sequence[Explained]) -> Table:
    rows = [
        (each.image, each.name, score(each.score), score(each.base), "–" if each.own is None else f"{each.own:.0%}")
        for each in objects
    ]
    columns = ("Photo", "Object", "Confidence", "All greyed out", "Carried by itself")
    return Table(columns, rows, "Detections and what carried them")


def _alt(result: Result) -> str:
    said = [f"{each.name} on {each.image}, {score(each.score)} sure, {_carried(each)}" for each in result.objects]
    return "Photos with heat maps: " + ("; ".join(said) or "nothing was detected")


def _carried(each: Explained) -> str:
    if each.own is None:
        return "carried by no segment"
    return f"{each.own:.0%} carried by the segments it occupies"


def _files(folder: str) -> list[Inline]:
    return ["Clarify's files: ", Code(folder), "; its report: ", Code(explain.report(folder).rpartition("/")[2])]


def _working(job: Job) -> Reply:
    place = job.place
    return Reply(
        title=f"Explaining detector v{place.version} in {place.env}",
        context=_context(job),
        text="The model is asked some 200 times about each photo, with other parts of it greyed out each time.",
        steps=[
            Step("Explain", "running", f"running for {duration((datetime.now(UTC) - job.created).total_seconds())}")
        ],
        environment=place.env,
        audience=Audience.CHANNEL,
        slot=_slot(job.arn),
    )


def _failed(ctx: Context, job: Job) -> Reply:
    place, stopped = job.place, job.status == "Stopped"
    ending = "was stopped" if stopped else "failed"
    return Reply(
        title=f"Detector v{place.version} in {place.env} was not explained: the job {ending}",
        outcome=Outcome.OK if stopped else Outcome.ERROR,
        context=_context(job),
        text=job.said or job.reason or "No reason was given.",
        steps=[Step("Explain", "stopped" if stopped else "failed")],
        quote="\n".join(line for line in executions.last_lines(ctx.client("logs"), job.arn) if not event(line)),
        actions=[Action("Explain again", f"drift explain --env {place.env} --version {place.version}")],
        environment=place.env,
        audience=Audience.CHANNEL,
        slot=_slot(job.arn),
    )


def _unreadable(job: Job, why: str) -> Reply:
    place = job.place
    return Reply(
        title=f"Detector v{place.version} in {place.env} was explained, but the result cannot be read",
        outcome=Outcome.ERROR,
        context=_context(job),
        text=[f"{why}\n", *_files(place.result)],
        actions=[Action("Explain again", f"drift explain --env {place.env} --version {place.version} --now")],
        environment=place.env,
        audience=Audience.CHANNEL,
    )


def _context(job: Job) -> list[Inline]:
    return ["job ", Code(job.arn.rsplit("/", 1)[-1])]


def _slot(arn: str) -> str:
    return f"explanation-{arn.rsplit('/', 1)[-1]}"


def _named(photos: Sequence[str]) -> str:
    return shorten(_listed([photo.rsplit("/", 1)[-1] for photo in photos]), 200)


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
