"""Ending what an environment costs: what is there, in the order in which it has to go, and ending one thing of it.

Only what runs or hangs about goes: runs and jobs at work, deployments (with all that is in their stacks), and stray
monitoring schedules, endpoints, endpoint configurations and models. Registered models, data, artifacts, logs, the
audit log and MLflow stay. Nothing is remembered: whoever goes on after an interruption plans again from what is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from botocore.exceptions import ClientError

from pipeline import deployment, executions, idle
from pipeline.absent import missing
from pipeline.errors import NotFound
from pipeline.names import Environment, Names

Kind = Literal["run", "job", "schedule", "stack", "endpoint", "config", "model"]
ORDER: tuple[Kind, ...] = ("run", "job", "schedule", "stack", "endpoint", "config", "model")
"""Runs first: they could deploy again. A schedule before its endpoint, an endpoint before what it is made of."""

_THERE = (
    "CREATE_IN_PROGRESS", "CREATE_FAILED", "CREATE_COMPLETE", "ROLLBACK_IN_PROGRESS", "ROLLBACK_FAILED",
    "ROLLBACK_COMPLETE", "DELETE_IN_PROGRESS", "DELETE_FAILED", "UPDATE_IN_PROGRESS",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE", "UPDATE_FAILED", "UPDATE_ROLLBACK_IN_PROGRESS",
    "UPDATE_ROLLBACK_FAILED", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE",
    "REVIEW_IN_PROGRESS",
)  # fmt: skip
"""Every status of a stack but DELETE_COMPLETE: asking for all would list three months of deleted ones."""
_TYPES: Mapping[str, Kind] = {
    "AWS::SageMaker::Endpoint": "endpoint",
    "AWS::SageMaker::EndpointConfig": "config",
    "AWS::SageMaker::Model": "model",
    "AWS::SageMaker::MonitoringSchedule": "schedule",
}
"""A stack's resources that are also listed by their own service. Model and configuration have the same name."""
_AWAY = ("DELETE_COMPLETE", "DELETE_SKIPPED")
_OWN_JOB = re.compile(r"explain-|.+-monitor-")
"""Jobs that belong to no run (a run stops its own), by the part of the name after the environment."""


@dataclass(frozen=True)
class Item:
    """One thing to end. `id` is what AWS knows it by, `made` when it last was made or changed by somebody.

    `going`: its end has begun already; `gone` is the share of its parts that have gone, where it has parts. `status` is
    AWS's word. `runs_on`: instances by type, paid by the hour.
    """

    kind: Kind
    name: str
    id: str
    made: datetime
    status: str
    going: bool = False
    gone: float | None = None
    runs_on: Mapping[str, int] = field(default_factory=dict)


def found(client: Callable[[str], Any], names: Names, env: Environment) -> list[Item]:
    """What there is to end in an environment, in the order in which it has to go."""
    sagemaker, cloudformation = client("sagemaker"), client("cloudformation")
    # Stacks are read before what may lie in them: what a stack takes along meanwhile is then never seen as left over.
    stacks, held = _stacks(cloudformation, names, env)
    endpoints = {each.name: each for each in idle.endpoints(sagemaker, names, env)}
    serving = {name: each.runs_on for name, each in endpoints.items()}
    every = [
        *_runs(sagemaker, names, env),
        *_jobs(sagemaker, names, env),
        *(_with_endpoint(stack, serving) for stack in stacks),
        *(item for item in _loose(sagemaker, names, env, endpoints) if (item.kind, item.name) not in held),
    ]
    return sorted(every, key=lambda item: ORDER.index(item.kind))


def end(client: Callable[[str], Any], names: Names, env: Environment, item: Item, *, token: str) -> bool:
    """Begin to end one thing. False when it has ended by itself or somebody was faster.

    Raises botocore's ClientError for what AWS refuses.
    """
    sagemaker = client("sagemaker")
    calls: Mapping[Kind, Callable[[], Any]] = {
        "run": lambda: executions.stop(sagemaker, item.id, token=token),
        "job": lambda: sagemaker.stop_processing_job(ProcessingJobName=item.id),
        "schedule": lambda: sagemaker.delete_monitoring_schedule(MonitoringScheduleName=item.id),
        "stack": lambda: client("cloudformation").delete_stack(
            StackName=item.id, RoleARN=names.role(f"{env}-deploy"), ClientRequestToken=token
        ),
        "endpoint": lambda: sagemaker.delete_endpoint(EndpointName=item.id),
        "config": lambda: sagemaker.delete_endpoint_config(EndpointConfigName=item.id),
        "model": lambda: sagemaker.delete_model(ModelName=item.id),
    }
    try:
        calls[item.kind]()
    except ClientError as error:
        # A run or job that is not there to be stopped, or has ended since, is answered as invalid.
        ended = item.kind in ("run", "job") and error.response["Error"]["Code"] == "ValidationException"
        if ended or missing(error):
            return False
        raise
    return True


def _runs(sagemaker: Any, names: Names, env: Environment) -> Iterator[Item]:
    try:
        recent = executions.recent(sagemaker, names, env, limit=100)
    except NotFound:  # production has no pipeline
        return
    for run in recent:
        if run.status in executions.RUNNING:
            going = run.status == "Stopping"
            yield Item("run", f"training run {run.id[:4]}", run.arn, run.started, run.status, going)


def _jobs(sagemaker: Any, names: Names, env: Environment) -> Iterator[Item]:
    begin = names.begin(env)
    for status in ("InProgress", "Stopping"):
        pages = sagemaker.get_paginator("list_processing_jobs").paginate(StatusEquals=status, NameContains=begin)
        for job in (job for page in pages for job in page["ProcessingJobSummaries"]):
            name = job["ProcessingJobName"]
            if name.startswith(begin) and _OWN_JOB.match(name.removeprefix(begin)):
                yield Item("job", f"job {name}", name, job["CreationTime"], status, status == "Stopping")


def _stacks(cloudformation: Any, names: Names, env: Environment) -> tuple[list[Item], set[tuple[Kind, str]]]:
    """The environment's stacks, and kind and name of what is in them."""
    items: list[Item] = []
    held: set[tuple[Kind, str]] = set()
    for page in cloudformation.get_paginator("list_stacks").paginate(StackStatusFilter=[*_THERE]):
        for stack in page["StackSummaries"]:
            if not stack["StackName"].startswith(names.begin(env)):
                continue
            id, status = stack["StackId"], stack["StackStatus"]
            parts = [each for each in deployment.resources(cloudformation, id) if each.own]
            left = [each for each in parts if each.status not in _AWAY]
            held |= {(_TYPES[each.kind], each.own) for each in left if each.kind in _TYPES}
            going = status == "DELETE_IN_PROGRESS"
            gone = 1 - len(left) / len(parts) if going and parts else None
            made = stack.get("LastUpdatedTime") or stack["CreationTime"]
            items.append(Item("stack", stack["StackName"], id, made, status, going, gone))
    return items, held


def _with_endpoint(stack: Item, serving: Mapping[str, Mapping[str, int]]) -> Item:
    """A stack with what its endpoint, which has the same name, runs on."""
    return replace(stack, runs_on=serving.get(stack.name, {}))


def _loose(sagemaker: Any, names: Names, env: Environment, endpoints: Mapping[str, idle.Endpoint]) -> Iterator[Item]:
    """What could lie outside of a stack: left by a failed deployment, or made by hand."""
    begin = names.begin(env)
    pages = sagemaker.get_paginator("list_monitoring_schedules").paginate(NameContains=begin)
    for item in (item for page in pages for item in page["MonitoringScheduleSummaries"]):
        name = item["MonitoringScheduleName"]
        if name.startswith(begin):
            yield Item("schedule", name, name, item["CreationTime"], item["MonitoringScheduleStatus"])
    for name, each in endpoints.items():
        going = each.status == "Deleting"
        yield Item("endpoint", name, name, each.made, each.status, going, runs_on=each.runs_on)
    kinds: Sequence[tuple[Kind, str, str]] = (
        ("config", "list_endpoint_configs", "EndpointConfig"),
        ("model", "list_models", "Model"),
    )
    for kind, operation, member in kinds:
        for name, made in idle.made(sagemaker, operation, f"{member}s", f"{member}Name", begin):
            yield Item(kind, name, name, made, "there")
