"""What the books are kept from, over the wire: lists by time, jobs as they start and end, and a price for each."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from pipeline import prices, usage

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/groundcrew:1"
NAME = "groundcrew-dev-detector-monitor-0123456789ab"


@pytest.fixture
def client(cloud: Cloud, root: dict[str, str]) -> Any:
    def make(service: str) -> Any:
        return boto3.client(
            service,
            "us-east-1",
            endpoint_url=cloud.endpoint_url,
            aws_access_key_id=root["AccessKeyId"],
            aws_secret_access_key=root["SecretAccessKey"],
        )

    return make


def test_a_job_is_listed_by_its_last_change_and_told_with_its_billed_time(client: Any) -> None:
    iam, sagemaker = client("iam"), client("sagemaker")
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName="runs-jobs", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    cluster = {"InstanceType": "ml.t3.medium", "InstanceCount": 1, "VolumeSizeInGB": 30}
    sagemaker.create_processing_job(
        ProcessingJobName=NAME,
        ProcessingResources={"ClusterConfig": cluster},
        AppSpecification={"ImageUri": IMAGE, "ContainerEntrypoint": ["/bin/sh", "-c", "exit 0"]},
        RoleArn=role,
    )
    since = datetime.now(UTC) - timedelta(minutes=1)
    deadline = time.monotonic() + 30
    found = None
    while found is None or found.ended is None:
        assert time.monotonic() < deadline
        found = usage.job(sagemaker, "processing", NAME)
    assert (found.environment, found.step, found.endpoint) == ("dev", "Monitor", "groundcrew-dev-detector")
    assert found.seconds == Decimal(str((found.ended - found.started).total_seconds()))
    assert NAME in [each.name for each in usage.changed(sagemaker, "processing", since)]
    assert NAME not in [each.name for each in usage.changed(sagemaker, "processing", since + timedelta(hours=1))]
    assert list(usage.changed(sagemaker, "transform", since)) == []
    assert prices.per_hour(client("pricing"), "us-east-1", found.component, found.instance_type) == (
        Decimal("0.05"),
        "USD",
    )


def test_what_is_not_there_is_nothing(client: Any) -> None:
    sagemaker = client("sagemaker")
    assert usage.job(sagemaker, "training", "groundcrew-dev-train-none") is None
    assert usage.serving(sagemaker, "groundcrew-dev-none") is None
