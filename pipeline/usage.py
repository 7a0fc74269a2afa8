"""What ran in SageMaker and for how long: training, processing and transform jobs, and what endpoints run on.

What is billed, by the service's own words: a training job for `BillableTimeInSeconds` times its instances (less than it
ran, where it trained on spot instances), a processing or transform job from its start to its end, an endpoint for as
long as it exists. A job that never started costs nothing and is not told of.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal

from botocore.exceptions import ClientError

from pipeline import definition, executions
from pipeline.absent import missing
from pipeline.names import ENVIRONMENTS, PROJECT, Names
from pipeline.prices import Component

Kind = Literal["training", "processing", "transform", "tuning", "endpoint"]


@dataclass(frozen=True)
class Listed:
    """A job or an endpoint in a list, and when it last changed."""

    name: str
    changed: datetime


@dataclass(frozen=True)
class Used:
    """One use of instances. `seconds` are billable ones of one instance, None while it runs.

    `step` is the step's name in the pipeline's definition, or the word for what else it is; `run` the id of the
    pipeline execution that it belongs to. `completed`: it did its work to the end.
    """

    id: str
    kind: Kind
    name: str
    component: Component
    instance_type: str
    instances: int
    spot: bool
    started: datetime
    ended: datetime | None
    seconds: Decimal | None
    environment: str | None
    step: str | None
    run: str | None
    endpoint: str | None
    completed: bool
    parent: str = ""
    """ARN of the tuning job whose trial it is."""
    told: Mapping[str, str] = field(default_factory=dict)
    """A training's hyperparameters."""


@dataclass(frozen=True)
class Origin:
    """Where a pipeline execution comes from: the SourceIdentity of whoever started it, and its parameters."""

    by: str | None
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class _Calls:
    """How SageMaker names things of one kind of job."""

    word: str
    component: Component
    cluster: tuple[str, ...]
    starts: str

    @property
    def listing(self) -> str:
        return f"list_{self.word.lower()}_jobs"

    @property
    def describing(self) -> str:
        return f"describe_{self.word.lower()}_job"


JOBS: Mapping[str, _Calls] = MappingProxyType(
    {
        "training": _Calls("Training", "Training", ("ResourceConfig",), "Training"),
        "processing": _Calls("Processing", "Processing", ("ProcessingResources", "ClusterConfig"), "Processing"),
        "transform": _Calls("Transform", "Batch Transform", ("TransformResources",), "Transform"),
    }
)
"""Kinds of job that are read. The training jobs of a tuning job are among the first."""

_NAME = re.compile(rf"{PROJECT}-({'|'.join(ENVIRONMENTS)})-([a-z]+)")
_STEPS = {step.lower(): step for step in definition.JOBS}


def changed(sagemaker: Any, kind: str, since: datetime) -> Iterator[Listed]:
    """The project's jobs of a kind that changed since then, oldest first."""
    calls = JOBS[kind]
    pages = sagemaker.get_paginator(calls.listing).paginate(
        LastModifiedTimeAfter=since, NameContains=f"{PROJECT}-", SortBy="CreationTime", SortOrder="Ascending"
    )
    for page in pages:
        for found in page[f"{calls.word}JobSummaries"]:
            name = str(found[f"{calls.word}JobName"])
            if name.startswith(f"{PROJECT}-"):
                yield Listed(name, found.get("LastModifiedTime") or found["CreationTime"])


def job(sagemaker: Any, kind: str, name: str) -> Used | None:
    """A job as it is now; None for one that has not started, never will, or is not there."""
    calls = JOBS[kind]
    found = _described(getattr(sagemaker, calls.describing), **{f"{calls.word}JobName": name})
    started = found.get(f"{calls.starts}StartTime") if found else None
    if found is None or started is None:
        return None
    cluster = found
    for key in calls.cluster:
        cluster = cluster[key]
    group = (cluster.get("InstanceGroups") or [cluster])[0]
    environment, step = _about(name)
    ended = found.get(f"{calls.starts}EndTime")
    return Used(
        id=found[f"{calls.word}JobArn"],
        kind="tuning" if found.get("TuningJobArn") else kind,  # type: ignore[arg-type]  # a key of JOBS
        name=name,
        component=calls.component,
        instance_type=group["InstanceType"],
        instances=int(group["InstanceCount"]),
        spot=bool(found.get("EnableManagedSpotTraining")),
        started=started,
        ended=ended,
        seconds=_seconds(found, started, ended),
        environment=environment,
        step=step,
        run=_run(found, environment) if step in definition.JOBS else None,
        endpoint=name.rpartition("-monitor-")[0] or None,
        completed=found[f"{calls.word}JobStatus"] == "Completed",
        parent=found.get("TuningJobArn", ""),
        told=found.get("HyperParameters", {}),
    )


def endpoints(sagemaker: Any) -> Iterator[Listed]:
    """The project's endpoints, all of them."""
    for page in sagemaker.get_paginator("list_endpoints").paginate(NameContains=f"{PROJECT}-"):
        for found in page["Endpoints"]:
            if str(found["EndpointName"]).startswith(f"{PROJECT}-"):
                yield Listed(found["EndpointName"], found["LastModifiedTime"])


def serving(sagemaker: Any, name: str) -> Used | None:
    """What an endpoint runs on now; None for one that failed to start, or is not there.

    The configuration's life began when the endpoint last changed; that of its first one, when the endpoint was made.
    """
    found = _described(sagemaker.describe_endpoint, EndpointName=name)
    if found is None or found["EndpointStatus"] == "Failed":
        return None
    config = _described(sagemaker.describe_endpoint_config, EndpointConfigName=found["EndpointConfigName"])
    variant = config["ProductionVariants"][0] if config else {}
    if "InstanceType" not in variant:
        return None  # deleted meanwhile, or serverless: billed by the request
    now: Mapping[str, Any] = next(iter(found.get("ProductionVariants", ())), {})
    return Used(
        id=f"{found['EndpointArn']}#{found['EndpointConfigName']}",
        kind="endpoint",
        name=name,
        component="Hosting",
        instance_type=variant["InstanceType"],
        instances=int(now.get("CurrentInstanceCount") or variant.get("InitialInstanceCount") or 1),
        spot=False,
        started=found["CreationTime"],
        ended=None,
        seconds=None,
        environment=_about(name)[0],
        step=None,
        run=None,
        endpoint=name,
        completed=False,
    )


def origin(sagemaker: Any, names: Names, environment: str, run: str) -> Origin | None:
    """Who started a pipeline execution and with what; None when it is not there any more."""
    pipeline = f"pipeline/{PROJECT}-{environment}-detector"
    arn = names.arn("sagemaker", f"{pipeline}/execution/{run}")
    found = _described(sagemaker.describe_pipeline_execution, PipelineExecutionArn=arn)
    if found is None:
        return None
    by = found.get("CreatedBy", {}).get("IamIdentity", {}).get("SourceIdentity")
    return Origin(by, executions.parameters(sagemaker, arn))


def _described(call: Any, **request: str) -> Any:
    """An answer, or None for what is not there."""
    try:
        return call(**request)
    except ClientError as error:
        if missing(error):
            return None
        raise


def _seconds(found: Mapping[str, Any], started: datetime, ended: datetime | None) -> Decimal | None:
    if ended is None:
        return None
    if "BillableTimeInSeconds" in found:
        return Decimal(found["BillableTimeInSeconds"])
    return Decimal(str(max(0.0, (ended - started).total_seconds())))


def _about(name: str) -> tuple[str | None, str | None]:
    """Environment and step in a name: `groundcrew-dev-train-…` is Train in dev."""
    known = _NAME.match(name)
    if known is None:
        return None, None
    if "-monitor-" in name:
        return known[1], "Monitor"
    return known[1], _STEPS.get(known[2], known[2].capitalize())


def _run(found: Mapping[str, Any], environment: str | None) -> str | None:
    """The execution's id, from where its steps put and find their files: `…/<env>/runs/<execution id>/<step>/…`."""
    places = json.dumps([found.get(key) for key in ("OutputDataConfig", "ProcessingOutputConfig", "ProcessingInputs")])
    known = re.search(rf"/{environment}/runs/([0-9a-zA-Z]+)/", places)
    return known[1] if known else None
