"""How far a run's training is: from MLflow, or from the lines its job logs while MLflow does not answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from commands.command import Context
from pipeline import executions
from pipeline.errors import Unavailable
from pipeline.executions import Execution
from pipeline.tracking import Run


@dataclass(frozen=True)
class Progress:
    """How far training is: finished epochs, the last mAP50 known, seconds still needed if that can be told."""

    run: Run | None = None
    note: str = ""
    epoch: int = 0
    map50: float | None = None
    left_s: float | None = None


def epochs_of(run: Execution) -> int:
    """How many epochs a run was asked for."""
    return int(run.parameters.get("Epochs") or 0)


def progress_of(ctx: Context, run: Execution) -> Progress:
    """From MLflow; while it does not answer, from the lines the training job logs."""
    try:
        found = ctx.tracking.run_for_execution(run.arn)
        points = ctx.tracking.metric_history(found.id, "val/map50") if found is not None else []
    except Unavailable:
        return _from_log(ctx, run, "MLflow does not answer; the run does not need it")
    if found is None:
        return _from_log(ctx, run, "")
    # An epoch that was trained again after an interruption is told twice: the later one counts.
    points = list({point.step: point for point in points}.values())
    left = None
    if len(points) > 1:
        left = (points[-1].at - points[0].at) / (len(points) - 1) * (epochs_of(run) - len(points))
    last = points[-1].value if points else None
    return Progress(run=found, epoch=len(points), map50=found.metrics.get("test/map50", last), left_s=left)


def _from_log(ctx: Context, run: Execution, note: str) -> Progress:
    training = run.step("Training")
    if training is None or training.job is None:
        return Progress(note=note)
    lines = executions.last_lines(ctx.client("logs"), training.job, limit=100)
    epochs = [event for event in map(event, lines) if event.get("event") == "epoch"]
    if not epochs:
        return Progress(note=note)
    map50 = epochs[-1].get("map50")
    return Progress(note=note, epoch=int(epochs[-1]["epoch"]), map50=None if map50 is None else float(map50))


def event(line: str) -> dict[str, Any]:
    """A log line as an event; libraries write other lines between ours."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
