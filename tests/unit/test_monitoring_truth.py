"""Precision, recall and average precision of what was served, against hand-counted cases and laws."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.monitoring.truth import Agreement, Box, Object, Truth, iou
from pipeline.serving.detector import Detection

CAR = (0.0, 0.0, 10.0, 10.0)


def found(confidence: float, box: Box = CAR, name: str = "car") -> Detection:
    return Detection(name, confidence, box)


def test_a_hand_counted_average_precision() -> None:
    """Two cars; found: right at .9, wrong at .8, right at .7. Precision 1 to recall 1/2, then 2/3 to recall 1."""
    agreement = Agreement()
    agreement.add([found(0.9), found(0.8, (50, 50, 60, 60))], [Object("car", CAR)])
    agreement.add([found(0.7)], [Object("car", CAR)])
    quality = agreement.quality()
    assert (quality.pictures, quality.precision, quality.recall) == (2, pytest.approx(2 / 3), 1.0)
    assert quality.map50 == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_an_object_is_found_once_by_the_surest_and_only_in_its_class() -> None:
    agreement = Agreement()
    agreement.add([found(0.6), found(0.9), found(0.8, name="boat")], [Object("car", CAR)])
    quality = agreement.quality()
    assert (quality.precision, quality.recall, quality.per_class) == (pytest.approx(1 / 3), 1.0, {"car": 1.0})


def test_without_objects_there_is_no_figure_to_give() -> None:
    agreement = Agreement()
    agreement.add([], [])
    quality = agreement.quality()
    assert (quality.precision, quality.recall, quality.map50) == (None, None, None)


@given(st.lists(st.tuples(st.floats(0.25, 1), st.booleans()), max_size=30), st.integers(1, 40))
def test_figures_are_shares_and_misses_only_lower_them(rows: list[tuple[float, bool]], objects: int) -> None:
    agreement, worse = Agreement(), Agreement()
    for confidence, right in rows:
        box = CAR if right else (50.0, 50.0, 60.0, 60.0)
        for each in (agreement, worse):
            each.add([found(confidence, box)], [Object("car", CAR)])
    for _ in range(objects):
        worse.add([], [Object("car", CAR)])
    less = worse.quality()
    assert less.recall is not None and less.map50 is not None
    assert 0 <= less.map50 <= less.recall <= 1
    if rows:
        more = agreement.quality()
        assert more.recall is not None and more.map50 is not None
        assert less.recall <= more.recall
        assert less.map50 <= more.map50 + 1e-12


@pytest.mark.parametrize(
    ("other", "expected"),
    [(CAR, 1.0), ((0.0, 0.0, 10.0, 5.0), 0.5), ((10.0, 0.0, 20.0, 10.0), 0.0), ((20.0, 20.0, 30.0, 30.0), 0.0)],
)
def test_overlap(other: Box, expected: float) -> None:
    assert iou(CAR, other) == iou(other, CAR) == expected


def test_lines_that_cannot_be_are_counted_and_a_later_one_replaces_an_earlier() -> None:
    def row(data: object, encoding: str = "JSON", name: str = "a") -> bytes:
        body = {"groundTruthData": {"data": json.dumps(data), "encoding": encoding}, "eventMetadata": {"eventId": name}}
        return json.dumps(body).encode()

    box = {"class": "car", "box": CAR}
    truth = Truth()
    truth.take([row({"objects": [box]}), row({"objects": []}), b"\n", row({"objects": [box]}, name="b")])
    assert truth.pictures == {"a": (), "b": (Object("car", CAR),)}
    bad: list[bytes] = [
        b"{",
        b"\xff",
        b"[]",
        row(1, "CSV"),
        row({"objects": [{"class": "car", "box": [1, 2, 3]}]}),
        row({"objects": [{"class": "car", "box": [5, 5, 5, 9]}]}),
        row({"objects": [{"class": "car", "box": [0, 0, float("nan"), 9]}]}),
        row({"objects": 3}),
        row({"objects": [{"class": "car", "box": [0, 0, 10**400, 9]}]}),
        b'{"groundTruthData": 1}',
    ]
    truth.take(bad)
    assert (truth.malformed, len(truth.pictures)) == (len(bad), 2)
