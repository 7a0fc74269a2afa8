"""Application Auto Scaling: scalable targets and their policies."""

from __future__ import annotations

from ..shapes import request
from .kind import Client, Kind, Properties

SERVICE = "application-autoscaling"
_TARGET = ("ResourceId", "ScalableDimension", "ServiceNamespace")
_POLICY = ("PolicyName", *_TARGET)


def _place(physical: str) -> dict[str, str]:
    return dict(zip(_TARGET, physical.split("|"), strict=True))


def _register(client: Client, wanted: Properties) -> str:
    client.register_scalable_target(**wanted)
    return "|".join(wanted[name] for name in _TARGET)


def _change(client: Client, physical: str, before: Properties, after: Properties) -> None:
    if before and before != after:
        client.register_scalable_target(**after)


def _policy(wanted: Properties) -> dict[str, object]:
    """The call's parameters: ScalingTargetId, the Ref of a target, stands for the three that name it."""
    named = _place(wanted["ScalingTargetId"]) if "ScalingTargetId" in wanted else {}
    return {**{name: value for name, value in wanted.items() if name != "ScalingTargetId"}, **named}


def _put(client: Client, wanted: Properties) -> str:
    return str(client.put_scaling_policy(**_policy(wanted))["PolicyARN"])


def _put_again(client: Client, arn: str, before: Properties, after: Properties) -> None:
    if before and before != after:
        client.put_scaling_policy(**_policy(after))


def _delete_policy(client: Client, arn: str, had: Properties) -> None:
    given = _policy(had)
    client.delete_scaling_policy(**{name: given[name] for name in _POLICY})


KINDS = (
    Kind(
        type="AWS::ApplicationAutoScaling::ScalableTarget",
        service=SERVICE,
        properties=lambda: request(SERVICE, "RegisterScalableTarget", "Tags"),
        create=_register,
        apply=_change,
        delete=lambda client, physical, had: client.deregister_scalable_target(**_place(physical)),
        in_place=frozenset({"MinCapacity", "MaxCapacity", "RoleARN", "SuspendedState"}),
    ),
    Kind(
        type="AWS::ApplicationAutoScaling::ScalingPolicy",
        service=SERVICE,
        properties=lambda: {**request(SERVICE, "PutScalingPolicy"), "ScalingTargetId": "text"},
        named="PolicyName",
        create=_put,
        apply=_put_again,
        delete=_delete_policy,
        attributes=lambda client, arn, wanted: {"Arn": arn},
        in_place=frozenset({"PolicyType", "TargetTrackingScalingPolicyConfiguration"}),
    ),
)
