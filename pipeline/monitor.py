"""What watches a deployment, as AWS has it now: its schedule's state, and the monitor's executions.

Two kinds do the same (`pipeline/deployment.yaml`): a schedule of EventBridge Scheduler that starts a Processing job,
and a Model Monitor schedule. Both are paused and resumed by the stack's parameter MonitorState; `pipeline.looks`
starts the monitor outside of its schedule. Each function takes the boto3 clients it needs; times are UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from botocore.exceptions import ClientError

from pipeline.absent import missing
from pipeline.deployment import Stack
from pipeline.names import Monitor

State = Literal["on", "paused", "none"]
VIOLATIONS = "CompletedWithViolations"
"""How an execution's exit message begins, and what Model Monitor calls its status, when something moved."""


@dataclass(frozen=True)
class Watch:
    """The schedule of a deployment's monitor. `hours` is the length of the window it looks at each time."""

    name: str
    kind: Monitor
    state: State
    times: str
    hours: int


@dataclass(frozen=True)
class Execution:
    """One run of the monitor, for both kinds with the status that Model Monitor has (`CompletedWithViolations`).

    `at` is when it was due, or when its job was made; `job` the ARN of that Processing job, empty when there was none.
    """

    at: datetime
    status: str
    job: str
    reason: str


def watch(scheduler: Any, sagemaker: Any, stack: Stack) -> Watch:
    """What watches the stack's endpoint; state `none` when nothing does (an older stack, or still at work)."""
    name, given = f"{stack.name}-monitor", stack.parameters
    kind: Monitor = "native" if given.get("Monitor") == "native" else "processing"
    state, times = _native(sagemaker, name) if kind == "native" else _scheduled(scheduler, stack.name, name)
    if state == "none" and given.get("MonitorState") == "DISABLED":
        state = "paused"  # a Model Monitor schedule is taken away while it is paused
    return Watch(name, kind, state, times or given.get("MonitorTimes", ""), int(given.get("MonitorHours", "1")))


def executions(sagemaker: Any, stack: Stack, limit: int = 10) -> list[Execution]:
    """The latest runs of the monitor, the newest first."""
    name = f"{stack.name}-monitor"
    if stack.parameters.get("Monitor") == "native":
        found = sagemaker.list_monitoring_executions(
            MonitoringScheduleName=name, SortBy="ScheduledTime", SortOrder="Descending", MaxResults=limit
        )["MonitoringExecutionSummaries"]
        return [
            Execution(
                item["ScheduledTime"],
                item["MonitoringExecutionStatus"],
                item.get("ProcessingJobArn", ""),
                item.get("FailureReason", ""),
            )
            for item in found
        ]
    jobs = sagemaker.list_processing_jobs(
        NameContains=f"{name}-", SortBy="CreationTime", SortOrder="Descending", MaxResults=limit
    )["ProcessingJobSummaries"]
    return [Execution(item["CreationTime"], _status(item), item["ProcessingJobArn"], _why(item)) for item in jobs]


def _status(job: dict[str, Any]) -> str:
    broken = str(job.get("ExitMessage", "")).startswith(VIOLATIONS)
    return VIOLATIONS if broken else str(job["ProcessingJobStatus"])


def _why(job: dict[str, Any]) -> str:
    """What was wrong, in SageMaker's words or in the monitor's own."""
    said = str(job.get("ExitMessage", ""))
    return str(job.get("FailureReason") or (said.partition(":")[2].strip() if said.startswith(VIOLATIONS) else ""))


def _scheduled(scheduler: Any, group: str, name: str) -> tuple[State, str]:
    try:
        found = scheduler.get_schedule(GroupName=group, Name=name)
    except ClientError as error:
        if not missing(error):
            raise
        return "none", ""
    return "on" if found["State"] == "ENABLED" else "paused", found["ScheduleExpression"]


def _native(sagemaker: Any, name: str) -> tuple[State, str]:
    try:
        found = sagemaker.describe_monitoring_schedule(MonitoringScheduleName=name)
    except ClientError as error:
        if not missing(error):
            raise
        return "none", ""
    times = found["MonitoringScheduleConfig"]["ScheduleConfig"]["ScheduleExpression"]
    return "on" if found["MonitoringScheduleStatus"] in ("Scheduled", "Pending") else "paused", times
