"""A deployment: one CloudFormation stack with a model, its endpoint and what watches it. Create, read, delete.

Each function takes the boto3 client it needs. Reads give small frozen values; times are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from botocore.exceptions import ClientError

from pipeline import definition, scaling, source
from pipeline.absent import missing
from pipeline.errors import BadInput, NotFound, Refused
from pipeline.names import Environment, Monitor, Names
from pipeline.registry import Package
from pipeline.scaling import ScaleOn

INSTANCE_TYPE = "ml.m5.large"
"""Of an endpoint, when nobody says otherwise."""
SERVERLESS = "serverless"
"""Instead of an instance type, in dev: nothing runs until somebody asks. It captures nothing (SageMaker cannot), so
nobody watches it for drift."""

CAPTURED: Mapping[Environment, int] = MappingProxyType({"dev": 100, "staging": 100, "prod": 20})
"""Percent of the requests that are kept for the monitor. A window needs 200 of them to be called drift: production has
many more, and each kept photo is stored and read again."""
WATCHING = ("Monitor", "MonitorTimes", "MonitorHours", "MonitorState")
BASELINE = ("BaselineStatistics", "BaselineConstraints")
ACCEPTED = "/baselines/"
"""In the address of a baseline that people have accepted (`pipeline.baselines`)."""

_GONE = frozenset({"DELETE_COMPLETE"})
_DEAD = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", "REVIEW_IN_PROGRESS"})
_STUCK = frozenset({"UPDATE_ROLLBACK_FAILED"})


@dataclass(frozen=True)
class Stack:
    """A deployment's stack. `id` is its ARN, which also finds it after it has been deleted."""

    name: str
    id: str
    status: str
    reason: str
    parameters: Mapping[str, str]
    changed: datetime

    @property
    def digest(self) -> str:
        """Digest of the model it serves or is about to serve."""
        return self.parameters.get("Digest", "")

    @property
    def version(self) -> int | None:
        """Version of the registered model; None when a pipeline deployed what it had just trained."""
        ending = self.parameters.get("ModelPackageArn", "").rsplit("/", 1)[-1]
        return int(ending) if ending.isdecimal() else None

    @property
    def instance_type(self) -> str:
        """What its endpoint runs on."""
        return self.parameters.get("InstanceType") or INSTANCE_TYPE

    @property
    def busy(self) -> bool:
        """Whether CloudFormation is still working on it. One that was only ever previewed waits for nobody."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    @property
    def stuck(self) -> bool:
        """Whether taking a change back has failed as well: nothing can be changed before that is finished."""
        return self.status in _STUCK

    @property
    def failed(self) -> bool:
        """Whether the last thing done to it did not work out."""
        return "ROLLBACK" in self.status or self.status.endswith("_FAILED")

    @property
    def gone(self) -> bool:
        """Whether it was deleted."""
        return self.status in _GONE


@dataclass(frozen=True)
class Resource:
    """One resource of a stack: its name in the template, and in its own service, empty before it is made."""

    name: str
    own: str
    kind: str
    status: str
    reason: str
    changed: datetime


def publish_template(s3: Any, names: Names, env: Environment) -> str:
    """Put the stack template under its content address, unless it is there already, and return its https address."""
    return _published(s3, names, env, source.template()).url(env, names)


def publish_code(s3: Any, names: Names, env: Environment) -> str:
    """The same with the code that the deployment's monitor runs; its `s3://` address."""
    return _published(s3, names, env, source.code()).uri(env, names)


def _published(s3: Any, names: Names, env: Environment, artifact: source.Artifact) -> source.Artifact:
    try:
        s3.put_object(Bucket=names.bucket, Key=artifact.key(env), Body=artifact.data, IfNoneMatch="*")
    except ClientError as error:
        if error.response["Error"]["Code"] != "PreconditionFailed":
            raise
    return artifact


def parameters(
    names: Names,
    env: Environment,
    package: Package,
    instance_type: str,
    *,
    code: str,
    monitor: Monitor | None = None,
    canary: int = 0,
    scale_on: ScaleOn | None = None,
) -> dict[str, str]:
    """What the template is given to deploy one registered version, watched by the monitor in `code` (`s3://` address).

    Without `monitor` an update keeps the kind that the stack has, and without `scale_on` what it scales on. `canary` is
    the percentage of the new instances that get traffic first. Raises BadInput for an instance type that the model was
    not registered for.
    """
    runs_on(package, instance_type, env)
    return {
        "EnvironmentName": env,
        "EndpointName": names.stack(env),
        "ModelDataUrl": package.model,
        "ModelPackageArn": package.arn,
        "Digest": package.digest,
        "ShortDigest": package.digest[:8],
        "ImageUri": package.inference["Containers"][0]["Image"],
        "ExecutionRoleArn": names.role(f"{env}-execution"),
        "InstanceType": instance_type,
        "CaptureUri": f"s3://{names.bucket}/{env}/capture",
        "CapturePercent": str(CAPTURED[env]),
        "CodeUri": code,
        **{f"Baseline{kind}": uri for kind, uri in baseline(package).items()},
        "CanaryPercent": str(canary),
        **({"Monitor": monitor} if monitor else {}),
        **({"ScaleOn": scale_on} if scale_on else {}),
    }


def runs_on(package: Package, instance_type: str, env: Environment) -> None:
    """Raise BadInput for an instance type that the model was not registered for, Refused for one not for `env`."""
    if instance_type == SERVERLESS:
        if env != "dev":
            raise Refused(
                f"{env} is watched, and a serverless endpoint captures nothing that could be watched.",
                "Choose an instance type; serverless is for dev.",
            )
        return
    allowed = package.inference.get("SupportedRealtimeInferenceInstanceTypes") or [instance_type]
    if instance_type not in allowed:
        raise BadInput(f"The model does not run on {instance_type!r}.", f"Instance types: {', '.join(allowed)}.")


def baseline(package: Package) -> dict[str, str]:
    """Where a version's drift baseline lies: `Statistics` and `Constraints`, both empty when it has none."""
    files = package.metrics.get("ModelDataQuality", {})
    return {kind: str(files.get(kind, {}).get("S3Uri", "")) for kind in ("Statistics", "Constraints")}


def find(cloudformation: Any, name_or_id: str) -> Stack | None:
    """The stack by name or ARN; None when it does not exist."""
    try:
        found = cloudformation.describe_stacks(StackName=name_or_id)["Stacks"][0]
    except ClientError as error:
        if missing(error):
            return None
        raise
    return Stack(
        name=found["StackName"],
        id=found["StackId"],
        status=found["StackStatus"],
        reason=found.get("StackStatusReason", ""),
        parameters={item["ParameterKey"]: item.get("ParameterValue", "") for item in found.get("Parameters", [])},
        changed=found.get("LastUpdatedTime") or found["CreationTime"],
    )


def changeable(cloudformation: Any, names: Names, env: Environment) -> Stack | None:
    """The environment's stack, None when there is none yet.

    Raises Refused while something else is being done to it, and when its last creation failed.
    """
    existing = find(cloudformation, names.stack(env))
    if existing is None or existing.gone:
        return None
    if existing.busy:
        raise Refused(
            f"{existing.name} is busy: {existing.status}.", f"`deployment status --env {env}` shows when it is done."
        )
    if existing.stuck:
        raise Refused(
            f"{existing.name} is stuck half-way: taking its last change back failed too ({existing.status}).",
            f"`deployment recover --env {env}` tries that again, once what it says is put right.",
        )
    if existing.status in _DEAD:
        raise Refused(
            f"{existing.name} is left over from a deployment that failed: {existing.status}.",
            f"`deployment delete --env {env}` removes it; then deploy again.",
        )
    return existing


def deploy(
    cloudformation: Any,
    names: Names,
    env: Environment,
    *,
    template_url: str,
    parameters: Mapping[str, str],
    token: str,
) -> tuple[str, Literal["created", "updated", "unchanged"]]:
    """Start creating or updating the environment's stack; returns its ARN and what was started.

    Raises Refused for a change that cannot be made now (see `changeable`) or that CloudFormation could not make.
    """
    existing = changeable(cloudformation, names, env)
    given = prepared(existing, env, parameters)
    return _put(cloudformation, names, env, existing, given, template_url, token)


def prepared(existing: Stack | None, env: Environment, parameters: Mapping[str, str]) -> dict[str, str]:
    """All parameters of a deployment: what is given, and what a stack that exists keeps. Raises Refused."""
    before = existing.parameters if existing else {}
    same = existing is not None and existing.digest == parameters["Digest"]
    given = parameters if existing is None else _kept(existing, _same_model(existing, env, parameters))
    return {**given, **scaling.for_deployment(env, before, parameters, same_model=same)}


def change(
    cloudformation: Any,
    names: Names,
    env: Environment,
    *,
    template_url: str,
    changes: Mapping[str, str],
    token: str,
) -> tuple[str, Literal["created", "updated", "unchanged"]]:
    """Start changing some parameters of the environment's stack, with all others as they are; as `deploy` otherwise.

    Raises NotFound when there is none, Refused while something else is done to it.
    """
    existing = changeable(cloudformation, names, env)
    if existing is None:
        raise NotFound("deployment in environment", env, advice=f"`deployment create --env {env}` makes one.")
    scaled = scaling.for_deployment(env, existing.parameters, changes, same_model=True)
    given = {**existing.parameters, **changes, **scaled}
    return _put(cloudformation, names, env, existing, given, template_url, token)


def _put(
    cloudformation: Any,
    names: Names,
    env: Environment,
    existing: Stack | None,
    given: Mapping[str, str],
    template_url: str,
    token: str,
) -> tuple[str, Literal["created", "updated", "unchanged"]]:
    request = {
        "StackName": names.stack(env),
        "TemplateURL": template_url,
        "RoleARN": names.role(f"{env}-deploy"),
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        "Tags": definition.tags(env),
        "ClientRequestToken": token,
    }
    try:
        if existing is None:
            return str(cloudformation.create_stack(**request)["StackId"]), "created"
        return str(cloudformation.update_stack(**request)["StackId"]), "updated"
    except ClientError as error:
        code, words = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if existing is not None and "No updates are to be performed" in words:
            return existing.id, "unchanged"
        if code == "AlreadyExistsException" or "_IN_PROGRESS state" in words:
            raise Refused(
                f"Somebody else began to change {names.stack(env)} in the same moment.",
                f"`deployment status --env {env}` shows what they do; try again when it is done.",
            ) from error
        raise


def _same_model(existing: Stack, env: Environment, parameters: Mapping[str, str]) -> Mapping[str, str]:
    """Resources are named after the model's digest and CloudFormation cannot replace what has a name of its own.

    So the same model keeps its address (the bytes are the same), the share of requests that is kept, and how it took
    over. No model changes the instance type: AWS refuses that while an endpoint scales (SageMaker developer guide,
    "Update endpoints that use auto scaling").
    """
    before = existing.parameters.get("InstanceType", "")
    if before != parameters["InstanceType"]:
        raise Refused(
            f"{existing.name} runs on {before}; an endpoint that scales cannot change its instance type.",
            f"Say `--instance-type {before}`, or `deployment delete --env {env}` first.",
        )
    if existing.digest != parameters["Digest"]:
        return parameters
    fixed = ("ModelDataUrl", "CapturePercent", "CanaryPercent", "BakeSeconds")
    return {**parameters, **{name: existing.parameters[name] for name in fixed if name in existing.parameters}}


def _kept(existing: Stack, parameters: Mapping[str, str]) -> Mapping[str, str]:
    """A parameter that is not given would go back to its default: how it is watched is not chosen anew each time.

    The same model also keeps a baseline that people have accepted for it.
    """
    same = existing.digest == parameters["Digest"]
    accepted = BASELINE if same and ACCEPTED in existing.parameters.get("BaselineStatistics", "") else ()
    watched = {name: existing.parameters[name] for name in WATCHING if name in existing.parameters}
    return {**watched, **parameters, **{name: existing.parameters[name] for name in accepted}}


def delete(cloudformation: Any, names: Names, env: Environment, *, token: str) -> None:
    """Start deleting the environment's stack, with the deploy role."""
    cloudformation.delete_stack(
        StackName=names.stack(env), RoleARN=names.role(f"{env}-deploy"), ClientRequestToken=token
    )


def recover(cloudformation: Any, names: Names, env: Environment, *, token: str) -> None:
    """Go on taking back the change of a stack that is stuck, with the deploy role."""
    cloudformation.continue_update_rollback(
        StackName=names.stack(env), RoleARN=names.role(f"{env}-deploy"), ClientRequestToken=token
    )


def resources(cloudformation: Any, stack_id: str) -> list[Resource]:
    """A stack's resources, in the order in which they last changed."""
    found = cloudformation.describe_stack_resources(StackName=stack_id)["StackResources"]
    rows = [
        Resource(
            name=item["LogicalResourceId"],
            own=item.get("PhysicalResourceId", "").rsplit("/", 1)[-1],
            kind=item["ResourceType"],
            status=item["ResourceStatus"],
            reason=item.get("ResourceStatusReason", ""),
            changed=item["Timestamp"],
        )
        for item in found
    ]
    return sorted(rows, key=lambda row: row.changed)


def first_failure(cloudformation: Any, stack_id: str) -> str:
    """Why the last attempt failed: the first failure among the stack's latest events; empty when there is none."""
    events = cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]
    reason = ""
    for event in events:
        if event["ResourceStatus"].endswith("_FAILED") and "cancelled" not in event.get("ResourceStatusReason", ""):
            reason = f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}"
        started = event["ResourceStatus"] in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
        if started and event["ResourceType"] == "AWS::CloudFormation::Stack":
            break
    return reason


@dataclass(frozen=True)
class EndpointNow:
    """An endpoint's status (`InService`, `Creating`, …), why it failed, and how many instances it has now."""

    status: str
    reason: str
    instances: int


def endpoint_now(sagemaker: Any, name: str) -> EndpointNow | None:
    """How an endpoint stands; None when it does not exist."""
    try:
        found = sagemaker.describe_endpoint(EndpointName=name)
    except ClientError as error:
        if missing(error):
            return None
        raise
    count = sum(int(each.get("CurrentInstanceCount") or 0) for each in found.get("ProductionVariants", ()))
    return EndpointNow(str(found["EndpointStatus"]), str(found.get("FailureReason", "")), count)
