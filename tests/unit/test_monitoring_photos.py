"""The rule on real aerial photos: more of the same place is usual, another place or another camera is not.

The photos (Aerial Maritime, 56 pictures of 27 frames) lie beside the project in `../shared/data/aerial_maritime`; where
they do not, there is nothing to try it with. Each is cut into 16 tiles, frames stand for flights. Every split takes
whole frames for a window of 200 tiles and the rest, some 680, for the baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.monitoring.drift import ENOUGH, fit, judge
from pipeline.monitoring.features import image_features
from pipeline.monitoring.summary import Profile, Summary
from sandbox import imagery, traffic

PHOTOS = Path(__file__).resolve().parents[3] / "shared" / "data" / "aerial_maritime" / "images"
TILE = (150, 200)
"""Rows and columns of pixels."""
SPLITS = 8
LUCK = 1
"""Of the splits that may go wrong: 27 frames say little about how frames differ."""

pytestmark = pytest.mark.skipif(not PHOTOS.is_dir(), reason="no real aerial photos in ../shared/data/aerial_maritime")


@dataclass(frozen=True)
class Place:
    """Tiles in numbers, with the frame of each; and the same as another camera would have taken them."""

    rows: Sequence[dict[str, float]]
    frames: Sequence[str]
    other_camera: Sequence[dict[str, float]]


@pytest.fixture(scope="module")
def place() -> Place:
    rng, tiles, frames = np.random.default_rng(5), [], []
    for path in sorted(PHOTOS.glob("*.jpg")):
        picture = cv2.imread(str(path))
        assert picture is not None
        height, width = TILE
        for top in range(0, picture.shape[0] - height + 1, height):
            for left in range(0, picture.shape[1] - width + 1, width):
                tiles.append(picture[top : top + height, left : left + width])
                frames.append(path.stem.split("_")[1])
    changed = [traffic.camera(np.asarray(tile, np.uint8), rng) for tile in tiles]
    return Place([*map(image_features, map(np.ascontiguousarray, tiles))], frames, [*map(image_features, changed)])


def profile(rows: Sequence[dict[str, float]]) -> Profile:
    summary = Summary()
    summary.add(rows, "")
    return summary.profile()


def test_another_place_or_camera_is_drift_and_more_of_the_same_place_is_not(place: Place) -> None:
    elsewhere = profile([image_features(picture) for _, picture, _ in imagery.survey(3, ENOUGH, 160)])
    verdicts: dict[str, list[str]] = {"same place": [], "another camera": [], "another place": []}
    for split in range(SPLITS):
        rng = np.random.default_rng(split)
        order, inside = rng.permutation(sorted(set(place.frames))), set[str]()
        while sum(frame in inside for frame in place.frames) < ENOUGH:
            inside.add(str(order[len(inside)]))
        within = [index for index, frame in enumerate(place.frames) if frame in inside]
        window = rng.permutation(within)[:ENOUGH]
        known = [index for index, frame in enumerate(place.frames) if frame not in inside]
        reference = fit([place.rows[i] for i in known], [place.frames[i] for i in known], seed=split)
        verdicts["same place"].append(judge(reference, profile([place.rows[i] for i in window])).kind)
        verdicts["another camera"].append(judge(reference, profile([place.other_camera[i] for i in window])).kind)
        verdicts["another place"].append(judge(reference, elsewhere).kind)
    print(verdicts)
    assert verdicts["same place"].count("no drift") >= SPLITS - LUCK, verdicts
    assert verdicts["another camera"].count("drift") >= SPLITS - LUCK, verdicts
    assert verdicts["another place"] == ["drift"] * SPLITS
