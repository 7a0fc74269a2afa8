"""Numbers of a picture and of what was found in it: the columns that are watched.

The same code runs on both sides (baseline and server), after the same downscaling: sharpness and edges depend on
scale, so a baseline made another way would read as drift.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.monitoring.wording import CLASS

Picture = NDArray[np.uint8]

SIDE = 320
"""Pixels of the longer side that is measured; a larger picture is brought to it by averaging areas."""
IMAGE = (
    "brightness",
    "contrast",
    "sharpness",
    "saturation",
    "entropy",
    "edge_density",
    "clipped_low",
    "clipped_high",
    "mean_b",
    "mean_g",
    "mean_r",
)
CLIP = 5
"""Grey levels at each end that count as clipped (sensor or JPEG noise keeps them from being exactly 0 and 255)."""
CANNY = (80, 160)
"""Thresholds of the edge detector, in grey levels of gradient."""

FLOORS: Mapping[str, float] = {
    "brightness": 1.0,
    "contrast": 1.0,
    "sharpness": 20.0,
    "saturation": 1.0,
    "entropy": 0.05,
    "edge_density": 0.005,
    "clipped_low": 0.005,
    "clipped_high": 0.005,
    "mean_b": 1.0,
    "mean_g": 1.0,
    "mean_r": 1.0,
    "objects": 0.25,
    "confidence": 0.005,
    "box_area": 0.005,
}
"""The smallest spread that counts, in the column's own unit: grey levels, grey levels squared for sharpness (one level
at a deviation of ten), bits, shares, objects. A column without spread would turn any change into many deviations."""
COUNT_FLOOR = 0.25

RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("brightness", "saturation", "mean_b", "mean_g", "mean_r"), (0.0, 255.0)),
    **dict.fromkeys(("edge_density", "clipped_low", "clipped_high", "confidence", "box_area"), (0.0, 1.0)),
    "contrast": (0.0, 127.5),
    "entropy": (0.0, 8.0),
}
"""What a column can be at all."""
ANYTHING = (0.0, 1e12)
"""The same for all others: counts and variances. Whatever is larger is no measurement, and its square no number."""


class Found(Protocol):
    """An object as the detector reports it: class name, confidence 0..1, box x0, y0, x1, y1 in pixels."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def confidence(self) -> float: ...  # noqa: D102
    @property
    def box(self) -> tuple[float, float, float, float]: ...  # noqa: D102


def image_features(picture: Picture) -> dict[str, float]:
    """The columns `IMAGE` of a picture (height, width, 3; BGR).

    Brightness and contrast: mean and deviation of grey, 0..255. Sharpness: variance of the Laplacian. Saturation: HSV,
    0..255. Entropy: of the grey histogram, bits. Edge density and the two clipped columns: shares of all pixels.
    """
    small = _small(picture)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    mean, deviation = cv2.meanStdDev(grey)
    histogram = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel() / grey.size
    levels = histogram[histogram > 0]
    _, roughness = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    blue, green, red, _ = cv2.mean(small)
    values = (
        mean[0, 0],
        deviation[0, 0],
        roughness[0, 0] ** 2,
        cv2.mean(cv2.cvtColor(small, cv2.COLOR_BGR2HSV))[1],
        abs(levels @ np.log2(levels)),  # a single level gives -0.0
        cv2.countNonZero(cv2.Canny(grey, *CANNY)) / grey.size,
        min(1.0, histogram[:CLIP].sum()),
        min(1.0, histogram[-CLIP:].sum()),
        blue,
        green,
        red,
    )
    return {name: float(value) for name, value in zip(IMAGE, values, strict=True)}


def prediction_features(found: Sequence[Found], classes: Sequence[str], width: int, height: int) -> dict[str, float]:
    """Objects, mean confidence, mean share of the picture a box covers, and a count for each class of the model.

    Confidence and box area are left out when nothing was found: a mean of nothing is missing, not zero.
    `width` and `height` are the picture's, in pixels.
    """
    counts = dict.fromkeys(classes, 0)
    for item in found:
        counts[item.name] += 1
    values = {"objects": float(len(found))}
    if found:
        areas = [(x1 - x0) * (y1 - y0) / (width * height) for x0, y0, x1, y1 in (item.box for item in found)]
        values["confidence"] = sum(item.confidence for item in found) / len(found)
        values["box_area"] = sum(areas) / len(found)
    return values | {class_column(name): float(count) for name, count in counts.items()}


def columns(classes: Iterable[str]) -> tuple[str, ...]:
    """All columns of a model with these classes, in their usual order."""
    return (*IMAGE, "objects", "confidence", "box_area", *map(class_column, classes))


def class_column(name: str) -> str:
    """The column that counts a class: `class_solar_panel`."""
    return CLASS + name


def floor(column: str) -> float:
    """The smallest spread that counts in a column."""
    return FLOORS.get(column, COUNT_FLOOR)


def bounds(column: str) -> tuple[float, float]:
    """Least and largest value a column can have."""
    return RANGES.get(column, ANYTHING)


def _small(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    if scale >= 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
