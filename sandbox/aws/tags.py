"""How policies learn the tags of what moto keeps (`aws:ResourceTag/…`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from moto.sqs.models import sqs_backends

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud, TagReader


def readers(cloud: Cloud) -> dict[str, TagReader]:
    """Readers by the service part of an ARN. SageMaker and CloudFormation register their own."""

    def role_tags(arn: str) -> Mapping[str, str]:
        role = cloud.directory.role(arn)
        return {} if role is None else cloud.directory.role_tags(role)

    def queue_tags(arn: str) -> Mapping[str, str]:
        queue = sqs_backends[cloud.account][cloud.region].queues.get(arn.rpartition(":")[2])
        return {} if queue is None else dict(queue.tags)

    return {"iam": role_tags, "sqs": queue_tags}
