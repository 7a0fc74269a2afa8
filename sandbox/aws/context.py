"""The context keys of a request: what conditions in policies can ask about caller, request and resource.

Keys are lower-case; a key that has no value is absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from sandbox.aws.actions import Need
from sandbox.aws.calls import Call
from sandbox.aws.identity import Principal

Values = dict[str, tuple[str, ...]]


def of_caller(principal: Principal, region: str, now: datetime) -> Values:
    """Keys that are the same for every need of one request."""
    session = principal.session
    keys: dict[str, str | None] = {
        "aws:PrincipalArn": session.role_arn if session else principal.arn,
        "aws:PrincipalAccount": principal.who.account,
        "aws:PrincipalType": {"root": "Account", "user": "User"}.get(principal.kind, "AssumedRole"),
        "aws:userid": principal.user_id,
        "aws:username": principal.user_name,
        "aws:SourceIdentity": principal.source_identity,
        "aws:RequestedRegion": region,
        "aws:CurrentTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:EpochTime": str(int(now.timestamp())),
        "aws:SourceIp": "127.0.0.1",
        # The stand-in has no TLS; policies that insist on it must work here as they do on AWS.
        "aws:SecureTransport": "true",
        "aws:ViaAWSService": "false",
        "aws:TokenIssueTime": session.issued.strftime("%Y-%m-%dT%H:%M:%SZ") if session else None,
    }
    tags = {f"aws:principaltag/{key}".lower(): (value,) for key, value in principal.tags.items()}
    values: Values = {key.lower(): (value,) for key, value in keys.items() if value is not None}
    return values | tags


def of_call(call: Call) -> Values:
    """Keys of what is asked: tags being set, instance types, the role of a stack, the prefix of a listing."""
    values = _request_tags(_tags_of(call.params))
    reader = _OF_SERVICE.get(call.service)
    return values | (reader(call.operation, call.params) if reader else {})


def of_need(need: Need, resource_tags: Mapping[str, str]) -> Values:
    """Keys of one resource, and of the service a role is passed to."""
    prefix = need.action.partition(":")[0]
    values: Values = {}
    for key, value in resource_tags.items():
        values[f"aws:resourcetag/{key}".lower()] = (value,)
        values[f"{prefix}:resourcetag/{key}".lower()] = (value,)
    if need.passed_to is not None:
        values["iam:passedtoservice"] = (need.passed_to,)
    return values


def of_assume_role(params: Mapping[str, Any], source_identity: str | None) -> Values:
    """Keys of sts:AssumeRole, sts:TagSession and sts:SetSourceIdentity."""
    tags = {tag["Key"]: tag["Value"] for tag in params.get("Tags") or []}
    values = _request_tags(tags) | {"sts:rolesessionname": (params["RoleSessionName"],)}
    if params.get("TransitiveTagKeys"):
        values["sts:transitivetagkeys"] = tuple(params["TransitiveTagKeys"])
    if params.get("ExternalId"):
        values["sts:externalid"] = (params["ExternalId"],)
    if source_identity is not None:
        values["sts:sourceidentity"] = (source_identity,)
    return values


def _request_tags(tags: Mapping[str, str]) -> Values:
    values: Values = {f"aws:requesttag/{key}".lower(): (value,) for key, value in tags.items()}
    return values | ({"aws:tagkeys": tuple(tags)} if tags else {})


def _tags_of(params: Mapping[str, Any]) -> dict[str, str]:
    for name in ("Tags", "tags"):
        given = params.get(name)
        if isinstance(given, Mapping):
            return dict(given)
        if isinstance(given, list):
            return {tag["Key"]: tag.get("Value", "") for tag in given}
    return {}


def _present(pairs: Iterable[tuple[str, Any]]) -> Values:
    return {key: (_text(value),) for key, value in pairs if value not in (None, "")}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _everywhere(value: Any, name: str) -> Iterator[Any]:
    """All values of a member of this name, however deep."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == name:
                yield inner
            yield from _everywhere(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _everywhere(inner, name)


def _several(params: Mapping[str, Any], name: str) -> tuple[str, ...]:
    flat: list[str] = []
    for found in _everywhere(params, name):
        flat += found if isinstance(found, list) else [found]
    return tuple(dict.fromkeys(_text(item) for item in flat))


# SageMaker keys and the request members, at any depth, that carry them.
_SAGEMAKER_MEMBERS = {
    "sagemaker:instancetypes": "InstanceType",
    "sagemaker:maxruntimeinseconds": "MaxRuntimeInSeconds",
    "sagemaker:networkisolation": "EnableNetworkIsolation",
    "sagemaker:intercontainertrafficencryption": "EnableInterContainerTrafficEncryption",
    "sagemaker:vpcsubnets": "Subnets",
    "sagemaker:vpcsecuritygroupids": "SecurityGroupIds",
    "sagemaker:volumekmskey": "VolumeKmsKeyId",
    "sagemaker:outputkmskey": "KmsKeyId",
    "sagemaker:modelapprovalstatus": "ModelApprovalStatus",
    "sagemaker:custommetadatapropertiestoremove": "CustomerMetadataPropertiesToRemove",
    "sagemaker:targetmodel": "TargetModel",
    "sagemaker:modellifecycle/stage": "Stage",
    "sagemaker:modellifecycle/stagestatus": "StageStatus",
}


def _sagemaker(operation: str, params: Mapping[str, Any]) -> Values:
    values = {key: found for key, name in _SAGEMAKER_MEMBERS.items() if (found := _several(params, name))}
    for key, value in (params.get("CustomerMetadataProperties") or {}).items():
        values[f"sagemaker:customermetadataproperties/{key}".lower()] = (str(value),)
    if operation.startswith("Create") and params.get("Tags"):
        values["sagemaker:taggingaction"] = (operation,)
    return values


def _cloudformation(operation: str, params: Mapping[str, Any]) -> Values:
    values = _present(
        [
            ("cloudformation:rolearn", params.get("RoleARN")),
            ("cloudformation:templateurl", params.get("TemplateURL")),
            ("cloudformation:stackpolicyurl", params.get("StackPolicyURL")),
            ("cloudformation:changesetname", params.get("ChangeSetName")),
        ]
    )
    if params.get("ResourceTypes"):
        values["cloudformation:resourcetypes"] = tuple(params["ResourceTypes"])
    return values


def _s3(operation: str, params: Mapping[str, Any]) -> Values:
    listing = operation.startswith("List")
    return _present(
        [
            ("s3:prefix", params.get("Prefix") if listing else None),
            ("s3:delimiter", params.get("Delimiter") if listing else None),
            ("s3:max-keys", params.get("MaxKeys") if listing else None),
            ("s3:versionid", params.get("VersionId")),
            ("s3:x-amz-acl", params.get("ACL")),
            ("s3:x-amz-server-side-encryption", params.get("ServerSideEncryption")),
        ]
    )


def _iam(operation: str, params: Mapping[str, Any]) -> Values:
    return _present(
        [("iam:permissionsboundary", params.get("PermissionsBoundary")), ("iam:policyarn", params.get("PolicyArn"))]
    )


def _events(operation: str, params: Mapping[str, Any]) -> Values:
    entries = params.get("Entries") or []
    values = {
        "events:source": tuple(dict.fromkeys(entry["Source"] for entry in entries if entry.get("Source"))),
        "events:detail-type": tuple(dict.fromkeys(e["DetailType"] for e in entries if e.get("DetailType"))),
        "events:targetarn": tuple(target["Arn"] for target in params.get("Targets") or [] if target.get("Arn")),
    }
    return {key: found for key, found in values.items() if found}


def _cloudwatch(operation: str, params: Mapping[str, Any]) -> Values:
    return {"cloudwatch:namespace": (params["Namespace"],)} if params.get("Namespace") else {}


def _scaling(operation: str, params: Mapping[str, Any]) -> Values:
    return _present(
        [
            ("application-autoscaling:service-namespace", params.get("ServiceNamespace")),
            ("application-autoscaling:scalable-dimension", params.get("ScalableDimension")),
        ]
    )


_OF_SERVICE = {
    "application-autoscaling": _scaling,
    "cloudwatch": _cloudwatch,
    "sagemaker": _sagemaker,
    "sagemaker-runtime": _sagemaker,
    "cloudformation": _cloudformation,
    "s3": _s3,
    "iam": _iam,
    "events": _events,
}
