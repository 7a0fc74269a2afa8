"""A YOLO detector: a picture in, boxes in that picture's own pixels out. What runs the network: `networks`.

Score and overlap thresholds are the model's own (see model.json).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import BadInput
from pipeline.serving import networks

Picture = NDArray[np.uint8]
PAD = 114
"""Grey of the letterbox, as in training."""


@dataclass(frozen=True)
class Detection:
    """One object: class name, confidence 0..1, box as x0, y0, x1, y1 in pixels of the picture."""

    name: str
    confidence: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Letterbox:
    """How a picture was fitted into the square the network sees: scale, then padding left and above in pixels."""

    scale: float
    left: int
    top: int

    @classmethod
    def fit(cls, width: int, height: int, size: int) -> Letterbox:
        """Keep the proportions, centre in a square of `size` pixels."""
        scale = min(size / height, size / width)
        return cls(scale, (size - round(width * scale)) // 2, (size - round(height * scale)) // 2)

    def apply(self, picture: Picture, size: int) -> Picture:
        """The picture in the square (height, width, 3; BGR)."""
        height, width = picture.shape[:2]
        inner = max(1, round(width * self.scale)), max(1, round(height * self.scale))
        if inner != (width, height):
            picture = np.asarray(cv2.resize(picture, inner, interpolation=cv2.INTER_LINEAR), np.uint8)
        below, right = size - inner[1] - self.top, size - inner[0] - self.left
        padded = cv2.copyMakeBorder(
            picture, self.top, below, self.left, right, cv2.BORDER_CONSTANT, value=(PAD, PAD, PAD)
        )
        return np.asarray(padded, np.uint8)

    def undo(self, boxes: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
        """Boxes (n, 4) in the square as boxes in the picture, cut at its edges."""
        offset = np.array([self.left, self.top] * 2, np.float32)
        limits = np.array([width, height] * 2, np.float32)
        return np.asarray(np.clip((boxes - offset) / self.scale, 0, limits), np.float32)


class Detector:
    """A loaded model. `detect` may be called from several threads at once."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        """Load what lies in the folder. `threads` is what one request may use; a worker per core serves most."""
        cv2.setNumThreads(threads)
        facts = json.loads((folder / "model.json").read_text("utf-8"))
        self.classes: Sequence[str] = facts["classes"]
        self.size = int(facts["image_size"])
        self._network = networks.load(folder, facts, threads)
        self.detect(np.full((self.size, self.size, 3), PAD, np.uint8))  # the first call allocates

    def detect(self, picture: Picture) -> list[Detection]:
        """Find objects in a picture (height, width, 3; BGR), most confident first."""
        height, width = picture.shape[:2]
        fitted = Letterbox.fit(width, height, self.size)
        square = fitted.apply(picture, self.size)
        found = self._network(np.asarray(cv2.dnn.blobFromImage(square, 1 / 255, swapRB=True), np.float32))
        boxes = fitted.undo(found[:, :4], width, height)
        return [
            Detection(self.classes[int(row[5])], float(row[4]), (float(b[0]), float(b[1]), float(b[2]), float(b[3])))
            for row, b in zip(found, boxes, strict=True)
        ]


def decode(data: bytes) -> Picture:
    """A JPEG or PNG as an upright picture (height, width, 3; BGR). Raises `BadInput` for what is not one."""
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error as error:
        raise BadInput(f"The picture cannot be decoded: {error.err}", "Send a smaller JPEG or PNG.") from error
    if picture is None:
        raise BadInput("The bytes are not a picture.", "Send a JPEG or PNG.")
    return np.asarray(picture, np.uint8)
