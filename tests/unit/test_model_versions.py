"""Registered versions: their confusion counts and card, compared, and traced back from an endpoint to the data."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.response import StreamingBody
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import Engine, create_engine

from commands.command import Context, Person
from commands.confusion_chart import MOST, confusions, shown
from commands.parsing import parse
from commands.reply import Mention, Outcome, Reply
from pipeline import card, registry
from pipeline.errors import BadInput, GroundcrewError, NotFound, Unavailable
from pipeline.names import Names
from pipeline.registry import Confusion
from pipeline.steps import evaluate
from pipeline.steps.bench import Score
from pipeline.steps.deployed import Deployed
from pipeline.steps.evaluate import Served
from pipeline.steps.runlog import Facts, RunLog
from pipeline.tracking import Run, Tracking
from tests.unit.fake_aws import FakeClient, refusal

NAMES = Names("123456789012", "us-east-1")
NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
EXECUTION = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/groundcrew-dev-detector/execution/abc123def456"
CLASSES = ["vehicle", "pool"]
COUNTS = [[9, 0, 1], [0, 4, 2], [1, 2, 0]]
DATA = f"s3://{NAMES.bucket}/dev/data/3322bb179fb8"


# ---------------------------------------------------------------- what Evaluate leaves


def log() -> RunLog:
    facts = Facts(
        EXECUTION,
        "c0ffee",
        "groundcrew-dev-detector",
        {"run_id": "r1", "artifact_uri": "s3://x"},
        data_version="3322bb179fb8",
        images={"train": 40, "validation": 10, "test": 10},
        classes=CLASSES,
    )
    return RunLog(facts, Tracking(""))


def report(map50: float = 0.9, classes: list[str] = CLASSES, counts: list[list[int]] = COUNTS) -> dict[str, Any]:
    score = Score(map50, 0.6, {"vehicle": {"map50": map50, "map50_95": 0.6}, "pool": None}, counts)
    held = log()
    held.facts = replace(held.facts, classes=classes)
    chosen = Served("onnxruntime", {}, score, Path("plots"), "e" * 64, {})
    body = evaluate.report(held, chosen, "d" * 64, 128, Deployed(reason="nothing is deployed"), 0.6)
    chosen = {"network": "yolo11n.yaml", "epochs": 4, "lr0": 0.003}
    return body | {"card": card.write(body, chosen, EXECUTION)}


def test_the_report_keeps_the_counts_and_names_what_they_are_of() -> None:
    body = json.loads(json.dumps(report()))
    assert body["confusion"] == {"labels": ["vehicle", "pool", "background"], "counts": COUNTS}


def test_the_card_says_what_was_measured_on_what_with_which_settings(tmp_path: Path) -> None:
    (tmp_path / "args.yaml").write_text("epochs: 4\nlr0: 0.003\noptimizer: AdamW\nsave_dir: /opt/x\n")
    told = evaluate.settings(tmp_path, {"network": "yolo11n.yaml", "parameters": 2_590_035})
    assert told == {
        "network": "yolo11n.yaml", "parameters": 2_590_035, "epochs": 4, "lr0": 0.003, "optimizer": "AdamW"
    }  # fmt: skip
    body = card.read(report()["card"])
    (measured,) = body["evaluation_details"]
    overall, by_class, confusion = measured["metric_groups"]
    assert [(each["name"], each["value"]) for each in overall["metric_data"]] == [("mAP50", 0.9), ("mAP50-95", 0.6)]
    assert [each["name"] for each in by_class["metric_data"]] == ["vehicle mAP50", "vehicle mAP50-95"]
    assert confusion["metric_data"][0]["value"] == COUNTS
    assert measured["evaluation_observation"] == "The model passed the threshold of mAP50 0.60."
    custom = body["additional_information"]["custom_details"]
    assert (custom["data_version"], custom["mlflow_run_id"]) == ("3322bb179fb8", "r1")
    assert custom["pipeline_execution"] == EXECUTION


def test_a_card_of_many_classes_fits_and_leaves_the_matrix_to_the_report() -> None:
    many = [f"class {number}" for number in range(300)]
    text = report(classes=many, counts=[[1] * 301] * 301)["card"]
    assert len(text) <= card.LONGEST
    assert [group["name"] for group in card.read(text)["evaluation_details"][0]["metric_groups"]] == [
        "Overall",
        "By class",
    ]


def test_a_card_longer_than_sagemaker_takes_is_refused() -> None:
    with pytest.raises(BadInput, match="of 100,000 allowed"):
        card.approved(report()["card"], {"reason": "x" * card.LONGEST})


@pytest.mark.parametrize("text", ["", "no", "[1]"])
def test_what_is_no_card_is_said(text: str) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        card.read(text)


def test_the_card_is_what_the_sdk_calls_one(tmp_path: Path) -> None:
    """The schema as the sagemaker SDK has it, in a process of its own: importing it takes seconds."""
    program = (
        "import json, sys\n"
        "from sagemaker.core.shapes.model_card_shapes import ModelCardContent as Content\n"
        "told = json.load(sys.stdin)\n"
        "print(json.dumps(Content(**told).model_dump(mode='json', exclude_none=True)))\n"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_DEFAULT_REGION": "us-east-1"}
    told = report()["card"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        input=told, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == json.loads(told)  # every member is one of the schema's


# ---------------------------------------------------------------- the picture of the counts


@settings(deadline=None, max_examples=20)
@given(st.integers(1, MOST + 6), st.integers(1, 2), st.integers(0, 10**6))
def test_any_matrix_can_be_drawn(classes: int, side_by_side: int, most: int) -> None:
    labels = [*(f"a rather long class name {at}" for at in range(classes)), "background"]
    counts = [[(row * column) % (most + 1) for column in range(classes + 1)] for row in range(classes + 1)]
    found = Confusion(labels, counts)
    drawn = confusions([(f"Detector v{at}", found) for at in range(side_by_side)])
    with Image.open(io.BytesIO(drawn)) as picture:
        assert picture.width > 200
    assert shown(found).labels[-1] == "background"
    assert len(shown(found).counts) == len(shown(found).counts[0]) == min(classes, MOST) + 1


# ---------------------------------------------------------------- the commands


def package(env: str, version: int, **more: Any) -> dict[str, Any]:
    """A version as AWS describes it; `metadata` is added to what every version has."""
    metadata = {
        "digest": f"{version}" * 64,
        "map50": "0.9000",
        "map50_95": "0.6000",
        "mlflow_run_id": f"run{version}",
        "data_version": "3322bb179fb8",
        "code_revision": "c0ffee00c0ffee",
        "pipeline_execution": EXECUTION,
        **more.pop("metadata", {}),
    }
    where = f"s3://{NAMES.bucket}/dev/runs/x{version}/evaluate/evaluation/evaluation.json"
    return {
        "ModelPackageArn": NAMES.arn("sagemaker", f"model-package/groundcrew-{env}-detector/{version}"),
        "ModelPackageVersion": version,
        "ModelPackageStatus": "Completed",
        "ModelApprovalStatus": "PendingManualApproval",
        "CreationTime": NOON,
        "InferenceSpecification": {"Containers": [{"Image": "i", "ModelDataUrl": "s3://b/model.tar.gz"}]},
        "CustomerMetadataProperties": metadata,
        "ModelMetrics": {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": where}}},
        "ModelCard": {"ModelCardContent": report()["card"], "ModelCardStatus": "PendingReview"},
        **more,
    }


DEV1, DEV2 = package("dev", 1), package("dev", 2, metadata={"map50": "0.9500"})
AGREED = {"approval": "Aabcde", "requested_by": "T0GC.U0DS1", "approved_by": "T0GC.U0ML1"}
STAGING = package("staging", 7, metadata={**AGREED, "digest": "1" * 64, "source_package": DEV1["ModelPackageArn"]})


def sagemaker(*found: dict[str, Any], **more: Any) -> FakeClient:
    by_arn = {item["ModelPackageArn"]: item for item in found}

    def describe(ModelPackageName: str) -> dict[str, Any]:
        if ModelPackageName not in by_arn:
            raise refusal("ValidationException", f"ModelPackage {ModelPackageName} does not exist.")
        return by_arn[ModelPackageName]

    def listed(ModelPackageGroupName: str, **narrow: str) -> dict[str, Any]:
        return {"ModelPackageSummaryList": [item for arn, item in by_arn.items() if ModelPackageGroupName in arn]}

    started = {"CreatedBy": {"IamIdentity": {"SourceIdentity": "T0GC.U0DS1"}}}
    answers: dict[str, Any] = {"describe_pipeline_execution": started, **more}
    return FakeClient(describe_model_package=describe, list_model_packages=listed, **answers)


def bucket(files: Mapping[str, bytes]) -> FakeClient:
    """S3 with some files, by address."""

    def get_object(Bucket: str, Key: str) -> dict[str, Any]:
        data = files.get(f"s3://{Bucket}/{Key}")
        if data is None:
            raise refusal("NoSuchKey", "The specified key does not exist.")
        return {"Body": StreamingBody(io.BytesIO(data), len(data))}

    def listed(Bucket: str, Prefix: str, **more: str) -> dict[str, Any]:
        keys = [uri.removeprefix(f"s3://{Bucket}/") for uri in files]
        return {"Contents": [{"Key": key, "LastModified": NOON} for key in keys if key.startswith(Prefix)]}

    return FakeClient(get_object=get_object, list_objects_v2=listed)


def evaluation(version: int, body: Mapping[str, Any]) -> dict[str, bytes]:
    where = f"s3://{NAMES.bucket}/dev/runs/x{version}/evaluate/evaluation/evaluation.json"
    return {where: json.dumps(body).encode()}


SUMMARY = {"prefix": "survey/", "photos": 430, "unlabelled": 20, "objects": 1234, "classes": CLASSES}
VERSION = {
    f"{DATA}/manifest.json": b"{}",
    f"{DATA}/summary.json": json.dumps(SUMMARY).encode(),
    f"{DATA}/runs/abc123def456.json": b"{}",
}
FILES = {**evaluation(1, report(0.9)), **evaluation(2, report(0.95)), **VERSION}


class Runs(Tracking):
    """MLflow with the two trainings."""

    def get_run(self, run_id: str) -> Run:
        epochs = {"run1": "4", "run2": "8"}[run_id]
        return Run(run_id, "7", run_id, "FINISHED", "s3://x", 0.0, 1.0, {"epochs": epochs, "imgsz": "128"})


class Silent(Tracking):
    """MLflow that does not answer."""

    def get_run(self, run_id: str) -> Run:
        raise Unavailable("MLflow does not answer.")


def typed(line: str, aws: FakeClient, s3: FakeClient | None = None, state: Engine | None = None, **more: Any) -> Reply:
    clients = {"sagemaker": aws, "s3": s3 or bucket(FILES)}
    given: dict[str, Any] = {"tracking": Runs(""), **more}
    place = Context(
        person=Person("T0GC", "U0ML1", "ml", "ml-engineer"),
        invocation="i",
        names=NAMES,
        client=clients.__getitem__,
        state=state or create_engine("sqlite://"),
        **given,
    )
    command, arguments = parse(line)
    return command.handler(place, **arguments)


def test_a_version_is_shown_with_its_matrix_its_run_and_who_started_it(engine: Engine) -> None:
    reply = typed("registry show 1", sagemaker(DEV1), state=engine)
    facts = {fact.label: fact.value for fact in reply.facts}
    assert facts["Data"] == "3322bb179fb8, 60 photos"
    assert Mention("U0DS1") in facts["Run"]
    assert reply.picture is not None
    assert reply.picture.alt == "Confusion matrix of detector v1: vehicle 9 of 10, pool 4 of 6"
    labels = [action.label for action in reply.actions]
    assert {"Lineage", "Model card"} <= set(labels)


def test_a_promoted_version_says_who_asked_and_who_agreed(engine: Engine) -> None:
    reply = typed("registry show 7 --env staging", sagemaker(DEV1, STAGING), state=engine)
    agreed = {fact.label: fact.value for fact in reply.facts}["Approved by"]
    assert [part for part in agreed if isinstance(part, Mention)] == [Mention("U0ML1"), Mention("U0DS1")]


def test_a_report_without_counts_is_shown_without_a_picture(engine: Engine) -> None:
    old = {key: value for key, value in report().items() if key != "confusion"}
    reply = typed("registry show 1", sagemaker(DEV1), bucket(evaluation(1, old)), engine)
    assert reply.picture is None
    assert reply.table is not None


def test_two_versions_are_compared_with_the_better_marked() -> None:
    reply = typed("registry compare 1 2", sagemaker(DEV1, DEV2))
    assert reply.title == "Detector v2 is better than v1: mAP50 0.950 against 0.900"
    assert reply.table is not None
    rows = {row[0]: tuple(row[1:]) for row in reply.table.rows}
    assert rows["mAP50"] == ("0.900", "0.950 · better")
    assert rows["mAP50-95"] == ("0.600", "0.600")
    assert rows["mAP50 of vehicle"] == ("0.900", "0.950 · better")
    assert rows["mAP50 of pool"] == ("–", "–")
    assert rows["epochs"] == ("4", "8")
    assert "imgsz" not in rows
    assert "same version of the data" in str(reply.text)
    assert reply.picture is not None and "detector v1" in reply.picture.alt and "detector v2" in reply.picture.alt


def test_versions_are_compared_while_mlflow_is_down_and_it_says_what_is_missing() -> None:
    other = package("dev", 2, metadata={"data_version": "other"})
    reply = typed("registry compare 1 2", sagemaker(DEV1, other), tracking=Silent(""))
    assert "Their settings are not compared: MLflow does not answer." in str(reply.text)
    assert "different versions of the data" in str(reply.text)
    assert reply.title == "Detector v1 and v2: the same mAP50 0.900"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("registry compare 1 1", "named twice"),
        ("registry compare 1 9", "There is no version in dev '9'"),
        ("registry lineage", "one version or of one endpoint"),
        ("registry lineage 1 --endpoint groundcrew-dev-detector", "one version or of one endpoint"),
        ("registry lineage --endpoint theirs", "There is no endpoint of ours 'theirs'"),
        ("registry card 9", "There is no version in dev '9'"),
    ],
)
def test_what_cannot_be_answered_is_said(line: str, words: str) -> None:
    with pytest.raises(GroundcrewError, match=words):
        typed(line, sagemaker(DEV1, DEV2))


SERVING = {
    "describe_endpoint": {"EndpointStatus": "InService", "EndpointConfigName": "c"},
    "describe_endpoint_config": {"ProductionVariants": [{"ModelName": "groundcrew-staging-detector-11111111"}]},
    "describe_model": {
        "PrimaryContainer": {
            "ModelDataUrl": "s3://b/staging/models/1/model.tar.gz",
            "Environment": {"MODEL_DIGEST": "1" * 64},
        }
    },
}


def test_a_lineage_goes_from_the_endpoint_back_to_the_data() -> None:
    reply = typed("registry lineage --endpoint groundcrew-staging-detector", sagemaker(DEV1, STAGING, **SERVING))
    assert reply.title == "Where groundcrew-staging-detector comes from"
    assert [step.name for step in reply.steps] == [
        *("Endpoint", "Model", "Version staging v7", "Version dev v1", "Run", "MLflow run", "Code", "Data")
    ]
    assert {step.state for step in reply.steps} == {"done"}
    told = {step.name: str(step.detail) for step in reply.steps}
    assert "U0ML1" in told["Version staging v7"] and "Aabcde" in told["Version staging v7"]
    assert "abc123def456" in told["Run"] and "U0DS1" in told["Run"]
    assert "430 photos, 1,234 objects of 2 classes" in told["Data"]
    assert f"s3://{NAMES.data_bucket}/survey/" in told["Data"]
    commands = {action.label: action.command for action in reply.actions}
    assert commands["The version"] == "registry show 7 --env staging"
    assert commands["The run"] == "pipeline show abc123def456 --env dev"
    assert commands["How it learned"] == "experiments show run1 --env dev"


@pytest.mark.parametrize(
    ("found", "files", "broken"),
    [
        ([STAGING], FILES, "version before"),
        ([package("staging", 3)], FILES, "version"),
        ([DEV1, STAGING], {}, "data"),
        ([package("dev", 1, metadata={"pipeline_execution": ""}), STAGING], FILES, "run"),
    ],
)
def test_where_a_lineage_breaks_is_said(found: list[dict[str, Any]], files: Mapping[str, bytes], broken: str) -> None:
    reply = typed(
        "registry lineage --endpoint groundcrew-staging-detector", sagemaker(*found, **SERVING), bucket(files)
    )
    assert reply.title.endswith(f"broken at {broken}")
    assert reply.outcome is Outcome.ERROR


def test_an_endpoint_that_does_not_exist_is_not_found() -> None:
    gone = refusal("ValidationException", 'Could not find endpoint "groundcrew-dev-other".')
    with pytest.raises(NotFound, match="groundcrew-dev-other"):
        typed("registry lineage --endpoint groundcrew-dev-other", sagemaker(describe_endpoint=gone))


def test_the_card_is_read_and_given_as_a_file() -> None:
    reply = typed("registry card 1", sagemaker(DEV1))
    assert reply.title == "Model card of detector v1 in dev: waits for a review"
    assert "drones" in str(reply.text) and "Beware" in str(reply.text)
    facts = {fact.label: str(fact.value) for fact in reply.facts}
    assert facts["Settings"] == "network yolo11n.yaml · epochs 4 · lr0 0.003"
    assert "abc123def456" in facts["Made by"]
    assert reply.table is not None and ("mAP50", "0.900") in reply.table.rows
    file = typed("registry card 1 --file", sagemaker(DEV1)).document
    assert file is not None and json.loads(file.text) == json.loads(DEV1["ModelCard"]["ModelCardContent"])
    without = {key: value for key, value in DEV1.items() if key != "ModelCard"}
    with pytest.raises(NotFound, match="model card in dev"):
        typed("registry card 1", sagemaker(without))


def test_a_promotion_carries_the_card_with_who_asked_and_who_agreed() -> None:
    made: list[dict[str, Any]] = []

    def create(**request: Any) -> dict[str, str]:
        made.append(request)
        return {"ModelPackageArn": DEV1["ModelPackageArn"]}

    s3 = FakeClient(
        get_object=lambda **request: {"Body": StreamingBody(io.BytesIO(b"model"), 5), "ETag": '"t"'}, copy_object={}
    )
    digest = "9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4"
    source = registry.load(sagemaker(package("dev", 3, metadata={"digest": digest})), NAMES, "dev", 3)
    aws = sagemaker(DEV1, create_model_package=create)
    registry.promote(aws, s3, NAMES, source, "staging", token="t", metadata=AGREED)
    (request,) = made
    assert request["ModelCard"]["ModelCardStatus"] == "Approved"
    custom = card.read(request["ModelCard"]["ModelCardContent"])["additional_information"]["custom_details"]
    assert {**AGREED, "promoted_from": source.arn}.items() <= custom.items()
    assert custom["data_version"] == "3322bb179fb8"
