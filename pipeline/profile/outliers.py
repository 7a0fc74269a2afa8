"""Photos that stand out by blur or exposure, against the others of the same data set.

A value is far out when it lies more than FAR robust deviations from the median: Iglewicz and Hoaglin's modified
z-score, 0.6745 (x - median) / MAD, with their limit of 3.5. A survey under one light has hardly any spread: LEAST
keeps it from calling everything an outlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.profile.rows import Picture

FAR = 3.5
FEWEST = 12
"""Pictures below which nothing stands out: there is no usual."""
LEAST_SHARPNESS, LEAST_LEVELS = 0.18, 8.0
"""Smallest deviation that counts: of the sharpness' natural logarithm, and in grey levels."""
BLACK, WHITE, CLIPPED = 12.0, 243.0, 0.5
"""Whatever the others are like: a mean this dark or bright, or half of the picture clipped."""


@dataclass(frozen=True)
class Outlier:
    """A picture that stands out: how (`blurred`, `dark`, `bright`), its value, and the data set's median."""

    name: str
    kind: str
    value: float
    usual: float


def outliers(pictures: Sequence[Picture]) -> list[Outlier]:
    """What stands out, the farthest first within each kind; one entry a picture, exposure before blur."""
    if not pictures:
        return []
    light = np.array([picture.look.brightness for picture in pictures])
    sharp = np.array([picture.look.sharpness for picture in pictures])
    many = len(pictures) >= FEWEST
    levels = _scores(light, LEAST_LEVELS) if many else np.zeros(len(pictures))
    blur = _scores(np.log1p(sharp), LEAST_SHARPNESS) if many else np.zeros(len(pictures))
    usual, typical = (round(float(np.median(values)), 1) for values in (light, sharp))
    found: list[tuple[float, Outlier]] = []
    for index, picture in enumerate(pictures):
        look = picture.look
        if look.brightness < BLACK or look.dark > CLIPPED or levels[index] < -FAR:
            found.append((levels[index], Outlier(picture.name, "dark", look.brightness, usual)))
        elif look.brightness > WHITE or look.bright > CLIPPED or levels[index] > FAR:
            found.append((-levels[index], Outlier(picture.name, "bright", look.brightness, usual)))
        elif blur[index] < -FAR:
            found.append((blur[index], Outlier(picture.name, "blurred", look.sharpness, typical)))
    found.sort(key=lambda each: (each[1].kind, each[0], each[1].name))
    return [each for _, each in found]


def _scores(values: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """Modified z-scores; the deviation (1.4826 times the median absolute one) is at least `least`."""
    middle = np.median(values)
    deviation = max(least, 1.4826 * float(np.median(np.abs(values - middle))))
    return np.asarray((values - middle) / deviation, np.float64)
