"""Experiments and the registry in depth, through the front door: the one real training, and what is put beside it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import boto3
import pytest
from PIL import Image

from pipeline.names import Names
from pipeline.tracking import Tracking
from sandbox import evidence
from sandbox.environment import ACCOUNT, DATA_BUCKET, REGION
from sandbox.person import Json, Person, buttons, rows
from tests.conftest import Sandbox, Training
from tests.scenario.test_audit import conversation

NAMES = Names(ACCOUNT, REGION, DATA_BUCKET)
BESIDE = ("beside0one", "beside0two", "beside0three")


@pytest.fixture(scope="module")
def beside(sandbox: Sandbox, training: Training) -> Tracking:
    """Three runs in dev's experiment and one in staging's, logged as the steps log theirs."""
    tracking = Tracking(f"http://127.0.0.1:{sandbox.port('mlflow')}")
    for at, name in enumerate(BESIDE):
        log(tracking, NAMES.pipeline("dev"), name, epochs=2 + at)
    log(tracking, NAMES.pipeline("staging"), "elsewhere0one", epochs=2)
    return tracking


def log(tracking: Tracking, experiment: str, name: str, *, epochs: int) -> None:
    found = tracking.create_run(tracking.experiment(experiment), name, {"data_version": "0" * 12, "beside": "yes"})
    tracking.log_params(found.id, {"epochs": epochs, "imgsz": 64, "save_dir": f"/opt/ml/{name}"})
    for epoch in range(1, epochs + 1):
        tracking.log_metrics(found.id, {"val/map50": epoch / 10, "train/box_loss": 3 / epoch}, epoch)
    tracking.log_metrics(found.id, {"test/map50": epochs / 10, "train/wall_seconds": 1.0 * epochs})
    tracking.finish(found.id)


@pytest.fixture(scope="module")
def second(sandbox: Sandbox, training: Training) -> Iterator[int]:
    """A second version in dev for as long as this file is tested: the first, with other figures."""
    settings = sandbox.settings()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        sagemaker: Any = boto3.Session(region_name=REGION).client(
            "sagemaker", endpoint_url=settings["AWS_ENDPOINT_URL"]
        )
        first = sagemaker.describe_model_package(
            ModelPackageName=NAMES.arn("sagemaker", f"model-package/{NAMES.group('dev')}/1")
        )
        metadata = {**first["CustomerMetadataProperties"], "map50": "0.1000", "digest": "f" * 64}
        made = sagemaker.create_model_package(
            ModelPackageGroupName=NAMES.group("dev"),
            InferenceSpecification=first["InferenceSpecification"],
            ModelMetrics=first["ModelMetrics"],
            ModelApprovalStatus="Rejected",
            CustomerMetadataProperties=metadata,
        )["ModelPackageArn"]
        yield int(made.rpartition("/")[2])
        sagemaker.delete_model_package(ModelPackageName=made)


def picture(person: Person, message: Json) -> Image.Image:
    return Image.open(BytesIO(person.slack.bytes_of(evidence.picture(message))))


def test_a_run_is_found_by_its_metrics(beside: Tracking, ds: Person, training: Training) -> None:
    filter = "metrics.`test/map50` > 0.5 and params.epochs = '4'"
    told = ds.asks(f"experiments search \"{filter}\" --order-by 'metrics.`val/recall` DESC'", "in dev", "Fit ")
    names = [row[0] for row in rows(told)[1:]]
    assert training.id in names
    assert not set(BESIDE) & set(names)
    assert "val/recall" in rows(told)[0]


def test_pages_are_turned_by_buttons(beside: Tracking, ds: Person) -> None:
    line = "experiments search \"tags.beside = 'yes'\" --order-by 'metrics.`test/map50` ASC' --limit 2"
    first = ds.asks(line, "Runs 1 to 2 in dev, and there are more")
    assert [row[0] for row in rows(first)[1:]] == [*BESIDE[:2]]
    last = ds.sees("Run 3 in dev", after=ds.presses(first, "Next page"))
    assert [row[0] for row in rows(last)[1:]] == [BESIDE[2]]
    again = ds.sees("Runs 1 to 2 in dev", after=ds.presses(last, "Previous page"))
    assert rows(again) == rows(first)


def test_a_filter_that_mlflow_rejects_is_quoted_with_an_example(beside: Tracking, ds: Person) -> None:
    told = ds.asks("experiments search 'params.epochs > 3'", "MLflow cannot read that search")["words"]
    assert "Expected a quoted string value for parameter" in told
    assert "metrics.`test/map50` > 0.8" in told


def test_the_training_is_shown_with_its_curve_and_all_its_parameters(ds: Person, training: Training) -> None:
    told = ds.asks(f"experiments show {training.id}", f"Run {training.id} in dev: finished, mAP50 0.", seconds=60)
    assert "epochs 4" in told["words"]
    metrics = {row[0] for row in rows(told)}
    assert {"test/map50", "best/map50", "val/map50", "train/box_loss"} <= metrics
    assert picture(ds, told).size[0] > 1000
    every = ds.sees(f"Run {training.id} in dev", after=ds.presses(told, "All parameters"))
    assert ["optimizer", "AdamW"] in rows(every)


def test_runs_are_compared_with_the_best_marked_and_a_way_into_mlflow(
    beside: Tracking, ds: Person, training: Training
) -> None:
    line = f"experiments compare {training.id} {BESIDE[0]} {BESIDE[2]}"
    told = ds.asks(line, f"3 runs compared: {training.id} is best", "different versions of the data", seconds=60)
    table = {row[0]: row[1:] for row in rows(told)}
    assert table["epochs"] == ["4", "2", "4"]
    assert table["test/map50"][0].endswith(" · best"), table
    assert table["train/wall_seconds"].index("2 · best") == 1
    assert "save_dir" not in table
    assert picture(ds, told).size[0] > 1000
    page = next(
        element["url"] for block in told["blocks"] for element in block.get("elements", []) if element.get("url")
    )
    assert "/#/compare-runs?runs=" in page
    curve = next(label for label in buttons(told) if label.startswith(("val/", "train/")))
    other = ds.sees("3 runs compared", after=ds.presses(told, curve), seconds=60)
    assert rows(other) == rows(told)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"compare {BESIDE[0]} elsewhere0one", "belongs to the experiment groundcrew-staging-detector"),
        (f"compare {BESIDE[0]} nobody", "There is no run of groundcrew-dev-detector"),
        (f"compare {BESIDE[0]}", "Two to 8 runs"),
        ("show beside0", "3 runs begin with"),
    ],
)
def test_what_cannot_be_compared_is_said(beside: Tracking, ds: Person, line: str, words: str) -> None:
    ds.asks(f"experiments {line}", words)


def test_aws_decides_whose_runs_a_person_sees(beside: Tracking, sandbox: Sandbox, ds: Person, ml: Person) -> None:
    told = ds.asks("experiments search --env staging", "AWS said no")["words"]
    assert "not authorized to perform: sagemaker:DescribePipeline" in told
    ml.asks("experiments search --env staging", "One run in staging")
    sandbox.slack.person("U0STK").asks("experiments search", "runs in dev")


def test_mlflow_down_is_said_and_the_registry_still_answers(sandbox: Sandbox, ds: Person, training: Training) -> None:
    mlflow = sandbox.process("mlflow")
    mlflow.send_signal(signal.SIGSTOP)
    try:
        down = ds.asks("experiments search", "MLflow cannot be asked now", "Runs go on without it", seconds=60)
        ds.sees("in dev", "v1", after=ds.presses(down, "Models"))
    finally:
        mlflow.send_signal(signal.SIGCONT)
    ds.asks("experiments search", "in dev", "newest first")


def test_a_version_shows_the_matrix_that_evaluate_counted(ds: Person, training: Training) -> None:
    told = ds.asks("registry show 1", "Detector v1 in dev", "Confusion matrix of detector v1: ", seconds=60)
    assert "started by" in told["words"]
    found, labelled = told["words"].split("vehicle ")[1].split(",")[0].split(" of ")
    assert 0 < int(found) <= int(labelled.split()[0])
    assert picture(ds, told).size[0] > 400


def test_two_versions_are_compared(second: int, ds: Person) -> None:
    told = ds.asks(f"registry compare 1 {second}", f"Detector v1 is better than v{second}", seconds=60)
    assert "same version of the data" in told["words"]
    table = {row[0]: row[1:] for row in rows(told)}
    assert {"mAP50", "mAP50-95", "mAP50 of vehicle", "Data", "Revision"} <= table.keys()
    assert picture(ds, told).size[0] > 800
    ds.asks("registry compare 1 1", "named twice")


def test_a_lineage_leads_from_the_endpoint_to_the_data(ds: Person, training: Training) -> None:
    told = ds.asks("registry lineage --endpoint groundcrew-dev-detector", "Where groundcrew-dev-detector comes from")
    words = told["words"]
    assert "broken" not in words
    for part in ("InService", "Version dev v1", training.id, "started by", "revision", "photos", "survey/"):
        assert part in words, part
    assert buttons(told)["The run"] == f"pipeline show {training.id} --env dev"
    ds.sees(f"Run {training.id} in dev", after=ds.presses(told, "How it learned"), seconds=60)
    ds.asks("registry lineage --endpoint groundcrew-staging-detector", "AWS said no")


def test_a_version_has_a_card_that_can_be_kept(sandbox: Sandbox, ds: Person, training: Training) -> None:
    told = ds.asks("registry card 1", "Model card of detector v1 in dev: waits for a review", "Beware", seconds=60)
    assert training.id in told["words"]
    assert {"mAP50", "vehicle mAP50"} <= {row[0] for row in rows(told)}
    after = ds.presses(told, "As a file")
    (file,) = conversation(sandbox, ds.user).sees("Model card of detector v1", after=after, files=True)["files"]
    kept = json.loads(sandbox.slack.bytes_of(file))
    (measured,) = kept["evaluation_details"]
    assert [group["name"] for group in measured["metric_groups"]] == ["Overall", "By class", "Confusion"]
    assert kept["additional_information"]["custom_details"]["pipeline_execution"].endswith(training.id)
