"""Capture in, Model Monitor's files, report and chart out; and the features both sides share."""

from __future__ import annotations

import base64
import functools
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.errors import BadInput
from pipeline.monitoring import capture, formats
from pipeline.monitoring.calibration import Limits
from pipeline.monitoring.capture import Malformed, Record, lines, moment, records, window
from pipeline.monitoring.chart import chart
from pipeline.monitoring.drift import Reference, Verdict, fit, judge, w1
from pipeline.monitoring.features import FLOORS, IMAGE, bounds, columns, image_features, prediction_features
from pipeline.monitoring.quality import CHECKS, Violation, suggest, violations
from pipeline.monitoring.report import report
from pipeline.monitoring.sketch import CAPACITY
from pipeline.monitoring.summary import Profile, Summary, profile

START = datetime(2026, 2, 14, 17, tzinfo=UTC)
CLASSES = ("car", "solar panel")
NAMES = columns(CLASSES)


@dataclass(frozen=True)
class Thing:
    """What a detector finds."""

    name: str
    confidence: float
    box: tuple[float, float, float, float]


def rows(count: int, seed: int = 0, **moved: float) -> list[dict[str, float]]:
    """Columns of so many images, some without an object."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        row = {name: float(rng.normal(50, 5)) for name in IMAGE if bounds(name)[1] > 100}
        row |= {name: float(rng.uniform(0.2, 0.4)) for name in IMAGE if bounds(name)[1] <= 8}
        row |= {"objects": float(rng.integers(0, 5)), "class_car": float(rng.integers(0, 3)), "class_solar panel": 0.0}
        if row["objects"]:
            row |= {"confidence": float(rng.beta(9, 2)), "box_area": 0.02}
        found.append({name: value + moved.get(name, 0.0) for name, value in row.items()})
    return found


@functools.cache
def baseline(count: int = 600) -> Reference:
    found = rows(count)
    return fit(found, [f"flight{index // 10}" for index in range(count)], "2026-02 survey", "digest-1")


def line(row: dict[str, Any], at: datetime = START, model: str = "digest-1", **changes: Any) -> bytes:
    """A record as data capture writes it."""
    image = {name: value for name, value in row.items() if name in IMAGE}
    prediction = {name: value for name, value in row.items() if name not in IMAGE}
    answer = {"detections": [], "model": {"digest": model}, "features": image, "prediction": prediction}
    output = {
        "observedContentType": "application/json",
        "mode": "OUTPUT",
        "data": json.dumps(answer),
        "encoding": "JSON",
    }
    body = {
        "captureData": {"endpointOutput": output | changes.pop("output", {})},
        "eventMetadata": {"eventId": "e1", "inferenceTime": at.isoformat().replace("+00:00", "Z")}
        | changes.pop("about", {}),
        "eventVersion": "0",
    }
    return json.dumps(body | changes).encode() + b"\n"


# --- features -------------------------------------------------------------------------------------------------------


def test_features_of_pictures_whose_numbers_are_known() -> None:
    grey = np.full((400, 600, 3), 100, np.uint8)
    found = image_features(grey)
    assert tuple(found) == IMAGE
    assert found["brightness"] == found["mean_b"] == 100
    assert found["contrast"] == found["sharpness"] == found["entropy"] == found["clipped_low"] == 0
    half = np.zeros((100, 100, 3), np.uint8)
    half[:, 50:] = 255
    found = image_features(half)
    assert (found["entropy"], found["clipped_low"], found["clipped_high"]) == (1, 0.5, 0.5)
    assert found["contrast"] == 127.5
    red = np.zeros((10, 10, 3), np.uint8)
    red[..., 2] = 200
    found = image_features(red)
    assert (found["mean_r"], found["mean_b"], found["saturation"]) == (200, 0, 255)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 2**32))
def test_features_of_any_picture_lie_in_their_range(width: int, height: int, seed: int) -> None:
    found = image_features(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))
    for name, value in found.items():
        least, largest = bounds(name)
        assert least <= value <= largest + 1e-6, name
        json.dumps(value, allow_nan=False)


def test_size_of_a_picture_hardly_changes_its_features() -> None:
    small = np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8)
    large = np.repeat(np.repeat(small, 4, 0), 4, 1)
    before, after = image_features(small), image_features(large)
    assert all(abs(before[name] - after[name]) <= FLOORS[name] for name in IMAGE)


def test_features_of_predictions() -> None:
    things = [Thing("car", 0.5, (0, 0, 10, 10)), Thing("car", 0.7, (0, 0, 20, 10))]
    found = prediction_features(things, CLASSES, 100, 50)
    assert found == {
        "objects": 2,
        "confidence": pytest.approx(0.6),
        "box_area": pytest.approx(0.03),
        "class_car": 2,
        "class_solar panel": 0,
    }
    assert prediction_features([], CLASSES, 100, 50) == {"objects": 0, "class_car": 0, "class_solar panel": 0}


# --- capture --------------------------------------------------------------------------------------------------------


def test_a_record_is_read() -> None:
    about = {"inferenceId": "photo-7"}
    (found,) = records([line({"brightness": 100.0, "objects": 2}, about=about)])
    assert isinstance(found, Record)
    assert (found.at, found.event_id, found.inference_id) == (START, "e1", "photo-7")
    assert (dict(found.row), found.model) == ({"brightness": 100.0, "objects": 2}, "digest-1")
    plain = next(records([line({})]))
    assert isinstance(plain, Record)
    assert plain.inference_id == "e1"


def test_an_output_in_base64_is_read() -> None:
    text = json.dumps({"features": {"brightness": 1.0}, "prediction": {}}).encode()
    output = {"data": base64.b64encode(text).decode(), "encoding": "BASE64"}
    (found,) = records([line({}, output=output)])
    assert isinstance(found, Record)
    assert dict(found.row) == {"brightness": 1.0}
    assert found.model == ""


def test_of_several_pictures_each_is_a_record_named_after_its_place() -> None:
    answers = [{"features": {"brightness": float(place)}, "prediction": {"objects": place}} for place in range(3)]
    output = {"data": json.dumps({"answers": answers}), "encoding": "JSON"}
    found = list(records([line({}, about={"inferenceId": "batch"}, output=output)]))
    assert all(isinstance(each, Record) for each in found)
    assert [(each.event_id, each.inference_id, each.row["objects"]) for each in found if isinstance(each, Record)] == [
        ("e1#1", "batch#1", 0),
        ("e1#2", "batch#2", 1),
        ("e1#3", "batch#3", 2),
    ]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (line({}, output={"data": '{"answers": [{}]}', "encoding": "JSON"}), "the answer has no features"),
        (line({}, output={"data": '{"answers": [1]}', "encoding": "JSON"}), "the answer has no features"),
        (line({})[:80], "a line is not JSON"),
        (b'{"eventVersion": "\xe9"}', "a line is not JSON"),
        (b"[" * 100_000, "a line is not JSON"),
        (b"[1]", "a line is not JSON"),
        (b'{"groundTruthData": {}}', "a line is not a capture record"),
        (line({}, about={"inferenceTime": "yesterday"}), "inferenceTime is not a time"),
        (line({}, about={"inferenceTime": None}), "inferenceTime is not a time"),
        (line({}, output={"data": None}), "no output was captured"),
        (line({}, output={"data": "0.7,1", "encoding": "CSV"}), "the captured output is neither JSON nor base64"),
        (line({}, output={"data": "?", "encoding": "BASE64"}), "the captured output is not base64"),
        (line({}, output={"data": "AA==", "encoding": "BASE64"}), "the captured output is not JSON"),
        (line({}, output={"data": '{"error": "no"}'}), "the answer has no features"),
    ],
)
def test_what_is_not_a_record_is_told(bad: bytes, reason: str) -> None:
    assert list(records([bad])) == [Malformed(reason)]


@given(st.lists(st.binary(max_size=60)))
def test_no_bytes_break_the_reader(found: list[bytes]) -> None:
    assert len(list(records(found))) == len(found)


def test_the_window_ends_before_its_end_whatever_the_zone() -> None:
    hour = timedelta(hours=1)
    times = [START - timedelta(seconds=1), START, START + hour - timedelta(milliseconds=1), START + hour]
    given_lines = [line({"brightness": 10.0}, at) for at in times]
    elsewhere = {"inferenceTime": "2026-02-14T19:30:00+02:00"}
    given_lines.append(line({"brightness": 30.0}, about=elsewhere))
    found = window(records([*given_lines, b"{"]), START, START + hour)
    assert found.images == 3
    assert found.columns["brightness"].values.values.tolist() == [10.0, 10.0, 30.0]
    assert found.malformed == {"a line is not JSON": 1}
    assert found.records == 4
    assert moment("2026-02-14T17:00:00") == START  # AWS writes UTC


def test_models_are_counted_apart() -> None:
    given_lines = [line({"brightness": 1.0}, model=f"m{index % 2}") for index in range(5)]
    assert window(records(given_lines), START, START + timedelta(1)).models == {"m0": 3, "m1": 2}


def test_a_line_of_any_length_takes_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "LONGEST", 100)
    file = io.BytesIO(b"a\n\n" + b"x" * 1000 + b"\nb\n" + b"y" * 100 + b"\nc")
    assert [len(found) for found in lines(file)] == [2, 100, 2, 100, 1]


def test_traffic_from_capture_to_verdict() -> None:
    reference = baseline()
    bright = [line(row) for row in rows(250, 1, brightness=20)]
    found = window(records(bright), START, START + timedelta(hours=1))
    verdict = judge(reference, found)
    assert (verdict.kind, [moved.column for moved in verdict.moved]) == ("drift", ["brightness"])
    assert judge(reference, window(records([]), START, START + timedelta(1))).kind == "no traffic"


# --- files ----------------------------------------------------------------------------------------------------------


def test_a_baseline_is_its_files_alone(tmp_path: Path) -> None:
    """Read back, the reference gives the same verdict to the last digit; also for more images than are kept exactly."""
    many = Summary()
    rng = np.random.default_rng(0)
    many.add_arrays({"brightness": rng.normal(100, 10, 3 * CAPACITY + 5), "objects": np.full(3 * CAPACITY + 5, np.nan)})
    for reference in (baseline(), Reference(many.profile(), Limits((200,), (0.4,), "flight", 30), "b", "")):
        formats.write_baseline(tmp_path, reference)
        back = formats.read_reference(tmp_path / formats.STATISTICS)
        assert (back.limits, back.id, back.model) == (reference.limits, reference.id, reference.model)
        assert formats.read_constraints(tmp_path / formats.CONSTRAINTS) == suggest(reference)
        for moved in (0.0, 3.0):
            now = profile(rows(250, 2, brightness=moved), "digest-1")
            assert judge(back, now) == judge(reference, now)
        for name, column in reference.profile.columns.items():
            if column.values.count:
                assert w1(column.values, back.profile.columns[name].values) < 1e-12


def test_the_files_have_the_shape_of_model_monitor() -> None:
    body = formats.statistics(baseline())
    assert (body["version"], body["dataset"]) == (0, {"item_count": 600})
    features = {feature["name"]: feature for feature in body["features"]}
    assert set(features) == {*NAMES, "model"}
    assert (features["brightness"]["inferred_type"], features["objects"]["inferred_type"]) == ("Fractional", "Integral")
    numbers = features["confidence"]["numerical_statistics"]
    assert set(numbers) == {"common", "mean", "sum", "std_dev", "min", "max", "distribution"}
    assert sum(numbers["common"].values()) == 600
    kll = numbers["distribution"]["kll"]
    assert set(kll["sketch"]) == {"parameters", "data"}
    assert len(kll["buckets"]) == 10
    assert sum(bucket["count"] for bucket in kll["buckets"]) == pytest.approx(numbers["common"]["num_present"])
    assert features["model"]["string_statistics"]["distribution"]["categorical"]["buckets"] == [
        {"value": "digest-1", "count": 600}
    ]
    told = formats.constraints(suggest(baseline()), baseline().limits)
    assert set(told) == {"version", "features", "monitoring_config"}
    by_name = {feature["name"]: feature for feature in told["features"]}
    assert by_name["brightness"]["completeness"] == 1.0
    assert 0 < by_name["confidence"]["completeness"] < 0.8
    assert by_name["model"]["string_constraints"] == {"domains": ["digest-1"]}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"calibration": 1}', "\u2603", '{"calibration": {"limits": []}, "baseline": {}, "features": []}'],
)
def test_a_file_that_is_no_baseline_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "statistics.json").write_text(text, "utf-8")
    with pytest.raises(BadInput, match=r"statistics\.json cannot be used"):
        formats.read_reference(tmp_path / "statistics.json")
    with pytest.raises(BadInput):
        formats.read_constraints(tmp_path / "statistics.json")


def test_a_sketch_that_lost_values_is_refused(tmp_path: Path) -> None:
    body = formats.statistics(baseline())
    body["features"][0]["numerical_statistics"]["distribution"]["kll"]["sketch"]["data"][0].pop()
    (tmp_path / "statistics.json").write_text(json.dumps(body))
    with pytest.raises(BadInput, match="does not hold its 600 values"):
        formats.read_reference(tmp_path / "statistics.json")


def test_violations_are_written_and_read_under_both_names(tmp_path: Path) -> None:
    assert formats.read_violations(tmp_path) == []
    found = [Violation("brightness", "baseline_drift_check", "Baseline drift distance: 0.5 exceeds threshold: 0.3")]
    formats.write_results(tmp_path, profile(rows(3)), found)
    assert formats.read_violations(tmp_path) == found
    (tmp_path / formats.VIOLATIONS).rename(tmp_path / formats.OLD_VIOLATIONS)
    assert formats.read_violations(tmp_path) == found
    (tmp_path / formats.VIOLATIONS).write_text('{"violations": [1]}')
    with pytest.raises(BadInput):
        formats.read_violations(tmp_path)


def checked(reference: Reference, window: Profile) -> list[Violation]:
    return violations(suggest(reference), window, judge(reference, window))


def test_a_normal_window_violates_nothing() -> None:
    reference = baseline()
    found = checked(reference, profile(rows(250, 3), "digest-1"))
    assert found == []
    verdict = judge(reference, profile(rows(250, 3), "digest-1"))
    assert formats.exit_message(verdict, found) == "Completed: No drift in 250 images."


def test_every_kind_of_violation() -> None:
    now: list[dict[str, Any]] = [dict(row) for row in rows(300, 3, brightness=30)]
    for index, row in enumerate(now):
        del row["mean_b"]
        row["class_boat"] = 1
        if index < 10:
            row["contrast"] = "high"
            row["entropy"] = 9.5
            del row["saturation"]
    summary = Summary()
    summary.add(now, "digest-2")
    for _ in range(20):
        summary.malformed("a line is not JSON")
    window = summary.profile()
    found = checked(baseline(), window)
    kinds = {(item.feature_name, item.constraint_check_type) for item in found}
    assert kinds == {
        ("brightness", "baseline_drift_check"),
        ("record", "data_type_check"),
        ("model", "categorical_values_check"),
        ("mean_b", "missing_column_check"),
        ("class_boat", "extra_column_check"),
        ("contrast", "data_type_check"),
        ("entropy", "data_type_check"),
        ("saturation", "completeness_check"),
    }
    assert {kind for _, kind in kinds} == set(CHECKS)
    words = {item.feature_name: item.description for item in found}
    assert words["entropy"] == "Of 300 values 10 are outside of 0 to 8"
    message = formats.exit_message(judge(baseline(), window), found)
    assert re.match(r"CompletedWithViolations: Drift in 300 images: brightness .* 8 violations\.$", message)


def test_unreadable_records_alone_are_a_violation_and_no_traffic_is_none() -> None:
    found = checked(baseline(), Profile(0, {}, malformed={"a line is not JSON": 2}))
    assert [item.feature_name for item in found] == ["record"]
    assert checked(baseline(), Profile(0, {})) == []


# --- report and chart -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dusk() -> Iterator[tuple[Reference, Profile, Verdict]]:
    reference = baseline()
    now = profile(rows(250, 2, brightness=-20, objects=3), "digest-1")
    yield reference, now, judge(reference, now)


def test_a_chart_has_the_width_of_a_message(dusk: tuple[Reference, Profile, Verdict]) -> None:
    reference, now, verdict = dusk
    with Image.open(io.BytesIO(chart(verdict, reference, now))) as picture:
        assert picture.format == "PNG"
        assert picture.width == 1200
        assert 700 < picture.height < 1100
    with pytest.raises(ValueError, match="nothing to draw"):
        chart(Verdict("no traffic", 0), reference, Profile(0, {}))


def test_a_chart_of_constant_columns_and_of_one_column() -> None:
    still = profile([{"clipped_low": 0.0}] * 40)
    reference = Reference(still, Limits())
    assert chart(judge(reference, still), reference, still).startswith(b"\x89PNG")


def test_the_report_needs_nothing_else_and_escapes(dusk: tuple[Reference, Profile, Verdict]) -> None:
    reference, now, verdict = dusk
    _, jpeg = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))
    facts = {"Endpoint": "<script>alert(1)</script>", "Window": 'a"b'}
    evil = [Violation("<img src=x>", "data_type_check", "&")]
    page = report(
        verdict, reference, now, evil, facts, chart(verdict, reference, now), {"Baseline <b>": [jpeg.tobytes()]}
    )
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;img src=x&gt;" in page
    assert "Baseline &lt;b&gt;" in page
    assert set(re.findall(r'src="(\w+:[^;]*);', page)) == {"data:image/png", "data:image/jpeg"}
    assert "http" not in re.sub(r"http-equiv", "", page)
    assert "2026-02 survey, 600 images" in page
    assert re.search(r'<tr class="beyond"><td>brightness</td>', page)
    with pytest.raises(ValueError, match="neither JPEG nor PNG"):
        report(verdict, reference, now, examples={"now": [b"<svg/>"]})


def test_a_report_of_no_traffic() -> None:
    reference, empty = baseline(40), Profile(0, {})
    page = report(judge(reference, empty), reference, empty)
    assert "No traffic" in page
    assert "None." in page
