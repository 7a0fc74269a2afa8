"""The pipeline definition, its gate, and what publishing sends."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline import changes, gate, parameters, publish, source
from pipeline.definition import ALIASES, Alias, definition
from pipeline.errors import BadInput
from pipeline.names import Environment, Names

NAMES = Names("123456789012", "us-east-1")
URL = "https://groundcrew-123456789012-us-east-1.s3.us-east-1.amazonaws.com/dev/code/0/deployment.yaml"


def render(env: Environment = "dev", mlflow: str = "http://127.0.0.1:5000", alias: Alias = "on-demand") -> str:
    code = f"s3://{NAMES.bucket}/{env}/code/0/source.tar.gz"
    return definition(env, NAMES, NAMES.image(), code, URL, mlflow, "abc", alias)


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
        for alias in ALIASES:
            gate.check(render(env, mlflow="", alias=alias))


def test_only_dev_deploys_and_then_the_baseline_is_not_last() -> None:
    dev, staging = steps(render("dev")), steps(render("staging"))
    assert list(dev) == [
        *("Track", "Preprocess", "Train", "Evaluate", "CheckMap"),
        *("Baseline", "Explain", "Register", "Deploy", "BelowThreshold"),
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
    assert len(jobs) == 7
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
    assert inputs == ["code", "train", "validation", "test", "unlabelled", "model", "run", "report"]


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
        (lambda body: body["Parameters"].pop(0), "Parameters.DataState does not exist"),
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
    assert [step["Name"] for step in theirs["Steps"]] == ["Track", "Preprocess", "Train", "Evaluate", "CheckMap"]
    assert theirs["Steps"] == ours["Steps"]


def test_only_the_spot_version_may_be_interrupted_and_both_keep_checkpoints() -> None:
    """AWS refuses MaxWaitTimeInSeconds for what is not spot, and a parameter cannot leave a member out."""
    plain, spot = (steps(render(alias=alias))["Train"]["Arguments"] for alias in ALIASES)
    assert "EnableManagedSpotTraining" not in plain
    assert list(plain["StoppingCondition"]) == ["MaxRuntimeInSeconds"]
    assert spot["EnableManagedSpotTraining"] is True
    assert spot["StoppingCondition"]["MaxWaitTimeInSeconds"] >= spot["StoppingCondition"]["MaxRuntimeInSeconds"]
    assert plain["CheckpointConfig"] == spot["CheckpointConfig"]
    assert "Execution.PipelineExecutionId" in json.dumps(plain["CheckpointConfig"])
    assert changes.between(render(), render(alias="spot")) == [
        "Train · StoppingCondition.MaxWaitTimeInSeconds: nothing → 28800",
        "Train · EnableManagedSpotTraining: nothing → true",
    ]


def test_what_a_cached_step_is_given_names_no_execution_and_no_commit() -> None:
    """Else it would be found done never again; and what it must not be found done with is part of it."""
    step = steps(render())["Preprocess"]
    assert step["CacheConfig"] == {"Enabled": True, "ExpireAfter": "P30D"}
    key = [step["Arguments"][name] for name in ("AppSpecification", "Environment", "ProcessingInputs")]
    assert "Execution." not in json.dumps(key)
    assert "CODE_REVISION" not in step["Arguments"]["Environment"]
    assert step["Arguments"]["Environment"]["DATA_STATE"] == {"Get": "Parameters.DataState"}
    assert [name for name, each in steps(render()).items() if "CacheConfig" in each] == ["Preprocess"]


def test_the_first_two_steps_wait_for_nobody() -> None:
    for name in ("Track", "Preprocess"):
        step = steps(render())[name]
        assert "Steps." not in json.dumps(step["Arguments"])
        assert "DependsOn" not in step


class Aws:
    """The calls that publishing makes, answered from memory: a pipeline with versions and aliases."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.versions: list[tuple[str, list[str]]] = []
        self.role = ""
        self.calls: list[str] = []

    def client(self, name: str) -> "Aws":
        return self

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str) -> None:
        if Key in self.objects:
            raise ClientError({"Error": {"Code": "PreconditionFailed", "Message": "exists"}}, "PutObject")
        self.objects[Key] = Body

    def describe_pipeline(self, PipelineName: str, PipelineVersionAlias: str = "") -> dict[str, Any]:
        found = [text for text, names in self.versions if PipelineVersionAlias in ("", *names)]
        if not found:
            raise ClientError({"Error": {"Code": "ResourceNotFound", "Message": "no"}}, "DescribePipeline")
        return {"PipelineArn": "arn", "RoleArn": self.role, "PipelineDefinition": found[-1]}

    def create_pipeline(self, **request: Any) -> None:
        self.calls.append("create")
        self._add(request)

    def update_pipeline(self, **request: Any) -> dict[str, int]:
        self.calls.append("update")
        self._add(request)
        return {"PipelineVersionId": len(self.versions)}

    def _add(self, request: Any) -> None:
        taken = {name for _, names in self.versions for name in names}
        assert not taken & set(request["PipelineVersionAliases"]), "AWS lets an alias have one version"
        self.role = request["RoleArn"]
        self.versions.append((request["PipelineDefinition"], request["PipelineVersionAliases"]))

    def update_pipeline_version(self, PipelineVersionId: int, PipelineVersionAliasOperations: Any, **_: Any) -> None:
        for name in PipelineVersionAliasOperations["Remove"]:
            self.versions[PipelineVersionId - 1][1].remove(name)

    def get_paginator(self, operation: str) -> "Aws":
        self.listing = operation
        return self

    def paginate(self, **request: Any) -> list[dict[str, Any]]:
        if self.listing == "list_pipeline_executions":
            going = {"PipelineExecutionArn": "arn/7f3abc", "PipelineExecutionStatus": "Executing", "StartTime": 0}
            ended = {"PipelineExecutionArn": "arn/1234", "PipelineExecutionStatus": "Failed", "StartTime": 0}
            return [{"PipelineExecutionSummaries": [going, ended]}]
        rows = [
            {"PipelineVersionId": number, "PipelineVersionAliases": names}
            for number, (_, names) in enumerate(self.versions, 1)
        ]
        return [{"PipelineVersionSummaries": rows}]


def test_publishing_twice_changes_nothing_and_a_change_moves_both_aliases() -> None:
    aws = Aws()
    under_way = "run 7f3abc is under way and keeps the definition it began with"
    first = publish.publish(aws, NAMES, "dev", "http://m")  # type: ignore[arg-type]
    assert first[2:] == [
        "pipeline groundcrew-dev-detector created, on-demand",
        "pipeline groundcrew-dev-detector updated, spot (version 2)",
        under_way,
    ]
    second = publish.publish(aws, NAMES, "dev", "http://m")  # type: ignore[arg-type]
    assert second == [
        "deployment.yaml unchanged",
        "source.tar.gz unchanged",
        "pipeline groundcrew-dev-detector unchanged, on-demand",
        "pipeline groundcrew-dev-detector unchanged, spot",
        under_way,
    ]
    publish.publish(aws, NAMES, "dev", "http://other")  # type: ignore[arg-type]
    assert aws.calls == ["create", "update", "update", "update"]
    assert [names for _, names in aws.versions] == [[], [], ["on-demand"], ["spot"]]
    assert sorted(key.rpartition("/")[2] for key in aws.objects) == ["deployment.yaml", "source.tar.gz"]


def test_a_preview_tells_what_would_change_and_changes_nothing() -> None:
    aws = Aws()
    preview = publish.preview(aws, NAMES, "dev", "http://m")  # type: ignore[arg-type]
    assert preview[:2] == ["on-demand: new", "spot: new"]
    publish.publish(aws, NAMES, "dev", "http://m")  # type: ignore[arg-type]
    calls = list(aws.calls)
    lines = publish.preview(aws, NAMES, "dev", "http://n")  # type: ignore[arg-type]
    assert "on-demand: Train · Environment.MLFLOW_TRACKING_URI: http://m → http://n" in lines
    assert publish.preview(aws, NAMES, "dev", "http://m")[:2] == ["on-demand: unchanged", "spot: unchanged"]  # type: ignore[arg-type]
    assert aws.calls == calls


def test_changes_are_told_by_step_and_by_name_not_by_place_in_a_list() -> None:
    def change(body: dict[str, Any]) -> None:
        body["Parameters"] = [row for row in body["Parameters"] if row["Name"] != "Seed"]
        train(body)["Arguments"]["InputDataConfig"].pop(0)
        train(body)["Arguments"]["ResourceConfig"]["InstanceType"] = "ml.c5.4xlarge"
        body["Steps"][-1]["Arguments"]["IfSteps"].pop()

    found = changes.between(render(), broken(change))
    assert "- parameter Seed" in found
    assert "- step Deploy" in found
    assert "Train · ResourceConfig.InstanceType: {Parameters.TrainInstance} → ml.c5.4xlarge" in found
    assert not [line for line in found if "InputDataConfig[train]" in line]
    assert [line for line in found if line.startswith("Train · InputDataConfig[code].")]
    (branch,) = [line for line in found if line.startswith("CheckMap · IfSteps: ")]
    assert branch.endswith('"Register", "Deploy"] → ["Baseline", "Explain", "Register"]')


def test_prod_has_no_pipeline_to_publish(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        publish.main(["--env", "prod", "--profile", "ab"])
    assert "'prod'" in capsys.readouterr().err


@pytest.mark.parametrize("env", ["dev", "staging"])
def test_a_run_that_is_started_elsewhere_has_the_defaults_that_people_are_told(env: Environment) -> None:
    rows = {row["Name"]: row for row in json.loads(render(env))["Parameters"]}
    assert {name: row["DefaultValue"] for name, row in rows.items() if name != "DataState"} == {
        each.name: each.default(env) for each in parameters.SETTINGS
    }
    assert "DefaultValue" not in rows["DataState"], "without it a changed data set would be taken for prepared"
    assert rows["Model"]["EnumValues"] == ["yolo11n", "yolo11s", "yolo11m", "yolo11l", "yolo11x"]
