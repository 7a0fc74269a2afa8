"""The clients of AWS: what they find, refuse, and never do twice."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.response import StreamingBody

from pipeline import deployment, executions, inference, registry, source
from pipeline.errors import BadInput, NotFound, Refused, Unavailable
from pipeline.names import Environment, Names
from pipeline.registry import Package
from tests.unit.fake_aws import FakeClient, refusal

NAMES = Names("123456789012", "us-east-1")
CODE = "s3://b/dev/code/0/source.tar.gz"
NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
MODEL = b"model" * 1000
DIGEST = hashlib.sha256(MODEL).hexdigest()
INFERENCE = {
    "Containers": [{"Image": "image:1", "ModelDataUrl": "s3://bucket/dev/runs/x/evaluate/model/model.tar.gz"}],
    "SupportedContentTypes": ["image/jpeg"],
    "SupportedRealtimeInferenceInstanceTypes": ["ml.m5.large", "ml.c5.large"],
}
GONE = refusal("ValidationError", "Stack with id x does not exist")


# Executions


def summaries(*ids: str) -> FakeClient:
    arn = NAMES.arn("sagemaker", f"pipeline/{NAMES.pipeline('dev')}/execution/")
    rows = [{"PipelineExecutionArn": arn + id, "PipelineExecutionStatus": "Succeeded", "StartTime": NOON} for id in ids]
    return FakeClient(list_pipeline_executions={"PipelineExecutionSummaries": rows})


@pytest.mark.parametrize("typed", ["7f3", "7F3A", "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p/execution/7f3a"])
def test_a_run_is_found_by_the_beginning_of_its_id(typed: str) -> None:
    assert executions.find(summaries("7f3a", "9c01"), NAMES, "dev", typed).endswith("/7f3a")


def test_an_ambiguous_or_unknown_run_is_answered_with_ids() -> None:
    with pytest.raises(BadInput) as several:
        executions.find(summaries("7f3a", "7f99"), NAMES, "dev", "7f")
    assert "7f3a, 7f99" in several.value.advice
    with pytest.raises(NotFound) as none:
        executions.find(summaries("7f3a", "9c01"), NAMES, "dev", "7f4b")
    assert none.value.nearest == ["7f3a"]
    with pytest.raises(BadInput):
        executions.find(summaries("7f3a"), NAMES, "dev", "")


def test_a_pipeline_never_published_is_named_with_the_cure() -> None:
    client = FakeClient(list_pipeline_executions=refusal("ResourceNotFound", "Pipeline does not exist."))
    with pytest.raises(NotFound, match="groundcrew-staging-detector") as raised:
        executions.recent(client, NAMES, "staging")
    assert "python -m pipeline.publish --env staging" in raised.value.advice


def test_other_refusals_are_aws_s_own() -> None:
    denied = refusal("AccessDeniedException", "not authorized")
    with pytest.raises(type(denied), match="not authorized"):
        executions.recent(FakeClient(list_pipeline_executions=denied), NAMES, "dev")


def test_a_job_without_a_log_has_no_last_lines() -> None:
    job = NAMES.arn("sagemaker", "processing-job/groundcrew-dev-evaluate-x1")
    assert executions.last_lines(FakeClient(describe_log_streams={"logStreams": []}), job) == []
    missing = FakeClient(describe_log_streams=refusal("ResourceNotFoundException", "no group"))
    assert executions.last_lines(missing, job) == []
    assert missing.requests("describe_log_streams")[0] == {
        "logGroupName": "/aws/sagemaker/ProcessingJobs",
        "logStreamNamePrefix": "groundcrew-dev-evaluate-x1/",
    }


# Registry


def described(env: str, version: int, **more: Any) -> dict[str, Any]:
    return {
        "ModelPackageArn": NAMES.arn("sagemaker", f"model-package/groundcrew-{env}-detector/{version}"),
        "ModelPackageVersion": version,
        "ModelPackageStatus": "Completed",
        "ModelApprovalStatus": "Approved",
        "CreationTime": NOON,
        "InferenceSpecification": INFERENCE,
        "CustomerMetadataProperties": {"digest": DIGEST, "map50": "0.966"},
        **more,
    }


EVALUATED = {"ContentType": "application/json", "S3Uri": "s3://bucket/dev/runs/x/evaluate/evaluation/evaluation.json"}


def registered(*found: dict[str, Any], **more: Any) -> FakeClient:
    by_arn = {item["ModelPackageArn"]: item for item in found}

    def describe(ModelPackageName: str) -> dict[str, Any]:
        if ModelPackageName not in by_arn:
            raise refusal("ValidationException", f"ModelPackage {ModelPackageName} does not exist.")
        return by_arn[ModelPackageName]

    def create(**request: Any) -> dict[str, str]:
        made = described("staging", len(by_arn) + 1, CustomerMetadataProperties=request["CustomerMetadataProperties"])
        by_arn[made["ModelPackageArn"]] = made
        return {"ModelPackageArn": made["ModelPackageArn"]}

    def listed(ModelPackageGroupName: str, **narrow: str) -> dict[str, Any]:
        return {"ModelPackageSummaryList": [item for arn, item in by_arn.items() if ModelPackageGroupName in arn]}

    return FakeClient(describe_model_package=describe, create_model_package=create, list_model_packages=listed, **more)


def bucket(data: bytes = MODEL) -> FakeClient:
    def get_object(**request: str) -> dict[str, Any]:
        return {"Body": StreamingBody(io.BytesIO(data), len(data)), "ETag": '"tag"'}

    return FakeClient(get_object=get_object, copy_object={})


def dev_package() -> Package:
    return registry.load(registered(described("dev", 8)), NAMES, "dev", 8)


def test_a_version_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(NotFound) as raised:
        registry.load(registered(described("dev", 8)), NAMES, "dev", 9)
    assert "Nearest: 8." in raised.value.advice


def test_an_environment_without_a_group_has_no_versions() -> None:
    client = FakeClient(list_model_packages=refusal("ValidationException", "ModelPackageGroup x does not exist."))
    assert registry.versions(client, NAMES, "prod") == []
    with pytest.raises(NotFound) as raised:
        registry.newest(client, NAMES, "prod")
    assert "`registry request <version> --to prod` brings one from staging." in raised.value.advice


def test_a_promotion_copies_the_bytes_it_has_checked() -> None:
    sagemaker, s3 = registered(), bucket()
    promoted = registry.promote(
        sagemaker, s3, NAMES, dev_package(), "staging", token="t", metadata={"approval": "Aabcde"}
    )
    key = f"staging/models/{DIGEST}/model.tar.gz"
    assert s3.requests("copy_object") == [
        {
            "Bucket": NAMES.bucket,
            "Key": key,
            "CopySource": {"Bucket": "bucket", "Key": "dev/runs/x/evaluate/model/model.tar.gz"},
            "CopySourceIfMatch": '"tag"',
        }
    ]
    (made,) = sagemaker.requests("create_model_package")
    assert made["ModelPackageGroupName"] == "groundcrew-staging-detector"
    assert made["ModelApprovalStatus"] == "Approved"
    assert made["InferenceSpecification"]["Containers"][0]["ModelDataUrl"] == f"s3://{NAMES.bucket}/{key}"
    assert promoted.metadata["approval"] == "Aabcde"
    assert promoted.metadata["source_package"].endswith("groundcrew-dev-detector/8")
    assert promoted.digest == DIGEST


@pytest.mark.parametrize("photos", [True, False])
def test_a_promotion_takes_the_drift_baseline_along(photos: bool) -> None:
    files = {
        kind: {
            "ContentType": "application/json",
            "S3Uri": f"s3://bucket/dev/runs/x/baseline/baseline/{kind.lower()}.json",
        }
        for kind in ("Statistics", "Constraints")
    }
    report = {"ContentType": "application/json", "S3Uri": "s3://bucket/dev/explain/x/analysis_result/analysis.json"}
    measured = {"ModelQuality": {"Statistics": EVALUATED}, "ModelDataQuality": files}
    package = described("dev", 8, ModelMetrics={**measured, "Explainability": {"Report": report}})

    def copy_object(**request: Any) -> dict[str, Any]:
        if not photos and request["Key"].endswith(".jpg"):
            raise refusal("NoSuchKey", "The specified key does not exist.")
        return {}

    sagemaker, s3 = registered(package), bucket()
    s3.answers = {**s3.answers, "copy_object": copy_object}
    source = registry.load(sagemaker, NAMES, "dev", 8)
    registry.promote(sagemaker, s3, NAMES, source, "staging", token="t", metadata={})
    home = f"staging/models/{DIGEST}"
    copied = [(row["CopySource"]["Key"], row["Key"]) for row in s3.requests("copy_object")][1:]
    assert copied == [
        (f"dev/runs/x/baseline/baseline/{name}", f"{home}/{name}")
        for name in ("statistics.json", "constraints.json", "examples.jpg")
    ] + [
        (f"dev/explain/x/analysis_result/{name}", f"{home}/explanation/{name}")
        for name in ("analysis.json", "report.html", "explanations_shap/heat_maps.jpg")
    ]
    metrics = sagemaker.requests("create_model_package")[0]["ModelMetrics"]
    assert metrics["ModelQuality"] == {"Statistics": EVALUATED}
    assert metrics["ModelDataQuality"]["Statistics"]["S3Uri"] == f"s3://{NAMES.bucket}/{home}/statistics.json"
    assert metrics["ModelDataQuality"]["Constraints"]["S3Uri"] == f"s3://{NAMES.bucket}/{home}/constraints.json"
    explained = metrics["Explainability"]["Report"]["S3Uri"]
    assert explained == f"s3://{NAMES.bucket}/{home}/explanation/analysis.json"


def test_a_model_already_there_is_not_promoted_again() -> None:
    sagemaker, s3 = registered(described("staging", 3)), bucket()
    promoted = registry.promote(sagemaker, s3, NAMES, dev_package(), "staging", token="t", metadata={})
    assert promoted.version == 3
    assert s3.calls == []
    assert sagemaker.requests("create_model_package") == []


def test_an_artifact_that_was_changed_is_not_promoted() -> None:
    sagemaker, s3 = registered(), bucket(MODEL + b"!")
    with pytest.raises(Refused, match="not the registered model"):
        registry.promote(sagemaker, s3, NAMES, dev_package(), "staging", token="t", metadata={})
    assert s3.requests("copy_object") == []
    assert sagemaker.requests("create_model_package") == []


@pytest.mark.parametrize(("env", "narrow"), [("dev", {}), ("staging", {"ModelApprovalStatus": "Approved"})])
def test_outside_dev_only_what_is_approved_is_deployed(env: Any, narrow: dict[str, str]) -> None:
    client = registered(described(env, 2, ModelApprovalStatus="Rejected"), described(env, 1))
    assert registry.newest(client, NAMES, env).version == 1
    (request,) = client.requests("list_model_packages")
    assert {key: request[key] for key in request if key == "ModelApprovalStatus"} == narrow


# Deployment


def stack(status: str, **parameters: str) -> dict[str, Any]:
    rows = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    found = {"StackName": "groundcrew-dev-detector", "StackId": "id", "StackStatus": status, "CreationTime": NOON}
    return {"Stacks": [{**found, "Parameters": rows}]}


def deploy(cloudformation: FakeClient, instance_type: str = "ml.m5.large") -> tuple[str, str]:
    given = deployment.parameters(NAMES, "dev", dev_package(), instance_type, code=CODE)
    return deployment.deploy(cloudformation, NAMES, "dev", template_url="https://t", parameters=given, token="t")


def test_a_first_deployment_creates_the_stack_with_the_deploy_role() -> None:
    client = FakeClient(describe_stacks=GONE, create_stack={"StackId": "new"})
    assert deploy(client) == ("new", "created")
    (request,) = client.requests("create_stack")
    assert request["StackName"] == "groundcrew-dev-detector"
    assert request["RoleARN"].endswith(":role/groundcrew-dev-deploy")
    assert {tag["Key"] for tag in request["Tags"]} >= {"Project", "Environment", "CostCenter", "Owner"}


def test_the_template_knows_every_parameter() -> None:
    given = deployment.parameters(NAMES, "dev", dev_package(), "ml.m5.large", code=CODE)
    declared = source.template().data.decode().partition("Parameters:")[2].partition("Resources:")[0]
    assert [name for name in given if f"\n  {name}:\n" not in declared] == []


@pytest.mark.parametrize(("env", "percent"), [("dev", "100"), ("staging", "100"), ("prod", "20")])
def test_each_environment_keeps_its_share_of_the_requests(env: Environment, percent: str) -> None:
    given = deployment.parameters(NAMES, env, dev_package(), "ml.m5.large", code=CODE)
    assert given["CapturePercent"] == percent


def test_a_second_deployment_updates_and_may_change_nothing() -> None:
    client = FakeClient(
        describe_stacks=stack("CREATE_COMPLETE", Digest="0" * 64, InstanceType="ml.m5.large"),
        update_stack={"StackId": "id"},
    )
    assert deploy(client) == ("id", "updated")
    same = refusal("ValidationError", "No updates are to be performed.")
    assert deploy(
        FakeClient(describe_stacks=stack("UPDATE_COMPLETE", InstanceType="ml.m5.large"), update_stack=same)
    ) == ("id", "unchanged")


def test_the_same_model_keeps_its_address_and_its_instance_type() -> None:
    known = {"Digest": DIGEST, "InstanceType": "ml.m5.large", "ModelDataUrl": "s3://b/elsewhere/model.tar.gz"}
    known |= {"CapturePercent": "35"}
    client = FakeClient(describe_stacks=stack("CREATE_COMPLETE", **known), update_stack={"StackId": "id"})
    deploy(client)
    sent = {row["ParameterKey"]: row["ParameterValue"] for row in client.requests("update_stack")[0]["Parameters"]}
    assert (sent["ModelDataUrl"], sent["CapturePercent"]) == ("s3://b/elsewhere/model.tar.gz", "35")
    with pytest.raises(Refused, match=r"runs on ml\.m5\.large; an endpoint that scales cannot change") as refused:
        deploy(client, "ml.c5.large")
    assert "--instance-type ml.m5.large" in refused.value.advice


def test_a_new_model_may_not_change_the_instance_type_either() -> None:
    client = FakeClient(describe_stacks=stack("CREATE_COMPLETE", Digest="0" * 64, InstanceType="ml.m5.large"))
    with pytest.raises(Refused, match="cannot change its instance type"):
        deploy(client, "ml.c5.large")


def sent(client: FakeClient, operation: str = "update_stack") -> dict[str, str]:
    return {row["ParameterKey"]: row["ParameterValue"] for row in client.requests(operation)[0]["Parameters"]}


@pytest.mark.parametrize(("env", "least", "most"), [("dev", "1", "2"), ("staging", "1", "2"), ("prod", "2", "4")])
def test_a_first_deployment_scales_as_its_environment_does(env: Environment, least: str, most: str) -> None:
    client = FakeClient(describe_stacks=GONE, create_stack={"StackId": "new"})
    given = deployment.parameters(NAMES, env, dev_package(), "ml.m5.large", code=CODE)
    deployment.deploy(client, NAMES, env, template_url="https://t", parameters=given, token="t")
    found = sent(client, "create_stack")
    assert (found["MinInstances"], found["MaxInstances"], found["InstanceCount"]) == (least, most, least)
    assert found["ScaleOn"] == "concurrency"


def test_bounds_that_people_set_stay_and_a_new_model_begins_with_the_fewest() -> None:
    known = {"InstanceType": "ml.m5.large", "InstanceCount": "1", "MinInstances": "2", "MaxInstances": "2"}
    known |= {"ScaleOn": "invocations"}
    for digest, begins in (("0" * 64, "2"), (DIGEST, "1")):
        client = FakeClient(
            describe_stacks=stack("UPDATE_COMPLETE", Digest=digest, **known), update_stack={"StackId": "i"}
        )
        deploy(client)
        found = sent(client)
        assert (found["MinInstances"], found["MaxInstances"], found["ScaleOn"]) == ("2", "2", "invocations")
        assert found["InstanceCount"] == begins


@pytest.mark.parametrize(
    ("existing", "code", "message"),
    [
        (GONE, "AlreadyExistsException", "Stack [groundcrew-dev-detector] already exists"),
        (
            stack("UPDATE_COMPLETE", Digest="0" * 64, InstanceType="ml.m5.large"),
            "ValidationError",
            "Stack:arn is in UPDATE_IN_PROGRESS state and can not be updated.",
        ),
    ],
)
def test_of_two_people_who_deploy_in_the_same_moment_one_is_refused(existing: Any, code: str, message: str) -> None:
    no = refusal(code, message)
    with pytest.raises(Refused, match="Somebody else began") as refused:
        deploy(FakeClient(describe_stacks=existing, create_stack=no, update_stack=no))
    assert "deployment status --env dev" in refused.value.advice


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("UPDATE_IN_PROGRESS", "busy"),
        ("ROLLBACK_COMPLETE", "left over"),
        ("REVIEW_IN_PROGRESS", "left over"),
        ("UPDATE_ROLLBACK_FAILED", "stuck half-way"),
    ],
)
def test_a_stack_that_cannot_be_changed_now_is_refused(status: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        deploy(FakeClient(describe_stacks=stack(status)))


def test_an_instance_type_the_model_was_not_made_for_is_bad_input() -> None:
    with pytest.raises(BadInput, match=r"ml\.p5") as raised:
        deployment.parameters(NAMES, "dev", dev_package(), "ml.p5.48xlarge", code=CODE)
    assert "ml.m5.large, ml.c5.large" in raised.value.advice


@pytest.mark.parametrize("env", ["staging", "prod"])
def test_what_cannot_be_watched_is_for_dev_only(env: Environment) -> None:
    with pytest.raises(Refused, match="captures nothing"):
        deployment.parameters(NAMES, env, dev_package(), "serverless", code=CODE)
    assert deployment.parameters(NAMES, "dev", dev_package(), "serverless", code=CODE)["InstanceType"] == "serverless"


def test_a_template_that_is_there_already_is_used() -> None:
    s3 = FakeClient(put_object=refusal("PreconditionFailed", "exists"))
    url = deployment.publish_template(s3, NAMES, "staging")
    assert url == source.template().url("staging", NAMES)
    assert s3.requests("put_object")[0]["IfNoneMatch"] == "*"
    with pytest.raises(type(GONE), match="denied"):
        deployment.publish_template(FakeClient(put_object=refusal("AccessDenied", "denied")), NAMES, "staging")


def test_the_first_failure_of_the_last_attempt_is_the_reason() -> None:
    def event(name: str, status: str, reason: str = "", kind: str = "AWS::SageMaker::Model") -> dict[str, str]:
        row = {"LogicalResourceId": name, "ResourceStatus": status, "ResourceType": kind}
        return {**row, "ResourceStatusReason": reason} if reason else row

    events = [
        event("Stack", "ROLLBACK_COMPLETE", kind="AWS::CloudFormation::Stack"),
        event("Log", "CREATE_FAILED", "Resource creation cancelled"),
        event("Endpoint", "CREATE_FAILED", "the ping failed"),
        event("Stack", "CREATE_IN_PROGRESS", kind="AWS::CloudFormation::Stack"),
        event("Model", "CREATE_FAILED", "of an earlier life"),
    ]
    client = FakeClient(describe_stack_events={"StackEvents": events})
    assert deployment.first_failure(client, "id") == "Endpoint: the ping failed"


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (refusal("ValidationException", 'Could not find endpoint "x".'), NotFound, "deployment create --env dev"),
        ({"EndpointStatus": "Creating"}, Unavailable, "still being created"),
        ({"EndpointStatus": "Failed", "FailureReason": "no ping"}, Unavailable, "no ping"),
    ],
)
def test_an_endpoint_that_cannot_be_asked_says_why(answer: Any, error: Any, words: str) -> None:
    with pytest.raises(error) as raised:
        inference.ready(FakeClient(describe_endpoint=answer), FakeClient(describe_stacks=GONE), NAMES, "dev")
    assert words in f"{raised.value.message} {raised.value.advice}"


def test_an_endpoint_whose_stack_has_just_begun_is_still_being_created() -> None:
    missing = refusal("ValidationException", 'Could not find endpoint "x".')
    stacks = FakeClient(describe_stacks=stack("CREATE_IN_PROGRESS"))
    with pytest.raises(Unavailable, match="still being created"):
        inference.ready(FakeClient(describe_endpoint=missing), stacks, NAMES, "dev")


def test_an_endpoint_in_service_can_be_asked() -> None:
    client = FakeClient(describe_endpoint={"EndpointStatus": "InService"})
    assert inference.ready(client, FakeClient(), NAMES, "prod") == "groundcrew-prod-detector"


@pytest.mark.parametrize(("status", "error"), [(415, BadInput), (400, BadInput), (500, Unavailable)])
def test_what_the_model_refuses_is_told_apart_from_its_failures(status: int, error: Any) -> None:
    said = refusal("ModelError", "Received error", OriginalStatusCode=status, OriginalMessage='{"error": "no image"}')
    with pytest.raises(error, match="no image"):
        inference.ask(FakeClient(invoke_endpoint=said), "e", b"", "image/jpeg")


def test_an_answer_is_read() -> None:
    body = b"""{"detections": [{"class": "vehicle", "confidence": 0.91, "box": [1, 2, 3, 4]}],
        "model": {"digest": "sha256:ab"}, "milliseconds": 43.2, "image": {"width": 9, "height": 9}}"""
    client = FakeClient(invoke_endpoint={"Body": StreamingBody(io.BytesIO(body), len(body))})
    found = inference.ask(client, "e", b"x", "image/jpeg")
    assert (found.digest, found.milliseconds) == ("ab", 43.2)
    assert found.detections == [inference.Detection("vehicle", 0.91, (1, 2, 3, 4))]


def test_a_package_without_a_digest_has_an_empty_one() -> None:
    assert replace(dev_package(), metadata={}).digest == ""
