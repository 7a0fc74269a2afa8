"""How traffic moves to a new fleet: the stages of a blue/green deployment, and the alarms that end it.

Source: SageMaker developer guide, "Blue/Green Deployments". Rolling deployments do not exist here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from botocore.exceptions import ClientError

from sandbox.aws.core import Cloud
from sandbox.aws.sagemaker.errors import ValidationException
from sandbox.aws.sagemaker.jobs import SERVICE
from sandbox.aws.sts import RoleRefused

LARGEST_CANARY = 50
"""Percent of the new fleet that a canary may have."""


class Unreadable(Exception):
    """The alarms cannot be read, so nobody would notice."""


@dataclass(frozen=True)
class Stage:
    """A share of the traffic for the new fleet, 0 to 1, and how long it bakes with it."""

    share: float
    bakes: timedelta


@dataclass(frozen=True)
class Rollout:
    """The stages in their order, and the alarms any of which ends it."""

    stages: Sequence[Stage]
    alarms: Sequence[str]


def rollout(config: Mapping[str, Any] | None, instances: int) -> Rollout:
    """What a DeploymentConfig asks for; all at once and unwatched without one. `instances` are the new fleet's.

    Raises `ValidationException` for what AWS refuses and for what does not exist here.
    """
    config = config or {}
    if "RollingUpdatePolicy" in config:
        raise ValidationException("RollingUpdatePolicy: not available here.")
    policy = config.get("BlueGreenUpdatePolicy") or {}
    routing = policy.get("TrafficRoutingConfiguration") or {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    wait = timedelta(seconds=routing["WaitIntervalInSeconds"])
    shares = [*_steps(routing, instances), 1.0]
    stages = [Stage(share, wait) for share in shares]
    stages.append(Stage(1.0, timedelta(seconds=policy.get("TerminationWaitInSeconds", 0))))
    if routing["Type"] == "CANARY":
        stages[-2] = Stage(1.0, timedelta())  # it bakes with the canary, and then until the old fleet is ended
    alarms = [each["AlarmName"] for each in (config.get("AutoRollbackConfiguration") or {}).get("Alarms") or ()]
    return Rollout(stages, alarms)


def _steps(routing: Mapping[str, Any], instances: int) -> Iterator[float]:
    """The shares before all of it."""
    if routing["Type"] == "CANARY":
        yield _size(routing.get("CanarySize"), "CanarySize", instances)
    elif routing["Type"] == "LINEAR":
        step = _size(routing.get("LinearStepSize"), "LinearStepSize", instances)
        share = step
        while share < 1 - 1e-9:
            yield share
            share += step


def _size(size: Mapping[str, Any] | None, member: str, instances: int) -> float:
    if not size:
        raise ValidationException(f"{member} is required for this type of traffic routing.")
    percent = size["Value"] if size["Type"] == "CAPACITY_PERCENT" else 100 * size["Value"] / max(instances, 1)
    if percent > LARGEST_CANARY and size["Type"] == "CAPACITY_PERCENT":
        raise ValidationException(f"{member} must be at most {LARGEST_CANARY} percent of the new fleet's capacity.")
    return min(float(percent) / 100, 1.0)


def check(cloud: Cloud, alarms: Sequence[str]) -> None:
    """Raise `ValidationException` for alarms that do not exist."""
    from moto.cloudwatch.models import cloudwatch_backends

    known = cloudwatch_backends[cloud.account][cloud.region].alarms
    if missing := [name for name in alarms if name not in known]:
        raise ValidationException(f"Alarms that do not exist cannot roll a deployment back: {', '.join(missing)}.")


def firing(cloud: Cloud, role: str, alarms: Sequence[str]) -> list[str]:
    """Which of the alarms are in alarm, read as the model's execution role. Raises `Unreadable` when it may not."""
    try:
        client = cloud.client("cloudwatch", cloud.assume_service_role(role, SERVICE, "SageMaker"))
        found = client.describe_alarms(AlarmNames=list(alarms))["MetricAlarms"]
    except (ClientError, RoleRefused) as error:
        raise Unreadable(f"The alarms of the deployment cannot be read: {error}") from error
    return [each["AlarmName"] for each in found if each["StateValue"] == "ALARM"]
