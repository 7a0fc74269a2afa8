"""A few photos of the baseline beside a few of the window, as one picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pipeline.errors import BadInput
from pipeline.monitoring.features import Picture
from pipeline.serving.detector import Letterbox, decode

EXAMPLES = "examples.jpg"
"""File of a baseline's photos, and of a window's beside them."""
TILE = 200
"""Pixels of a photo's square."""
ACROSS, DOWN = 3, 2
PHOTOS = ACROSS * DOWN
GAP = 24
WHITE, GREY = 255, 60
QUALITY = 85


def sheet(photos: Sequence[bytes]) -> Picture:
    """The first PHOTOS of some JPEGs or PNGs on white; one that cannot be decoded leaves its place empty."""
    body = np.full((DOWN * TILE, ACROSS * TILE, 3), WHITE, np.uint8)
    for number, data in enumerate(photos[:PHOTOS]):
        try:
            picture = decode(data)
        except BadInput:
            continue
        top, left = (edge * TILE for edge in divmod(number, ACROSS))
        height, width = picture.shape[:2]
        body[top : top + TILE, left : left + TILE] = Letterbox.fit(width, height, TILE).apply(picture, TILE)
    return body


def beside(baseline: Picture | None, window: Picture) -> Picture:
    """Both under their names; without a baseline's photos the window's alone."""
    named = [("now", window)] if baseline is None else [("baseline", baseline), ("now", window)]
    body = np.full((DOWN * TILE + GAP, len(named) * (ACROSS * TILE + GAP) - GAP, 3), WHITE, np.uint8)
    for number, (name, photos) in enumerate(named):
        left = number * (ACROSS * TILE + GAP)
        cv2.putText(body, name, (left, GAP - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (GREY,) * 3, 1, cv2.LINE_AA)
        body[GAP : GAP + photos.shape[0], left : left + photos.shape[1]] = photos
    return body


def jpeg(picture: Picture) -> bytes:
    """The picture's file."""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return bytes(data.tobytes())
