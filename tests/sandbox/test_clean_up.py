"""What ending idle things takes of the local AWS: old versions, logs without an end, stuck stacks, faults."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud

GROUP = "/aws/sagemaker/Endpoints/groundcrew-dev-idle"
BUCKET_STACK = """
Resources:
  Bucket:
    Type: AWS::S3::Bucket
    Properties: {BucketName: groundcrew-dev-orphan}
"""


def order(cloud: Cloud, body: Any) -> httpx.Response:
    url, headers = f"{cloud.endpoint_url}/_sandbox/faults", {"X-Sandbox": "1"}
    return httpx.post(url, json=body, headers=headers, trust_env=False, timeout=30)


def test_all_versions_of_a_prefix_go_and_others_stay(cloud: Cloud, root: dict[str, str]) -> None:
    s3 = cloud.client("s3", root)
    s3.create_bucket(Bucket="clean-up-versions")
    s3.put_bucket_versioning(Bucket="clean-up-versions", VersioningConfiguration={"Status": "Enabled"})
    for key in ("dev/a", "dev/a", "dev/b", "prod/a"):
        s3.put_object(Bucket="clean-up-versions", Key=key, Body=b"x")
    s3.delete_object(Bucket="clean-up-versions", Key="dev/b")
    pages = s3.get_paginator("list_object_versions").paginate(
        Bucket="clean-up-versions", Prefix="dev/", PaginationConfig={"PageSize": 2}
    )
    found = [
        {name: each[name] for name in ("Key", "VersionId")}
        for page in pages
        for each in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    ]
    assert sorted(each["Key"] for each in found) == ["dev/a", "dev/a", "dev/b", "dev/b"]
    assert not s3.delete_objects(Bucket="clean-up-versions", Delete={"Objects": found}).get("Errors")
    left = s3.list_object_versions(Bucket="clean-up-versions")
    assert [each["Key"] for each in left["Versions"]] == ["prod/a"]
    assert "DeleteMarkers" not in left


def test_a_log_group_gets_an_end_and_goes(cloud: Cloud, root: dict[str, str]) -> None:
    logs = cloud.client("logs", root)
    logs.create_log_group(logGroupName=GROUP)

    def group() -> dict[str, Any]:
        (found,) = logs.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]
        return dict(found)

    assert "retentionInDays" not in group()
    logs.put_retention_policy(logGroupName=GROUP, retentionInDays=14)
    assert group()["retentionInDays"] == 14
    logs.delete_log_group(logGroupName=GROUP)
    assert logs.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"] == []
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        logs.delete_log_group(logGroupName=GROUP)


def test_an_endpoint_s_requests_are_counted_and_one_without_has_no_values(cloud: Cloud, root: dict[str, str]) -> None:
    cloudwatch, now = cloud.client("cloudwatch", root), cloud.clock.now()
    for _ in range(3):
        cloud.metrics.count("AWS/SageMaker", "Invocations", {"EndpointName": "asked", "VariantName": "a"})
    cloud.metrics.publish_own(now)
    queries = [
        {
            "Id": name,
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/SageMaker",
                    "MetricName": "Invocations",
                    "Dimensions": [{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "a"}],
                },
                "Period": 86400,
                "Stat": "Sum",
            },
        }
        for name in ("asked", "idle")
    ]
    answer = cloudwatch.get_metric_data(
        MetricDataQueries=queries, StartTime=now - timedelta(days=7), EndTime=now + timedelta(hours=1)
    )
    assert {each["Id"]: sum(each["Values"]) for each in answer["MetricDataResults"]} == {"asked": 3.0, "idle": 0}


def test_a_stack_that_cannot_go_says_so_and_goes_when_the_cause_is_gone(cloud: Cloud, root: dict[str, str]) -> None:
    cloudformation, s3 = cloud.client("cloudformation", root), cloud.client("s3", root)
    cloudformation.create_stack(StackName="groundcrew-dev-orphan", TemplateBody=BUCKET_STACK)
    await_status(cloudformation, "CREATE_COMPLETE")
    s3.put_object(Bucket="groundcrew-dev-orphan", Key="left", Body=b"x")
    cloudformation.delete_stack(StackName="groundcrew-dev-orphan")
    await_status(cloudformation, "DELETE_FAILED")
    failed = cloudformation.list_stacks(StackStatusFilter=["DELETE_FAILED"])["StackSummaries"]
    assert "groundcrew-dev-orphan" in [each["StackName"] for each in failed]
    s3.delete_object(Bucket="groundcrew-dev-orphan", Key="left")
    cloudformation.delete_stack(StackName="groundcrew-dev-orphan")
    await_status(cloudformation, "DELETE_COMPLETE")


def await_status(cloudformation: Any, status: str) -> None:
    until = time.monotonic() + 20
    while True:
        found = cloudformation.list_stacks()["StackSummaries"]
        statuses = [each["StackStatus"] for each in found if each["StackName"] == "groundcrew-dev-orphan"]
        if statuses[0] == status:
            return
        assert time.monotonic() < until, statuses
        time.sleep(0.05)


def test_a_fault_comes_as_often_as_ordered_and_to_that_call_only(cloud: Cloud, root: dict[str, str]) -> None:
    s3 = cloud.client("s3", root)
    fault = {"service": "s3", "operation": "ListBuckets", "code": "InvalidRequest", "message": "no", "count": 2}
    waiting = order(cloud, fault).json()
    assert [each["operation"] for each in waiting] == ["ListBuckets"]
    for _ in range(2):
        with pytest.raises(ClientError, match="InvalidRequest"):
            s3.list_buckets()
        s3.list_objects_v2(Bucket="lucaskle-ab3-project-pv")
    assert s3.list_buckets()["Buckets"]
    assert order(cloud, fault).status_code == 200
    assert order(cloud, {"clear": True}).json() == []
    assert s3.list_buckets()["Buckets"]


@pytest.mark.parametrize("body", [{"service": "ce"}, {"service": "ce", "code": 3}, {"code": "x"}, []])
def test_a_fault_that_makes_no_sense_is_not_taken(cloud: Cloud, body: Any) -> None:
    assert order(cloud, body).status_code == 400


def test_what_is_denied_is_denied_before_any_fault(cloud: Cloud, root: dict[str, str]) -> None:
    iam = cloud.client("iam", root)
    iam.create_user(UserName="faultless")
    key = iam.create_access_key(UserName="faultless")["AccessKey"]
    client = cloud.client("ce", {name: key[name] for name in ("AccessKeyId", "SecretAccessKey")})
    assert order(cloud, {"service": "ce", "code": "LimitExceededException"}).status_code == 200
    with pytest.raises(ClientError, match="not authorized to perform: ce:ListCostAllocationTags"):
        client.list_cost_allocation_tags()
    order(cloud, {"clear": True})
