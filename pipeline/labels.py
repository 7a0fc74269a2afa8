"""Labels in YOLO, COCO and VOC, read into one typed form.

    YOLO  labels/<picture>.txt       rows `class cx cy w h`, shares of the picture; classes.txt names the classes
    COCO  annotations/*.json         images, annotations (bbox x, y, w, h in pixels), categories
    VOC   annotations/<picture>.xml  objects with a name and xmin, ymin, xmax, ymax in pixels

A label belongs to the picture of the same name without its ending. Whether a class is known and a box lies in its
picture is decided by `resolve`, once both are there: parts of a data set can be parsed on different machines.
Only the standard library is used.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from pipeline.errors import BadInput

Format = Literal["yolo", "coco", "voc"]
FORMATS: tuple[Format, ...] = get_args(Format)
Shares = tuple[int, float, float, float, float]
"""Class id and cx, cy, w, h as shares of the picture."""

LARGEST = 1 << 20
"""Bytes of a label file of one picture; of all of COCO's together `LARGEST_COCO`."""
LARGEST_COCO = 512 << 20
FOLDERS = ("labels", "annotations", "Annotations")
COCO_WORDS = ("annotation", "coco", "instances")
"""One of them is in the name of a JSON file that lies beside the pictures' folder; others are somebody's notes."""
_QUOTED = 60


@dataclass(frozen=True)
class Problem:
    """One reason why a file cannot be used, or should be looked at. `file` is relative to the data set."""

    file: str
    kind: str
    detail: str = ""


@dataclass(frozen=True)
class Box:
    """One object as its label has it: class (name, or YOLO's number), centre, width and height, and where it stands.

    Shares of the picture in YOLO, pixels in the two others.
    """

    label: int | str
    cx: float
    cy: float
    w: float
    h: float
    where: str = ""
    pixels: bool = False


@dataclass(frozen=True)
class Page:
    """What is said about one picture. `size` is the picture's in pixels as the label has it, (0, 0) if it does not.

    `digest` (SHA-256 of what is said) is what a data version is made of; `problems` are what could not be read.
    """

    file: str
    stem: str
    boxes: tuple[Box, ...] = ()
    problems: tuple[Problem, ...] = ()
    size: tuple[int, int] = (0, 0)
    digest: str = ""


@dataclass(frozen=True)
class LabelFile:
    """One label file, parsed. `classes` are those it declares (COCO), in the order of their ids."""

    file: str
    format: Format
    pages: tuple[Page, ...] = ()
    classes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Book:
    """All labels of a data set: classes by id, a page for each labelled picture by its stem, and what is wrong."""

    format: Format | None
    classes: tuple[str, ...]
    pages: Mapping[str, Page]
    problems: tuple[Problem, ...] = ()


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
        page = () if found == "coco" else (Page(name, stem, problems=(problem,), digest=_digest(data)),)
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


def bind(files: Iterable[LabelFile], classes: Sequence[str] | None) -> Book:
    """Put the files' pages together, whatever order they come in. `classes` are those of classes.txt, if there is one.

    Where there are labels in several formats, those of the first of `FORMATS` count and the others are a problem.
    """
    ordered = sorted(files, key=lambda each: each.file)
    there = {each.format for each in ordered}
    used = next((name for name in FORMATS if name in there), None)
    problems = [
        Problem(each.file, "second label format", f"{each.format} beside {used}")
        for each in ordered
        if each.format != used
    ]
    pages: dict[str, Page] = {}
    for each in ordered:
        if each.format != used:
            continue
        problems += each.problems
        for page in each.pages:
            pages[page.stem] = _both(pages[page.stem], page) if page.stem in pages else page
    mine = [each for each in ordered if each.format == used]
    return Book(used, tuple(classes) if classes is not None else _declared(mine), pages, tuple(problems))


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


def resolve(box: Box, classes: Sequence[str], size: tuple[int, int]) -> Shares | str:
    """The box as class id and shares of its picture (`size` in pixels), or the kind of problem it has."""
    if isinstance(box.label, int):
        number = box.label if 0 <= box.label < len(classes) else -1
    else:
        number = classes.index(box.label) if box.label in classes else -1
    if number < 0:
        return "class id unknown" if isinstance(box.label, int) else "class unknown"
    width, height = size if box.pixels else (1, 1)
    if width <= 0 or height <= 0:
        return "label out of range"
    cx, cy, w, h = box.cx / width, box.cy / height, box.w / width, box.h / height
    if 0 in (w, h) and math.isfinite(cx + cy + w + h):
        return "zero area"
    if not (0 <= cx <= 1 and 0 <= cy <= 1 and 0 < w <= 1 and 0 < h <= 1):
        return "label out of range"
    return number, cx, cy, w, h


def resolved(page: Page, classes: Sequence[str], size: tuple[int, int]) -> tuple[list[Shares], list[Problem]]:
    """All boxes of a page that can be used, and every problem it has. `size` is the real picture's, in pixels."""
    boxes, problems = [], list(page.problems)
    for box in page.boxes:
        found = resolve(box, classes, page.size if all(page.size) else size)
        if isinstance(found, str):
            problems.append(Problem(page.file, found, box.where))
        else:
            boxes.append(found)
    return boxes, problems


def _files(folder: Path) -> Iterable[Path]:
    yield from folder.glob("*.json")
    for name in FOLDERS:
        yield from (folder / name).glob("*")


def _both(first: Page, second: Page) -> Page:
    """Two pages about one picture (COCO in several files, or two pictures of one name)."""
    return replace(
        first,
        boxes=first.boxes + second.boxes,
        problems=first.problems + second.problems,
        digest=_digest((first.digest + second.digest).encode()),
    )


def _declared(files: Sequence[LabelFile]) -> tuple[str, ...]:
    """Classes where no classes.txt names them: COCO's categories in their order, else the names used, sorted."""
    categories = dict.fromkeys(name for each in files for name in each.classes)
    if categories:
        return tuple(categories)
    used = {box.label for each in files for page in each.pages for box in page.boxes if isinstance(box.label, str)}
    return tuple(sorted(used))


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
    page = Page(name, PurePosixPath(name).stem, tuple(boxes), tuple(problems), digest=_digest(data))
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
            _digest(json.dumps([[box.label, box.cx, box.cy, box.w, box.h] for box in boxes[number]]).encode()),
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
    page = Page(name, PurePosixPath(name).stem, tuple(boxes), tuple(problems), size, _digest(data))
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


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _cut(words: str) -> str:
    return words if len(words) <= _QUOTED else words[: _QUOTED - 1] + "…"
