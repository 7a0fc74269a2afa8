"""A batch before it begins, what it found, and its picture."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.response import StreamingBody
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from commands import batch_chart
from pipeline import batches
from pipeline.batches import Job, Summary
from pipeline.errors import BadInput, NotFound
from tests.unit.fake_aws import FakeClient, refusal

JOB = Job(
    "arn:x:transform-job/groundcrew-dev-batch-1", "groundcrew-dev-batch-1", "dev", "Completed", "",
    datetime(2026, 5, 4, tzinfo=UTC), 2, "aaaaaaaa", "s3://d/survey/images/", "s3://b/dev/batch/groundcrew-dev-batch-1",
)  # fmt: skip


def listed(*keys: str, size: int = 10) -> FakeClient:
    return FakeClient(list_objects_v2={"Contents": [{"Key": key, "Size": size} for key in keys]})


def test_only_photos_that_the_model_takes_are_sent() -> None:
    assert batches.photos(listed("a/1.jpg", "a/2.PNG"), "b", "a/") == 2
    with pytest.raises(BadInput, match=r"a/1\.txt is no photo"):
        batches.photos(listed("a/1.txt"), "b", "a/")
    with pytest.raises(BadInput, match=r"20\.0 MiB"):
        batches.photos(listed("a/1.jpg", size=20 << 20), "b", "a/")
    with pytest.raises(NotFound, match="photo below"):
        batches.photos(FakeClient(list_objects_v2={}), "b", "a/")


def answers(**bodies: str) -> FakeClient:
    def read(Key: str, **_: Any) -> Any:
        data = bodies[Key.rsplit("/", 1)[-1].removesuffix(".jpg.out")].encode()
        return {"Body": StreamingBody(io.BytesIO(data), len(data))}

    folder = "dev/batch/groundcrew-dev-batch-1"
    rows = [{"Key": f"{folder}/{name}.jpg.out"} for name in bodies]
    return FakeClient(list_objects_v2={"Contents": rows}, get_object=read)


def seen(*classes: str) -> str:
    return json.dumps({"detections": [{"class": name, "confidence": 0.5} for name in classes]})


def test_all_answers_are_summed_up() -> None:
    found = batches.summary(answers(a=seen("car", "car", "boat"), b=seen(), c=seen("car")), JOB)
    assert (found.photos, found.objects, found.empty) == (3, 4, 1)
    assert list(found.classes.items()) == [("car", 3), ("boat", 1)]
    assert found.confidence == 0.5
    assert found.fullest == [("a.jpg", 3), ("c.jpg", 1)]


@pytest.mark.parametrize(
    "bad", ["", "[]", '{"detections": [{}]}', '{"detections": [{"class": "a", "confidence": "x"}]}']
)
def test_an_answer_of_somebody_else_is_said(bad: str) -> None:
    with pytest.raises(BadInput, match="no answer of the server"):
        batches.summary(answers(a=bad), JOB)


def test_a_job_that_is_not_there_is_not_found() -> None:
    gone = refusal("ValidationException", "Could not find requested job with name: x")
    with pytest.raises(NotFound, match="batch job"):
        batches.job(FakeClient(describe_transform_job=gone), JOB.arn)


@given(st.lists(st.integers(0, 40), max_size=30))
def test_every_photo_is_in_one_bar(per_photo: list[int]) -> None:
    rows = batch_chart.histogram(per_photo)
    assert sum(count for _, count in rows) == len(per_photo)
    assert len(rows) <= batch_chart.MOST_BINS


def test_the_picture_says_in_words_what_it_shows() -> None:
    found = Summary(3, {"car": 3, "boat": 1}, 0.5, 1, [3, 0, 1], [("a.jpg", 3)])
    picture = Image.open(io.BytesIO(batch_chart.draw(found)))
    assert picture.format == "PNG"
    assert len(set(picture.convert("RGB").get_flattened_data())) > 4
    assert batch_chart.alt(found) == "Found 3 car, 1 boat on 3 photos: 1 with 0, 1 with 1, 1 with 3"
    assert batch_chart.draw(Summary(1, {}, None, 1, [0], []))
