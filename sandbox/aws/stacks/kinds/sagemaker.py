"""Models, endpoint configurations, endpoints, model package groups: properties are the Create calls' parameters."""

from __future__ import annotations

from botocore.exceptions import ClientError

from ..errors import ResourceFailure
from ..shapes import Shape, request
from .kind import Client, Kind, Properties, changed, retag, tag_list

_ENDPOINT_UPDATES = (
    *("EndpointConfigName", "DeploymentConfig", "RetainAllVariantProperties"),
    "ExcludeRetainedVariantProperties",
)


def _name(arn: str) -> str:
    return arn.rsplit("/", 1)[1]


def retag_arn(client: Client, arn: str, before: Properties, after: Properties) -> None:
    """Bring the tags of a SageMaker resource from `before` to `after`."""
    retag(
        before,
        after,
        lambda tags: client.add_tags(ResourceArn=arn, Tags=tag_list(tags)),
        lambda keys: client.delete_tags(ResourceArn=arn, TagKeys=keys),
    )


def _endpoint_properties() -> dict[str, Shape]:
    updates = request("sagemaker", "UpdateEndpoint")
    return {**request("sagemaker", "CreateEndpoint"), **{name: updates[name] for name in _ENDPOINT_UPDATES}}


def _create_endpoint(client: Client, wanted: Properties) -> str:
    parameters = {name: wanted[name] for name in request("sagemaker", "CreateEndpoint") if name in wanted}
    return str(client.create_endpoint(**parameters)["EndpointArn"])


def _apply_endpoint(client: Client, arn: str, before: Properties, after: Properties) -> None:
    if before and any(changed(name, before, after) for name in _ENDPOINT_UPDATES):
        wanted = {name: after[name] for name in _ENDPOINT_UPDATES if name in after}
        client.update_endpoint(EndpointName=_name(arn), **wanted)
    retag_arn(client, arn, before, after)


def _endpoint_settled(client: Client, arn: str, wanted: Properties) -> bool:
    found = client.describe_endpoint(EndpointName=_name(arn))
    status, reason = found["EndpointStatus"], found.get("FailureReason", "")
    if status == "InService" and found["EndpointConfigName"] != wanted["EndpointConfigName"]:
        raise ResourceFailure(f"The update of endpoint {_name(arn)} was rolled back by SageMaker. {reason}".strip())
    if status in ("Failed", "OutOfService", "UpdateRollbackFailed"):
        raise ResourceFailure(f"Endpoint {_name(arn)} is in status {status}. {reason}".strip())
    return bool(status == "InService")


def _endpoint_gone(client: Client, arn: str) -> bool:
    try:
        found = client.describe_endpoint(EndpointName=_name(arn))
    except ClientError as refusal:
        if refusal.response["Error"]["Code"] in ("ValidationException", "ResourceNotFound"):
            return True
        raise
    if found["EndpointStatus"] == "Failed":
        raise ResourceFailure(f"Endpoint {_name(arn)} could not be deleted. {found.get('FailureReason', '')}".strip())
    return False


KINDS = (
    Kind(
        type="AWS::SageMaker::Model",
        service="sagemaker",
        properties=lambda: request("sagemaker", "CreateModel"),
        named="ModelName",
        create=lambda client, wanted: str(client.create_model(**wanted)["ModelArn"]),
        apply=retag_arn,
        delete=lambda client, arn, had: client.delete_model(ModelName=_name(arn)),
        attributes=lambda client, arn, wanted: {"ModelName": _name(arn), "ModelArn": arn},
        in_place=frozenset({"Tags"}),
    ),
    Kind(
        type="AWS::SageMaker::EndpointConfig",
        service="sagemaker",
        properties=lambda: request("sagemaker", "CreateEndpointConfig", "CrossRegionTrafficConfig"),
        named="EndpointConfigName",
        create=lambda client, wanted: str(client.create_endpoint_config(**wanted)["EndpointConfigArn"]),
        apply=retag_arn,
        delete=lambda client, arn, had: client.delete_endpoint_config(EndpointConfigName=_name(arn)),
        attributes=lambda client, arn, wanted: {"EndpointConfigName": _name(arn), "EndpointConfigArn": arn},
        in_place=frozenset({"Tags"}),
    ),
    Kind(
        type="AWS::SageMaker::Endpoint",
        service="sagemaker",
        properties=_endpoint_properties,
        named="EndpointName",
        create=_create_endpoint,
        apply=_apply_endpoint,
        delete=lambda client, arn, had: client.delete_endpoint(EndpointName=_name(arn)),
        attributes=lambda client, arn, wanted: {"EndpointName": _name(arn), "EndpointArn": arn},
        in_place=frozenset({"Tags", *_ENDPOINT_UPDATES}),
        settled=_endpoint_settled,
        gone=_endpoint_gone,
    ),
    Kind(
        type="AWS::SageMaker::ModelPackageGroup",
        service="sagemaker",
        properties=lambda: request("sagemaker", "CreateModelPackageGroup", "ManagedConfiguration"),
        named="ModelPackageGroupName",
        create=lambda client, wanted: str(client.create_model_package_group(**wanted)["ModelPackageGroupArn"]),
        apply=retag_arn,
        delete=lambda client, arn, had: client.delete_model_package_group(ModelPackageGroupName=_name(arn)),
        attributes=lambda client, arn, wanted: {"ModelPackageGroupArn": arn},
        in_place=frozenset({"Tags"}),
    ),
)
