"""What calls need: the table of actions, resources and roles passed, and the context keys conditions see."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.aws import context
from sandbox.aws.actions import Need, Place, needs
from sandbox.aws.calls import Call
from sandbox.aws.errors import AwsError

PLACE = Place("123456789012", "us-east-1")
SM, CFN = "arn:aws:sagemaker:us-east-1:123456789012:", "arn:aws:cloudformation:us-east-1:123456789012:"
ROLE = "arn:aws:iam::123456789012:role/r"
EXECUTION = f"{SM}pipeline/p/execution/abc"


@pytest.mark.parametrize(
    ("service", "operation", "params", "expected"),
    [
        ("sagemaker", "StartPipelineExecution", {"PipelineName": "p"}, [f"{SM}pipeline/p"]),
        ("sagemaker", "StartPipelineExecution", {"PipelineName": f"{SM}pipeline/p"}, [f"{SM}pipeline/p"]),
        ("sagemaker", "ListPipelineExecutionSteps", {"PipelineExecutionArn": EXECUTION}, [EXECUTION]),
        ("sagemaker", "ListPipelines", {}, ["*"]),
        (
            "sagemaker",
            "CreateEndpoint",
            {"EndpointName": "e", "EndpointConfigName": "c"},
            [f"{SM}endpoint/e", f"{SM}endpoint-config/c"],
        ),
        ("sagemaker", "DescribeEndpoint", {"EndpointName": "e"}, [f"{SM}endpoint/e"]),
        (
            "sagemaker",
            "CreateModelPackage",
            {"ModelPackageGroupName": "g"},
            [f"{SM}model-package-group/g", f"{SM}model-package/g/*"],
        ),
        ("sagemaker", "UpdateModelPackage", {"ModelPackageArn": f"{SM}model-package/g/1"}, [f"{SM}model-package/g/1"]),
        ("sagemaker-runtime", "InvokeEndpoint", {"EndpointName": "e"}, [f"{SM}endpoint/e"]),
        ("cloudformation", "CreateStack", {"StackName": "s"}, [f"{CFN}stack/s/*"]),
        ("cloudformation", "DescribeStacks", {"StackName": f"{CFN}stack/s/id"}, [f"{CFN}stack/s/id"]),
        ("cloudformation", "DescribeStacks", {}, ["*"]),
        ("s3", "GetObject", {"Bucket": "b", "Key": "a/k"}, ["arn:aws:s3:::b/a/k"]),
        (
            "s3",
            "CopyObject",
            {"Bucket": "b", "Key": "k", "CopySource": "/c/x%20y"},
            ["arn:aws:s3:::b/k", "arn:aws:s3:::c/x y"],
        ),
        (
            "s3",
            "DeleteObjects",
            {"Bucket": "b", "Delete": {"Objects": [{"Key": "1"}, {"Key": "2"}]}},
            ["arn:aws:s3:::b/1", "arn:aws:s3:::b/2"],
        ),
        ("s3", "ListObjectsV2", {"Bucket": "b"}, ["arn:aws:s3:::b"]),
        (
            "sqs",
            "ReceiveMessage",
            {"QueueUrl": "http://127.0.0.1:1/123456789012/q"},
            ["arn:aws:sqs:us-east-1:123456789012:q"],
        ),
        (
            "logs",
            "GetLogEvents",
            {"logGroupName": "/g", "logStreamName": "s/1"},
            ["arn:aws:logs:us-east-1:123456789012:log-group:/g:log-stream:s/1"],
        ),
        ("events", "PutRule", {"Name": "r"}, ["arn:aws:events:us-east-1:123456789012:rule/r"]),
        ("iam", "GetRole", {"RoleName": "r"}, [ROLE]),
        ("sts", "GetCallerIdentity", {}, []),
        (
            "cloudwatch",
            "DeleteAlarms",
            {"AlarmNames": ["a", "b"]},
            ["arn:aws:cloudwatch:us-east-1:123456789012:alarm:a", "arn:aws:cloudwatch:us-east-1:123456789012:alarm:b"],
        ),
    ],
)
def test_resources_of_a_call(service: str, operation: str, params: dict[str, Any], expected: list[str]) -> None:
    assert [need.resource for need in needs(service, operation, params, PLACE)] == expected


@pytest.mark.parametrize(
    ("operation", "params", "action"),
    [
        ("HeadObject", {"Bucket": "b", "Key": "k"}, "s3:GetObject"),
        ("GetObject", {"Bucket": "b", "Key": "k", "VersionId": "1"}, "s3:GetObjectVersion"),
        ("UploadPart", {"Bucket": "b", "Key": "k"}, "s3:PutObject"),
        ("HeadBucket", {"Bucket": "b"}, "s3:ListBucket"),
        ("DeleteObject", {"Bucket": "b", "Key": "k", "VersionId": "1"}, "s3:DeleteObjectVersion"),
    ],
)
def test_s3_actions_have_names_of_their_own(operation: str, params: dict[str, Any], action: str) -> None:
    assert needs("s3", operation, params, PLACE)[0].action == action


@pytest.mark.parametrize(
    ("service", "operation", "params", "passed_to"),
    [
        ("sagemaker", "CreatePipeline", {"PipelineName": "p", "RoleArn": ROLE}, "sagemaker.amazonaws.com"),
        ("sagemaker", "UpdatePipeline", {"PipelineName": "p", "RoleArn": ROLE}, "sagemaker.amazonaws.com"),
        ("sagemaker", "CreateModel", {"ModelName": "m", "ExecutionRoleArn": ROLE}, "sagemaker.amazonaws.com"),
        ("sagemaker", "CreateProcessingJob", {"ProcessingJobName": "j", "RoleArn": ROLE}, "sagemaker.amazonaws.com"),
        ("sagemaker", "CreateTrainingJob", {"TrainingJobName": "j", "RoleArn": ROLE}, "sagemaker.amazonaws.com"),
        ("cloudformation", "CreateStack", {"StackName": "s", "RoleARN": ROLE}, "cloudformation.amazonaws.com"),
        ("cloudformation", "UpdateStack", {"StackName": "s", "RoleARN": ROLE}, "cloudformation.amazonaws.com"),
        ("cloudformation", "DeleteStack", {"StackName": "s", "RoleARN": ROLE}, "cloudformation.amazonaws.com"),
        ("events", "PutTargets", {"Rule": "r", "Targets": [{"Arn": "x", "RoleArn": ROLE}]}, "events.amazonaws.com"),
    ],
)
def test_a_role_handed_over_is_passed(service: str, operation: str, params: dict[str, Any], passed_to: str) -> None:
    assert needs(service, operation, params, PLACE)[-1] == Need("iam:PassRole", ROLE, passed_to)
    without = {
        name: value
        for name, value in params.items()
        if name not in ("RoleArn", "RoleARN", "ExecutionRoleArn", "Targets")
    }
    assert all(need.action != "iam:PassRole" for need in needs(service, operation, without, PLACE))


def test_what_is_in_no_table_is_refused() -> None:
    for service, operation in (("sagemaker", "CreateCluster"), ("s3", "SelectObjectContent"), ("lambda", "Invoke")):
        with pytest.raises(AwsError, match=operation):
            needs(service, operation, {}, PLACE)


def test_creating_with_tags_needs_tagging() -> None:
    tags = [{"Key": "a", "Value": "b"}]
    found = needs("sagemaker", "CreateModel", {"ModelName": "m", "Tags": tags}, PLACE)
    assert found[-1] == Need("sagemaker:AddTags", f"{SM}model/m")
    assert needs("iam", "CreateRole", {"RoleName": "r", "Tags": tags}, PLACE)[-1] == Need("iam:TagRole", ROLE)


def keys_of(service: str, operation: str, **params: Any) -> dict[str, tuple[str, ...]]:
    return context.of_call(Call(service, service, operation, params))


def test_context_of_what_is_asked() -> None:
    variants = [{"InstanceType": "ml.m5.large"}, {"InstanceType": "ml.g5.xlarge"}]
    tags = [{"Key": "Environment", "Value": "dev"}]
    found = keys_of("sagemaker", "CreateEndpointConfig", ProductionVariants=variants, Tags=tags)
    assert found["sagemaker:instancetypes"] == ("ml.m5.large", "ml.g5.xlarge")
    assert found["aws:requesttag/environment"] == ("dev",)
    assert found["aws:tagkeys"] == ("Environment",)
    package = keys_of(
        "sagemaker", "UpdateModelPackage", ModelApprovalStatus="Approved", CustomerMetadataProperties={"digest": "d"}
    )
    assert package["sagemaker:modelapprovalstatus"] == ("Approved",)
    assert package["sagemaker:customermetadataproperties/digest"] == ("d",)
    stack = keys_of("cloudformation", "CreateStack", RoleARN=ROLE, TemplateURL="https://t")
    assert (stack["cloudformation:rolearn"], stack["cloudformation:templateurl"]) == ((ROLE,), ("https://t",))
    assert keys_of("s3", "ListObjectsV2", Prefix="dev/")["s3:prefix"] == ("dev/",)
    assert "s3:prefix" not in keys_of("s3", "ListObjectsV2", Prefix="")


def test_context_of_a_resource_and_a_role_passed() -> None:
    need = Need("iam:PassRole", ROLE, "sagemaker.amazonaws.com")
    assert context.of_need(need, {"Environment": "dev"}) == {
        "aws:resourcetag/environment": ("dev",),
        "iam:resourcetag/environment": ("dev",),
        "iam:passedtoservice": ("sagemaker.amazonaws.com",),
    }
