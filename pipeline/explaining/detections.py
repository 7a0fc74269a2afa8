"""What carried each detection on a photo: the detector is asked again and again with some segments greyed out.

A detection's score on a masked photo is the confidence of the surest detection of its class that still lies where it
lay (IoU), 0 when there is none. The served graph drops what is less sure than its own threshold; so does the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from pipeline.explaining.attribution import Attribution, Masks, Values, kernel_shap
from pipeline.explaining.config import Settings
from pipeline.explaining.segments import Labels, segments
from pipeline.monitoring.truth import iou
from pipeline.serving.detector import Detection, Picture

Box = tuple[float, float, float, float]
COVERED, HELD = 0.5, 0.15
"""An object occupies a segment of which its box covers so much, or that holds so much of its box."""
NOTHING = 1e-6
"""Confidence below which all that raised it is rounding."""


class Finds(Protocol):
    """A detector; `size` is the side of the square in pixels to which it shrinks what it sees."""

    size: int

    def detect(self, picture: Picture) -> list[Detection]:
        """Objects in a picture (height, width, 3; BGR), most confident first."""
        ...


@dataclass(frozen=True)
class Explained:
    """One detection and what carried it: `values` by segment add up to `score - base`.

    `score` with all segments that take part and `base` with none of them; `own` is the share of all that raised the
    score that lies in segments which the object occupies, None when nothing raised it.
    """

    detection: Detection
    values: Values
    score: float
    base: float
    own: float | None
    coalitions: int
    exact: bool


@dataclass(frozen=True)
class Photo:
    """A photo as the detector sees it (`scale` smaller than the original), its segments, its detections explained."""

    picture: Picture
    scale: float
    labels: Labels
    objects: Sequence[Explained]


def explain(detector: Finds, original: Picture, settings: Settings) -> Photo:
    """Explain the surest detections on a photo. The work does not grow with the photo: it is shrunk first."""
    height, width = original.shape[:2]
    scale = min(1.0, detector.size / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = original if scale == 1 else np.asarray(cv2.resize(original, size), np.uint8)
    labels = segments(picture, settings.num_segments, settings.segment_compactness)
    sure = [each for each in detector.detect(picture) if each.confidence >= settings.probability_threshold]
    shown: dict[tuple[int, ...], list[Detection]] = {}
    for found in sure[: settings.max_objects]:
        shown.setdefault(_visible(labels, found.box, settings.context), []).append(found)
    objects = [
        each
        for players, group in shown.items()
        for each in _explained(detector, picture, labels, players, group, settings)
    ]
    return Photo(picture, scale, labels, sorted(objects, key=lambda each: -each.score))


def occupied(labels: Labels, box: Box) -> Sequence[int]:
    """The segments that an object occupies; at least the one that holds most of its box."""
    left, top, right, bottom = _pixels(labels, box)
    inside = np.bincount(labels[top:bottom, left:right].ravel(), minlength=int(labels.max()) + 1)
    sizes = np.bincount(labels.ravel(), minlength=len(inside))
    taken = (inside >= COVERED * sizes) | (inside >= HELD * inside.sum())
    taken[inside.argmax()] = True
    return [int(number) for number in np.flatnonzero(taken & (inside > 0))]


def _explained(
    detector: Finds,
    picture: Picture,
    labels: Labels,
    players: tuple[int, ...],
    group: Sequence[Detection],
    settings: Settings,
) -> list[Explained]:
    # The photo's mean colour: a hole of it is no object that a detector could know.
    grey = np.rint(picture.mean((0, 1))).astype(np.uint8)

    def game(masks: Masks) -> Values:
        scores = np.zeros((len(masks), len(group)))
        for row, mask in enumerate(masks):
            present = np.zeros(int(labels.max()) + 1, np.bool_)
            present[list(players)] = mask
            found = detector.detect(np.where(present[labels][..., None], picture, grey))
            scores[row] = [_score(found, each, settings.iou_threshold) for each in group]
        return scores

    shares = kernel_shap(game, len(players), settings.num_samples, settings.seed)
    return [_one(each, column, shares, labels, players) for column, each in enumerate(group)]


def _one(detection: Detection, column: int, shares: Attribution, labels: Labels, players: tuple[int, ...]) -> Explained:
    values = np.zeros(int(labels.max()) + 1)
    values[list(players)] = shares.values[:, column]
    raised = np.maximum(values, 0)
    total = float(raised.sum())
    own = float(raised[list(occupied(labels, detection.box))].sum()) / total if total > NOTHING else None
    full, empty = float(shares.full[column]), float(shares.empty[column])
    return Explained(detection, values, full, empty, own, shares.coalitions, shares.exact)


def _score(found: Sequence[Detection], wanted: Detection, threshold: float) -> float:
    there = (each.confidence for each in found if each.name == wanted.name and iou(each.box, wanted.box) >= threshold)
    return max(there, default=0.0)


def _visible(labels: Labels, box: Box, context: float) -> tuple[int, ...]:
    """The segments that take part: those that touch the box grown towards the edges of the photo by `context`."""
    height, width = labels.shape
    edges = (0.0, 0.0, float(width), float(height))
    grown = [side + (edge - side) * context for side, edge in zip(box, edges, strict=True)]
    left, top, right, bottom = _pixels(labels, (grown[0], grown[1], grown[2], grown[3]))
    return tuple(int(number) for number in np.unique(labels[top:bottom, left:right]))


def _pixels(labels: Labels, box: Box) -> tuple[int, int, int, int]:
    """A box in whole pixels inside of the photo, at least one pixel wide and high."""
    height, width = labels.shape
    left, top = min(width - 1, max(0, int(box[0]))), min(height - 1, max(0, int(box[1])))
    right, bottom = min(width, max(left + 1, round(box[2]))), min(height, max(top + 1, round(box[3])))
    return left, top, right, bottom
