"""Labels in one typed form, whatever format they came in (`pipeline.label_files` reads YOLO, COCO and VOC).

A label belongs to the picture of the same name without its ending. Whether a class is known and a box lies in its
picture is decided by `resolve`, once both are there: parts of a data set can be read on different machines.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

Format = Literal["yolo", "coco", "voc"]
FORMATS: tuple[Format, ...] = get_args(Format)
Shares = tuple[int, float, float, float, float]
"""Class id and cx, cy, w, h as shares of the picture."""

MOST_CLASSES = 1000
"""Classes of YOLO that are numbered where no classes.txt names them; a larger number in a label is a mistake."""


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


def _both(first: Page, second: Page) -> Page:
    """Two pages about one picture (COCO in several files, or two pictures of one name)."""
    return replace(
        first,
        boxes=first.boxes + second.boxes,
        problems=first.problems + second.problems,
        digest=digest((first.digest + second.digest).encode()),
    )


def _declared(files: Sequence[LabelFile]) -> tuple[str, ...]:
    """Classes where no classes.txt names them: COCO's categories in their order, else the names used, sorted.

    YOLO has no names then: they are made from the numbers used.
    """
    categories = dict.fromkeys(name for each in files for name in each.classes)
    if categories:
        return tuple(categories)
    used = {box.label for each in files for page in each.pages for box in page.boxes}
    numbers = [label for label in used if isinstance(label, int) and 0 <= label < MOST_CLASSES]
    if numbers:
        return tuple(f"class {number}" for number in range(max(numbers) + 1))
    return tuple(sorted(label for label in used if isinstance(label, str)))


def digest(data: bytes) -> str:
    """SHA-256 of what a label says, in hex."""
    return hashlib.sha256(data).hexdigest()
