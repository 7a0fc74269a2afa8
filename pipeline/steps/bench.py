"""Exports of the trained weights, and how good each is on the held-out flights."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import dataset
from pipeline.steps import yolo
from pipeline.steps.container import Container

THREADS = 1
CONFIDENCE = 0.25
OVERLAP = 0.7
"""Thresholds of what is served (ultralytics' own defaults): score, and IoU of suppression."""


@dataclass(frozen=True)
class Score:
    """mAP50 and mAP50-95, 0..1, overall and by class; a class without an object in the test split has None.

    `confusion` counts objects at the served confidence: a row for each class predicted, a column for each labelled, the
    last of both for the background (found where nothing is, and missed).
    """

    map50: float
    map50_95: float
    per_class: Mapping[str, Mapping[str, float] | None]
    confusion: Sequence[Sequence[int]]


class Bench:
    """The test split, and how a network is measured on it."""

    def __init__(self, container: Container, classes: list[str]) -> None:
        self.work = container.scratch("evaluate")
        self.classes = classes
        self.images = dataset.unpack(container.input("test"), self.work / "test")
        self.data = yolo.describe(self.work, classes, train="test/images", val="test/images")
        self.load = yolo.load(container.scratch("yolo"), THREADS)

    def export(self, weights: Path, target: Path, size: int, *, suppress: bool) -> Path:
        """Write an ONNX file. Each export writes beside the weights under their name, so it is moved away at once."""
        options: dict[str, Any] = {"nms": True, "conf": CONFIDENCE, "iou": OVERLAP} if suppress else {}
        written = self.load(str(weights)).export(format="onnx", imgsz=size, device="cpu", verbose=False, **options)
        return Path(shutil.move(str(written), target))

    def quantise(self, weights: Path, size: int, photos: Path) -> Path:
        """Write the network for OpenVINO in int8, its ranges taken from shards of training photos; returns its folder.

        Ultralytics would take them from the split that is measured.
        """
        root = self.work / "calibration"
        dataset.unpack(photos, root)
        data = yolo.describe(root, self.classes, train="images", val="images")
        options: dict[str, Any] = {"int8": True, "data": str(data), "batch": 1, "device": "cpu", "verbose": False}
        return Path(self.load(str(weights)).export(format="openvino", imgsz=size, **options))

    def measure(self, network: Path, size: int, name: str, *, plots: bool) -> tuple[Score, Path]:
        """Score a .onnx or .pt file or OpenVINO folder on the test split; also the folder where its plots lie."""
        model = self.load(str(network), task="detect")
        model.add_callback("on_val_batch_start", _confuse_as_served)
        result = model.val(
            data=str(self.data),
            imgsz=size,
            batch=1,
            device="cpu",
            workers=0,
            plots=plots,
            verbose=False,
            project=str(self.work),
            name=name,
            exist_ok=True,
        )
        per_class: dict[str, Mapping[str, float] | None] = dict.fromkeys(self.classes)
        for position, index in enumerate(result.box.ap_class_index):
            _, _, map50, map50_95 = result.box.class_result(position)
            per_class[self.classes[int(index)]] = {"map50": _rounded(map50), "map50_95": _rounded(map50_95)}
        confusion = [[round(float(count)) for count in row] for row in result.confusion_matrix.matrix]
        score = Score(_rounded(result.box.map50), _rounded(result.box.map), per_class, confusion)
        return score, Path(result.save_dir)


def _confuse_as_served(validator: Any) -> None:
    """Count confusions above the served threshold: mAP's own threshold would fill the matrix with thousands."""
    matrix = validator.confusion_matrix
    count = type(matrix).process_batch
    matrix.process_batch = lambda found, truth, conf: count(matrix, found, truth, conf=CONFIDENCE)


def _rounded(value: float) -> float:
    return round(float(value), 4)
