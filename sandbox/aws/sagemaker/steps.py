"""The steps that create something: Processing, Training, RegisterModel. With caching and retry policies."""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

from botocore.exceptions import ClientError, ParamValidationError

from sandbox.aws.core import Cloud
from sandbox.aws.sagemaker import values
from sandbox.aws.sagemaker.definition import APIS, duration
from sandbox.aws.sagemaker.execution import Execution, StepRun
from sandbox.aws.sagemaker.jobs import PROCESSING, SERVICE, TRAINING, Job, Jobs, Kind
from sandbox.aws.sagemaker.registry import Registry
from sandbox.aws.sagemaker.resources import Body, now
from sandbox.aws.sagemaker.storage import Storage, StorageError, parse_uri
from sandbox.aws.sagemaker.values import Scope
from sandbox.aws.sts import RoleRefused

POLL_SECONDS = 0.05
LONGEST_NAME = 63
JOBS: Mapping[str, Kind] = {"Processing": PROCESSING, "Training": TRAINING}
CACHE_KEYS: Mapping[str, tuple[str, ...]] = {
    "Processing": ("AppSpecification", "Environment", "ProcessingInputs"),
    "Training": (
        "AlgorithmSpecification",
        "CheckpointConfig",
        "DebugHookConfig",
        "DebugRuleConfigurations",
        "Environment",
        "HyperParameters",
        "InputDataConfig",
    ),
}
_ALPHABET = string.ascii_letters + string.digits

Report = Callable[[str], None]


class StepFailed(Exception):
    """A step failed; the text is its FailureReason, `kind` what a retry policy may name."""

    def __init__(self, reason: str, kind: str = "") -> None:
        super().__init__(reason)
        self.kind = kind


class Steps:
    """Runs the creating steps of all executions."""

    def __init__(self, cloud: Cloud, jobs: Jobs, registry: Registry) -> None:
        self._cloud = cloud
        self._jobs = jobs
        self._registry = registry

    def run(self, execution: Execution, run: StepRun, scope: Scope, report: Report) -> Literal["Succeeded", "Stopped"]:
        """Carry out one step; `report` hears `Executing` and `Stopping`.

        Raises `StepFailed`, or `values.Unresolved` when an argument cannot be computed.
        """
        while True:
            try:
                if run.step.type == "RegisterModel":
                    return self._register(execution, run, scope, report)
                return self._job(execution, run, scope, report)
            except StepFailed as error:
                delay = _retry_delay(run, error.kind)
                if delay is None or execution.stopping.wait(delay):
                    raise
                run.body["AttemptCount"] += 1

    def _register(self, execution: Execution, run: StepRun, scope: Scope, report: Report) -> Literal["Succeeded"]:
        arguments = values.resolve(run.step.arguments, scope)
        arguments["MetadataProperties"] = {"GeneratedBy": execution.arn, **(arguments.get("MetadataProperties") or {})}
        report("Executing")
        arn = self._call(execution, "CreateModelPackage", arguments)["ModelPackageArn"]
        run.body["Metadata"] = {"RegisterModel": {"Arn": arn}}
        run.properties = dict(self._registry.package(arn).body)
        return "Succeeded"

    def _job(self, execution: Execution, run: StepRun, scope: Scope, report: Report) -> Literal["Succeeded", "Stopped"]:
        kind, api = JOBS[run.step.type], APIS[run.step.type]
        given = values.resolve(run.step.arguments.get(api.name), scope)
        name = _job_name(execution, run, given)
        own = replace(scope, execution={**scope.execution, api.name: name})
        arguments = {**values.resolve(run.step.arguments, own), api.name: name}
        run.cache_key = _cache_key(run.step.type, arguments)
        if hit := _cached(execution, run):
            run.properties, run.files = hit.properties, hit.files
            run.body |= {key: hit.body[key] for key in ("Metadata",)}
            return "Succeeded"
        self._call(execution, api.create, arguments)
        job = self._jobs.job(kind, name)
        run.body["Metadata"] = {kind.title: {"Arn": job.arn}}
        report("Executing")
        self._wait(execution, kind, job, report)
        return self._ended(execution, run, kind, job)

    def _wait(self, execution: Execution, kind: Kind, job: Job, report: Report) -> None:
        asked = False
        while not job.done.wait(POLL_SECONDS):
            if execution.stopping.is_set() and not asked:
                asked = True
                report("Stopping")
                self._jobs.ask_to_stop(kind, job)

    def _ended(self, execution: Execution, run: StepRun, kind: Kind, job: Job) -> Literal["Succeeded", "Stopped"]:
        status, reason = job.body[f"{kind.title}Status"], job.body.get("FailureReason", "")
        if status == "Completed":
            run.properties = dict(job.body)
            run.files = self._property_files(execution, run, job)
            return "Succeeded"
        if execution.stopping.is_set() and status == "Stopped":
            return "Stopped"
        if status == "Stopped":
            reason = f"ClientError: {kind.title} {job.name} was stopped ({job.body.get('SecondaryStatus', 'Stopped')})"
        raise StepFailed(reason, "SageMaker.JOB_INTERNAL_ERROR" if reason.startswith("InternalServerError") else "")

    def _property_files(self, execution: Execution, run: StepRun, job: Job) -> dict[str, Any]:
        if not run.step.files:
            return {}
        outputs = {output["OutputName"]: output for output in job.body["ProcessingOutputConfig"]["Outputs"]}
        s3 = Storage(self._cloud, self._credentials(execution))
        found = {}
        for name, (output, path) in run.step.files.items():
            uri = f"{outputs[output]['S3Output']['S3Uri'].rstrip('/')}/{path}"
            try:
                found[name] = json.loads(s3.read(*parse_uri(uri)))
            except (ValueError, StorageError) as error:
                raise StepFailed(f"ClientError: Property file {name} ({uri}) cannot be read: {error}") from error
        return found

    def _credentials(self, execution: Execution) -> Mapping[str, Any]:
        try:
            return self._cloud.assume_service_role(execution.body["RoleArn"], SERVICE, "SageMakerPipelines")
        except RoleRefused as error:
            raise StepFailed(f"ClientError: Failed to assume role {execution.body['RoleArn']}: {error}") from error

    def _call(self, execution: Execution, operation: str, arguments: Body) -> Body:
        client = self._cloud.client("sagemaker", self._credentials(execution))
        method = getattr(client, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).lower())
        failed = f"Failed to invoke sagemaker:{operation}. Error Details:"
        try:
            answer: Body = method(**arguments)
            return answer
        except ParamValidationError as error:
            raise StepFailed(f"ClientError: {failed} {error}") from error
        except ClientError as error:
            details = error.response["Error"]
            if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise StepFailed(f"InternalServerError: {failed} {details['Message']}", "Step.SERVICE_FAULT") from error
            kind = "Step.THROTTLING" if "Throttl" in details["Code"] else ""
            raise StepFailed(f"ClientError: {failed} {details['Message']}", kind) from error
        finally:
            client.close()


def _job_name(execution: Execution, run: StepRun, prefix: str | None) -> str:
    """`<prefix>-<execution id>-<random>`; without an own prefix `pipelines-<execution id>-<step>-<random>`."""
    ending = "".join(secrets.choice(_ALPHABET) for _ in range(10))
    head = f"{prefix}-{execution.id}" if prefix else f"pipelines-{execution.id}-{run.step.name}"
    return f"{head[: LONGEST_NAME - len(ending) - 1].rstrip('-').replace('_', '-')}-{ending}"


def _cache_key(kind: str, arguments: Mapping[str, Any]) -> str:
    return json.dumps({key: arguments.get(key) for key in CACHE_KEYS[kind]}, sort_keys=True)


def _cached(execution: Execution, run: StepRun) -> StepRun | None:
    """An earlier run of this step with the same inputs, when the step asks for caching; the newest."""
    config = run.step.raw.get("CacheConfig") or {}
    if not config.get("Enabled"):
        return None
    oldest = now() - duration(config["ExpireAfter"]) if config.get("ExpireAfter") else None
    for earlier in reversed(execution.earlier):
        hit = earlier.runs.get(run.step.name)
        if hit is None or hit.status != "Succeeded" or hit.cache_key != run.cache_key or "CacheHitResult" in hit.body:
            continue
        if oldest is None or hit.body["EndTime"] >= oldest:
            run.body["CacheHitResult"] = {"SourcePipelineExecutionArn": earlier.arn}
            return hit
    return None


def _retry_delay(run: StepRun, kind: str) -> float | None:
    """Seconds to wait before the next attempt; None when no retry policy of the step covers this failure."""
    for policy in run.step.raw.get("RetryPolicies") or ():
        attempts = run.body["AttemptCount"]
        if kind and kind in policy["ExceptionType"] and attempts <= policy["MaxAttempts"]:
            interval: float = policy.get("IntervalSeconds", 1) * policy.get("BackoffRate", 2.0) ** (attempts - 1)
            return interval
    return None
