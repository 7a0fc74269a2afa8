"""One row for each file of a data set, made without knowing any other file; parts of a data set put together.

Names are relative to the data set's folder, with `/`. A `Part` is JSON and back without a loss.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from pipeline import label_files
from pipeline.dataset import SUFFIXES
from pipeline.errors import BadInput
from pipeline.labels import Box, LabelFile, Page, Problem
from pipeline.profile.look import Look, look

PICTURES = ("images", "unlabelled")
"""Folders whose pictures are read; those in other places are found and reported."""
CLASSES = "classes.txt"


@dataclass(frozen=True)
class Picture:
    """A picture file: its size in bytes, SHA-256, and what it looks like."""

    name: str
    bytes: int
    sha: str
    look: Look


@dataclass(frozen=True)
class Part:
    """Some of a data set's files. `others` are files that are neither picture nor label: nobody opens them."""

    pictures: Mapping[str, Picture] = field(default_factory=dict)
    labels: Mapping[str, LabelFile] = field(default_factory=dict)
    others: frozenset[str] = frozenset()
    classes: tuple[str, ...] | None = None
    """What classes.txt holds; None without one that can be read."""
    problems: frozenset[Problem] = frozenset()


def rows(names: Iterable[str], read: Callable[[str], bytes], threads: int = 1) -> Part:
    """Look at files. `read` gives a file's bytes by its name; it is called from `threads` threads."""
    known = sorted(name for name in names if not any(piece.startswith(".") for piece in PurePosixPath(name).parts))
    wanted = [name for name in known if is_picture(name) or label_files.kind(name) or name == CLASSES]

    def one(name: str) -> Part:
        data = read(name)
        if is_picture(name):
            return Part(pictures={name: Picture(name, len(data), hashlib.sha256(data).hexdigest(), look(data))})
        if name != CLASSES:
            return Part(labels={name: label_files.parse(name, data)})
        try:
            return Part(classes=label_files.class_names(data))
        except BadInput as error:
            return Part(problems=frozenset({Problem(name, "unreadable classes", error.message)}))

    with warnings.catch_warnings(), ThreadPoolExecutor(threads, "look") as pool:
        warnings.simplefilter("ignore")  # odd metadata does not make a picture unusable
        return together([Part(others=frozenset(known) - frozenset(wanted)), *pool.map(one, wanted)])


def together(parts: Sequence[Part]) -> Part:
    """Several parts as one; in whatever order and grouping, it comes to the same."""
    return Part(
        {name: each for part in parts for name, each in part.pictures.items()},
        {name: each for part in parts for name, each in part.labels.items()},
        frozenset().union(*(part.others for part in parts)),
        next((part.classes for part in parts if part.classes is not None), None),
        frozenset().union(*(part.problems for part in parts)),
    )


def is_picture(name: str) -> bool:
    """Whether a file is read as a picture: by its folder and its ending."""
    path = PurePosixPath(name)
    return len(path.parts) == 2 and path.parts[0] in PICTURES and path.suffix.lower() in SUFFIXES


def dump(part: Part) -> bytes:
    """The part as JSON."""
    body = {
        "pictures": [part.pictures[name] for name in sorted(part.pictures)],
        "labels": [part.labels[name] for name in sorted(part.labels)],
        "others": sorted(part.others),
        "classes": part.classes,
        "problems": sorted(part.problems, key=lambda each: each.file),
    }
    return json.dumps(body, separators=(",", ":"), default=vars).encode()  # a row is its fields


def load(data: bytes) -> Part:
    """A part from `dump`. Raises `ValueError`, `KeyError` or `TypeError` for anything else."""
    body = json.loads(data)
    pictures = [Picture(**{**row, "look": Look(**row["look"])}) for row in body["pictures"]]
    files = [_file(row) for row in body["labels"]]
    return Part(
        {picture.name: picture for picture in pictures},
        {each.file: each for each in files},
        frozenset(str(name) for name in body["others"]),
        None if body["classes"] is None else tuple(body["classes"]),
        frozenset(Problem(**row) for row in body["problems"]),
    )


def _file(body: Mapping[str, Any]) -> LabelFile:
    return LabelFile(
        body["file"],
        body["format"],
        tuple(_page(page) for page in body["pages"]),
        tuple(body["classes"]),
        tuple(Problem(**problem) for problem in body["problems"]),
    )


def _page(body: Mapping[str, Any]) -> Page:
    return Page(
        body["file"],
        body["stem"],
        tuple(Box(**box) for box in body["boxes"]),
        tuple(Problem(**problem) for problem in body["problems"]),
        (body["size"][0], body["size"][1]),
        body["digest"],
    )
