"""Reading, splitting and packing a data set, and the step that does it."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline import dataset, profiles
from pipeline.errors import BadInput
from pipeline.labels import Problem
from pipeline.steps.container import Container
from pipeline.steps.preprocess import preprocess


def make(folder: Path, names: list[str], row: str = "0 0.5 0.5 0.2 0.2") -> Path:
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "classes.txt").write_text("boat\ncar\n")
    for index, name in enumerate(names):
        pixels = np.full((8, 8, 3), index * 7 % 256, np.uint8)
        pixels[0, 0] = index
        Image.fromarray(pixels).save(folder / "images" / f"{name}.png")
        (folder / "labels" / f"{name}.txt").write_text(row + "\n")
    return folder


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("0 0.5 0.5 0.2", "malformed row"),
        ("0 0.5 0.5 0.2 0.2 0.9", "malformed row"),
        ("boat 0.5 0.5 0.2 0.2", "malformed row"),
        ("2 0.5 0.5 0.2 0.2", "class id unknown"),
        ("-1 0.5 0.5 0.2 0.2", "class id unknown"),
        ("0 1.5 0.5 0.2 0.2", "label out of range"),
        ("0 0.5 0.5 0 0.2", "zero area"),
        ("0 nan 0.5 0.2 0.2", "label out of range"),
        ("0 0.5 inf 0.2 0.2", "label out of range"),
    ],
)
def test_bad_rows_are_named_and_their_picture_left_out(tmp_path: Path, row: str, kind: str) -> None:
    make(tmp_path, ["f1_1", "f2_1"])
    (tmp_path / "labels" / "f1_1.txt").write_text(f"0 0.5 0.5 0.1 0.1\n{row}\n")
    survey = dataset.read(tmp_path)
    assert [(problem.file, problem.kind) for problem in survey.problems] == [("labels/f1_1.txt", kind)]
    assert survey.problems[0].detail.startswith("line 2")
    assert [sample.image.name for sample in survey.samples] == ["f2_1.png"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    make(tmp_path, ["f1_1", "f1_2", "f1_3", "f1_4"])
    whole = (tmp_path / "images" / "f1_1.png").read_bytes()
    (tmp_path / "images" / "f1_1.png").write_bytes(whole[:40])
    (tmp_path / "images" / "f1_2.png").write_bytes(b"text")
    (tmp_path / "labels" / "f1_3.txt").write_bytes(b"\xff\xfe0 0.5")
    (tmp_path / "labels" / "orphan.txt").write_text("0 0.5 0.5 0.1 0.1")
    found = {(problem.file, problem.kind) for problem in dataset.read(tmp_path).problems}
    assert found == {
        ("images/f1_1.png", "broken image"),
        ("images/f1_2.png", "broken image"),
        ("labels/f1_3.txt", "unreadable label"),
        ("labels/orphan.txt", "label without image"),
    }


def test_a_missing_label_file_is_a_picture_without_objects(tmp_path: Path) -> None:
    make(tmp_path, ["f1_1"])
    (tmp_path / "labels" / "f1_1.txt").unlink()
    survey = dataset.read(tmp_path)
    assert not survey.problems
    assert survey.samples[0].boxes == ()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "classes.txt").unlink(), "classes.txt cannot be read"),
        (lambda folder: (folder / "classes.txt").write_text("boat\nboat\n"), "names a class twice"),
        (lambda folder: (folder / "images" / "f1_1.png").unlink(), "no pictures"),
    ],
)
def test_a_wrong_layout_is_an_error(tmp_path: Path, spoil, words: str) -> None:  # type: ignore[no-untyped-def]
    spoil(make(tmp_path, ["f1_1"]))
    with pytest.raises(BadInput, match=words):
        dataset.read(tmp_path)


def test_version_follows_content_not_place(tmp_path: Path) -> None:
    first = dataset.read(make(tmp_path / "a", ["f1_1", "f2_1"])).version
    second = dataset.read(make(tmp_path / "b", ["f1_1", "f2_1"]))
    assert (second.version, len(first)) == (first, 12)
    (tmp_path / "b" / "labels" / "f2_1.txt").write_text("1 0.5 0.5 0.2 0.2\n")
    assert dataset.read(tmp_path / "b").version != first


def test_limit_draws_from_all_flights(tmp_path: Path) -> None:
    make(tmp_path, [f"f{flight}_{shot}" for flight in range(4) for shot in range(5)])
    chosen = dataset.read(tmp_path, limit=8, seed=1)
    assert len(chosen.samples) == 8
    assert len({sample.scene for sample in chosen.samples}) > 2
    assert chosen.samples == dataset.read(tmp_path, limit=8, seed=1).samples


@given(sizes=st.lists(st.integers(1, 30), min_size=3, max_size=25), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_split_never_cuts_a_scene_and_fills_every_part(sizes: list[int], seed: int) -> None:
    samples = [
        dataset.Sample(Path(f"scene{scene}_{shot}.jpg"), "", ((0, 0.5, 0.5, 0.1, 0.1),))
        for scene, size in enumerate(sizes)
        for shot in range(size)
    ]
    parts = dataset.split(dataset.Survey(("boat",), samples), seed)
    scenes = {part: {sample.scene for sample in inside} for part, inside in parts.items()}
    assert sum(len(inside) for inside in parts.values()) == len(samples)
    assert all(scenes.values())
    assert not (scenes["train"] & scenes["test"] or scenes["train"] & scenes["validation"])
    assert not scenes["test"] & scenes["validation"]
    assert parts == dataset.split(dataset.Survey(("boat",), samples), seed)


def test_split_of_equal_flights_is_near_70_15_15(tmp_path: Path) -> None:
    survey = dataset.read(make(tmp_path, [f"f{flight:02d}_{shot}" for flight in range(20) for shot in range(3)]))
    sizes = {part: len(samples) for part, samples in dataset.split(survey).items()}
    assert sizes == {"train": 42, "validation": 9, "test": 9}


def test_too_small_a_set_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="too small: 3 usable pictures of 2 scene"):
        dataset.split(dataset.read(make(tmp_path, ["f1_1", "f1_2", "f2_1"])))


def test_a_split_without_an_object_says_so(tmp_path: Path) -> None:
    make(tmp_path, ["f1_1", "f2_1", "f3_1"])
    for label in (tmp_path / "labels").iterdir():
        label.write_text("")
    with pytest.raises(BadInput, match="no labelled object"):
        dataset.split(dataset.read(tmp_path))


def test_shards_are_few_repeatable_and_complete(tmp_path: Path) -> None:
    survey = dataset.read(make(tmp_path / "set", [f"f1_{shot}" for shot in range(9)]))
    for name in ("a", "b"):
        dataset.pack(survey.samples, tmp_path / name)
    shards = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert shards == [f"shard-{index:02d}.tar" for index in range(dataset.SHARDS)]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in shards)
    assert dataset.unpack(tmp_path / "a", tmp_path / "out") == 9
    assert (tmp_path / "out" / "labels" / "f1_3.txt").read_text() == "0 0.500000 0.500000 0.200000 0.200000\n"


def test_unlabelled_photos_are_apart_limited_and_part_of_the_version(tmp_path: Path) -> None:
    make(tmp_path, [f"f{flight}_1" for flight in range(4)])
    plain = dataset.read(tmp_path).version
    (tmp_path / "unlabelled").mkdir()
    for shot in range(3):
        pixels = np.full((8, 8, 3), 200 + shot, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "unlabelled" / f"g1_{shot}.png")
    (tmp_path / "unlabelled" / "copy_1.png").write_bytes((tmp_path / "images" / "f1_1.png").read_bytes())
    found = dataset.read(tmp_path)
    assert [sample.image.name for sample in found.unlabelled] == ["g1_0.png", "g1_1.png", "g1_2.png"]
    assert [(problem.file, problem.kind) for problem in found.problems] == [
        ("unlabelled/copy_1.png", "duplicate image")  # it would have been trained on
    ]
    assert len(found.samples) == 4
    assert found.version != plain
    assert len(dataset.read(tmp_path, limit=2).unlabelled) == 2
    assert dataset.report(found, dataset.split(found))["unlabelled"] == 3


def test_no_samples_make_a_shard_that_holds_nothing(tmp_path: Path) -> None:
    dataset.pack([], tmp_path / "none")
    assert [path.name for path in (tmp_path / "none").iterdir()] == ["shard-00.tar"]
    assert dataset.unpack(tmp_path / "none", tmp_path / "out") == 0


def test_unpacking_nothing_says_where_it_should_come_from(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no shards in the train channel"):
        dataset.unpack(tmp_path / "train", tmp_path / "out")


@given(count=st.integers(1, 200), limit=st.integers(150, 1024))
def test_summary_never_exceeds_its_limit(count: int, limit: int) -> None:
    problems = [Problem(f"images/flight{index:04d}.jpg", "broken image") for index in range(count)]
    text = dataset.summarise(problems, limit)
    assert len(text) <= limit
    assert text.startswith(f"{count} problem")
    assert "images/flight0000.jpg" in text
    assert text.endswith("more") or f"flight{count - 1:04d}.jpg" in text


def test_report_counts_objects_per_class_and_lists_problems(tmp_path: Path) -> None:
    make(tmp_path, ["f1_1", "f2_1", "f3_1", "f4_1"])
    (tmp_path / "images" / "f4_1.png").write_bytes(b"")
    survey = dataset.read(tmp_path)
    body = dataset.report(survey, dataset.split(survey))
    assert body["pictures"] == {"found": 4, "used": 3}
    assert body["splits"]["train"]["objects"] == {"boat": 1, "car": 0}  # type: ignore[index]
    assert body["problems"] == [{"file": "images/f4_1.png", "kind": "broken image", "detail": "not an image"}]


def test_some_classes_alone_are_renumbered_and_the_rest_becomes_background(tmp_path: Path) -> None:
    make(tmp_path, ["f1_1", "f2_1"], "1 0.5 0.5 0.2 0.2")
    (tmp_path / "labels" / "f2_1.txt").write_text("0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.1 0.1\n")
    survey = dataset.read(tmp_path)
    cars = dataset.only(survey, " car ")
    assert list(cars.classes) == ["car"]
    assert [[box[0] for box in sample.boxes] for sample in cars.samples] == [[0], [0]]
    boats = dataset.only(survey, "boat")
    assert [len(sample.boxes) for sample in boats.samples] == [0, 1]
    assert cars.version != survey.version
    assert dataset.only(survey, "").version == survey.version
    assert list(dataset.only(survey, "car,boat").classes) == ["boat", "car"]
    with pytest.raises(BadInput, match="no class 'plane'") as caught:
        dataset.only(survey, "car,plane")
    assert "boat, car" in caught.value.advice


def prepared(folder: Path, **settings: str) -> tuple[str, Container]:
    given = {"SEED": "0", "MAX_IMAGES": "0", "ON_BAD_DATA": "skip", "DATA_URI": "s3://b/survey/", **settings}
    container = Container(folder / "ml", given)
    raw = container.input("raw")
    if not raw.exists():
        raw.parent.mkdir(parents=True)
        raw.symlink_to(folder / "data")
    return preprocess(container), container


def test_preparing_wants_the_version_it_is_told_and_leaves_it_for_later_steps(tmp_path: Path) -> None:
    make(tmp_path / "data", [f"f{flight}_{number}" for flight in range(3) for number in range(3)])
    version = dataset.read(tmp_path / "data").version
    words, container = prepared(tmp_path, DATA_VERSION=version[:6])
    assert version in words
    told = json.loads((container.output("report") / "data.json").read_text())
    assert (told["data_version"], told["classes"], sum(told["images"].values())) == (version, ["boat", "car"], 9)
    assert not list(container.output("versions").rglob("runs"))
    with pytest.raises(BadInput, match=f"are version {version}, not beef"):
        prepared(tmp_path, DATA_VERSION="beef")


def test_one_class_is_enough_and_no_label_at_all_is_not(tmp_path: Path) -> None:
    make(tmp_path / "data", [f"f{flight}_{number}" for flight in range(3) for number in range(3)])
    words, _ = prepared(tmp_path, CLASSES="boat")
    assert "pictures" in words
    with pytest.raises(BadInput, match="no labelled object"):
        prepared(tmp_path, CLASSES="car")
    for file in (tmp_path / "data" / "labels").iterdir():
        file.unlink()
    with pytest.raises(BadInput, match="no labelled object"):
        prepared(tmp_path)


def test_the_state_of_a_folder_changes_with_anything_in_it() -> None:
    objects = {"images/a.jpg": (10, "e1"), "labels/a.txt": (3, "e2")}
    state = profiles.Folder("survey/", objects).state
    assert len(state) == 16
    assert profiles.Folder("survey/", dict(reversed(objects.items()))).state == state
    for other in ({**objects, "labels/a.txt": (3, "e3")}, {"images/a.jpg": (10, "e1")}, {**objects, "b": (0, "")}):
        assert profiles.Folder("survey/", other).state != state
    assert profiles.Folder("more/", objects).state != state
    assert profiles.Folder("survey/", objects, whole=False).state == ""
