"""Explanations as pictures: warm where a segment raised a detection's confidence, blue where it lowered it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.explaining.detections import Explained, Photo
from pipeline.serving.detector import Letterbox, Picture

SIDE = 320
"""Pixels of a tile's square."""
GAP, CAPTION = 10, 26
BESIDE = 2
"""Heat maps beside each photo in the sheet: with more of them a message 600 pixels wide shows too little."""
STRONGEST = 0.75
"""Opacity of the colour over the segment that counts most."""
WARM, COLD = (0, 69, 255), (220, 120, 20)
INK, LINE = (48, 37, 29), (40, 255, 255)
QUALITY = 88


def heat_map(photo: Photo, explained: Explained) -> Picture:
    """One detection with its box; colours are relative to the segment that counts most for it."""
    weights = explained.values / max(float(np.abs(explained.values).max()), 1e-12)
    strength = (weights[photo.labels] * STRONGEST)[..., None]
    colour = np.where(strength > 0, np.array(WARM), np.array(COLD))
    shown = photo.picture * (1 - np.abs(strength)) + colour * np.abs(strength)
    return _boxed(np.asarray(np.rint(shown), np.uint8), [explained])


def with_boxes(photo: Photo) -> Picture:
    """The photo as the detector saw it, with the boxes of what is explained."""
    return _boxed(photo.picture, photo.objects)


def sheet(photos: Sequence[Photo]) -> Picture:
    """A row for each photo: itself, then the heat maps of its surest detections."""
    rows = [np.hstack([_tile(with_boxes(photo), "the photo"), *_maps(photo)]) for photo in photos]
    return np.asarray(np.vstack(rows), np.uint8)


def jpeg(picture: Picture) -> bytes:
    """The picture's file."""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return bytes(data.tobytes())


def _maps(photo: Photo) -> list[Picture]:
    shown = [_tile(heat_map(photo, each), f"{each.detection.name} {each.score:.2f}") for each in photo.objects[:BESIDE]]
    empty = np.full((SIDE + CAPTION + GAP, SIDE + GAP, 3), 255, np.uint8)
    return shown + [empty] * (BESIDE - len(shown))


def _tile(picture: Picture, caption: str) -> Picture:
    tile = np.full((SIDE + CAPTION + GAP, SIDE + GAP, 3), 255, np.uint8)
    height, width = picture.shape[:2]
    fitted = Letterbox.fit(width, height, SIDE)
    inner = max(1, round(width * fitted.scale)), max(1, round(height * fitted.scale))
    larger = cv2.resize(picture, inner, interpolation=cv2.INTER_CUBIC if fitted.scale > 1 else cv2.INTER_AREA)
    top, left = CAPTION + fitted.top, GAP // 2 + fitted.left
    tile[top : top + inner[1], left : left + inner[0]] = larger
    cv2.putText(tile, caption, (GAP // 2, CAPTION - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.55, INK, 1, cv2.LINE_AA)
    return tile


def _boxed(picture: Picture, objects: Sequence[Explained]) -> Picture:
    drawn: NDArray[np.uint8] = np.ascontiguousarray(picture).copy()
    for each in objects:
        left, top, right, bottom = (round(edge) for edge in each.detection.box)
        cv2.rectangle(drawn, (left, top), (right, bottom), LINE, max(1, max(drawn.shape) // 320))
    return drawn
