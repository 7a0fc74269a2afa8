"""Label files: which files are labels, and YOLO, COCO and VOC read into the typed form of `pipeline.labels`.

    YOLO  labels/<picture>.txt       rows `class cx cy w h`, shares of the picture; classes.txt names the classes
    COCO  annotations/*.json         images, annotations (bbox x, y, w, h in pixels), categories
    VOC   annotations/<picture>.xml  objects with a name and xmin, ymin, xmax, ymax in pixels

Only the standard library is used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from pipeline.errors import BadInput
from pipeline.labels import Book, Box, Format, LabelFile, Page, Problem, bind, digest

LARGEST = 1 << 20
"""Bytes of a label file of one picture; of all of COCO's together `LARGEST_COCO`."""
LARGEST_COCO = 512 << 20
FOLDERS = ("labels", "annotations", "Annotations")
COCO_WORDS = ("annotation", "coco", "instances")
"""One of them is in the name of a JSON file that lies beside the pictures' folder; others are somebody's notes."""
_QUOTED = 60


def kind(name: str) -> Format | None:
    """The format a file of a data set is in by its place and ending; None for what is no label."""
    path = PurePosixPath(name)
    if path.name.startswith("."):
        return None
    inside = path.parts[0] in FOLDERS if len(path.parts) > 1 else False
    match path.suffix.lower():
        case ".txt" if len(path.parts) > 1 and path.parts[0] == "labels":
            return "yolo"
        case ".xml" if inside:
            return "voc"
        case ".json" if inside or (len(path.parts) == 1 and any(word in path.stem.lower() for word in COCO_WORDS)):
            return "coco"
    return None


def parse(name: str, data: bytes) -> LabelFile:
    """Read a label file. What cannot be read is a problem of the file, never an exception.

    Raises `ValueError` for a name that `kind` does not know.
    """
    found = kind(name)
    if found is None:
        raise ValueError(f"{name} is no label")
    if len(data) > (LARGEST_COCO if found == "coco" else LARGEST):
        return LabelFile(name, found, problems=(Problem(name, "unreadable label", f"{len(data):,} bytes"),))
    try:
        return {"yolo": _yolo, "coco": _coco, "voc": _voc}[found](name, data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, expat.ExpatError) as error:
        problem = Problem(name, "unreadable label", _cut(f"{type(error).__name__}: {error}"))
        stem = PurePosixPath(name).stem
        page = () if found == "coco" else (Page(name, stem, problems=(problem,), digest=digest(data)),)
        return LabelFile(name, found, page, problems=(problem,) if found == "coco" else ())


def class_names(data: bytes) -> tuple[str, ...]:
    """The classes of a classes.txt, by id. Raises `BadInput` when it is not one name a line, each once."""
    try:
        names = [line.strip() for line in data.decode("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise BadInput(f"classes.txt cannot be read: {error}", "Write one class name a line, in UTF-8.") from error
    if not names or len(set(names)) != len(names):
        raise BadInput("classes.txt is empty or names a class twice.", "Write each class name on a line of its own.")
    return tuple(names)


def read(folder: Path) -> Book:
    """The labels of a data set on disk.

    Raises `BadInput` for labels in more than one format, and for YOLO without a classes.txt that can be read.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in _files(folder) if path.is_file())
    formats = sorted({found for name in names if (found := kind(name))})
    if len(formats) > 1:
        raise BadInput(f"The data set has labels in {' and '.join(formats)}.", "Keep one of them.")
    listed = folder / "classes.txt"
    if not listed.is_file() and formats in ([], ["yolo"]):
        raise BadInput("classes.txt cannot be read: there is none.", "Write one class name a line, in UTF-8.")
    classes = class_names(listed.read_bytes()) if listed.is_file() else None
    return bind((parse(name, (folder / name).read_bytes()) for name in names if kind(name)), classes)


def _files(folder: Path) -> Iterable[Path]:
    yield from folder.glob("*.json")
    for name in FOLDERS:
        yield from (folder / name).glob("*")


def _yolo(name: str, data: bytes) -> LabelFile:
    boxes, problems = [], []
    for number, row in enumerate(data.decode("utf-8").splitlines(), 1):
        if not row.strip():
            continue
        where = f"line {number}: {_cut(row.strip())}"
        try:
            label, cx, cy, width, height = row.split()
            boxes.append(Box(int(label), float(cx), float(cy), float(width), float(height), where))
        except ValueError:
            problems.append(Problem(name, "malformed row", where))
    page = Page(name, PurePosixPath(name).stem, tuple(boxes), tuple(problems), digest=digest(data))
    return LabelFile(name, "yolo", (page,))


def _coco(name: str, data: bytes) -> LabelFile:
    body = json.loads(data)
    categories = {row["id"]: str(row["name"]) for row in sorted(body["categories"], key=lambda row: row["id"])}
    pictures = {row["id"]: row for row in body["images"]}
    boxes: dict[Any, list[Box]] = {number: [] for number in pictures}
    bad: dict[Any, list[Problem]] = {number: [] for number in pictures}
    lost = []
    for row in body["annotations"]:
        where = f"annotation {_cut(str(row.get('id', '?')))}"
        if row.get("iscrowd"):
            continue  # a crowd is a region, no object
        if row.get("image_id") not in pictures:
            lost.append(Problem(name, "label without image", where))
            continue
        try:
            x, y, width, height = (float(value) for value in row["bbox"])
            label = categories.get(row["category_id"], f"category {_cut(str(row['category_id']))}")
            boxes[row["image_id"]].append(Box(label, x + width / 2, y + height / 2, width, height, where, pixels=True))
        except (ValueError, KeyError, TypeError) as error:
            bad[row["image_id"]].append(
                Problem(name, "malformed object", _cut(f"{where}: {type(error).__name__} {error}"))
            )
    pages = tuple(
        Page(
            name,
            PurePosixPath(str(row["file_name"]).replace("\\", "/")).stem,
            tuple(boxes[number]),
            tuple(bad[number]),
            _size(row.get("width"), row.get("height")),
            digest(json.dumps([[box.label, box.cx, box.cy, box.w, box.h] for box in boxes[number]]).encode()),
        )
        for number, row in pictures.items()
    )
    return LabelFile(name, "coco", pages, tuple(categories.values()), tuple(lost))


def _voc(name: str, data: bytes) -> LabelFile:
    root = _tree(data)
    boxes, problems = [], []
    for number, each in enumerate(root.iter("object"), 1):
        where = f"object {number}"
        try:
            label = (each.findtext("name") or "").strip()
            edges = (each.findtext(f"bndbox/{edge}") or "" for edge in ("xmin", "ymin", "xmax", "ymax"))
            left, top, right, bottom = (float(edge) for edge in edges)
        except ValueError:
            problems.append(Problem(name, "malformed object", f"{where} has no bndbox of four numbers"))
            continue
        centre = ((left + right) / 2, (top + bottom) / 2)
        boxes.append(Box(label, *centre, right - left, bottom - top, f"{where}: {_cut(label)}", pixels=True))
    size = _size(root.findtext("size/width"), root.findtext("size/height"))
    page = Page(name, PurePosixPath(name).stem, tuple(boxes), tuple(problems), size, digest(data))
    return LabelFile(name, "voc", (page,))


def _tree(data: bytes) -> Element:
    """An XML document without a document type: no entities to expand, nothing to fetch.

    Raises `ValueError`, or `ExpatError` for what is not well-formed.
    """

    def refuse(*_: Any) -> None:
        raise ValueError("a document type declaration is not accepted")

    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(data, True)
    return builder.close()


def _size(width: Any, height: Any) -> tuple[int, int]:
    try:
        return max(0, int(width)), max(0, int(height))
    except (TypeError, ValueError, OverflowError):
        return 0, 0


def _cut(words: str) -> str:
    return words if len(words) <= _QUOTED else words[: _QUOTED - 1] + "…"
