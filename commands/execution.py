"""One pipeline execution as a message: steps with their times, progress while it trains, what came of it, what next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from commands import spent
from commands.command import Context
from commands.progress import Progress, epochs_of, event, progress_of
from commands.reply import Action, Audience, Confirm, Fact, Inline, Outcome, Reply, Step, StepState
from commands.wording import duration, score, shorten, span, who
from pipeline import executions
from pipeline.executions import Execution, StepRun
from pipeline.names import ENVIRONMENTS, Environment

STATES: dict[str | None, StepState] = {
    None: "waiting",
    "Starting": "running",
    "Executing": "running",
    "Stopping": "running",
    "Succeeded": "done",
    "Failed": "failed",
    "Stopped": "stopped",
}
_LABELS = {"CheckMap": "Check mAP", "BelowThreshold": "Below threshold"}
_DOING = {
    "Preprocess": "preparing data",
    "Train": "training",
    "Evaluate": "evaluating",
    "CheckMap": "checking mAP",
    "Baseline": "measuring what is usual",
    "Explain": "explaining some detections",
    "Register": "registering",
    "Deploy": "deploying",
}
_OPTIONS = {
    "DataPrefix": "prefix",
    "Epochs": "epochs",
    "ImageSize": "image-size",
    "BatchSize": "batch",
    "LearningRate": "lr",
    "Seed": "seed",
    "MapThreshold": "map-threshold",
    "OnBadData": "on-bad-data",
    "Weights": "weights",
    "MaxImages": "max-images",
}


def execution_live(ctx: Context, arn: str) -> tuple[Reply, bool]:
    """The message of an execution as it is now, and whether that is its last word: its cost too."""
    run = executions.load(ctx.client("sagemaker"), arn)
    progress = progress_of(ctx, run)
    failed = _failed_step(run)
    ran = [step.job for step in run.steps if step.job]
    cost, counted = spent.of_execution(ctx, arn, ran, None if run.running else run.changed)
    reply = Reply(
        title=f"Training run {short(run.id)} in {run.environment}: {_state(run, progress)}",
        outcome=Outcome.ERROR if failed else Outcome.OK,
        context=_context(run, progress),
        text=_text(run, progress, failed),
        steps=[_line(step, run, progress) for step in run.steps if step.status or step.only_if is not False],
        facts=[*_facts(run, progress), *cost],
        quote=_last_words(ctx, failed.job) if failed and failed.job else "",
        actions=_actions(ctx, run, progress),
        environment=environment(run),
        audience=Audience.CHANNEL,
        slot=slot(run.arn),
    )
    return reply, counted


def slot(arn: str) -> str:
    """The message in which an execution is shown."""
    return f"execution-{arn.rsplit('/', 1)[-1]}"


def short(execution_id: str) -> str:
    """Enough of an id to talk about a run; the commands take it too."""
    return execution_id[:4]


def stop_button(execution_id: str, env: str) -> Action:
    """Ends a run after asking."""
    question = Confirm(
        f"Stop run {short(execution_id)}?",
        "Its running job gets a moment to end; nothing is registered.",
        "Stop it",
        "Let it run",
    )
    return Action("Stop", f"pipeline stop {execution_id} --env {env}", style="danger", confirm=question)


def environment(run: Execution) -> Environment:
    """The environment the run belongs to."""
    return next(env for env in ENVIRONMENTS if env == run.environment)


def _state(run: Execution, progress: Progress) -> str:
    now = next((step for step in reversed(run.steps) if STATES[step.status] == "running"), None)
    if run.status == "Succeeded":
        return "done" + (f", mAP50 {score(progress.map50)}" if progress.map50 is not None else "")
    if run.status in ("Failed", "CompletedWithFailures"):
        stopped_at = _failed_step(run)
        if stopped_at is None:
            return "failed"
        return (
            "mAP50 too low"
            if stopped_at.kind == "Fail"
            else f"failed in {_LABELS.get(stopped_at.name, stopped_at.name)}"
        )
    if run.status in ("Stopping", "Stopped"):
        return run.status.lower()
    if now is None:
        return "starting"
    doing = _DOING.get(now.name, now.name)
    return (
        f"{doing}, epoch {progress.epoch} of {epochs_of(run)}" if now.kind == "Training" and progress.epoch else doing
    )


def _context(run: Execution, progress: Progress) -> Sequence[Inline]:
    parts: list[Inline] = ["started by ", who(run.by), f" · {_weights(run)}"]
    if progress.run is not None:
        tags = progress.run.tags
        photos = sum(int(progress.run.params.get(f"data/{part}_images", 0)) for part in ("train", "validation", "test"))
        parts += (
            [f" · data {tags['data_version']}" + (f" ({photos} photos)" if photos else "")]
            if "data_version" in tags
            else []
        )
        parts += [f" · revision {tags['code_revision'][:7]}"] if tags.get("code_revision") else []
    return [*parts, f" · {progress.note}"] if progress.note else parts


def _weights(run: Execution) -> str:
    return run.parameters.get("Weights", "").rsplit("/", 1)[-1] or "yolo11n"


def _text(run: Execution, progress: Progress, failed: StepRun | None) -> str:
    if failed is None:
        return run.reason if run.status == "Failed" else ""
    if failed.kind != "Fail":
        why = failed.message or failed.reason or "no reason was given"
        return f"{_LABELS.get(failed.name, failed.name)} failed: {why}"
    if progress.map50 is None:
        return failed.reason
    reached, needed = progress.map50, threshold(run)
    return f"mAP50 {score(reached)} is {score(needed - reached)} below {needed:.2f}: nothing was registered."


def threshold(run: Execution) -> float:
    """The mAP50 a model needs to be registered."""
    return float(run.parameters.get("MapThreshold") or 0)


def _failed_step(run: Execution) -> StepRun | None:
    return next((step for step in run.steps if step.status == "Failed"), None)


def _line(step: StepRun, run: Execution, progress: Progress) -> Step:
    name = _LABELS.get(step.name, step.name)
    state = STATES[step.status]
    if state == "waiting":
        if not run.running:
            return Step(name, "skipped", "not run")
        return Step(name, state, f"waiting · only if mAP50 ≥ {threshold(run):.2f}" if step.only_if else "waiting")
    started = step.started or run.started
    took = span(started, step.ended) if step.ended else _so_far(started)
    if state == "running" and step.kind == "Training" and progress.epoch:
        return Step(
            name, state, _training(progress, epochs_of(run)), progress=min(1.0, progress.epoch / max(1, epochs_of(run)))
        )
    if state == "failed":
        return Step(name, state, f"failed after {took}" if step.kind != "Fail" else f"needs {threshold(run):.2f}")
    if step.kind == "Condition" and step.outcome:
        word = "reaches" if step.outcome.lower() == "true" else "misses"
        reached = score(progress.map50) if progress.map50 is not None else "mAP50"
        return Step(name, state, f"{reached} {word} {threshold(run):.2f}")
    words = {"running": f"running for {took}", "done": f"done in {took}", "stopped": f"stopped after {took}"}[state]
    return Step(name, state, f"{words} · {shorten(step.message, 160)}" if step.message else words)


def _so_far(started: datetime) -> str:
    """To two seconds, also after hours: a message that nothing changes in for five seconds looks dead."""
    hours, rest = divmod(2 * round((datetime.now(UTC) - started).total_seconds() / 2), 3600)
    return f"{hours} h {duration(rest)}" if hours > 0 else duration(rest)


def _last_words(ctx: Context, job: str) -> str:
    """What a failed job wrote last, without the events that the message tells in words."""
    return "\n".join(line for line in executions.last_lines(ctx.client("logs"), job) if not event(line))


def _training(progress: Progress, epochs: int) -> str:
    parts = [f"{progress.epoch} of {epochs}"]
    parts += [f"mAP50 {score(progress.map50)}"] if progress.map50 is not None else []
    parts += [f"about {duration(progress.left_s)} left"] if progress.left_s else []
    return " · ".join(parts)


def _facts(run: Execution, progress: Progress) -> list[Fact]:
    facts = [Fact("mAP50", score(progress.map50))] if progress.map50 is not None else []
    if run.running:
        facts.append(Fact("Running", _so_far(run.started)))
    else:
        facts.append(Fact("Took", span(run.started, run.changed)))
    return [*facts, Fact("Role", run.role)] if run.role else facts


def _actions(ctx: Context, run: Execution, progress: Progress) -> list[Action]:
    register = run.step("RegisterModel")
    actions = [stop_button(run.id, run.environment)] if run.running else []
    if not run.running and register is not None and register.package:
        actions += _with_model(run, register.package.rsplit("/", 1)[-1])
    if not run.running and run.status != "Succeeded":
        actions += _again(run)
    if run.status != "Succeeded" and any(step.job for step in run.steps):
        actions.append(Action("Logs", f"pipeline logs {run.id} --env {run.environment}"))
    if progress.run is not None and "mlflow" in ctx.web_links:
        page = (
            f"{ctx.web_links['mlflow'].rstrip('/')}/#/experiments/{progress.run.experiment_id}/runs/{progress.run.id}"
        )
        actions.append(Action("Open in MLflow", url=page))
    return actions


def _with_model(run: Execution, version: str) -> list[Action]:
    """What to do with the model that a run has registered."""
    env = run.environment
    deployed = next((step.status for step in run.steps if step.name == "Deploy"), None)
    actions = [Action("Show the model", f"registry show {version} --env {env}")]
    if deployed == "Succeeded":
        actions.append(Action("Predict on a photo", f"deployment predict --env {env}"))
    elif deployed == "Failed":
        actions.append(Action(f"Deploy to {env}", f"deployment create --env {env} --version {version}"))
    if env == "dev":
        request = Action("Request promotion to staging", f"registry request {version} --to staging", style="primary")
        actions.insert(0, request)
    return actions


def _again(run: Execution) -> list[Action]:
    """Buttons that go on or start anew: with twice the epochs when the model was not good enough, else as it was."""
    failed = _failed_step(run)
    if failed is not None and failed.kind == "Fail":
        longer = min(300, 2 * max(1, epochs_of(run)))
        again = {**run.parameters, "Epochs": str(longer)}
        return [Action(f"Train for {longer} epochs", _command_line(run.environment, again), "primary")]
    actions = [Action("Run again", _command_line(run.environment, run.parameters))]
    if run.status in executions.RETRYABLE:
        actions.insert(0, Action("Retry", f"pipeline retry {run.id} --env {run.environment}", style="primary"))
    return actions


def _command_line(env: str, parameters: Mapping[str, str]) -> str:
    given = {_OPTIONS[key]: value for key, value in parameters.items() if key in _OPTIONS and value}
    return shlex.join(
        ["pipeline", "run", "--env", env, *(part for key, value in given.items() for part in (f"--{key}", value))]
    )
