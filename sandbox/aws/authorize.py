"""The one place where a call is allowed or refused: policies, boundary, session, resource policies, PassRole."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from moto.s3.models import s3_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from sandbox.aws import context
from sandbox.aws.actions import Need, Place, needs
from sandbox.aws.calls import Call
from sandbox.aws.errors import AwsError
from sandbox.aws.identity import Documents, Principal
from sandbox.aws.policy import Decision, decide
from sandbox.aws.statements import MalformedPolicy, Request, parse
from sandbox.aws.written import Kind, check, size

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud

log = logging.getLogger(__name__)

GLOBAL = ("budgets", "ce", "iam", "pricing", "sts")
"""Services that answer whatever region a request is signed for."""
PRICE_LIST_REGIONS = ("us-east-1", "eu-central-1", "ap-south-1")
"""Where AWS has endpoints of the Price List Query API; each of them knows the prices of all regions."""
# Calls that write a policy: (service, operation) -> (parameter, what kind of policy it is).
_WRITES = {
    ("iam", "PutRolePolicy"): ("PolicyDocument", Kind.IDENTITY),
    ("iam", "PutUserPolicy"): ("PolicyDocument", Kind.IDENTITY),
    ("iam", "CreatePolicy"): ("PolicyDocument", Kind.IDENTITY),
    ("iam", "CreatePolicyVersion"): ("PolicyDocument", Kind.IDENTITY),
    ("iam", "CreateRole"): ("AssumeRolePolicyDocument", Kind.TRUST),
    ("iam", "UpdateAssumeRolePolicy"): ("PolicyDocument", Kind.TRUST),
    ("s3", "PutBucketPolicy"): ("Policy", Kind.BUCKET),
    ("sqs", "CreateQueue"): ("Attributes", Kind.QUEUE),
    ("sqs", "SetQueueAttributes"): ("Attributes", Kind.QUEUE),
    ("sns", "CreateTopic"): ("Attributes", Kind.TOPIC),
    ("sns", "SetTopicAttributes"): ("AttributeValue", Kind.TOPIC),
}
_CODES = {
    Kind.BUCKET: ("MalformedPolicy", "{}"),
    Kind.QUEUE: ("InvalidAttributeValue", "Invalid value for the parameter Policy. {}"),
    Kind.TOPIC: ("InvalidParameter", "Invalid parameter: Policy Error: {}"),
}
# Characters without white space (IAM user guide, "IAM and AWS STS quotas"); a role's inline policies count together.
_LONGEST = {"CreatePolicy": 6144, "CreatePolicyVersion": 6144, "CreateRole": 2048, "UpdateAssumeRolePolicy": 2048}
_LONGEST_INLINE = {"PutRolePolicy": 10240, "PutUserPolicy": 2048}


def authorize(cloud: Cloud, call: Call, principal: Principal, region: str, now: datetime) -> None:
    """Let the call through or raise AwsError with AWS's own words. All of a call's needs must be allowed."""
    wanted = needs(call.service, call.operation, call.params, Place(cloud.account, cloud.region))
    _check_region(cloud, call.service, region)
    if principal.kind != "root":
        wanted += _to_learn_of_absence(cloud, call)
        _require(cloud, call, principal, region, now, wanted)
    _check_written(cloud, call)


def _check_region(cloud: Cloud, service: str, region: str) -> None:
    """Everything is in one region; some services are everywhere, and the price list answers in few."""
    if service == "pricing" and region not in PRICE_LIST_REGIONS:
        known = ", ".join(PRICE_LIST_REGIONS)
        raise AwsError("InvalidRegion", f"There is no api.pricing.{region}.amazonaws.com; there is one in {known}.")
    if region != cloud.region and service not in GLOBAL:
        raise AwsError("InvalidRegion", f"The local AWS has one region, {cloud.region}; the request is for {region}.")


def _require(cloud: Cloud, call: Call, principal: Principal, region: str, now: datetime, wanted: list[Need]) -> None:
    directory = cloud.directory
    identity, boundary = directory.identity_policies(principal), directory.boundary(principal)
    session = directory.session_policies(principal)
    keys = context.of_caller(principal, region, now) | context.of_call(call)
    for need in wanted:
        request = Request(
            need.action, need.resource, {**keys, **context.of_need(need, _tags(cloud, need))}, principal.who
        )
        decision = decide(
            request,
            identity=identity,
            boundary=boundary,
            session=session,
            resource=resource_policies(cloud, need.resource),
        )
        if not decision.allowed:
            raise _denied(principal, need, decision)


def _to_learn_of_absence(cloud: Cloud, call: Call) -> list[Need]:
    """S3 tells only who may list a bucket that an object is not there; for everybody else it is a denial."""
    if call.service != "s3" or call.operation not in ("GetObject", "HeadObject"):
        return []
    bucket = s3_backends[cloud.account]["aws"].buckets.get(call.params["Bucket"])
    if bucket is None or call.params["Key"] in bucket.keys:
        return []
    return [Need("s3:ListBucket", f"arn:aws:s3:::{call.params['Bucket']}")]


def _denied(principal: Principal, need: Need, decision: Decision) -> AwsError:
    log.info("denied %s %s on %s by %s", principal.arn, need.action, need.resource, decision)
    return AwsError(
        "AccessDenied",
        f"User: {principal.arn} is not authorized to perform: {need.action} on resource: {need.resource} "
        f"{decision.why_denied(need.action)}",
        403,
    )


def _tags(cloud: Cloud, need: Need) -> Mapping[str, str]:
    reader = cloud.tag_readers.get(need.resource.split(":")[2] if need.resource.startswith("arn:") else "")
    return reader(need.resource) if reader else {}


def resource_policies(cloud: Cloud, resource: str) -> Documents:
    """The bucket's, queue's or topic's own policy, where the resource has one."""
    if resource.startswith("arn:aws:s3:::"):
        bucket = s3_backends[cloud.account]["aws"].buckets.get(resource.removeprefix("arn:aws:s3:::").split("/")[0])
        document = bucket.policy if bucket else None
        return (parse(document.decode() if isinstance(document, bytes) else document),) if document else ()
    if resource.startswith("arn:aws:sqs:"):
        queue = sqs_backends[cloud.account][cloud.region].queues.get(resource.rpartition(":")[2])
        return (parse(queue.policy),) if queue is not None and queue.policy else ()
    if resource.startswith("arn:aws:sns:"):
        topic = sns_backends[cloud.account][cloud.region].topics.get(resource)
        return (parse(topic.policy),) if topic is not None else ()
    return ()


def _check_written(cloud: Cloud, call: Call) -> None:
    """Refuse a policy that AWS would not take, and a boundary that moto would not keep."""
    if (call.service, call.operation) == ("iam", "CreateUser") and call.params.get("PermissionsBoundary"):
        raise AwsError("UnknownOperationException", "The local AWS keeps no permissions boundaries of users.")
    name, kind = _WRITES.get((call.service, call.operation), ("", Kind.IDENTITY))
    document = call.params.get(name)
    if isinstance(document, Mapping):
        document = document.get("Policy")
    if not document or call.params.get("AttributeName", "Policy") != "Policy":
        return
    text = document.decode() if isinstance(document, bytes) else document
    try:
        check(text, kind, call.params.get("Bucket", ""))
    except MalformedPolicy as error:
        code, words = _CODES.get(kind, ("MalformedPolicyDocument", "{}"))
        raise AwsError(code, words.format(error)) from error
    if call.service == "iam":
        _check_size(cloud, call, size(text))


def _check_size(cloud: Cloud, call: Call, length: int) -> None:
    limit = _LONGEST.get(call.operation)
    if limit is None:
        limit, iam, params = _LONGEST_INLINE[call.operation], cloud.directory.iam, call.params
        owners = iam.users if call.operation == "PutUserPolicy" else {r.name: r for r in list(iam.roles.values())}
        owner = owners.get(params.get("RoleName") or params["UserName"])
        others = {} if owner is None else owner.policies
        length += sum(size(text) for name, text in others.items() if name != params["PolicyName"])
    if length > limit:
        raise AwsError("LimitExceeded", f"Cannot exceed quota for PolicySize: {limit}", 409)
