"""The container contract, the limits of requests, events and captured data in the local SageMaker."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from moto.core.utils import get_service_model

from sandbox.aws.sagemaker import capture, constraints, contract
from sandbox.aws.sagemaker.errors import ValidationException
from sandbox.aws.sagemaker.events import Events, upper_snake
from sandbox.aws.sagemaker.images import ImageNotFound, Images
from sandbox.aws.sagemaker.resources import Record, listing

ROOT = Path("/jobs/j")
MOMENT = datetime(2026, 2, 14, 17, 25, 6, 120_000, tzinfo=UTC)


def training(**changes: Any) -> dict[str, Any]:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/train"}}
    return {
        "TrainingJobName": "j",
        "TrainingJobArn": "arn:j",
        "RoleArn": "role",
        "AlgorithmSpecification": {"TrainingImage": "r/i:1", "TrainingInputMode": "File"},
        "HyperParameters": {"epochs": "3"},
        "InputDataConfig": [{"ChannelName": "train", "DataSource": source, "ContentType": "image/jpeg"}],
        "OutputDataConfig": {"S3OutputPath": "s3://b/out/"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "Environment": {"A": "1"},
        **changes,
    }


def test_a_training_job_finds_its_configuration_and_channels() -> None:
    (plan,) = contract.training(training(), ROOT)
    files = {path.relative_to(ROOT).as_posix(): content for path, content in plan.files.items()}
    assert files["input/config/hyperparameters.json"] == {"epochs": "3"}
    assert files["input/config/resourceconfig.json"]["current_instance_type"] == "ml.m5.large"
    assert files["input/config/inputdataconfig.json"] == {
        "train": {
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
            "ContentType": "image/jpeg",
        }
    }
    assert plan.inputs == (contract.Input("s3://b/train", ROOT / "input/data/train"),)
    assert [output.uri for output in plan.outputs] == [
        "s3://b/out/j/output/model.tar.gz",
        "s3://b/out/j/output/output.tar.gz",
    ]
    assert plan.environment == {"A": "1", "TRAINING_JOB_NAME": "j", "TRAINING_JOB_ARN": "arn:j"}
    assert (plan.limit, plan.default_argument) == (60, "train")


def test_checkpoints_come_back_and_go_out() -> None:
    (plan,) = contract.training(training(CheckpointConfig={"S3Uri": "s3://b/check"}), ROOT)
    assert contract.Input("s3://b/check", ROOT / "checkpoints", optional=True) in plan.inputs
    assert contract.Output(ROOT / "checkpoints", "s3://b/check", partial=True, synced=True) in plan.outputs


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2}}, "InstanceCount"),
        ({"AlgorithmSpecification": {"TrainingInputMode": "File"}}, "TrainingImage"),
        ({"AlgorithmSpecification": {"TrainingImage": "r/i:1", "TrainingInputMode": "Pipe"}}, "Pipe"),
        ({"CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/../../etc"}}, "below /opt/ml"),
    ],
)
def test_what_this_stand_in_cannot_do_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationException, match=words):
        contract.training(training(**change), ROOT)


def processing(local_path: str) -> dict[str, Any]:
    source = {"S3Uri": "s3://b/in", "LocalPath": local_path, "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {
        "ProcessingJobName": "p",
        "ProcessingJobArn": "arn:p",
        "RoleArn": "role",
        "AppSpecification": {"ImageUri": "r/i:1", "ContainerEntrypoint": ["a"], "ContainerArguments": ["b"]},
        "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1}},
        "ProcessingInputs": [{"InputName": "in", "S3Input": source}],
    }


def test_a_processing_job_finds_its_own_request() -> None:
    (plan,) = contract.processing(processing("/opt/ml/processing/in"), ROOT)
    config = plan.files[ROOT / "config/processingjobconfig.json"]
    assert config["ProcessingJobArn"] == "arn:p"
    assert plan.inputs[0].folder == ROOT / "processing/in"
    assert (plan.entrypoint, plan.arguments, plan.limit) == (("a",), ("b",), contract.DEFAULT_LIMIT)
    with pytest.raises(ValidationException, match="must start with /opt/ml/processing/"):
        contract.processing(processing("/opt/ml/input"), ROOT)


@pytest.mark.parametrize(
    ("operation", "request_", "words"),
    [
        (
            "CreateTrainingJob",
            {"TrainingJobName": "bad name"},
            "'trainingJobName' failed to satisfy constraint: Member must satisfy regular",
        ),
        ("CreateTrainingJob", {"TrainingJobName": "a" * 64}, "length less than or equal to 63"),
        ("CreateTrainingJob", {"AlgorithmSpecification": {"TrainingInputMode": "Fast"}}, "enum value set"),
        ("CreateTrainingJob", {"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "value greater than or equal to 1"),
        (
            "CreateTrainingJob",
            {"HyperParameters": {str(n): "x" for n in range(101)}},
            "length less than or equal to 100",
        ),
    ],
)
def test_the_service_models_limits_hold(operation: str, request_: dict[str, Any], words: str) -> None:
    shape = get_service_model("sagemaker").operation_model(operation).input_shape
    with pytest.raises(ValidationException) as error:
        constraints.check(request_, shape)
    assert "detected: Value '" in error.value.message
    assert words in error.value.message


def test_variables_pass_the_limits() -> None:
    shape = get_service_model("sagemaker").operation_model("CreateTrainingJob").input_shape
    constraints.check({"TrainingJobName": {"Get": "Parameters.Name"}}, shape)


def test_images_are_found_by_repository() -> None:
    images = Images({"groundcrew": {"serve": ["python3", "-m", "x"], "environment": {"A": 1}}})
    for uri in (
        "1.dkr.ecr.us-east-1.amazonaws.com/groundcrew:1",
        "1.dkr.ecr/groundcrew",
        "1.dkr.ecr/groundcrew:1@sha256:ab",
    ):
        assert images.find(uri).commands["serve"] == ("python3", "-m", "x")
    assert images.find(uri).environment == {"A": "1"}
    with pytest.raises(ImageNotFound, match="CannotPullContainerError"):
        images.find("1.dkr.ecr.us-east-1.amazonaws.com/other:1")


class Bus:
    """Catches what is emitted."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []

    def emit(self, *event: Any) -> None:
        json.dumps(event)
        self.sent.append(event)


def test_endpoint_events_speak_upper_snake_and_float_milliseconds() -> None:
    bus = Bus()
    body = {
        "EndpointName": "e",
        "EndpointArn": "arn:e",
        "EndpointStatus": "InService",
        "CreationTime": MOMENT,
        "Other": 1,
    }
    Events(bus).endpoint(body, {"team": "x"})  # type: ignore[arg-type]
    source, kind, arns, detail = bus.sent[0]
    assert (source, kind, arns) == ("aws.sagemaker", "SageMaker Endpoint State Change", ["arn:e"])
    assert detail == {
        "EndpointName": "e",
        "EndpointArn": "arn:e",
        "EndpointStatus": "IN_SERVICE",
        "CreationTime": 1771089906120.0,
        "Tags": {"team": "x"},
    }
    assert upper_snake("UpdateRollbackFailed") == "UPDATE_ROLLBACK_FAILED"


def test_pipeline_events_are_camel_case_with_iso_times() -> None:
    bus = Bus()
    body = {
        "PipelineArn": "arn:p",
        "PipelineExecutionArn": "arn:p/execution/1",
        "PipelineExecutionStatus": "Succeeded",
        "CreationTime": MOMENT,
        "LastModifiedTime": MOMENT,
    }
    Events(bus).execution(body, "Executing")  # type: ignore[arg-type]
    _, kind, arns, detail = bus.sent[0]
    assert kind == "SageMaker Model Building Pipeline Execution Status Change"
    assert arns == ["arn:p", "arn:p/execution/1"]
    assert detail["previousPipelineExecutionStatus"] == "Executing"
    assert detail["executionEndTime"] == "2026-02-14T17:25:06Z"


def test_captured_data_has_the_documented_shape() -> None:
    exchange = capture.Exchange(
        "ep",
        "main",
        "role",
        MOMENT,
        ("image/jpeg", b"\xff\xd8"),
        ("application/json", b'{"detections":[]}'),
        "trace",
        "i-1",
    )
    config = {
        "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
        "DestinationS3Uri": "s3://b/capture/",
    }
    line = capture.record(config, exchange)
    identifier = line["eventMetadata"].pop("eventId")
    assert len(identifier) == 36
    assert line == {
        "captureData": {
            "endpointInput": {
                "observedContentType": "image/jpeg",
                "mode": "INPUT",
                "data": "/9g=",
                "encoding": "BASE64",
            },
            "endpointOutput": {
                "observedContentType": "application/json",
                "mode": "OUTPUT",
                "data": '{"detections":[]}',
                "encoding": "JSON",
            },
        },
        "eventMetadata": {"customAttributes": ["trace"], "inferenceId": "i-1", "inferenceTime": "2026-02-14T17:25:06Z"},
        "eventVersion": "0",
    }
    bucket, key = capture.key(config, exchange)
    assert bucket == "b"
    assert key.startswith("capture/ep/main/2026/02/14/17/25-06-120-")
    only = capture.record(
        {**config, "CaptureOptions": [{"CaptureMode": "Output"}]}, replace(exchange, inference_id=None)
    )
    assert set(only["captureData"]) == {"endpointOutput"}


def test_lists_are_filtered_sorted_and_paged() -> None:
    records = [
        Record("k", name, name, {"Name": name, "Status": status, "CreationTime": MOMENT.replace(second=second)})
        for second, (name, status) in enumerate([("alpha", "on"), ("beta", "off"), ("gamma", "on")])
    ]
    assert [each.name for each in listing(records, {}, status="Status")[0]] == ["gamma", "beta", "alpha"]
    found, token = listing(records, {"StatusEquals": "on", "SortOrder": "Ascending", "MaxResults": 1}, status="Status")
    assert ([each.name for each in found], token) == (["alpha"], "1")
    found, token = listing(records, {"StatusEquals": "on", "SortOrder": "Ascending", "NextToken": "1"}, status="Status")
    assert ([each.name for each in found], token) == (["gamma"], None)
    assert [each.name for each in listing(records, {"NameContains": "ET"})[0]] == ["beta"]
    after = {"CreationTimeAfter": MOMENT.replace(second=1)}
    assert [each.name for each in listing(records, after)[0]] == ["gamma", "beta"]
