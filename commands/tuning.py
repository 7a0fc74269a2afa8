"""`pipeline tune`: the same training with different settings, side by side, and which of them is best."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import Parameter

from commands import spent, training_cost
from commands.arguments import Between, Env, Yes
from commands.command import Context, Need, Spend, command
from commands.reply import (
    Action,
    Audience,
    Code,
    Confirm,
    Fact,
    Follow,
    Mention,
    Outcome,
    Reply,
    Step,
    StepState,
    Table,
)
from commands.training import Batch, Epochs, ImageSize, Instance, Model, Optimizer, Rate, Seed
from commands.wording import duration, score
from pipeline import parameters, quotas, tuning
from pipeline.definition import JOBS
from pipeline.errors import Refused, Unavailable
from pipeline.names import Environment
from pipeline.tuning import Bounds, Trial, Tuning

MOST_TRIALS, MOST_AT_ONCE, MOST_MINUTES = 20, 4, 240
JOB = "hyper-parameter-tuning-job/groundcrew-{env}-tune-*"
TRAINERS: Mapping[str, tuple[Environment, ...]] = {"data-scientist": ("dev",), "ml-engineer": ("staging",)}
STATES: Mapping[str, StepState] = {
    "InProgress": "running",
    "Stopping": "running",
    "Completed": "done",
    "Failed": "failed",
    "Stopped": "stopped",
}

Trials = Annotated[int, Parameter(help="How many trainings are tried at most", validator=Between(2, MOST_TRIALS))]


def spends(ctx: Context, *, env: Environment, trials: int, minutes: int, **given: Any) -> Spend:
    """So many trainings, one after another as far as the price goes; none takes longer than all of them may."""
    chosen = parameters.values(env, given)
    work = training_cost.asked(chosen)
    most = min(JOBS["Train"][1], minutes * 60)
    train = training_cost.use("Train", work)
    use = replace(train, step="Tune", instance_type=str(chosen["instance_type"]), instances=trials, most_s=most)
    return Spend([use], work)


@command(
    "pipeline tune",
    allowed=TRAINERS,
    needs=[
        Need("sagemaker:ListPipelineExecutions", "pipeline/{pipeline}"),
        Need(
            ("sagemaker:ListPipelineExecutionSteps", "sagemaker:DescribePipelineDefinitionForExecution"),
            "pipeline/{pipeline}/execution/*",
        ),
        Need("sagemaker:DescribeProcessingJob", "processing-job/groundcrew-{env}-*"),
        Need(("sagemaker:CreateHyperParameterTuningJob", "sagemaker:AddTags"), JOB),
        Need("iam:PassRole", "arn:aws:iam::{account}:role/groundcrew-{env}-execution"),
    ],
    changes=True,
    audience=Audience.CHANNEL,
    spends=spends,
    example="pipeline tune --trials 6 --over lr,augmentation",
)
def tune(
    ctx: Context,
    *,
    env: Env = "dev",
    run: Annotated[str, Parameter(help="Train on what this run has prepared; the latest that has, if not given")] = "",
    over: Annotated[
        str, Parameter(help=f"What is varied, with commas between: {', '.join(tuning.KNOBS)}")
    ] = "lr,augmentation",
    lr_low: Annotated[float, Parameter(help="Lowest learning rate", validator=Between(0.000001, 1))] = 0.0005,
    lr_high: Annotated[float, Parameter(help="Highest learning rate", validator=Between(0.000001, 1))] = 0.02,
    trials: Trials = 6,
    at_once: Annotated[int, Parameter(help="Trainings side by side", validator=Between(1, MOST_AT_ONCE))] = 2,
    minutes: Annotated[int, Parameter(help="No trial begins after so long", validator=Between(1, MOST_MINUTES))] = 60,
    epochs: Epochs = None,
    image_size: ImageSize = None,
    batch: Batch = None,
    lr: Rate = None,
    model: Model = None,
    optimizer: Optimizer = None,
    seed: Seed = None,
    instance_type: Instance = None,
    yes: Yes = False,
) -> Reply:
    """Try a training with different settings and tell which is best; nothing is registered."""
    varied = tuning.ranges(tuning.knobs(over), lr_low, lr_high)
    given = {"epochs": epochs, "image_size": image_size, "batch": batch, "lr": lr, "model": model}
    more = {"optimizer": optimizer, "seed": seed, "instance_type": instance_type}
    chosen = parameters.values(env, {**given, **more})
    sagemaker = ctx.client("sagemaker")
    on = tuning.base(sagemaker, ctx.names, env, run)
    bounds = Bounds(trials, min(at_once, trials), minutes * 60)
    job = tuning.request(ctx.names, env, on, chosen, varied, bounds, ctx.token)
    arn = tuning.start(sagemaker, ctx.names, job)
    return Reply(
        title=f"Tuning in {env}: {trials} trials, {bounds.at_once} at once",
        context=["started by ", Mention(ctx.person.user), " · on the data of run ", Code(on.run[:4])],
        facts=[
            Fact("Varies", over),
            Fact("Each trains", f"{chosen['model']}, {chosen['epochs']} epochs at {chosen['image_size']} px"),
            Fact("On", str(chosen["instance_type"])),
            Fact("Role", ctx.person.role),
        ],
        actions=[_stop_button(arn, env)],
        environment=env,
        slot=_slot(arn),
        follow=Follow("tuning", arn),
    )


@command(
    "pipeline tune-stop",
    allowed=TRAINERS,
    needs=[
        Need(
            (
                "sagemaker:StopHyperParameterTuningJob",
                "sagemaker:DescribeHyperParameterTuningJob",
                "sagemaker:ListTrainingJobsForHyperParameterTuningJob",
            ),
            JOB,
        )
    ],
    changes=True,
    audience=Audience.CHANNEL,
    example="pipeline tune-stop groundcrew-dev-tune-7f3abc12",
)
def tune_stop(
    ctx: Context, name: Annotated[str, Parameter(help="Name of the tuning job")], *, env: Env = "dev"
) -> Reply:
    """Stop a tuning job; what its trials have told stays."""
    sagemaker = ctx.client("sagemaker")
    found = tuning.load(sagemaker, name)
    if found.status != "InProgress":
        raise Refused(f"{found.name} cannot be stopped: it is {found.status}.", "Its message has what it has found.")
    tuning.stop(sagemaker, found.name)
    return Reply(
        title=f"Stopping {found.name}",
        context=["asked by ", Mention(ctx.person.user)],
        text="Its running trials get up to two minutes to end; its message above shows when they have.",
        environment=env,
    )


def tuning_live(ctx: Context, arn: str) -> tuple[Reply, bool]:
    """The message of a tuning job as it is now, and whether that is its last word: its cost too."""
    job = tuning.load(ctx.client("sagemaker"), arn)
    cost, counted = spent.of_jobs(ctx, arn, [trial.arn for trial in job.trials], job.ended)
    env, best = job.environment, job.best
    over = [trial for trial in job.trials if STATES[trial.status] != "running"]
    reply = Reply(
        title=f"Tuning in {env}: {_state(job, len(over))}",
        outcome=Outcome.ERROR if job.status == "Failed" else Outcome.OK,
        context=[Code(job.name), f" · {job.told.get('model', '')} on {job.instance_type}"],
        text=_text(job),
        steps=[
            Step(
                "Trials",
                STATES[job.status],
                f"{len(over)} of {job.bounds.trials}",
                progress=len(over) / job.bounds.trials if job.running else None,
            )
        ],
        table=_table(job) if job.trials else None,
        facts=[*([Fact("Best mAP50", score(best.map50 or 0.0))] if best else []), *cost],
        actions=_actions(ctx, job),
        environment=env,
        audience=Audience.CHANNEL,
        slot=_slot(arn),
    )
    return reply, not job.running and counted


def _state(job: Tuning, over: int) -> str:
    best = job.best
    if job.running:
        ran = duration(2 * round((datetime.now(UTC) - job.created).total_seconds() / 2))
        return f"trial {min(over + 1, job.bounds.trials)} of {job.bounds.trials}, {ran}"
    if job.status == "Failed" or best is None:
        return "no trial has told anything" if job.status != "Stopped" else "stopped"
    return f"{'stopped' if job.status == 'Stopped' else 'done'}, best mAP50 {score(best.map50 or 0.0)}"


def _text(job: Tuning) -> str:
    why = job.reason or next((trial.reason for trial in job.trials if trial.reason), "")
    if job.status == "Failed":
        return f"{why or 'No reason was given.'}{quotas.advice(why)}"
    failed = [trial for trial in job.trials if trial.status == "Failed"]
    return f"{len(failed)} of the trials failed: {failed[0].reason}" if failed else ""


def _table(job: Tuning) -> Table:
    """The trials, the best first; those that have not told anything at the end."""
    varied = list(dict.fromkeys(name for trial in job.trials for name in trial.given))
    ordered = sorted(job.trials, key=lambda trial: -1.0 if trial.map50 is None else trial.map50, reverse=True)
    rows = [
        (
            str(job.trials.index(trial) + 1),
            *(_shown(trial.given.get(name, "")) for name in varied),
            trial.status,
            "" if trial.map50 is None else score(trial.map50) + (" (best)" if trial is job.best else ""),
        )
        for trial in ordered
    ]
    return Table(("Trial", *(name.replace("_", " ") for name in varied), "State", "mAP50"), rows, "Trials")


def _shown(value: str) -> str:
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value


def _actions(ctx: Context, job: Tuning) -> list[Action]:
    actions = [_stop_button(job.arn, job.environment)] if job.status == "InProgress" else []
    if not job.running and job.best is not None:
        actions.append(Action("Train with the best", _line(job, job.best), style="primary"))
    page = _tracked(ctx, job)
    return [*actions, Action("Trials in MLflow", url=page)] if page else actions


def _line(job: Tuning, best: Trial) -> str:
    """The run that the best trial was, with more epochs than a trial has."""
    given = job.as_options(best)
    usual = {each.option: each.written(each.default(job.environment)) for each in parameters.SETTINGS}
    given["epochs"] = str(max(int(given["epochs"]), int(usual["epochs"])))
    given["lr"] = f"{float(given['lr']):.4g}"
    words = [part for name, value in given.items() if value and value != usual[name] for part in (f"--{name}", value)]
    return shlex.join(["pipeline", "run", "--env", job.environment, *words])


def _tracked(ctx: Context, job: Tuning) -> str | None:
    """The page of the trials in MLflow, once the first of them is there."""
    if "mlflow" not in ctx.web_links or not job.trials:
        return None
    try:
        run = ctx.tracking.run_for_execution(job.trials[0].arn)
    except Unavailable:
        return None
    if run is None:
        return None
    return f"{ctx.web_links['mlflow'].rstrip('/')}/#/experiments/{run.experiment_id}"


def _stop_button(arn: str, env: Environment) -> Action:
    name = arn.rsplit("/", 1)[-1]
    ask = Confirm("Stop tuning?", "Running trials get a moment to end; what was told stays.", "Stop it", "Let it run")
    return Action("Stop", f"pipeline tune-stop {name} --env {env}", style="danger", confirm=ask)


def _slot(arn: str) -> str:
    return f"tuning-{arn.rsplit('/', 1)[-1]}"
