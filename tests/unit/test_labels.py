"""Labels in three formats, read into one form; and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline import dataset, label_files, labels
from pipeline.errors import BadInput
from pipeline.labels import Box, Problem

SIZE = (200, 100)


def voc(*objects: tuple[str, float, float, float, float], size: tuple[int, int] = SIZE) -> bytes:
    rows = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
        "</bndbox></object>"
        for name, x0, y0, x1, y1 in objects
    )
    return f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{rows}</annotation>".encode()


def coco(*boxes: tuple[int, list[float]], **more: Any) -> bytes:
    body = {
        "images": [{"id": 1, "file_name": "photos/f1_1.jpg", "width": SIZE[0], "height": SIZE[1]}],
        "categories": [{"id": 7, "name": "car"}, {"id": 3, "name": "boat"}],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": category, "bbox": box}
            for number, (category, box) in enumerate(boxes, 1)
        ],
        **more,
    }
    return json.dumps(body).encode()


def read(name: str, data: bytes, classes: tuple[str, ...] | None = None) -> tuple[Any, list[Problem]]:
    """Boxes and problems of the one page of a file, for a picture of SIZE."""
    file = label_files.parse(name, data)
    book = labels.bind([file], classes)
    (page,) = book.pages.values()
    boxes, problems = labels.resolved(page, book.classes, SIZE)
    return [tuple(round(value, 6) for value in box) for box in boxes], [*book.problems, *problems]


def test_the_same_boxes_come_out_of_all_three_formats() -> None:
    yolo, none = read("labels/f1_1.txt", b"1 0.25 0.5 0.1 0.2\n0 0.5 0.5 0.5 1\n", ("boat", "car"))
    assert (yolo, none) == ([(1, 0.25, 0.5, 0.1, 0.2), (0, 0.5, 0.5, 0.5, 1)], [])
    in_coco, none = read("annotations/all.json", coco((7, [40, 40, 20, 20]), (3, [50, 0, 100, 100])))
    assert (in_coco, none) == (yolo, [])  # categories in the order of their ids: boat 3, car 7
    in_voc, none = read("annotations/f1_1.xml", voc(("car", 40, 40, 60, 60), ("boat", 50, 0, 150, 100)))
    assert (in_voc, none) == (yolo, [])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("labels/a.txt", "yolo"),
        ("labels/deep/a.txt", "yolo"),
        ("annotations/a.xml", "voc"),
        ("labels/a.xml", "voc"),
        ("annotations/train.json", "coco"),
        ("_annotations.coco.json", "coco"),
        ("notes.json", None),
        ("readme.txt", None),
        ("labels/.hidden.txt", None),
        ("images/a.jpg", None),
    ],
)
def test_a_label_is_known_by_place_and_ending(name: str, expected: str | None) -> None:
    assert label_files.kind(name) == expected


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        ((7, [40, 40, 0, 20]), "zero area"),
        ((7, [190, 40, 40, 20]), "label out of range"),
        ((7, [40, 40, -20, 20]), "label out of range"),
        ((7, [40, 40, float("nan"), 20]), "label out of range"),
        ((9, [40, 40, 20, 20]), "class unknown"),
        ((7, [40, 40, 20]), "malformed object"),
        ((7, ["a", 0, 1, 1]), "malformed object"),
    ],
)
def test_a_bad_coco_box_is_named(box: tuple[int, list[float]], kind: str) -> None:
    boxes, problems = read("annotations/all.json", coco(box, (7, [40, 40, 20, 20])))
    assert [problem.kind for problem in problems] == [kind]
    assert "annotation 1" in problems[0].detail
    assert len(boxes) == 1


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("annotations/a.json", b"{"),
        ("annotations/a.json", b"[]"),
        ("annotations/a.json", b'{"images": 3, "annotations": [], "categories": []}'),
        ("annotations/a.json", b"[" * 100_000),
        ("annotations/a.xml", b"<annotation>"),
        ("annotations/a.xml", b"\xff\xfe\x00"),
        ("labels/a.txt", b"\xff\xfe0 0.5"),
        ("labels/a.txt", b"0 0.5 0.5 0.1 0.1\n" * 100_000),
    ],
)
def test_what_cannot_be_read_is_a_problem_and_no_exception(name: str, data: bytes) -> None:
    file = label_files.parse(name, data)
    problems = [*file.problems, *(problem for page in file.pages for problem in page.problems)]
    assert [problem.kind for problem in problems] == ["unreadable label"]


def test_xml_that_declares_entities_is_refused_unread() -> None:
    bomb = (
        b'<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;">]><annotation><object>&y;</object></annotation>'
    )
    outside = b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>'
    for data in (bomb, outside):
        (page,) = label_files.parse("annotations/a.xml", data).pages
        assert "document type declaration" in page.problems[0].detail


def test_crowds_are_no_objects_and_lost_annotations_are_told() -> None:
    data = json.loads(coco((7, [40, 40, 20, 20])))
    data["annotations"] += [{"image_id": 1, "iscrowd": 1, "category_id": 7, "bbox": [0, 0, 9, 9]}, {"image_id": 5}]
    boxes, problems = read("annotations/all.json", json.dumps(data).encode())
    assert len(boxes) == 1
    assert [problem.kind for problem in problems] == ["label without image"]


def test_a_label_made_for_another_size_is_scaled() -> None:
    boxes, problems = read("annotations/f1_1.xml", voc(("car", 80, 80, 120, 120), size=(400, 200)))
    assert (boxes, problems) == ([(0, 0.25, 0.5, 0.1, 0.2)], [])


def test_two_formats_are_one_too_many_for_a_training_and_a_problem_for_a_profile(tmp_path: Path) -> None:
    for folder in ("labels", "annotations"):
        (tmp_path / folder).mkdir()
    (tmp_path / "labels" / "f1_1.txt").write_text("0 0.5 0.5 0.1 0.1")
    (tmp_path / "annotations" / "f1_1.xml").write_bytes(voc(("car", 0, 0, 9, 9)))
    with pytest.raises(BadInput, match="labels in voc and yolo"):
        label_files.read(tmp_path)
    files = [
        label_files.parse(name, (tmp_path / name).read_bytes()) for name in ("annotations/f1_1.xml", "labels/f1_1.txt")
    ]
    book = labels.bind(files, ("boat",))
    assert (book.format, book.problems[0].kind) == ("yolo", "second label format")


@given(st.lists(st.tuples(*[st.floats(0.2, 0.8)] * 2, *[st.floats(0.01, 0.3)] * 2), max_size=5))
@settings(max_examples=40, deadline=None)
def test_any_box_survives_the_way_through_pixels(boxes: list[tuple[float, float, float, float]]) -> None:
    width, height = SIZE
    edges = [
        ("car", (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
        for x, y, w, h in boxes
    ]
    found, problems = read("annotations/f1_1.xml", voc(*edges), ("car",))
    assert not problems
    for before, after in zip(boxes, found, strict=True):
        assert all(math.isclose(one, other, abs_tol=1e-5) for one, other in zip(before, after[1:], strict=True))


@given(st.binary(max_size=200), st.sampled_from(["labels/a.txt", "annotations/a.xml", "annotations/a.json"]))
@settings(max_examples=200, deadline=None)
def test_no_bytes_make_a_parser_fall_over(data: bytes, name: str) -> None:
    file = label_files.parse(name, data)
    for page in labels.bind([file], ("boat",)).pages.values():
        labels.resolved(page, ("boat",), SIZE)


@pytest.mark.parametrize("form", ["coco", "voc"])
def test_a_training_reads_coco_and_voc(tmp_path: Path, form: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations").mkdir()
    for number in range(1, 4):
        Image.new("RGB", SIZE, (number, 0, 0)).save(tmp_path / "images" / f"f{number}_1.png")
        if form == "voc":
            (tmp_path / "annotations" / f"f{number}_1.xml").write_bytes(voc(("car", 40, 40, 60, 60)))
    if form == "coco":
        pictures = [{"id": n, "file_name": f"f{n}_1.png", "width": 200, "height": 100} for n in range(1, 4)]
        notes = [{"id": n, "image_id": n, "category_id": 7, "bbox": [40, 40, 20, 20]} for n in range(1, 4)]
        (tmp_path / "annotations" / "all.json").write_bytes(
            json.dumps({"images": pictures, "annotations": notes, "categories": [{"id": 7, "name": "car"}]}).encode()
        )
    survey = dataset.read(tmp_path)
    assert (survey.classes, len(survey.samples), list(survey.problems)) == (("car",), 3, [])
    assert survey.samples[0].boxes == ((0, 0.25, 0.5, 0.1, 0.2),)
    dataset.pack(survey.samples, tmp_path / "packed")
    dataset.unpack(tmp_path / "packed", tmp_path / "out")
    assert (tmp_path / "out" / "labels" / "f1_1.txt").read_text() == "0 0.250000 0.500000 0.100000 0.200000\n"


def test_box_is_what_the_file_says() -> None:
    (page,) = label_files.parse("labels/a.txt", b"0 0.5 0.5 0.1 0.2").pages
    assert page.boxes == (Box(0, 0.5, 0.5, 0.1, 0.2, "line 1: 0 0.5 0.5 0.1 0.2"),)
