"""From the baseline to the monitor's verdict: what is left behind, and what bad input does to it."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import cv2
import numpy as np
import pytest

from pipeline import source
from pipeline.errors import BadInput, Denied
from pipeline.monitoring import results, review
from pipeline.monitoring.features import IMAGE
from pipeline.monitoring.formats import read_reference
from pipeline.steps.baseline import name
from pipeline.steps.container import Container
from pipeline.steps.monitor import monitor
from tests.unit.fake_aws import refusal
from tests.unit.tiny import AT, line, put, seconds
from tests.unit.watched import WINDOW, Watched, watch

RESULTS = {"statistics.json", "constraint_violations.json", "verdict.json", "report.html", "chart.png", "examples.jpg"}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    return watch(tmp_path_factory.mktemp("watched"))


@pytest.fixture(scope="module")
def usual(watched: Watched) -> list[str]:
    return watched.lines()


@pytest.fixture(scope="module")
def fog(watched: Watched) -> list[str]:
    return watched.lines("fog")


@pytest.fixture
def drawn() -> None:
    """In this test charts are really drawn, which takes a while."""


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the others they are a dot."""
    if "drawn" not in request.fixturenames:
        dot = cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes()
        monkeypatch.setattr(results, "chart", lambda verdict, reference, window: dot)


class Aws:
    """S3 and CloudWatch, remembering; `refuses` makes them say no."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses
        self.objects: dict[str, bytes] = {}
        self.metrics: dict[str, Any] = {}

    def __call__(self, service: str) -> "Aws":
        return self

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:
        self.objects[f"{Bucket}/{Key}"] = Body

    def put_metric_data(self, **request: Any) -> None:
        if self.refuses:
            raise refusal("AccessDenied", "no")
        self.metrics = request


def environment(watched: Watched | None, **more: str) -> dict[str, str]:
    given = {
        "dataset_source": "/opt/ml/processing/input/endpoint",
        "output_path": "/opt/ml/processing/output",
        "start_time": "2026-02-14T17:00:00Z",
        "end_time": "2026-02-14T18:00:00Z",
        "sagemaker_endpoint_name": "watched",
    }
    if watched:
        given["baseline_statistics"] = str(watched.baseline / "statistics.json")
        given["baseline_constraints"] = str(watched.baseline / "constraints.json")
    return given | more


def judge(root: Path, lines: Iterable[str], watched: Watched | None, **more: str) -> tuple[str, dict[str, Any]]:
    """The exit message and verdict.json of a run on these lines."""
    put(root / "processing" / "input" / "endpoint", lines)
    words = monitor(Container(root, environment(watched, **more)))
    return words, json.loads((root / "processing" / "output" / "verdict.json").read_text())


def changed(text: str, change: Any) -> str:
    """A capture line with another answer."""
    record = json.loads(text)
    output = record["captureData"]["endpointOutput"]
    body = json.loads(output["data"])
    change(body)
    output["data"] = json.dumps(body)
    return json.dumps(record)


# --- the baseline ----------------------------------------------------------------------------------------------------


def test_the_baseline_has_image_columns_of_all_and_prediction_columns_of_unseen_pictures(watched: Watched) -> None:
    profile = read_reference(watched.baseline / "statistics.json").profile
    assert profile.images == 520
    assert {profile.columns[column].values.count for column in IMAGE} == {520}
    assert profile.columns["objects"].values.count == 520 - 182  # 70 % of 260 were trained on
    assert "520 pictures of 40 flights, 338 of them not trained on" in watched.words
    assert cv2.imread(str(watched.baseline / "examples.jpg")) is not None


def test_a_baseline_s_name_follows_model_and_measurements() -> None:
    rows = [{"brightness": 1.0}]
    assert name("d", rows, []) == name("d", [{"brightness": 1.0}], [])
    assert (
        len({name("d", rows, []), name("e", rows, []), name("d", [], rows), name("d", [{"brightness": 2.0}], [])}) == 4
    )


# --- verdicts --------------------------------------------------------------------------------------------------------


def test_more_of_the_same_is_no_drift(tmp_path: Path, watched: Watched, usual: list[str]) -> None:
    words, told = judge(tmp_path, usual, watched)
    assert words == f"Completed: No drift in {WINDOW} images."
    assert (told["verdict"], told["violations"], told["images"]) == ("no drift", [], WINDOW)
    assert told["baseline"]["id"] == read_reference(watched.baseline / "statistics.json").id
    assert told["models"] == {watched.digest: WINDOW}
    assert told["limits"]["limit"] >= 0.3
    assert "99th percentile" in told["limits"]["from"]


def test_fog_is_drift_and_everything_about_it_is_left_behind(
    tmp_path: Path, watched: Watched, fog: list[str], drawn: None
) -> None:
    words, told = judge(tmp_path, fog, watched)
    assert words.startswith(f"CompletedWithViolations: Drift in {WINDOW} images: ")
    moved = {column["column"] for column in told["columns"] if column["beyond"]}
    assert {"contrast", "saturation", "brightness"} <= moved
    assert {row["constraint_check_type"] for row in told["violations"]} == {"baseline_drift_check"}
    output = tmp_path / "processing" / "output"
    assert {path.name for path in output.iterdir()} == RESULTS
    assert cv2.imread(str(output / "chart.png")).shape[0] > 400
    assert cv2.imread(str(output / "examples.jpg")).shape[1] > 1200  # both windows side by side
    assert not re.search(r"(src|href)=.(?!data:)", (output / "report.html").read_text())


def test_under_the_contract_the_process_leaves_its_message(tmp_path: Path, watched: Watched, fog: list[str]) -> None:
    put(tmp_path / "processing" / "input" / "endpoint", fog)
    env = environment(watched) | {"ML_ROOT": str(tmp_path), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "pipeline.steps.monitor"]
    done = subprocess.run(command, env=env, cwd=source.PACKAGE.parent, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "output" / "message").read_text().startswith("CompletedWithViolations: Drift in ")


def test_nothing_recorded_is_no_traffic_never_no_drift(tmp_path: Path, watched: Watched) -> None:
    words, told = judge(tmp_path, [], watched)
    assert words == "Completed: No traffic: nothing was recorded in this window."
    assert (told["verdict"], told["columns"], told["violations"]) == ("no traffic", [], [])


def test_without_a_baseline_there_are_figures_and_no_verdict(tmp_path: Path, usual: list[str]) -> None:
    words, told = judge(tmp_path, usual, None)
    assert words == f"Completed: No verdict: this endpoint has no baseline; {WINDOW} image(s)."
    assert (told["verdict"], told["baseline"], told["limits"]) == ("no verdict", None, None)
    statistics = json.loads((tmp_path / "processing" / "output" / "statistics.json").read_text())
    assert statistics["dataset"]["item_count"] == WINDOW


def test_a_small_window_only_warns(tmp_path: Path, watched: Watched, fog: list[str]) -> None:
    words, told = judge(tmp_path, fog[:60], watched)
    assert told["verdict"] == "warning"
    assert words.startswith("Completed: ")
    assert any("Small sample" in caveat for caveat in told["caveats"])


def test_a_column_that_never_moved_does_not_explode(tmp_path: Path, watched: Watched, usual: list[str]) -> None:
    assert read_reference(watched.baseline / "statistics.json").profile.columns["clipped_high"].values.deviation < 0.003
    lines = [changed(text, lambda body: body["features"].update(clipped_high=0.001)) for text in usual]
    assert judge(tmp_path, lines, watched)[1]["verdict"] == "no drift"


# --- the window ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "times",
    [
        {"start_time": "2026-02-14T17:00:10Z", "end_time": "2026-02-14T17:00:20Z"},
        {"start_time": "2026-02-14T18:00:10+01:00", "end_time": "2026-02-14T12:00:20-05:00"},
        {"start_time": "2026-02-14T17:00:10", "end_time": "2026-02-14T17:00:20"},
        {"start_time": "", "end_time": "2026-02-14T17:00:20.000Z", "WINDOW_HOURS": str(10 / 3600)},
    ],
)
def test_the_start_is_in_the_window_and_the_end_is_not(tmp_path: Path, usual: list[str], times: dict[str, str]) -> None:
    _, told = judge(tmp_path, usual[:40], None, **times)
    assert told["images"] == 10
    assert told["window"] == {"start": "2026-02-14T17:00:10Z", "end": "2026-02-14T17:00:20Z"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"end_time": ""}, "end_time"),
        ({"end_time": "tomorrow"}, "is not a time"),
        ({"end_time": "2026-02-14T17:00:00Z"}, "is empty"),
        ({"start_time": "", "WINDOW_HOURS": "a day"}, "not a number"),
        ({"start_time": ""}, "WINDOW_HOURS"),
    ],
)
def test_a_window_that_is_none_is_named(tmp_path: Path, settings: dict[str, str], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        judge(tmp_path, [], None, **settings)


def test_only_files_of_this_endpoint_s_hours_are_read(tmp_path: Path, usual: list[str]) -> None:
    root = tmp_path / "processing" / "input" / "endpoint"
    put(root, ["not read"], AT - timedelta(hours=1))
    put(root, ["not read"], AT + timedelta(hours=1))
    other = put(root, ["not read"], AT, "b.jsonl")
    moved = root / "another" / other.relative_to(root / "watched")
    moved.parent.mkdir(parents=True)
    other.rename(moved)
    _, told = judge(tmp_path, usual[:5], None)
    assert (told["images"], told["malformed"]) == (5, {})


# --- bad records -----------------------------------------------------------------------------------------------------


def test_bad_lines_are_counted_by_their_reason(tmp_path: Path, watched: Watched, usual: list[str]) -> None:
    foreign = line({"predictions": [1]}, AT)
    broken = usual[0][: len(usual[0]) // 2]
    table = json.loads(usual[1])
    table["captureData"]["endpointOutput"] = {"data": "1,2", "encoding": "CSV", "mode": "OUTPUT"}
    encoded = json.loads(usual[2])
    output = encoded["captureData"]["endpointOutput"]
    output |= {"data": base64.b64encode(output["data"].encode()).decode(), "encoding": "BASE64"}
    lines = [*usual[3:], foreign, broken, json.dumps(table), json.dumps(encoded), "", "[1]"]
    words, told = judge(tmp_path, lines, watched)
    assert told["images"] == WINDOW - 2  # one of the three is only written in another way
    assert sum(told["malformed"].values()) == told["records"] - told["images"] == 4
    assert [row["feature_name"] for row in told["violations"]] == ["record"]
    assert words.startswith("CompletedWithViolations: ")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1" + "0" * 400, "true", "[]", "null"])
def test_no_value_of_an_answer_ends_the_monitor(
    tmp_path: Path, watched: Watched, usual: list[str], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    def spoil(body: Any) -> None:
        bad = json.loads(value)
        body["features"]["brightness"] = body["prediction"]["confidence"] = bad
        body["detections"] = [{"class": "boat", "confidence": bad, "box": [bad] * 4}, bad]

    pictures = json.loads(usual[1])
    pictures["captureData"]["endpointInput"]["data"] = "*"
    aws = Aws()
    monkeypatch.setattr(boto3, "client", aws)
    put(tmp_path / "processing" / "input" / "ground_truth", truths(watched))
    lines = [changed(usual[0], spoil), json.dumps(pictures), *usual[2:]]
    _, told = judge(tmp_path, lines, watched, REVIEW_URI="s3://b/review")
    assert (told["verdict"], told["images"]) == ("no drift", WINDOW)
    assert told["quality"]["pictures"] == 20


def test_values_that_cannot_be_are_violations(tmp_path: Path, watched: Watched, usual: list[str]) -> None:
    lines = [changed(text, lambda body: body["features"].update(brightness=400, contrast="high")) for text in usual]
    _, told = judge(tmp_path, lines, watched)
    found = {(row["feature_name"], row["constraint_check_type"]) for row in told["violations"]}
    assert found == {("brightness", "data_type_check"), ("contrast", "data_type_check")}


def test_a_baseline_of_another_class_list_compares_what_can_be(
    tmp_path: Path, watched: Watched, usual: list[str]
) -> None:
    lines = [changed(text, lambda body: body["prediction"].update(class_kite=body["prediction"].pop("class_boat")))
             for text in usual]  # fmt: skip
    _, told = judge(tmp_path, lines, watched)
    found = {(row["feature_name"], row["constraint_check_type"]) for row in told["violations"]}
    assert found == {("class_kite", "extra_column_check"), ("class_boat", "missing_column_check")}
    assert told["verdict"] == "no drift"
    assert len(told["caveats"]) >= 2


def test_of_another_model_s_answers_only_the_pictures_are_compared(
    tmp_path: Path, watched: Watched, usual: list[str]
) -> None:
    def other(body: Any) -> None:
        body["model"]["digest"] = "e" * 64
        body["prediction"]["objects"] = 50

    _, told = judge(tmp_path, [changed(text, other) for text in usual], watched)
    assert told["verdict"] == "no drift"
    assert {column["column"] for column in told["columns"]} == set(IMAGE)
    assert [row["feature_name"] for row in told["violations"]] == ["model"]


def test_a_broken_baseline_is_an_error_that_names_the_file(tmp_path: Path, watched: Watched) -> None:
    (tmp_path / "statistics.json").write_text("{}")
    with pytest.raises(BadInput, match=r"statistics\.json"):
        judge(tmp_path, [], watched, baseline_statistics=str(tmp_path / "statistics.json"))


# --- ground truth ----------------------------------------------------------------------------------------------------


def truths(watched: Watched, *, prefix: str = "") -> list[str]:
    """What the model finds is what was there; every second object is one that it did not find."""
    rows = []
    for photo, body in watched.answers(count=20):
        real = [{"class": row["class"], "box": row["box"]} for row in body["detections"][:1]]
        missed = {"class": "boat", "box": [0, 0, 2, 2]}
        data = json.dumps({"objects": [*real, missed]})
        rows.append(
            {"groundTruthData": {"data": data, "encoding": "JSON"}, "eventMetadata": {"eventId": prefix + photo.id}}
        )
    return [json.dumps(row) for row in rows]


def test_ground_truth_is_joined_by_inference_id(tmp_path: Path, watched: Watched, usual: list[str]) -> None:
    put(tmp_path / "processing" / "input" / "ground_truth", [*truths(watched), "{"])
    _, told = judge(tmp_path, usual, watched)
    assert told["quality"]["pictures"] == 20
    assert told["quality"]["precision"] == pytest.approx(1 / 3)  # the tiny model always finds a boat and two cars
    assert told["quality"]["recall"] == 0.5
    assert told["quality"]["map50"] == 0.5
    assert "1 ground-truth line(s) could not be read." in told["caveats"]


def test_ground_truth_of_nothing_here_says_so(tmp_path: Path, watched: Watched, usual: list[str]) -> None:
    put(tmp_path / "processing" / "input" / "ground_truth", truths(watched, prefix="other-"))
    _, told = judge(tmp_path, usual, watched)
    assert told["quality"] is None
    assert any("None of 20 ground-truth records" in caveat for caveat in told["caveats"])


# --- AWS -------------------------------------------------------------------------------------------------------------


def test_figures_go_to_our_namespace_and_to_the_contract_s_file(
    tmp_path: Path, watched: Watched, fog: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = Aws()
    monkeypatch.setattr(boto3, "client", aws)
    judge(tmp_path, fog, watched, publish_cloudwatch_metrics="Enabled", sagemaker_monitoring_schedule_name="s")
    assert aws.metrics["Namespace"] == "Groundcrew/Monitoring"
    values = {row["MetricName"]: row["Value"] for row in aws.metrics["MetricData"]}
    assert (values["records"], values["malformed"]) == (WINDOW, 0)
    assert values["drift_distance_ratio"] > 2
    row = aws.metrics["MetricData"][0]
    assert row["Dimensions"] == [{"Name": "EndpointName", "Value": "watched"}]
    assert row["Timestamp"].isoformat() == "2026-02-14T18:00:00+00:00"
    file = (tmp_path / "output" / "metrics" / "cloudwatch").read_text().splitlines()
    names = {json.loads(text)["MetricName"] for text in file}
    assert {"feature_baseline_drift_brightness", "feature_non_null_brightness"} <= names


@pytest.mark.parametrize("count", [0, 60])
def test_no_alarm_hears_of_a_window_without_a_strict_verdict(
    tmp_path: Path, watched: Watched, fog: list[str], monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    aws = Aws()
    monkeypatch.setattr(boto3, "client", aws)
    judge(tmp_path, fog[:count], watched, publish_cloudwatch_metrics="Enabled")
    values = {row["MetricName"]: row["Value"] for row in aws.metrics["MetricData"]}
    assert values["records"] == count
    assert "drift_distance_ratio" not in values


def test_a_monitor_that_cannot_speak_fails(tmp_path: Path, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "client", Aws(refuses=True))
    with pytest.raises(Denied, match="AWS refused"):
        judge(tmp_path, [], watched, publish_cloudwatch_metrics="Enabled")


def test_a_look_at_another_time_tells_no_alarm(tmp_path: Path, watched: Watched, fog: list[str]) -> None:
    judge(tmp_path, fog, watched, publish_cloudwatch_metrics="Disabled")  # without a client that could be called
    assert not (tmp_path / "output").exists()


def test_unusual_and_unsure_photos_go_to_the_review_prefix(
    tmp_path: Path, watched: Watched, fog: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = Aws()
    monkeypatch.setattr(boto3, "client", aws)
    unsure = [changed(text, lambda body: body["prediction"].update(confidence=0.3)) for text in fog[:2]]
    _, told = judge(tmp_path, [*unsure, *fog[2:]], watched, REVIEW_URI="s3://b/dev/review/watched/")
    home = "b/dev/review/watched/2026-02-14/"
    assert told["review"] == {"prefix": f"s3://{home}", "photos": len(aws.objects) - 1}
    manifest = [json.loads(text) for text in aws.objects[f"{home}manifest-180000.jsonl"].decode().splitlines()]
    reasons = [row["reason"] for row in manifest]
    assert reasons[:20] == ["unlike the baseline"] * review.MOST
    assert set(reasons[20:]) <= {"low confidence"}
    scores = [row["score"] for row in manifest[:20]]
    assert scores == sorted(scores, reverse=True)
    sent = {photo.id: photo.data for photo, _ in watched.answers("fog")}
    assert all(aws.objects[home + row["file"]] == sent[row["inference_id"]] for row in manifest)


def test_nothing_is_copied_from_a_quiet_window_that_is_sure(
    tmp_path: Path, watched: Watched, usual: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = Aws()
    monkeypatch.setattr(boto3, "client", aws)
    _, told = judge(tmp_path, usual, watched, REVIEW_URI="s3://b/dev/review/watched")
    assert (aws.objects, told["review"]) == ({}, {"prefix": "", "photos": 0})


def test_output_alone_is_enough_for_a_verdict(tmp_path: Path, watched: Watched, fog: list[str]) -> None:
    lines = []
    for text in fog:
        record = json.loads(text)
        del record["captureData"]["endpointInput"]
        lines.append(json.dumps(record))
    _, told = judge(tmp_path, lines, watched)
    assert told["verdict"] == "drift"
    assert not (tmp_path / "processing" / "output" / "examples.jpg").exists()


def test_photos_of_the_window_are_drawn_fairly() -> None:
    chosen = review.Chosen(seed=1)
    for number in range(2000):
        where = review.Candidate(0.0, seconds(number), str(number), Path("x"), number)
        chosen.consider(where, None, 0.0)
    offsets = sorted(candidate.offset for candidate in chosen._sample)
    assert len(offsets) == review.EXAMPLES
    assert np.ptp(offsets) > 500
