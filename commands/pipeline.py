"""Training runs: start, list, show, stop, retry, and what their jobs logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, Literal

from cyclopts import Parameter

from commands import deployment as deploying
from commands.arguments import Between, DataFolder, Env, Execution, Yes, data_folder
from commands.command import READERS, Context, Need, Spend, Use, command
from commands.execution import execution_live, short, slot, stop_button
from commands.reply import Action, Audience, Code, Document, Fact, Follow, Mention, Reply, Table
from commands.wording import day
from pipeline import definition, deployment, executions
from pipeline.errors import BadInput, NotFound, Refused
from pipeline.executions import StepRun
from pipeline.names import Environment
from pipeline.prices import Component

LIST = Need("sagemaker:ListPipelineExecutions", "pipeline/{pipeline}")
JOB_LOGS = "arn:aws:logs:{region}:{account}:log-group:/aws/sagemaker/*Jobs:log-stream"
LOGS = (
    Need("logs:DescribeLogStreams", f"{JOB_LOGS}:"),
    Need("logs:GetLogEvents", f"{JOB_LOGS}:groundcrew-{{env}}-*"),
)
QUOTED = 2_800
"""Characters of a log that a message shows whole; a longer one goes into a file."""
READ = (
    Need(
        (
            "sagemaker:DescribePipelineExecution",
            "sagemaker:DescribePipelineDefinitionForExecution",
            "sagemaker:ListPipelineExecutionSteps",
            "sagemaker:ListPipelineParametersForExecution",
        ),
        "pipeline/{pipeline}/execution/*",
    ),
    Need("sagemaker:DescribeProcessingJob", "processing-job/groundcrew-{env}-*"),
    *LOGS,
)


GROWS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "Preprocess": ("photos",),
        "Train": ("epochs", "photos", "image_size"),
        "Evaluate": ("photos", "image_size"),
        "Baseline": ("photos", "image_size"),
        "Explain": ("image_size",),
    }
)
"""What a step's time grows with; Deploy's with nothing."""
START_S, MEGAPIXEL_S = 60.0, 1.5
"""Typical seconds to start a step, and for a training to pass once over a million pixels on ml.c5.xlarge."""
TYPICAL_PHOTOS = 1_000
"""Thought of where nobody has run a pipeline yet."""


def spends(ctx: Context, *, env: Environment, epochs: int, image_size: int, max_images: int, **_: object) -> Spend:
    """The jobs of a run, and in dev the endpoint that its last step makes, where none serves yet."""
    work = {"epochs": epochs, "image_size": image_size, **({"photos": max_images} if max_images else {})}
    uses = [_use(step, work) for step in definition.JOBS if step != "Deploy" or env == "dev"]
    if env == "dev":
        # Its instance type is not this line's to choose: nothing smaller is offered.
        uses += [replace(use, instead=()) for use in deploying.additional(ctx, env, deployment.INSTANCE_TYPE)]
    half = epochs // 2
    return Spend(uses, work, less=(f"--epochs {half}", {"epochs": half}) if half else None)


def _use(step: str, work: Mapping[str, int]) -> Use:
    instance_type, most = definition.JOBS[step]
    component: Component = "Training" if step == "Train" else "Processing"
    passes = work.get("epochs", 1) if step == "Train" else 1
    pixels = work.get("photos", TYPICAL_PHOTOS) * work.get("image_size", 0) ** 2 / 1e6
    seconds = START_S + MEGAPIXEL_S * passes * pixels * ("image_size" in GROWS.get(step, ()))
    return Use(step, component, instance_type, seconds, most, GROWS.get(step, ()))


@command(
    "pipeline run",
    allowed={"data-scientist": ("dev",), "ml-engineer": ("staging",)},
    needs=[Need("sagemaker:StartPipelineExecution", "pipeline/{pipeline}")],
    changes=True,
    audience=Audience.CHANNEL,
    spends=spends,
    example="pipeline run --epochs 4 --image-size 128",
)
def run(
    ctx: Context,
    *,
    env: Env = "dev",
    epochs: Annotated[int, Parameter(help="Passes over the training photos", validator=Between(1, 300))] = 4,
    image_size: Annotated[
        int, Parameter(help="Longer side the model sees, pixels, a multiple of 32", validator=Between(64, 1280, 32))
    ] = 128,
    batch: Annotated[int, Parameter(help="Photos a training step", validator=Between(1, 256))] = 4,
    lr: Annotated[float, Parameter(help="Learning rate at the start", validator=Between(0.000001, 1))] = 0.003,
    seed: Annotated[int, Parameter(help="Repeats the split and the training", validator=Between(0, 1_000_000))] = 0,
    map_threshold: Annotated[
        float, Parameter(help="mAP50 a model needs to be registered", validator=Between(0, 1))
    ] = 0.6,
    on_bad_data: Annotated[
        Literal["skip", "fail"], Parameter(help="Leave broken photos and labels out, or stop")
    ] = "skip",
    prefix: DataFolder = "survey/",
    weights: Annotated[str, Parameter(help="Weights to start from, s3://…; yolo11n if not given")] = "",
    max_images: Annotated[
        int, Parameter(help="Use at most so many photos; 0 is all", validator=Between(0, 1_000_000))
    ] = 0,
    yes: Yes = False,
) -> Reply:
    """Start a training run: prepare, train, evaluate, register, deploy to dev."""
    if weights and not weights.startswith("s3://"):
        raise BadInput(f"--weights {weights!r} is not in S3.", "Give an address like s3://bucket/path/best.pt.")
    prefix = data_folder(ctx.names.data_bucket, prefix)
    parameters = {
        "DataPrefix": prefix,
        "Epochs": str(epochs),
        "ImageSize": str(image_size),
        "BatchSize": str(batch),
        "LearningRate": f"{lr:.10g}",
        "Seed": str(seed),
        "MapThreshold": f"{map_threshold:.10g}",
        "OnBadData": on_bad_data,
        "Weights": weights,
        "MaxImages": str(max_images),
    }
    arn = executions.start(
        ctx.client("sagemaker"),
        ctx.names,
        env,
        parameters,
        token=ctx.token,
        name=f"run-{ctx.token[:8]}",
        about=f"Started from Slack by {ctx.person.team}.{ctx.person.user} as {ctx.person.role}",
    )
    execution = arn.rsplit("/", 1)[-1]
    return Reply(
        title=f"Training run {short(execution)} in {env}: starting",
        context=["started by ", Mention(ctx.person.user), f" · photos s3://{ctx.names.data_bucket}/{prefix}"],
        facts=[
            Fact("Epochs", str(epochs)),
            Fact("Image size", f"{image_size} px"),
            Fact("Needs mAP50", f"{map_threshold:.2f}"),
            Fact("Role", ctx.person.role),
        ],
        actions=[stop_button(execution, env)],
        environment=env,
        slot=slot(arn),
        follow=Follow("execution", arn),
    )


@command("pipeline list", allowed=READERS, needs=[LIST], example="pipeline list --env dev")
def list_(ctx: Context, *, env: Env = "dev") -> Reply:
    """List the latest training runs."""
    found = executions.recent(ctx.client("sagemaker"), ctx.names, env)
    if not found:
        return Reply(
            title=f"No training run in {env} yet",
            actions=[Action("Start one", f"pipeline run --env {env}", style="primary")],
            environment=env,
        )
    rows = [(item.id, item.status, day(item.started), item.reason[:60]) for item in found]
    return Reply(
        title=f"The latest {len(found)} training runs in {env}" if len(found) > 1 else f"One training run in {env}",
        table=Table(("Run", "State", "Started", "Reason"), rows, f"Training runs in {env}"),
        actions=[Action(f"Show {short(found[0].id)}", f"pipeline show {found[0].id} --env {env}")],
        environment=env,
    )


@command("pipeline show", allowed=READERS, needs=[LIST, *READ], example="pipeline show 7f3a")
def show(ctx: Context, execution: Execution, *, env: Env = "dev") -> Reply:
    """Show a run as it is now: steps, progress, what failed and why."""
    arn = executions.find(ctx.client("sagemaker"), ctx.names, env, execution)
    reply, _ = execution_live(ctx, arn)
    return replace(reply, audience=Audience.PERSON, slot=None)


@command(
    "pipeline stop",
    allowed={"data-scientist": ("dev",), "ml-engineer": ("staging",)},
    needs=[
        LIST,
        Need(
            ("sagemaker:StopPipelineExecution", "sagemaker:DescribePipelineExecution"),
            "pipeline/{pipeline}/execution/*",
        ),
    ],
    changes=True,
    audience=Audience.CHANNEL,
    example="pipeline stop 7f3a",
)
def stop(ctx: Context, execution: Execution, *, env: Env = "dev") -> Reply:
    """Stop a running training run."""
    sagemaker = ctx.client("sagemaker")
    arn = executions.find(sagemaker, ctx.names, env, execution)
    id = arn.rsplit("/", 1)[-1]
    status = executions.status(sagemaker, arn)
    if status != "Executing":
        raise Refused(f"Run {id} cannot be stopped: it is {status}.", f"`pipeline show {id} --env {env}` tells more.")
    executions.stop(sagemaker, arn, token=ctx.token)
    return Reply(
        title=f"Stopping training run {short(id)} in {env}",
        context=["asked by ", Mention(ctx.person.user), " · run ", Code(id)],
        text="Its running job gets up to two minutes to end; its message above shows when it has.",
        actions=[Action("Show the run", f"pipeline show {id} --env {env}")],
        environment=env,
    )


def spends_again(ctx: Context, *, execution: str, env: Environment, **_: object) -> Spend | None:
    """The steps of a run that are not done; None for a run that cannot be retried, which the command itself refuses."""
    sagemaker = ctx.client("sagemaker")
    arn = executions.find(sagemaker, ctx.names, env, execution)
    if executions.status(sagemaker, arn) not in executions.RETRYABLE:
        return None
    done = [step.name for step in executions.steps(sagemaker, arn) if step.status == "Succeeded"]
    given = executions.parameters(sagemaker, arn)
    numbers = {"epochs": "Epochs", "image_size": "ImageSize", "photos": "MaxImages"}
    work = {name: int(given[key]) for name, key in numbers.items() if int(given.get(key, 0))}
    steps = [step for step in definition.JOBS if step not in done and (step != "Deploy" or env == "dev")]
    return Spend([_use(step, work) for step in steps], work)


@command(
    "pipeline retry",
    allowed={"data-scientist": ("dev",), "ml-engineer": ("staging",)},
    needs=[
        LIST,
        Need(
            (
                "sagemaker:RetryPipelineExecution",
                "sagemaker:DescribePipelineExecution",
                "sagemaker:ListPipelineExecutionSteps",
                "sagemaker:ListPipelineParametersForExecution",
            ),
            "pipeline/{pipeline}/execution/*",
        ),
    ],
    changes=True,
    audience=Audience.CHANNEL,
    spends=spends_again,
    example="pipeline retry 7f3a",
)
def retry(ctx: Context, execution: Execution, *, env: Env = "dev", yes: Yes = False) -> Reply:
    """Go on with a failed or stopped run: what is done stays, the step that failed runs again."""
    sagemaker = ctx.client("sagemaker")
    arn = executions.find(sagemaker, ctx.names, env, execution)
    id = arn.rsplit("/", 1)[-1]
    status = executions.status(sagemaker, arn)
    if status not in executions.RETRYABLE:
        raise Refused(f"Run {id} cannot be retried: it is {status}.", f"`pipeline show {id} --env {env}` tells more.")
    steps = executions.steps(sagemaker, arn)
    again = [step for step in steps if step.status in executions.RETRYABLE]
    if again and all(step.kind == "Fail" for step in again):
        raise Refused(
            f"Run {id} would end the same way: its model did not reach the threshold.",
            f"Train longer: `pipeline run --env {env} --epochs …`.",
        )
    executions.retry(sagemaker, arn, token=ctx.token)
    kept = [step.name for step in steps if step.status == "Succeeded"]
    facts = [Fact("Runs again", ", ".join(step.name for step in again) or "what had not begun")]
    return Reply(
        title=f"Training run {short(id)} in {env}: going on",
        context=["retried by ", Mention(ctx.person.user), " · run ", Code(id)],
        facts=[*facts, *([Fact("Stays done", ", ".join(kept))] if kept else []), Fact("Role", ctx.person.role)],
        actions=[stop_button(id, env)],
        environment=env,
        slot=slot(arn),
        follow=Follow("execution", arn),
    )


@command(
    "pipeline logs",
    allowed=READERS,
    needs=[LIST, Need("sagemaker:ListPipelineExecutionSteps", "pipeline/{pipeline}/execution/*"), *LOGS],
    example="pipeline logs 7f3a --step Train",
)
def logs(
    ctx: Context,
    execution: Execution,
    *,
    step: Annotated[str, Parameter(help="Preprocess, Train, …; the one that failed or is latest if not given")] = "",
    lines: Annotated[int, Parameter(help="How many of the last lines", validator=Between(1, 1000))] = 40,
    env: Env = "dev",
) -> Reply:
    """Show the last lines that a step of a run has logged."""
    sagemaker = ctx.client("sagemaker")
    arn = executions.find(sagemaker, ctx.names, env, execution)
    id = arn.rsplit("/", 1)[-1]
    chosen = _logging(executions.steps(sagemaker, arn), step, id)
    said = executions.last_lines(ctx.client("logs"), chosen.job or "", lines)
    text = "\n".join(said)
    fits = len(text) <= QUOTED
    return Reply(
        title=f"{chosen.name} of run {short(id)} in {env}: {f'the last {len(said)} lines' if said else 'no lines yet'}",
        context=[f"{chosen.status} · job ", Code((chosen.job or "").rsplit("/", 1)[-1])],
        text="" if fits else "They are in the file; here is the end of it.",
        quote=text if fits else text[-QUOTED:].partition("\n")[2] or text[-QUOTED:],
        document=None if fits else Document(text, f"{short(id)}-{chosen.name}.log"),
        actions=[Action("Show the run", f"pipeline show {id} --env {env}")],
        environment=env,
    )


def _logging(steps: Sequence[StepRun], name: str, id: str) -> StepRun:
    """The step with a job that is meant: by name, else the failed one, else the latest. Raises BadInput, NotFound."""
    with_job = [step for step in steps if step.job]
    if not with_job:
        raise BadInput(f"No step of run {id} has begun a job yet.", "Try again in a moment.")
    if name:
        chosen = next((step for step in with_job if step.name.lower() == name.lower()), None)
        if chosen is None:
            raise NotFound(f"step with a log in run {id}", name, [step.name for step in with_job])
        return chosen
    return next((step for step in with_job if step.status == "Failed"), with_job[-1])
