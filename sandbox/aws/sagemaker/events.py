"""SageMaker's EventBridge events in their documented shapes.

Beware, as in AWS: pipeline events say *Status Change* and are camelCase with ISO times; all others say *State Change*,
are PascalCase, and give times as epoch milliseconds (training: as strings; endpoints: as floats).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from sandbox.aws.core import Cloud
from sandbox.aws.sagemaker.resources import Body

SOURCE = "aws.sagemaker"
ENDPOINT_MEMBERS = (
    "EndpointName",
    "EndpointArn",
    "EndpointConfigName",
    "ProductionVariants",
    "FailureReason",
    "CreationTime",
    "LastModifiedTime",
)


def _iso(value: datetime) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")


def _milliseconds(value: datetime) -> int:
    return round(value.timestamp() * 1000)


def _plain(value: Any, moment: Callable[[datetime], Any]) -> Any:
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, Mapping):
        return {key: _plain(member, moment) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member, moment) for member in value]
    return value


def _endpoint(body: Body, tags: Mapping[str, str], moment: Callable[[datetime], Any], *more: str) -> dict[str, Any]:
    kept = {key: body[key] for key in (*ENDPOINT_MEMBERS, *more) if key in body}
    said: dict[str, Any] = _plain(kept, moment)
    return said | {"EndpointStatus": upper_snake(body["EndpointStatus"]), "Tags": dict(tags)}


class Events:
    """Publishes the state changes of one account."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def _emit(self, kind: str, arns: Iterable[str], detail: Mapping[str, Any]) -> None:
        self._cloud.emit(SOURCE, kind, list(arns), dict(detail))

    def training_job(self, body: Body, tags: Mapping[str, str]) -> None:
        """A transition of a training job."""
        detail = _plain({**body, "Tags": dict(tags)}, lambda moment: str(_milliseconds(moment)))
        self._emit("SageMaker Training Job State Change", [body["TrainingJobArn"]], detail)

    def tuning_job(self, body: Body, tags: Mapping[str, str]) -> None:
        """A transition of a hyperparameter tuning job."""
        detail = _plain({**body, "Tags": dict(tags)}, _milliseconds)
        kind = "SageMaker HyperParameter Tuning Job State Change"
        self._emit(kind, [body["HyperParameterTuningJobArn"]], detail)

    def processing_job(self, body: Body) -> None:
        """A transition of a processing job."""
        detail = _plain({"ExperimentConfig": {}, **body}, _milliseconds)
        self._emit("SageMaker Processing Job State Change", [body["ProcessingJobArn"]], detail)

    def transform_job(self, body: Body) -> None:
        """A transition of a batch transform job."""
        detail = _plain(body, _milliseconds)
        self._emit("SageMaker Transform Job State Change", [body["TransformJobArn"]], detail)

    def endpoint(self, body: Body, tags: Mapping[str, str]) -> None:
        """A transition of an endpoint."""
        detail = _endpoint(body, tags, lambda moment: float(_milliseconds(moment)))
        self._emit("SageMaker Endpoint State Change", [body["EndpointArn"]], detail)

    def deployment(self, body: Body, tags: Mapping[str, str]) -> None:
        """A stage of an endpoint's update: what the next fleet does, in `PendingDeploymentSummary`."""
        detail = _endpoint(body, tags, _milliseconds, "PendingDeploymentSummary")
        self._emit("SageMaker Endpoint Deployment State Change", [body["EndpointArn"]], detail)

    def model_package(self, body: Body, updated: Iterable[str] = ()) -> None:
        """A model package was registered or changed; `updated` names the changed members."""
        detail = {**_plain(body, _iso), "UpdatedModelPackageFields": list(updated)}
        self._emit("SageMaker Model Package State Change", [body["ModelPackageArn"]], detail)

    def execution(self, body: Body, previous: str | None) -> None:
        """A pipeline execution changed its status."""
        arns = [body["PipelineArn"], body["PipelineExecutionArn"]]
        detail = {
            "pipelineExecutionDisplayName": body.get("PipelineExecutionDisplayName"),
            "currentPipelineExecutionStatus": body["PipelineExecutionStatus"],
            "previousPipelineExecutionStatus": previous,
            "executionStartTime": _iso(body["CreationTime"]),
            "executionEndTime": _iso(body["LastModifiedTime"]) if body["PipelineExecutionStatus"] in ENDED else None,
            "pipelineExecutionDescription": body.get("PipelineExecutionDescription"),
            "pipelineArn": arns[0],
            "pipelineExecutionArn": arns[1],
        }
        kind = "SageMaker Model Building Pipeline Execution Status Change"
        self._emit(kind, arns, {key: value for key, value in detail.items() if value is not None})

    def step(self, execution: Body, step: Body, kind: str, previous: str | None) -> None:
        """A step of an execution changed its status; `kind` is the step's type."""
        arns = [execution["PipelineArn"], execution["PipelineExecutionArn"]]
        detail = {
            "metadata": _camel(step.get("Metadata", {})),
            "stepStartTime": _iso(step["StartTime"]) if "StartTime" in step else None,
            "stepEndTime": _iso(step["EndTime"]) if "EndTime" in step else None,
            "stepName": step["StepName"],
            "stepType": kind,
            "previousStepStatus": previous,
            "currentStepStatus": step["StepStatus"],
            "failureReason": step.get("FailureReason"),
            "cacheHitResult": _camel(step["CacheHitResult"]) if "CacheHitResult" in step else None,
            "pipelineArn": arns[0],
            "pipelineExecutionArn": arns[1],
        }
        name = "SageMaker Model Building Pipeline Execution Step Status Change"
        self._emit(name, arns, {key: value for key, value in detail.items() if value is not None})


ENDED = frozenset({"Stopped", "Failed", "Succeeded", "CompletedWithFailures"})


def upper_snake(status: str) -> str:
    """`InService` as events spell it: `IN_SERVICE`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", status).upper()


def _camel(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key[:1].lower() + key[1:]: _camel(member) for key, member in value.items()}
    return value
