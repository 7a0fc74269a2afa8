"""Training runs that were started (`commands.training`): list, show, stop, retry, and what their jobs logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from cyclopts import Parameter

from commands import training_cost
from commands.arguments import Between, Env, Execution, Yes
from commands.command import READERS, Context, Need, Spend, command
from commands.execution import execution_live, short, slot, stop_button
from commands.reply import Action, Audience, Code, Document, Fact, Follow, Mention, Reply, Table
from commands.wording import day
from pipeline import executions
from pipeline.errors import BadInput, NotFound, Refused
from pipeline.executions import StepRun
from pipeline.names import Environment

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
    on_spot = executions.alias(sagemaker, arn) == "spot"
    return training_cost.again(env, executions.parameters(sagemaker, arn), done, on_spot)


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
