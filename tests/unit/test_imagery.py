"""The synthetic survey: repeatable, in YOLO layout, and honest about what is broken."""

from pathlib import Path

import cv2

from pipeline import dataset
from sandbox import imagery


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
