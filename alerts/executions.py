"""Pipeline executions and their steps: *Status Change* events, camelCase, with ISO times."""

from __future__ import annotations

from datetime import datetime, timedelta

from alerts.envelope import Event, environment_of, failure, last_part
from alerts.happening import Effect, Happening, Severity
from alerts.texts import ARN, TEXT, words

ENDED = frozenset({"succeeded", "failed", "stopped", "completed with failures"})
EFFECTS: dict[str, Effect] = {
    "failed": "fires",
    "completed with failures": "fires",
    "succeeded": "clears",
    "stopped": "clears",
}
RETRIED_AFTER = timedelta(minutes=1)
"""An execution that says it is executing so long after its start has been retried: retries keep the start's time."""


def execution(event: Event) -> Happening:
    """An execution's status. Raises Misshapen."""
    detail = event.detail
    arn = detail.need("pipelineExecutionArn", ARN)
    pipeline = detail.text("pipelineArn", ARN) or arn.rpartition("/execution/")[0]
    state = detail.status("currentPipelineExecutionStatus")
    started, over = detail.moment("executionStartTime"), detail.moment("executionEndTime")
    at = (over if state in ENDED else None) or event.time or started
    effect = EFFECTS.get(state, "moves")
    severity = failure(environment_of(arn)) if state == "failed" else Severity.WARNING
    return event.happened(
        topic="execution",
        subject=arn,
        family=pipeline,
        state=state,
        at=at,
        severity=severity if effect == "fires" else Severity.INFO,
        effect=effect,
        title=f"Pipeline {last_part(pipeline)} {_said(state)}",
        text=detail.text("pipelineExecutionDescription", TEXT),
        facts={
            "Pipeline": last_part(pipeline),
            "Execution": last_part(arn),
            "Name": detail.text("pipelineExecutionDisplayName"),
        },
        ended=state in ENDED,
        # Only a retry leads from one end to a later one, whether or not the event that says so has arrived yet.
        reopens=state in ENDED or _retried(state, words(detail.text("previousPipelineExecutionStatus")), started, at),
        followed=arn,
    )


def step(event: Event) -> Happening:
    """A step's status: progress of its execution, whose own event fires when it fails. Raises Misshapen."""
    detail = event.detail
    arn, name = detail.need("pipelineExecutionArn", ARN), detail.need("stepName")
    pipeline = detail.text("pipelineArn", ARN) or arn.rpartition("/execution/")[0]
    state = detail.status("currentStepStatus")
    over = detail.moment("stepEndTime") if state in ENDED else None
    return event.happened(
        topic="execution",
        subject=f"{arn}/step/{name}",
        family=pipeline,
        state=state,
        at=over or event.time or detail.moment("stepStartTime"),
        severity=failure(environment_of(arn)) if state == "failed" else Severity.INFO,
        title=f"Step {name} of pipeline {last_part(pipeline)} {_said(state)}",
        text=detail.text("failureReason", TEXT),
        facts={
            "Pipeline": last_part(pipeline),
            "Execution": last_part(arn),
            "Step": name,
            "Type": detail.text("stepType"),
            "From cache": last_part(detail.members("cacheHitResult").text("sourcePipelineExecutionArn", ARN)),
        },
        ended=state in ENDED,
        reopens=state in ENDED or state == "starting",
        followed=arn,
    )


def _retried(state: str, previous: str, started: datetime | None, at: datetime | None) -> bool:
    if previous in ENDED:
        return True
    return state == "executing" and started is not None and at is not None and at - started > RETRIED_AFTER


def _said(state: str) -> str:
    return state if state in ENDED else f"is {state}"
