"""A data set counted: what its plots, its findings and profile.json are made of."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.dataset import SPLITS, Split, scene
from pipeline.profile.joined import Joined, Seen
from pipeline.profile.outliers import Outlier, outliers
from pipeline.profile.twins import near

QUARTILES = (0, 25, 50, 75, 100)
GRID = 12
"""Cells a side of the map of where objects lie."""
AT = 640
"""Pixels of the longer side at which the size of objects is told: what a detector usually sees."""
SMALL = 8.0
"""Pixels at `AT` below which an object covers no cell of the finest grid YOLO11 predicts on (its stride)."""
SAME = 1e-3
"""Two boxes of one class whose edges differ by less than this share of the picture are one drawn twice."""


@dataclass(frozen=True)
class ClassCount:
    """One class: its objects, the pictures it is on, its objects in each split, the median side in pixels at AT."""

    name: str
    objects: int
    pictures: int
    splits: Mapping[Split, int]
    side: float


@dataclass(frozen=True)
class Numbers:
    """A data set in numbers. Quartiles are least, first quartile, median, third quartile, most."""

    found: int
    usable: int
    unlabelled: int
    bytes: int
    sizes: Sequence[tuple[int, int, int]]
    """Width, height and how many pictures, the most frequent first."""
    formats: Mapping[str, int]
    flights: int
    with_objects: int
    without_label: int
    objects: int
    classes: Sequence[ClassCount]
    per_picture: Sequence[float]
    side: Sequence[float]
    """Quartiles of the objects' side (square root of the area), in pixels at AT."""
    small: int
    doubled: Sequence[str]
    """Pictures on which one box was drawn twice."""
    resized: Sequence[str]
    """Pictures whose label was made for another size."""
    where: Sequence[Sequence[int]]
    """GRID rows of GRID cells: centres of objects, top left first."""
    splits: Mapping[Split, int]
    exact: Sequence[Sequence[str]]
    near: Sequence[Sequence[str]]
    crossing: Sequence[Sequence[str]]
    """Those of `near` that lie in different flights."""
    leaking: int
    """Those of `near` that the split with this seed puts on two sides."""
    outliers: Sequence[Outlier]


def count(data: Joined) -> Numbers:
    """Count a data set."""
    used = data.labelled
    every = [*used, *data.unlabelled]
    whole = [each for each in data.seen if not each.picture.look.broken]
    boxes = [(each, box) for each in used for box in each.boxes]
    sides = [side(each, box[3], box[4]) for each, box in boxes]
    twins = [[every[index].name for index in group] for group in near([each.picture.look.hash for each in every])]
    crossing = [group for group in twins if len({scene(Path(name)) for name in group}) > 1]
    return Numbers(
        found=len(data.seen),
        usable=len(used),
        unlabelled=len(data.unlabelled),
        bytes=sum(each.picture.bytes for each in data.seen),
        sizes=_sizes(whole),
        formats=dict(sorted(Counter(f"{each.picture.look.format} {each.picture.look.mode}" for each in whole).items())),
        flights=len({scene(Path(each.name)) for each in used}),
        with_objects=sum(bool(each.boxes) for each in used),
        without_label=sum(each.page is None for each in used),
        objects=len(boxes),
        classes=[_class(data, used, number, name) for number, name in enumerate(data.book.classes)],
        per_picture=_quartiles([len(each.boxes) for each in used]),
        side=_quartiles(sides),
        small=sum(value < SMALL for value in sides),
        doubled=[each.name for each in used if _doubled(each)],
        resized=[each.name for each in whole if each.page and all(each.page.size) and _other_size(each)],
        where=_where([box for _, box in boxes]),
        splits=dict(sorted(Counter(data.splits.values()).items())),
        exact=_exact(data.seen),
        near=twins,
        crossing=crossing,
        leaking=sum(len({data.splits[name] for name in group if name in data.splits}) > 1 for group in twins),
        outliers=outliers([each.picture for each in every]),
    )


def side(seen: Seen, width: float, height: float) -> float:
    """Side of the square as large as a box (shares of its picture), in pixels at AT."""
    look = seen.picture.look
    return math.sqrt(width * look.width * height * look.height) * AT / max(look.width, look.height)


def _class(data: Joined, used: Sequence[Seen], number: int, name: str) -> ClassCount:
    mine = [(each, box) for each in used for box in each.boxes if box[0] == number]
    by_split = Counter(data.splits[each.name] for each, _ in mine if each.name in data.splits)
    sides = [side(each, box[3], box[4]) for each, box in mine]
    pictures = len({each.name for each, _ in mine})
    return ClassCount(
        name, len(mine), pictures, {part: by_split[part] for part in SPLITS}, round(float(np.median(sides or [0])), 1)
    )


def _sizes(seen: Iterable[Seen]) -> list[tuple[int, int, int]]:
    counts = Counter((each.picture.look.width, each.picture.look.height) for each in seen)
    return [(*size, times) for size, times in sorted(counts.items(), key=lambda row: (-row[1], row[0]))]


def _quartiles(values: Sequence[float]) -> list[float]:
    return [round(float(value), 2) for value in np.percentile(values or [0], QUARTILES)]


def _doubled(seen: Seen) -> bool:
    boxes = sorted(seen.boxes)
    near_ = (
        one[0] == other[0] and max(abs(a - b) for a, b in zip(one[1:], other[1:], strict=True)) < SAME
        for place, one in enumerate(boxes)
        for other in boxes[place + 1 :]
        if other[0] == one[0] and other[1] - one[1] < SAME
    )
    return any(near_)


def _other_size(seen: Seen) -> bool:
    return seen.page is not None and seen.page.size != (seen.picture.look.width, seen.picture.look.height)


def _where(boxes: Sequence[Sequence[float]]) -> list[list[int]]:
    grid = np.zeros((GRID, GRID), np.int64)
    for _, x, y, *_ in boxes:
        grid[min(GRID - 1, int(y * GRID)), min(GRID - 1, int(x * GRID))] += 1
    rows: list[list[int]] = grid.tolist()
    return rows


def _exact(seen: Sequence[Seen]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for each in seen:
        groups.setdefault(each.picture.sha, []).append(each.name)
    return sorted(group for group in groups.values() if len(group) > 1)
