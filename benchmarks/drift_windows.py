"""Windows of traffic to judge: columns of a synthetic survey, drawn as whole flights, changed or not.

Boxes are the drawn objects, of which a detector misses some; its confidence is drawn. What is measured with them is
the rule, not a detector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.monitoring.drift import Reference, fit
from pipeline.monitoring.features import columns, image_features, prediction_features
from pipeline.monitoring.summary import Profile, Summary
from sandbox import imagery

SIDE = 160
FLIGHT = 5
"""Pictures of a flight: a window of 200 covers 40 flights."""
FOUND = 0.93
"""Share of the objects that the detector finds."""
MIXED = (0.40, 0.30, 0.15, 0.15)
"""The class mix that counts as a change; `imagery.SHARES` is .25, .35, .20, .20."""
FOG = 0.15

Picture = NDArray[np.uint8]
Rows = NDArray[np.float64]
"""Flights by pictures by columns."""
NAMES = columns(imagery.CLASSES)


def darker(picture: Picture) -> Picture:
    """Brightness -10 %."""
    return np.asarray(cv2.convertScaleAbs(picture, alpha=0.9), np.uint8)


def blurred(picture: Picture) -> Picture:
    """A blur of one pixel's deviation."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1), np.uint8)


def foggy(picture: Picture) -> Picture:
    """15 % of a bright grey."""
    return np.asarray(cv2.addWeighted(picture, 1 - FOG, np.full_like(picture, 225), FOG, 0), np.uint8)


def same(picture: Picture) -> Picture:
    """No change."""
    return picture


SHIFTS: Mapping[str, tuple[Callable[[Picture], Picture], tuple[float, ...]]] = {
    "darker": (darker, imagery.SHARES),
    "blurred": (blurred, imagery.SHARES),
    "foggy": (foggy, imagery.SHARES),
    "mix": (same, MIXED),
}


@dataclass(frozen=True)
class Object:
    """What the detector says of a drawn object."""

    name: str
    confidence: float
    box: tuple[float, float, float, float]


def flights(
    seed: int,
    count: int,
    change: Callable[[Picture], Picture] = same,
    shares: tuple[float, ...] = imagery.SHARES,
) -> Rows:
    """The columns of so many flights; NaN is missing."""
    return np.array([[_row(seed, flight, shot, change, shares) for shot in range(FLIGHT)] for flight in range(count)])


def window(rng: np.random.Generator, pool: Rows, images: int) -> Rows:
    """That many pictures of whole flights, none twice; rows by columns."""
    chosen = rng.choice(len(pool), -(-images // pool.shape[1]), replace=False)
    return pool[chosen].reshape(-1, pool.shape[2])[:images]


def profiled(rows: Rows) -> Profile:
    """What the monitor keeps of a window."""
    summary = Summary()
    summary.add_arrays(dict(zip(NAMES, rows.T, strict=True)))
    return summary.profile()


def baseline(pool: Rows, seed: int = 0) -> Reference:
    """A baseline from all flights of a pool."""
    rows = [
        {name: float(value) for name, value in zip(NAMES, row, strict=True) if not np.isnan(value)}
        for row in pool.reshape(-1, pool.shape[2])
    ]
    return fit(rows, [str(index // pool.shape[1]) for index in range(len(rows))], seed=seed)


def _row(
    seed: int, number: int, shot: int, change: Callable[[Picture], Picture], shares: tuple[float, ...]
) -> list[float]:
    rng = np.random.default_rng((seed, number, shot, 1))
    scene = imagery.Scene(imagery.Flight.draw(seed, number), rng, SIDE, shares)
    scene.populate()
    found = [
        Object(
            imagery.CLASSES[kind],
            float(rng.beta(9, 2)),
            ((x - w / 2) * SIDE, (y - h / 2) * SIDE, (x + w / 2) * SIDE, (y + h / 2) * SIDE),
        )
        for kind, x, y, w, h in scene.boxes
        if rng.random() < FOUND
    ]
    values = image_features(change(scene.picture)) | prediction_features(found, imagery.CLASSES, SIDE, SIDE)
    return [values.get(name, np.nan) for name in NAMES]
