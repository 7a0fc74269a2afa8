"""What the drift commands share: the endpoint and the window meant, and a look of the monitor while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

from botocore.exceptions import ClientError
from cyclopts import Parameter

from commands import deployed
from commands.arguments import Known
from commands.command import Context, Need, Plan, Spend, Use
from commands.deployment import STACK
from commands.moments import length
from commands.reply import Action, Audience, Code, Fact, Follow, Inline, Mention, Moment, Outcome, Reply, Step
from commands.wording import duration
from pipeline import deployment, executions, looks, source
from pipeline.deployment import Stack
from pipeline.errors import BadInput, NotFound
from pipeline.looks import Job
from pipeline.names import ENVIRONMENTS, PROJECT, Environment

SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=31)
FIND = Need("cloudformation:DescribeStacks", STACK)
READ = (
    FIND,
    Need("s3:ListBucket", "arn:aws:s3:::{bucket}"),
    Need("s3:GetObject", "arn:aws:s3:::{bucket}/{env}/monitoring/*"),
)
"""What it takes to read the monitor's reports."""

EndpointName = Annotated[str, Parameter(help="Endpoint; the environment's detector if not given"), Known("endpoint")]
Window = Annotated[str, Parameter(help="How long, such as 1h, 24h or 7d; at most 31d")]


def spends(ctx: Context, **_: object) -> Spend:
    """One job of the monitor."""
    use = Use("Monitor", "Processing", looks.INSTANCE_TYPE, looks.TYPICAL_S, looks.MOST_S)
    return Spend([use])


def start(only: str | None = None) -> tuple[Need, ...]:
    """What it takes to start the monitor; with `only`, when that argument is given."""
    job = ("sagemaker:CreateProcessingJob", "sagemaker:AddTags")
    return (
        Need(job, "processing-job/{stack}-monitor-*", only=only),
        Need("iam:PassRole", "arn:aws:iam::{account}:role/groundcrew-{env}-execution", only=only),
    )


def stack(ctx: Context, endpoint: str, env: Environment) -> Stack:
    """The deployment whose endpoint is meant. Raises NotFound when there is none of that name, or none at all."""
    name = ctx.names.stack(env)
    if endpoint.strip() not in ("", name, name.removeprefix(f"{PROJECT}-{env}-")):
        raise NotFound(f"endpoint in {env}", endpoint, [name], "Say where it is with `--env`.")
    found = deployment.find(ctx.client("cloudformation"), name)
    if found is None or found.gone:
        advice = f"Nothing is deployed in {env}: `deployment create --env {env}` makes it."
        raise NotFound("endpoint", name, advice=advice)
    return found


def span(window: str) -> timedelta:
    """How long a window is. Raises BadInput for one that is no length, too short or too long."""
    found = length(window)
    if not SHORTEST <= found <= LONGEST:
        raise BadInput(f"A window lasts from a minute to 31 days, not {window}.", "Write it as `24h` or `7d`.")
    return found


def last(found: timedelta) -> tuple[datetime, datetime]:
    """The window of that length that ends with the last whole second."""
    end = datetime.now(UTC).replace(microsecond=0)
    return end - found, end


def plan(about: Stack, window: str, bound: Mapping[str, str]) -> Plan:
    """What looking now does, for whoever has to agree to it."""
    facts = [
        Fact("Endpoint", about.name),
        Fact("Window", window),
        Fact("Starts", f"one Processing job on {looks.INSTANCE_TYPE}; it reads what was captured, writes a report"),
        Fact("Changes", "nothing in service, and no alarm hears of it"),
    ]
    return Plan(f"look at {window} of {about.name}", facts, {"stack": about.id, **bound})


def look(
    ctx: Context, about: Stack, env: Environment, begin: datetime, end: datetime, *, truth: str = "", more: str = ""
) -> Reply:
    """Start the monitor over a window, in a message that becomes its report."""
    arn = looks.begin(ctx.client("sagemaker"), ctx.names, env, about, begin, end, token=ctx.token, truth=truth)
    return Reply(
        title=f"Looking at {duration((end - begin).total_seconds())} of {about.name}",
        context=["started by ", Mention(ctx.person.user), " · ", *_window(begin, end)],
        text=" ".join(part for part in (more, "This message becomes the report when the monitor is done.") if part),
        steps=[Step("Monitor", "running", "its job is starting")],
        environment=env,
        slot=slot(arn),
        follow=Follow("monitor", arn),
    )


def running(job: Job, env: Environment) -> Reply:
    """A look that has not ended."""
    lasted = duration((datetime.now(UTC) - job.created).total_seconds())
    length_ = f"{duration((job.end - job.start).total_seconds())} of " if job.start and job.end else ""
    return Reply(
        title=f"Looking at {length_}{job.endpoint}",
        context=[Code(job.name), *([" · ", *_window(job.start, job.end)] if job.start and job.end else [])],
        text="This message becomes the report when the monitor is done.",
        steps=[Step("Monitor", "running", f"running for {lasted}")],
        environment=env,
        audience=Audience.CHANNEL,
        slot=slot(job.arn),
    )


def failed(ctx: Context, job: Job, env: Environment) -> Reply:
    """A look that came to nothing: its own words, and the end of its log."""
    try:
        lines = executions.last_lines(ctx.client("logs"), job.arn)
    except ClientError as error:
        lines = [f"Its log cannot be read: {error.response['Error'].get('Message', error)}"]
    why = job.message or job.reason or "It said nothing about why."
    return Reply(
        title=f"The monitor of {job.endpoint} has no report: {'stopped' if job.status == 'Stopped' else 'it failed'}",
        outcome=Outcome.ERROR,
        context=[Code(job.name), *([" · ", *_window(job.start, job.end)] if job.start and job.end else [])],
        text=f"{why} This is no verdict about the endpoint.",
        quote="\n".join(lines),
        actions=[
            Action("Reports", f"drift report --env {env}"),
            Action("Schedule", f"drift schedule show --env {env}"),
        ],
        environment=env,
        audience=Audience.CHANNEL,
        slot=slot(job.arn),
    )


def code() -> dict[str, str]:
    """What an update of the stack brings along, as an approval binds it."""
    return {"template": source.template().digest, "monitor": source.code().digest}


def change(ctx: Context, env: Environment, changes: Mapping[str, str]) -> Reply:
    """Change how a deployment is watched: an update of its stack, followed like any other."""
    cloudformation, s3 = ctx.client("cloudformation"), ctx.client("s3")
    code = deployment.publish_code(s3, ctx.names, env)
    url = deployment.publish_template(s3, ctx.names, env)
    given = {"CodeUri": code, **changes}
    stack_id, done = deployment.change(cloudformation, ctx.names, env, template_url=url, changes=given, token=ctx.token)
    name = ctx.names.stack(env)
    if done == "unchanged":
        return Reply(title=f"{name} is watched like that already", environment=env)
    return Reply(
        title=f"Changing how {name} is watched",
        context=["asked by ", Mention(ctx.person.user), " · ", Code(name)],
        environment=env,
        slot=deployed.slot(stack_id),
        follow=Follow("deployment", stack_id),
    )


def slot(arn: str) -> str:
    """The message in which a monitor's job is shown."""
    return f"monitor-{arn.rsplit('/', 1)[-1]}"


def environment(arn: str) -> Environment:
    """The environment in a job's name."""
    return next(env for env in ENVIRONMENTS if arn.rsplit("/", 1)[-1].startswith(f"{PROJECT}-{env}-"))


def _window(begin: datetime, end: datetime) -> list[Inline]:
    return [Moment(begin.timestamp()), " to ", Moment(end.timestamp())]
