"""How good a model is in service, once somebody has said what the pictures really showed.

Ground truth comes as Model Monitor merges it: JSON lines with the inference id under `eventMetadata.eventId` and, as
`groundTruthData` with encoding JSON, `{"objects": [{"class": "car", "box": [x0, y0, x1, y1]}]}`, in pixels.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.monitoring.features import Found

Box = tuple[float, float, float, float]
IOU = 0.5
"""Overlap from which a found box counts as an object's."""
STEPS = 10_000
"""Steps of confidence that are told apart: the four decimals a server answers with."""
MOST = 100_000
"""Pictures with ground truth that one run takes: about 100 MiB."""


@dataclass(frozen=True)
class Object:
    """What was really there."""

    name: str
    box: Box


@dataclass
class Truth:
    """Ground truth by inference id; `malformed` and `beyond` count the lines that were not taken."""

    pictures: dict[str, tuple[Object, ...]] = field(default_factory=dict)
    malformed: int = 0
    beyond: int = 0

    def take(self, lines: Iterable[bytes]) -> None:
        """Read lines; a later one about the same picture replaces an earlier one."""
        for line in lines:
            if not line.strip():
                continue
            try:
                name, objects = _parse(line)
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
                self.malformed += 1
                continue
            if name in self.pictures or len(self.pictures) < MOST:
                self.pictures[name] = objects
            else:
                self.beyond += 1


@dataclass(frozen=True)
class Quality:
    """Agreement of what was found with what was there, over `pictures` pictures. Shares 0..1, None without objects.

    `map50` is the mean over classes of the area under precision over recall, of what was *served*: the boxes below the
    server's threshold are missing, so it is lower than an evaluation's.
    """

    pictures: int
    precision: float | None
    recall: float | None
    map50: float | None
    per_class: Mapping[str, float]


class Agreement:
    """Counts picture by picture; memory depends on the number of classes only."""

    def __init__(self) -> None:
        self._pictures = 0
        self._objects: defaultdict[str, int] = defaultdict(int)
        self._right: defaultdict[str, np.ndarray[tuple[int], np.dtype[np.int64]]] = defaultdict(_steps)
        self._wrong: defaultdict[str, np.ndarray[tuple[int], np.dtype[np.int64]]] = defaultdict(_steps)

    def add(self, found: Sequence[Found], objects: Sequence[Object]) -> None:
        """One picture. Each found box, the surest first, takes the free object of its class that it overlaps most."""
        self._pictures += 1
        for there in objects:
            self._objects[there.name] += 1
        free = list(objects)
        for item in sorted(found, key=lambda item: -item.confidence):
            best = max(
                (each for each in free if each.name == item.name),
                key=lambda each: iou(each.box, item.box),
                default=None,
            )
            step = min(STEPS, max(0, round(item.confidence * STEPS)))
            if best is not None and iou(best.box, item.box) >= IOU:
                free.remove(best)
                self._right[item.name][step] += 1
            else:
                self._wrong[item.name][step] += 1

    def quality(self) -> Quality:
        """The figures so far."""
        right = sum(int(steps.sum()) for steps in self._right.values())
        wrong = sum(int(steps.sum()) for steps in self._wrong.values())
        objects = sum(self._objects.values())
        areas = {name: self._area(name, count) for name, count in sorted(self._objects.items())}
        return Quality(
            pictures=self._pictures,
            precision=right / (right + wrong) if right + wrong else None,
            recall=right / objects if objects else None,
            map50=float(np.mean(list(areas.values()))) if areas else None,
            per_class=areas,
        )

    def _area(self, name: str, objects: int) -> float:
        """Area under the precision that is at least reached at each recall (PASCAL VOC 2010)."""
        right = np.cumsum(self._right[name][::-1])
        found = right + np.cumsum(self._wrong[name][::-1])
        precision = np.maximum.accumulate((right / np.maximum(found, 1))[::-1])[::-1]
        return float(np.sum(np.diff(right, prepend=0) * precision) / objects)


def iou(one: Box, other: Box) -> float:
    """Shared area of two boxes over the area they cover together."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (_size(one) + _size(other) - shared)


def _parse(line: bytes) -> tuple[str, tuple[Object, ...]]:
    body = json.loads(line)
    data = body["groundTruthData"]
    if data.get("encoding") != "JSON":
        raise ValueError("the ground truth of a picture is JSON")
    objects = []
    for row in json.loads(data["data"])["objects"]:
        x0, y0, x1, y1 = (float(edge) for edge in row["box"])
        if not (np.isfinite((x0, y0, x1, y1)).all() and x0 < x1 and y0 < y1):
            raise ValueError("not a box")
        objects.append(Object(str(row["class"]), (x0, y0, x1, y1)))
    return str(body["eventMetadata"]["eventId"]), tuple(objects)


def _size(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _steps() -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.zeros(STEPS + 1, np.int64)
