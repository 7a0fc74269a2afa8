"""Application Auto Scaling for the variants of endpoints: bounds, target tracking, and the activities that follow.

A policy makes the two alarms that AWS makes for it (`TargetTracking-<resource>-AlarmHigh-…`, `…-AlarmLow-…`); as time
passes their states are read here and the variant's instance count is set. AWS looks at the high-resolution metric every
ten seconds, CloudWatch here every minute. Step and scheduled scaling, and other services, do not exist.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse

from sandbox.aws.metrics import key
from sandbox.aws.sagemaker.endpoints import Endpoints

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud

log = logging.getLogger(__name__)

NAMESPACE = "sagemaker"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
METRICS = {
    # Predefined metric -> (metric of AWS/SageMaker, statistic, minutes above the target that scale out)
    "SageMakerVariantConcurrentRequestsPerModelHighResolution": ("ConcurrentRequestsPerModel", "Maximum", 1),
    "SageMakerVariantInvocationsPerInstance": ("InvocationsPerInstance", "Sum", 3),
}
LOW_SHARE, LOW_MINUTES = 0.9, 15
"""Scaling in: below this share of the target for so long (AWS's own alarms)."""
COOLDOWN_SECONDS = 300
"""Where a policy says nothing, for endpoint variants."""
_RESOURCE = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")


class ValidationException(ServiceException):
    """The request cannot be used."""

    code = "ValidationException"


class ObjectNotFound(ServiceException):
    """No such scalable target or policy."""

    code = "ObjectNotFoundException"


@dataclass
class Policy:
    """One target-tracking policy with the names of its two alarms."""

    name: str
    arn: str
    settings: Mapping[str, Any]
    high: str
    low: str
    created: datetime

    @property
    def metric(self) -> str:
        """The predefined metric's name."""
        return str(self.settings["PredefinedMetricSpecification"]["PredefinedMetricType"])


@dataclass
class Target:
    """A variant whose instance count is kept between two bounds."""

    resource: str
    least: int
    most: int
    arn: str
    created: datetime
    policies: dict[str, Policy] = field(default_factory=dict)
    activities: list[dict[str, Any]] = field(default_factory=list)
    scaled: datetime | None = None

    @property
    def place(self) -> tuple[str, str]:
        """Endpoint and variant."""
        found = _RESOURCE.fullmatch(self.resource)
        if found is None:
            raise ValidationException(f"{self.resource} is no variant of an endpoint")
        return found[1], found[2]


class Scaling:
    """All scalable targets of the account."""

    def __init__(self, cloud: Cloud, endpoints: Endpoints) -> None:
        self._cloud = cloud
        self._endpoints = endpoints
        self._lock = threading.RLock()
        self._targets: dict[str, Target] = {}
        cloud.clock.follow(self.tick)
        endpoints.scaled = self._is_scaled

    # --- API -------------------------------------------------------------------------------------------------------

    def register_scalable_target(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """RegisterScalableTarget: a new target needs both bounds, a known one changes those given; both take effect."""
        resource = self._variant(params)
        with self._lock:
            had = self._targets.get(resource)
            least = params.get("MinCapacity", had.least if had else None)
            most = params.get("MaxCapacity", had.most if had else None)
            if least is None or most is None:
                raise ValidationException("MinCapacity and MaxCapacity are required for a new scalable target")
            if not 1 <= least <= most:
                raise ValidationException("Maximum capacity cannot be less than minimum capacity, nor that than 1")
            if had is None:
                arn = f"arn:aws:application-autoscaling:{self._cloud.region}:{self._cloud.account}:scalable-target/"
                had = Target(resource, least, most, arn + uuid.uuid4().hex[:24], self._cloud.clock.now())
                had.place  # noqa: B018 (raises for what is no variant)
                self._endpoints.count(*had.place)  # raises for one that does not exist
                self._targets[resource] = had
            had.least, had.most = least, most
            self._bound(had)
        return {"ScalableTargetARN": had.arn}

    def deregister_scalable_target(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """DeregisterScalableTarget, with its policies."""
        with self._lock:
            target = self._target(params)
            for name in list(target.policies):
                self.delete_scaling_policy({**params, "PolicyName": name})
            del self._targets[target.resource]
        return {}

    def describe_scalable_targets(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """DescribeScalableTargets."""
        wanted = params.get("ResourceIds") or list(self._targets)
        rows = [
            {
                **_about(target.resource),
                "MinCapacity": target.least,
                "MaxCapacity": target.most,
                "ScalableTargetARN": target.arn,
                "CreationTime": target.created,
                "RoleARN": f"arn:aws:iam::{self._cloud.account}:role/aws-service-role/sagemaker.application-autoscaling"
                ".amazonaws.com/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
            }
            for target in list(self._targets.values())
            if target.resource in wanted
        ]
        return {"ScalableTargets": rows}

    def put_scaling_policy(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """PutScalingPolicy: target tracking on a predefined metric, with its two alarms, in the caller's name."""
        settings = params.get("TargetTrackingScalingPolicyConfiguration")
        if params.get("PolicyType") != "TargetTrackingScaling" or not settings:
            raise ValidationException("Only target tracking exists here.")
        metric = (settings.get("PredefinedMetricSpecification") or {}).get("PredefinedMetricType")
        if metric not in METRICS:
            raise ValidationException(f"Predefined metric type {metric} is not supported for this scalable target.")
        with self._lock:
            target, name = self._target(params), params["PolicyName"]
            had = target.policies.get(name)
            if had is not None:
                self._forget_alarms(had)
            identity = str(uuid.uuid4())
            place = f"{target.resource}:policyName/{name}"
            arn = f"arn:aws:autoscaling:{self._cloud.region}:{self._cloud.account}:scalingPolicy:{identity}"
            policy = Policy(
                name,
                had.arn if had else f"{arn}:resource/{NAMESPACE}/{place}",
                settings,
                *(f"TargetTracking-{target.resource}-Alarm{kind}-{identity}" for kind in ("High", "Low")),
                self._cloud.clock.now(),
            )
            self._make_alarms(target, policy)
            target.policies[name] = policy
        return {"PolicyARN": policy.arn, "Alarms": self._alarms(policy)}

    def delete_scaling_policy(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """DeleteScalingPolicy, with its alarms."""
        with self._lock:
            target = self._target(params)
            policy = target.policies.get(params["PolicyName"])
            if policy is None:
                raise ObjectNotFound(f"No scaling policy found for resource ID: {target.resource}")
            self._forget_alarms(policy)
            del target.policies[policy.name]
        return {}

    def describe_scaling_policies(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """DescribeScalingPolicies."""
        rows = [
            {
                **_about(target.resource),
                "PolicyARN": policy.arn,
                "PolicyName": policy.name,
                "PolicyType": "TargetTrackingScaling",
                "TargetTrackingScalingPolicyConfiguration": policy.settings,
                "Alarms": self._alarms(policy),
                "CreationTime": policy.created,
            }
            for target in list(self._targets.values())
            if params.get("ResourceId") in (None, target.resource)
            for policy in list(target.policies.values())
            if not params.get("PolicyNames") or policy.name in params["PolicyNames"]
        ]
        return {"ScalingPolicies": rows}

    def describe_scaling_activities(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """DescribeScalingActivities, newest first."""
        rows = [
            activity
            for target in list(self._targets.values())
            if params.get("ResourceId") in (None, target.resource)
            for activity in target.activities
        ]
        return {"ScalingActivities": sorted(rows, key=lambda row: row["StartTime"], reverse=True)}

    # --- as time passes --------------------------------------------------------------------------------------------

    def tick(self, now: datetime) -> None:
        """Read the policies' alarms, and scale."""
        with self._lock:
            for target in list(self._targets.values()):
                if not self._endpoints.exists(target.place[0]):
                    del self._targets[target.resource]  # deleted past us: its target goes with it
                    continue
                for policy in target.policies.values():
                    self._follow(target, policy, now)

    def _follow(self, target: Target, policy: Policy, now: datetime) -> None:
        states = {name: self._state(name) for name in (policy.high, policy.low)}
        out, in_ = states[policy.high] == "ALARM", states[policy.low] == "ALARM"
        if not out and (not in_ or policy.settings.get("DisableScaleIn")):
            return
        pause = policy.settings.get("ScaleOutCooldown" if out else "ScaleInCooldown", COOLDOWN_SECONDS)
        if target.scaled is not None and now < target.scaled + timedelta(seconds=pause):
            return
        current, value = self._endpoints.count(*target.place), self._value(target, policy, now)
        if value is None:
            return
        wanted = math.ceil(current * value / policy.settings["TargetValue"])
        wanted = max(wanted, current + 1) if out else min(wanted, current)
        alarm = policy.high if out else policy.low
        if self._set(target, wanted, f"monitor alarm {alarm} in state ALARM triggered policy {policy.name}"):
            target.scaled = now

    def _bound(self, target: Target) -> None:
        current = self._endpoints.count(*target.place)
        kind = "minimum" if current < target.least else "maximum"
        self._set(target, current, f"{kind} capacity was set to {min(max(current, target.least), target.most)}")

    def _set(self, target: Target, wanted: int, cause: str) -> bool:
        current = self._endpoints.count(*target.place)
        count = min(max(wanted, target.least), target.most)
        if count == current:
            return False
        self._endpoints.resize(*target.place, count)
        moment = self._cloud.clock.now()
        target.activities.append(
            {
                **_about(target.resource),
                "ActivityId": str(uuid.uuid4()),
                "Description": f"Setting desired instance count to {count}.",
                "Cause": cause,
                "StartTime": moment,
                "EndTime": moment,
                "StatusCode": "Successful",
                "StatusMessage": f"Successfully set desired instance count to {count}.",
            }
        )
        return True

    def _value(self, target: Target, policy: Policy, now: datetime) -> float | None:
        """The metric in the last minute that has any."""
        name, statistic, _ = METRICS[policy.metric]
        endpoint, variant = target.place
        metric = key("AWS/SageMaker", name, (("EndpointName", endpoint), ("VariantName", variant)))
        found = self._cloud.metrics.samples(metric, now - timedelta(minutes=LOW_MINUTES + 1))
        last = max(found, key=lambda each: each.at, default=None)
        return None if last is None else last.high if statistic == "Maximum" else last.total

    # --- its alarms ------------------------------------------------------------------------------------------------

    def _make_alarms(self, target: Target, policy: Policy) -> None:
        name, statistic, minutes = METRICS[policy.metric]
        endpoint, variant = target.place
        limit = float(policy.settings["TargetValue"])
        client = self._cloud.client("cloudwatch", self._cloud.caller().credentials())
        rows = (
            (policy.high, "GreaterThanThreshold", limit, minutes),
            (policy.low, "LessThanThreshold", limit * LOW_SHARE, LOW_MINUTES),
        )
        for alarm, operator, threshold, periods in rows:
            client.put_metric_alarm(
                AlarmName=alarm,
                AlarmDescription="DO NOT EDIT OR DELETE. For TargetTrackingScaling policy.",
                Namespace="AWS/SageMaker",
                MetricName=name,
                Dimensions=[{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}],
                Statistic=statistic,
                Period=60,
                EvaluationPeriods=periods,
                Threshold=threshold,
                ComparisonOperator=operator,
            )

    def _forget_alarms(self, policy: Policy) -> None:
        client = self._cloud.client("cloudwatch", self._cloud.caller().credentials())
        client.delete_alarms(AlarmNames=[policy.high, policy.low])

    def _alarms(self, policy: Policy) -> list[dict[str, str]]:
        arn = f"arn:aws:cloudwatch:{self._cloud.region}:{self._cloud.account}:alarm:"
        return [{"AlarmName": name, "AlarmARN": arn + name} for name in (policy.high, policy.low)]

    def _state(self, name: str) -> str:
        from moto.cloudwatch.models import cloudwatch_backends

        alarm = cloudwatch_backends[self._cloud.account][self._cloud.region].alarms.get(name)
        return str(alarm.state_value) if alarm is not None else "INSUFFICIENT_DATA"

    # --- what is meant ---------------------------------------------------------------------------------------------

    def _is_scaled(self, endpoint: str) -> bool:
        return any(target.place[0] == endpoint for target in list(self._targets.values()))

    @staticmethod
    def _variant(params: Mapping[str, Any]) -> str:
        if params.get("ServiceNamespace") != NAMESPACE or params.get("ScalableDimension") != DIMENSION:
            raise ValidationException(f"Here only {DIMENSION} of {NAMESPACE} scales.")
        return str(params["ResourceId"])

    def _target(self, params: Mapping[str, Any]) -> Target:
        resource = self._variant(params)
        if resource not in self._targets:
            raise ObjectNotFound(
                f"No scalable target found for service namespace: {NAMESPACE}, resource ID: {resource}, scalable "
                f"dimension: {DIMENSION}"
            )
        return self._targets[resource]


def _about(resource: str) -> dict[str, str]:
    return {"ServiceNamespace": NAMESPACE, "ResourceId": resource, "ScalableDimension": DIMENSION}


OPERATIONS = (
    *("register_scalable_target", "deregister_scalable_target", "describe_scalable_targets", "put_scaling_policy"),
    *("delete_scaling_policy", "describe_scaling_policies", "describe_scaling_activities"),
)


def install(cloud: Cloud, endpoints: Endpoints) -> None:
    """Answer Application Auto Scaling's operations from here instead of moto. Call before the first request."""
    scaling = Scaling(cloud, endpoints)

    class Responses(BaseResponse):
        def __init__(self) -> None:
            super().__init__(service_name="application-autoscaling")
            self.automated_parameter_parsing = True

    for name in OPERATIONS:
        setattr(Responses, name, _method(getattr(scaling, name)))
    cloud.responses["application-autoscaling"] = Responses


def _method(answer: Any) -> Any:
    def method(self: BaseResponse) -> ActionResult:
        return ActionResult(answer({name: value for name, value in self.params.items() if value is not None}))

    return method
