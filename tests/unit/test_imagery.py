"""The synthetic survey: repeatable, in YOLO layout, and honest about what is broken."""

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline import dataset
from sandbox import imagery, traffic
from tests.unit.fake_aws import FakeClient


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_equal_seed_equal_bytes_and_other_seed_other_pictures(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        imagery.write(tmp_path / name, seed, images=6, side=96)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert content(tmp_path / "a")["images/flight00_0000.jpg"] != content(tmp_path / "c")["images/flight00_0000.jpg"]


def test_it_is_a_data_set_without_a_fault(tmp_path: Path) -> None:
    imagery.write(tmp_path, 3, images=2 * imagery.FLIGHTS, side=96)
    survey = dataset.read(tmp_path)
    assert not survey.problems
    assert len(survey.samples) == 2 * imagery.FLIGHTS
    assert tuple(survey.classes) == imagery.CLASSES
    assert {sample.scene for sample in survey.samples} == {f"flight{n:02d}" for n in range(imagery.FLIGHTS)}
    assert {box[0] for sample in survey.samples for box in sample.boxes} == {0, 1, 2, 3}


def test_a_picture_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    imagery.write(tmp_path / "few", 3, images=imagery.FLIGHTS, side=96)
    imagery.write(tmp_path / "many", 3, images=imagery.FLIGHTS + 4, side=96)
    few, many = content(tmp_path / "few"), content(tmp_path / "many")
    assert few["images/flight05_0000.jpg"] == many["images/flight05_0000.jpg"]


def test_the_photo_is_larger_and_wider(tmp_path: Path) -> None:
    imagery.write(tmp_path, 3, images=3, side=160)
    assert cv2.imread(str(tmp_path / "photo.jpg")).shape == (480, 640, 3)


def test_unlabelled_photos_are_of_flights_of_their_own(tmp_path: Path) -> None:
    imagery.write(tmp_path, 3, images=imagery.FLIGHTS, side=96, unlabelled=4)
    survey = dataset.read(tmp_path)
    assert len(survey.unlabelled) == 4
    assert not {sample.scene for sample in survey.unlabelled} & {sample.scene for sample in survey.samples}
    assert not any(sample.boxes for sample in survey.unlabelled)


def test_the_sandbox_has_enough_photos_for_a_baseline_and_no_more_to_train_on() -> None:
    names = [name for name, _, _ in imagery.survey(1, 430, 8)]
    trained = 0.7 * len(names)
    assert trained <= 305
    assert len(names) - trained + imagery.UNLABELLED >= 500


@pytest.mark.parametrize("kind", traffic.KINDS)
def test_traffic_is_repeatable_and_changed_as_asked(kind: str) -> None:
    first, again, usual = (list(traffic.photos(3, 6, each, 96)) for each in (kind, kind, "usual"))
    assert [photo.data for photo in first] == [photo.data for photo in again]
    same = [photo.data == other.data for photo, other in zip(first, usual, strict=True)]
    assert all(same) if kind == "usual" else not any(same)
    other_days = list(traffic.photos(3, 6, kind, 96, first=imagery.FLIGHTS))
    assert {photo.id for photo in first}.isdisjoint(photo.id for photo in other_days)
    assert all(len(photo.id) <= 64 for photo in first)  # InvokeEndpoint's limit


def test_fog_is_pale_dusk_is_dark_another_camera_is_soft_and_the_mix_has_more_vehicles() -> None:
    def seen(kind: str) -> tuple[float, float, float]:
        photos = list(traffic.photos(3, 20, kind, 96))
        greys = [cv2.imdecode(np.frombuffer(photo.data, np.uint8), cv2.IMREAD_GRAYSCALE) for photo in photos]
        vehicles = [box[0] == imagery.CLASSES.index("vehicle") for photo in photos for box in photo.boxes]
        sharp = float(np.mean([cv2.Laplacian(grey, cv2.CV_64F).var() for grey in greys]))
        return float(np.mean(greys)), sharp, sum(vehicles) / len(vehicles)

    usual = seen("usual")
    assert seen("fog")[0] > usual[0] + 20
    assert seen("dusk")[0] < usual[0] - 30
    assert seen("camera")[1] < usual[1] / 4
    assert seen("mix")[2] > usual[2] + 0.2


def test_traffic_reaches_the_endpoint_with_ids_by_which_the_truth_is_joined() -> None:
    client = FakeClient(invoke_endpoint={"Body": io.BytesIO(b"{}")})
    photos = list(traffic.photos(3, 5, side=96))
    assert traffic.send(client, "groundcrew-dev-detector", iter(photos)) == 5
    sent = {request["InferenceId"]: request["Body"] for request in client.requests("invoke_endpoint")}
    assert sent == {photo.id: photo.data for photo in photos}
    truth = json.loads(photos[0].truth())
    assert truth["eventMetadata"]["eventId"] == photos[0].id
    objects = json.loads(truth["groundTruthData"]["data"])["objects"]
    assert len(objects) == len(photos[0].boxes)
    assert all(0 <= edge <= 96 for row in objects for edge in row["box"])


def test_spoiled_files_are_found_each_for_its_own_reason(tmp_path: Path) -> None:
    imagery.write(tmp_path, 3, images=12, side=96, broken=True)
    kinds = sorted(problem.kind for problem in dataset.read(tmp_path).problems)
    assert kinds == [
        "broken image",
        "broken image",
        "class id unknown",
        "duplicate image",
        "label out of range",
        "malformed row",
    ]
