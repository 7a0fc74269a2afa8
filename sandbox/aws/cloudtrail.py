"""A trail's bucket: CloudTrail makes a trail only where the bucket's policy lets it write, and so does this one.

Nothing is written there: this account's record is the file that LookupEvents reads (`sandbox.aws.lookup`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sandbox.aws.authorize import resource_policies
from sandbox.aws.errors import AwsError
from sandbox.aws.policy import decide
from sandbox.aws.statements import Request, Who

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud

SERVICE = "cloudtrail.amazonaws.com"


def require_bucket(cloud: Cloud, params: Mapping[str, Any]) -> None:
    """Check the bucket of CreateTrail or UpdateTrail. Raises AwsError with CloudTrail's code."""
    name = params.get("S3BucketName")
    if name is None:
        return
    bucket, prefix = f"arn:aws:s3:::{name}", params.get("S3KeyPrefix")
    folder = f"{prefix}/AWSLogs" if prefix else "AWSLogs"
    trail = f"arn:aws:cloudtrail:{cloud.region}:{cloud.account}:trail/{params['Name'].rpartition('/')[2]}"
    keys = {"aws:sourcearn": (trail,), "aws:sourceaccount": (cloud.account,), "aws:securetransport": ("true",)}
    written = keys | {"s3:x-amz-acl": ("bucket-owner-full-control",)}
    who = Who(cloud.account, trail, service=SERVICE)
    asked = (
        Request("s3:GetBucketAcl", bucket, keys, who),
        Request(
            "s3:PutObject", f"{bucket}/{folder}/{cloud.account}/CloudTrail/{cloud.region}/log.json.gz", written, who
        ),
    )
    for request in asked:
        if not decide(request, resource=resource_policies(cloud, request.resource)).allowed:
            raise AwsError(
                "InsufficientS3BucketPolicyException",
                f"Incorrect S3 bucket policy is detected for bucket: {name} ({request.action} by {SERVICE}).",
            )
