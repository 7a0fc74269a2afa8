"""The pipeline definition, its gate, and what publishing sends."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline import gate, publish, source
from pipeline.definition import PARAMETERS, definition
from pipeline.errors import BadInput
from pipeline.names import Environment, Names

NAMES = Names("123456789012", "us-east-1")
URL = "https://groundcrew-123456789012-us-east-1.s3.us-east-1.amazonaws.com/dev/code/0/deployment.yaml"


def render(env: Environment = "dev", mlflow: str = "http://127.0.0.1:5000") -> str:
    code = f"s3://{NAMES.bucket}/{env}/code/0/source.tar.gz"
    return definition(env, NAMES, NAMES.image(), code, URL, mlflow, "abc")


def steps(text: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}

    def walk(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            found[row["Name"]] = row
            walk(row["Arguments"].get("IfSteps", []))
            walk(row["Arguments"].get("ElseSteps", []))

    walk(json.loads(text)["Steps"])
    return found


def test_it_renders_the_same_bytes_every_time_and_passes_the_gate() -> None:
    assert render() == render()
    for env in ("dev", "staging"):
        gate.check(render(env, mlflow=""))


def test_only_dev_deploys_and_then_the_baseline_is_not_last() -> None:
    dev, staging = steps(render("dev")), steps(render("staging"))
    assert list(dev) == [
        *("Preprocess", "Train", "Evaluate", "CheckMap", "Baseline", "Explain", "Register", "Deploy", "BelowThreshold")
    ]
    assert set(dev) - set(staging) == {"Deploy"}
    last = {
        name: found["Baseline"]["Arguments"]["Environment"]["LAST_STEP"]
        for name, found in (("dev", dev), ("staging", staging))
    }
    assert last == {"dev": "no", "staging": "yes"}


def test_nothing_of_dev_is_named_in_staging() -> None:
    text = render("staging").replace(URL, "")
    assert "groundcrew-dev" not in text
    assert "/dev/" not in text


def test_jobs_carry_tags_role_and_names_of_the_environment() -> None:
    jobs = [step["Arguments"] for step in steps(render()).values() if step["Type"] in ("Processing", "Training")]
    assert len(jobs) == 6
    for job in jobs:
        assert job["RoleArn"].endswith(":role/groundcrew-dev-execution")
        name = job.get("ProcessingJobName") or job["TrainingJobName"]
        assert name.startswith("groundcrew-dev-")
        assert {tag["Key"] for tag in job["Tags"]} == {"Project", "Environment", "CostCenter", "Owner"}


def test_entrypoints_hold_no_data_and_fit_the_api() -> None:
    for step in steps(render()).values():
        arguments = step["Arguments"]
        holder = arguments.get("AppSpecification") or arguments.get("AlgorithmSpecification")
        if holder:
            shell, flag, text = holder["ContainerEntrypoint"]
            assert (shell, flag) == ("/bin/sh", "-c")
            assert len(text) <= 256
            assert text.endswith(f"exec python3 -m pipeline.steps.{step['Name'].lower()}")


def test_a_registered_model_carries_its_baseline_where_the_api_has_a_place_for_it() -> None:
    quality = steps(render())["Register"]["Arguments"]["ModelMetrics"]["ModelDataQuality"]
    output = {"Get": "Steps.Baseline.ProcessingOutputConfig.Outputs['baseline'].S3Output.S3Uri"}
    for kind, name in (("Statistics", "statistics.json"), ("Constraints", "constraints.json")):
        assert quality[kind]["S3Uri"] == {"Std:Join": {"On": "/", "Values": [output, name]}}
    inputs = [row["InputName"] for row in steps(render())["Baseline"]["Arguments"]["ProcessingInputs"]]
    assert inputs == ["code", "train", "validation", "test", "unlabelled", "report", "model"]


def test_a_model_is_explained_while_its_baseline_is_drawn_and_carries_that_too() -> None:
    found = steps(render())
    report = found["Register"]["Arguments"]["ModelMetrics"]["Explainability"]["Report"]["S3Uri"]
    output = {"Get": "Steps.Explain.ProcessingOutputConfig.Outputs['analysis_result'].S3Output.S3Uri"}
    assert report == {"Std:Join": {"On": "/", "Values": [output, "analysis.json"]}}
    wanted = json.dumps(found["Explain"]["Arguments"])
    assert "Steps.Evaluate." in wanted
    assert "Steps.Baseline." not in wanted


def broken(change: Any) -> str:
    body = json.loads(render())
    change(body)
    return json.dumps(body)


def train(body: dict[str, Any]) -> dict[str, Any]:
    return next(step for step in body["Steps"] if step["Name"] == "Train")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda body: train(body)["Arguments"].pop("RoleArn"), 'Missing required parameter in input: "RoleArn"'),
        (lambda body: train(body)["Arguments"].update(Rolle="x"), 'Unknown parameter in input: "Rolle"'),
        (
            lambda body: train(body)["Arguments"]["ResourceConfig"].update(InstanceType="ml.big"),
            "not one of the allowed",
        ),
        (lambda body: train(body)["Arguments"].update(TrainingJobName="under_score"), "does not match"),
        (lambda body: train(body)["Arguments"].update(TrainingJobName="x" * 64), "longer than 63"),
        (lambda body: train(body).update(Name="Train it"), "is not a step name"),
        (lambda body: train(body).update(Name="Evaluate"), "two steps are called Evaluate"),
        (lambda body: body["Parameters"].pop(0), "Parameters.DataPrefix does not exist"),
        (lambda body: train(body).update(DependsOn=["Evaluate"]), "DependsOn Evaluate names no earlier step"),
        (
            lambda body: train(body)["Arguments"]["OutputDataConfig"].update(
                S3OutputPath={"Get": "Steps.Preprocess.ProcessingOutputConfig.Outputs['nothing'].S3Output.S3Uri"}
            ),
            "names no output of an earlier step",
        ),
    ],
)
def test_the_gate_finds_seeded_faults(change: Any, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        gate.check(broken(change))
    assert words in caught.value.message


def test_the_sdk_comes_to_the_same_definition(tmp_path: Path) -> None:
    """The sagemaker V3 SDK, offline and twice alike, renders the same jobs, condition, refusal and parameters."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(source.PACKAGE.parent),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAGEMAKER_VALIDATE_ROLE": "false",
    }
    command = [sys.executable, "-W", "ignore", "-m", "tests.unit.sdk_definition"]
    done = subprocess.run(command, input=render(), env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout)
    assert (answer["same"], answer["calls"]) == (True, [])
    theirs, ours = answer["definition"], json.loads(render())
    # What the SDK renders only when it stages code of its own, and the steps that it cannot render well.
    train(ours)["Arguments"].pop("TrainingJobName")
    train(ours)["Arguments"]["AlgorithmSpecification"].pop("ContainerEntrypoint")
    branch = ours["Steps"][-1]["Arguments"]
    branch["IfSteps"] = [step for step in branch["IfSteps"] if step["Name"] == "Baseline"]
    assert theirs["Parameters"] == ours["Parameters"]
    assert [step["Name"] for step in theirs["Steps"]] == ["Preprocess", "Train", "Evaluate", "CheckMap"]
    assert theirs["Steps"] == ours["Steps"]


class Aws:
    """The calls that publishing makes, answered from memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.pipeline: dict[str, Any] | None = None
        self.calls: list[str] = []

    def client(self, name: str) -> "Aws":
        return self

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str) -> None:
        if Key in self.objects:
            raise ClientError({"Error": {"Code": "PreconditionFailed", "Message": "exists"}}, "PutObject")
        self.objects[Key] = Body

    def describe_pipeline(self, PipelineName: str) -> dict[str, Any]:
        if self.pipeline is None:
            raise ClientError({"Error": {"Code": "ResourceNotFound", "Message": "no"}}, "DescribePipeline")
        return self.pipeline

    def create_pipeline(self, **request: Any) -> None:
        self.calls.append("create")
        self.pipeline = request

    def update_pipeline(self, **request: Any) -> None:
        self.calls.append("update")
        self.pipeline = {**(self.pipeline or {}), **request}


def test_publishing_twice_changes_nothing_the_second_time() -> None:
    aws = Aws()
    first = publish.publish(aws, NAMES, "dev", "http://m")  # type: ignore[arg-type]
    assert [line.split()[-1] for line in first[2:]] == ["created"]
    second = publish.publish(aws, NAMES, "dev", "http://m")  # type: ignore[arg-type]
    assert second == [
        "deployment.yaml unchanged",
        "source.tar.gz unchanged",
        "pipeline groundcrew-dev-detector unchanged",
    ]
    publish.publish(aws, NAMES, "dev", "http://other")  # type: ignore[arg-type]
    assert aws.calls == ["create", "update"]
    assert sorted(key.rpartition("/")[2] for key in aws.objects) == ["deployment.yaml", "source.tar.gz"]


def test_prod_has_no_pipeline_to_publish(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        publish.main(["--env", "prod", "--profile", "ab"])
    assert "'prod'" in capsys.readouterr().err


def test_parameters_have_the_defaults_people_are_told() -> None:
    assert {name: default for name, _, default in PARAMETERS} == {
        "DataPrefix": "survey/",
        "Epochs": 4,
        "ImageSize": 128,
        "BatchSize": 4,
        "LearningRate": 0.003,
        "Seed": 0,
        "MapThreshold": 0.6,
        "OnBadData": "skip",
        "Weights": "",
        "MaxImages": 0,
    }
