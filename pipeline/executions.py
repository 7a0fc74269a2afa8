"""Pipeline executions: start, find, read, stop and retry them, and read what their jobs logged.

Each function takes the boto3 client it needs. Reads give small frozen values; times are UTC.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError

from pipeline.absent import missing
from pipeline.definition import Alias
from pipeline.errors import BadInput, NotFound, Refused
from pipeline.names import Environment, Names

RUNNING = frozenset({"Executing", "Stopping", "Starting"})
RETRYABLE = frozenset({"Failed", "Stopped"})
"""States from which RetryPipelineExecution goes on."""
SPOT: Alias = "spot"
_LOOK_BACK = 300
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
"""What programs write to colour a terminal; on a page it would be noise."""

_LOG_GROUPS = {
    "training-job": "/aws/sagemaker/TrainingJobs",
    "processing-job": "/aws/sagemaker/ProcessingJobs",
    "transform-job": "/aws/sagemaker/TransformJobs",
}


@dataclass(frozen=True)
class Summary:
    """One line of a list of executions."""

    arn: str
    name: str
    status: str
    started: datetime
    reason: str

    @property
    def id(self) -> str:
        """The service's own id, the last part of the ARN."""
        return self.arn.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class StepRun:
    """A step as far as it got. `status` is None for one that has not begun; `only_if` tells the branch it lies in.

    `message` is what a processing job said when it had ended (its exit message).
    """

    name: str
    kind: str
    status: str | None = None
    started: datetime | None = None
    ended: datetime | None = None
    reason: str = ""
    job: str | None = None
    package: str | None = None
    outcome: str = ""
    message: str = ""
    only_if: bool | None = None
    taken_from: str = ""
    """The id of the earlier execution whose result was taken again, if one was."""


@dataclass(frozen=True)
class Execution:
    """An execution with all its steps, begun or not, in the order of the definition."""

    arn: str
    name: str
    status: str
    started: datetime
    changed: datetime
    reason: str
    by: str | None
    role: str | None
    parameters: Mapping[str, str]
    steps: Sequence[StepRun]
    spot: bool = False

    @property
    def id(self) -> str:
        """The service's own id, the last part of the ARN."""
        return self.arn.rsplit("/", 1)[-1]

    @property
    def environment(self) -> str:
        """The environment in the pipeline's name."""
        return self.arn.split(":pipeline/")[1].split("-")[1]

    @property
    def running(self) -> bool:
        """Whether anything can still change."""
        return self.status in RUNNING

    def step(self, kind: str) -> StepRun | None:
        """The first step of that kind which has begun."""
        return next((step for step in self.steps if step.kind == kind and step.status), None)


def start(
    sagemaker: Any,
    names: Names,
    env: Environment,
    parameters: Mapping[str, str],
    *,
    alias: Alias,
    token: str,
    name: str,
    about: str,
) -> str:
    """Start a version of the environment's pipeline and return the execution's ARN; the same `token` starts it once.

    Raises NotFound when it was never published, or is being published at this moment.
    """
    try:
        answer = sagemaker.start_pipeline_execution(
            PipelineName=names.pipeline(env),
            PipelineVersionAlias=alias,
            PipelineExecutionDisplayName=name,
            PipelineExecutionDescription=about,
            PipelineParameters=[{"Name": key, "Value": value} for key, value in parameters.items()],
            ClientRequestToken=token,
        )
    except ClientError as error:
        _raise_unpublished(error, names.pipeline(env), env)
        raise
    return str(answer["PipelineExecutionArn"])


def recent(sagemaker: Any, names: Names, env: Environment, limit: int = 10) -> list[Summary]:
    """The newest executions first. Raises NotFound when the pipeline was never published."""
    return list(islice(_newest(sagemaker, names.pipeline(env), env), limit))


def check(sagemaker: Any, names: Names, env: Environment) -> None:
    """Return when whoever asks may see the environment's pipeline: else AWS refuses, with botocore's ClientError.

    Raises NotFound when the pipeline was never published.
    """
    try:
        sagemaker.describe_pipeline(PipelineName=names.pipeline(env))
    except ClientError as error:
        _raise_unpublished(error, names.pipeline(env), env)
        raise


def starter(sagemaker: Any, arn: str) -> str | None:
    """SourceIdentity of whoever started an execution; None where AWS does not know it any more."""
    try:
        about = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    except ClientError as error:
        if missing(error):
            return None
        raise
    identity: str | None = about.get("CreatedBy", {}).get("IamIdentity", {}).get("SourceIdentity")
    return identity


def find(sagemaker: Any, names: Names, env: Environment, prefix: str) -> str:
    """ARN of the one execution whose id begins with `prefix` (an ARN is also understood).

    Raises BadInput when several begin so, NotFound with the nearest ids when none does.
    """
    wanted = prefix.rsplit("/", 1)[-1].lower()
    if not wanted:
        raise BadInput("An execution needs an id.", "`pipeline list` shows them.")
    known = list(islice(_newest(sagemaker, names.pipeline(env), env), _LOOK_BACK))
    matching = [item for item in known if item.id.startswith(wanted)]
    if len(matching) > 1:
        raise BadInput(
            f"{len(matching)} runs begin with {wanted!r}.",
            f"Say more of it: {', '.join(item.id for item in matching[:5])}.",
        )
    if not matching:
        raise NotFound(f"{env} run", wanted, [item.id for item in known], "`pipeline list` shows them all.")
    return matching[0].arn


def load(sagemaker: Any, arn: str) -> Execution:
    """Everything about one execution. Raises botocore's ClientError when it does not exist."""
    about = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    definition = json.loads(
        sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=arn)["PipelineDefinition"]
    )
    begun = {step["StepName"]: step for step in _begun(sagemaker, arn)}
    defaults = {item["Name"]: str(item.get("DefaultValue", "")) for item in definition.get("Parameters", [])}
    found = [_step(planned, begun.get(planned.name)) for planned in _planned(definition["Steps"], None)]
    identity = about.get("CreatedBy", {}).get("IamIdentity", {})
    return Execution(
        arn=arn,
        name=about.get("PipelineExecutionDisplayName", ""),
        status=about["PipelineExecutionStatus"],
        started=about["CreationTime"],
        changed=about["LastModifiedTime"],
        reason=about.get("FailureReason", ""),
        by=identity.get("SourceIdentity"),
        role=_role(identity.get("Arn", "")),
        parameters=defaults | parameters(sagemaker, arn),
        steps=tuple(_with_message(sagemaker, step) for step in found),
        spot=SPOT in about.get("PipelineVersionAliases", ()),
    )


def status(sagemaker: Any, arn: str) -> str:
    """The status of an execution, in the service's words."""
    return str(sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"])


def alias(sagemaker: Any, arn: str) -> Alias:
    """The version of the pipeline that an execution runs by, by its alias."""
    found = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn).get("PipelineVersionAliases", ())
    return SPOT if SPOT in found else "on-demand"


def parameters(sagemaker: Any, arn: str) -> dict[str, str]:
    """What an execution was given when it started; without what its definition has by itself."""
    pages = sagemaker.get_paginator("list_pipeline_parameters_for_execution").paginate(PipelineExecutionArn=arn)
    return {item["Name"]: item["Value"] for page in pages for item in page["PipelineParameters"]}


def stop(sagemaker: Any, arn: str, *, token: str) -> None:
    """Ask a running execution to stop; its jobs get time to end by themselves."""
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken=token)


def steps(sagemaker: Any, arn: str) -> list[StepRun]:
    """The steps that have begun, in the order of their start, each with its latest job."""
    return [_step(StepRun(each["StepName"], _kind(each)), each) for each in _begun(sagemaker, arn)]


def retry(sagemaker: Any, arn: str, *, token: str) -> None:
    """Let a failed or stopped execution go on under the same ARN: what is done stays, the step that failed runs anew.

    Definition and parameters stay those it was started with. Raises Refused when somebody else was faster.
    """
    try:
        sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken=token)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConflictException":
            raise Refused(
                f"AWS does not retry it: {error.response['Error']['Message']}", "Look at it again."
            ) from error
        raise


def last_lines(logs: Any, job: str, limit: int = 8) -> list[str]:
    """The last lines a job (by ARN) wrote to CloudWatch Logs, without colours; empty when it has not written any."""
    kind, _, name = job.rsplit(":", 1)[-1].partition("/")
    group = _LOG_GROUPS[kind]
    try:
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
        if not streams:
            return []
        events = logs.get_log_events(
            logGroupName=group, logStreamName=streams[0]["logStreamName"], limit=limit, startFromHead=False
        )["events"]
    except ClientError as error:
        if missing(error):
            return []
        raise
    return [_COLOURS.sub("", event["message"]).rstrip() for event in events]


def _newest(sagemaker: Any, pipeline: str, env: str) -> Iterable[Summary]:
    pages = sagemaker.get_paginator("list_pipeline_executions").paginate(
        PipelineName=pipeline, SortBy="CreationTime", SortOrder="Descending"
    )
    try:
        for page in pages:
            for item in page["PipelineExecutionSummaries"]:
                yield Summary(
                    arn=item["PipelineExecutionArn"],
                    name=item.get("PipelineExecutionDisplayName", ""),
                    status=item["PipelineExecutionStatus"],
                    started=item["StartTime"],
                    reason=item.get("PipelineExecutionFailureReason", ""),
                )
    except ClientError as error:
        _raise_unpublished(error, pipeline, env)
        raise


def _raise_unpublished(error: ClientError, pipeline: str, env: str) -> None:
    if missing(error):
        publish = f"an ML engineer publishes it with `python -m pipeline.publish --env {env}`."
        advice = f"If it is being published just now, try again in a moment; else {publish}"
        raise NotFound("pipeline", pipeline, advice=advice) from error


def _planned(steps: Sequence[Mapping[str, Any]], only_if: bool | None) -> Iterable[StepRun]:
    """The definition's steps, each branch of a condition after the condition itself."""
    for step in steps:
        yield StepRun(step["Name"], step["Type"], only_if=only_if)
        if step["Type"] == "Condition":
            yield from _planned(step["Arguments"].get("IfSteps", ()), True)
            yield from _planned(step["Arguments"].get("ElseSteps", ()), False)


def _begun(sagemaker: Any, arn: str) -> Iterable[Mapping[str, Any]]:
    pages = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(
        PipelineExecutionArn=arn, SortOrder="Ascending"
    )
    for page in pages:
        yield from page["PipelineExecutionSteps"]


def _kind(begun: Mapping[str, Any]) -> str:
    """The type of a step by what it has made, as its list entry does not say it; empty when it has made nothing yet."""
    kinds = {"TrainingJob": "Training", "ProcessingJob": "Processing"}
    return next((kinds.get(made, made) for made in begun.get("Metadata", {})), "")


def _step(planned: StepRun, begun: Mapping[str, Any] | None) -> StepRun:
    if begun is None:
        return planned
    metadata = begun.get("Metadata", {})
    job = metadata.get("TrainingJob") or metadata.get("ProcessingJob") or {}
    return StepRun(
        name=planned.name,
        kind=planned.kind,
        status=begun["StepStatus"],
        started=begun.get("StartTime"),
        ended=begun.get("EndTime"),
        reason=begun.get("FailureReason", "") or metadata.get("Fail", {}).get("ErrorMessage", ""),
        job=job.get("Arn"),
        package=metadata.get("RegisterModel", {}).get("Arn"),
        outcome=metadata.get("Condition", {}).get("Outcome", ""),
        only_if=planned.only_if,
        taken_from=begun.get("CacheHitResult", {}).get("SourcePipelineExecutionArn", "").rsplit("/", 1)[-1],
    )


def _with_message(sagemaker: Any, step: StepRun) -> StepRun:
    """What a finished processing job said about its work, e.g. which photos it left out or cannot use."""
    if step.status not in ("Succeeded", "Failed") or step.job is None or ":processing-job/" not in step.job:
        return step
    job = sagemaker.describe_processing_job(ProcessingJobName=step.job.rsplit("/", 1)[-1])
    return replace(step, message=job.get("ExitMessage", ""))


def _role(session_arn: str) -> str | None:
    """`data-scientist` of `arn:aws:sts::…:assumed-role/groundcrew-data-scientist/<session>`."""
    if ":assumed-role/" not in session_arn:
        return None
    return session_arn.split(":assumed-role/")[1].split("/")[0].removeprefix("groundcrew-")
