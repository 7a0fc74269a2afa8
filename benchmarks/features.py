"""`features.cost`: CPU of a prediction with the features of image and prediction, against without them.

The detector is the real one on an untrained network exported as the pipeline does, at 640 pixels on one thread: what
the weights are makes no difference to the time. Both sides decode the same JPEG of a survey photo.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import cv2

from benchmarks.figures import Figure, Figures, main, say
from pipeline.monitoring.features import image_features, prediction_features
from pipeline.serving.detector import Detector, decode
from pipeline.steps import yolo
from pipeline.steps.bench import CONFIDENCE, OVERLAP
from sandbox import imagery

SIZE = 640
PAIRS = 60
WARM_UP = 5


def measure() -> Figures:
    """Medians over pairs; which side goes first alternates."""
    with (
        tempfile.TemporaryDirectory(prefix="groundcrew-bench-") as folder,
        redirect_stdout(sys.stderr),
    ):  # ultralytics greets
        detector = Detector(exported(Path(folder)))
    _, encoded = cv2.imencode(".jpg", imagery.photo(7, SIZE // 4))
    data = encoded.tobytes()
    spent: tuple[list[float], list[float]] = ([], [])
    for number in range(WARM_UP + PAIRS):
        for extra in (False, True) if number % 2 else (True, False):
            began = time.process_time()
            answer(detector, data, extra)
            if number >= WARM_UP:
                spent[extra].append((time.process_time() - began) * 1000)
    without, complete = (statistics.median(side) for side in spent)
    return {"features.cost": Figure(complete, "ms", without)}


def answer(detector: Detector, data: bytes, extra: bool) -> None:
    """What the server does for a request, with the features or without."""
    picture = decode(data)
    found = detector.detect(picture)
    if extra:
        height, width = picture.shape[:2]
        image_features(picture)
        prediction_features(found, detector.classes, width, height)


def exported(folder: Path) -> Path:
    """An untrained model, packed."""
    say("exporting a network")
    yolo.load(folder / "yolo", 1)("yolo11n.yaml").save(folder / "best.pt")
    return pack(folder / "best.pt", folder)


def pack(weights: Path, folder: Path) -> Path:
    """A served model as the pipeline packs it, for pictures of SIZE pixels."""
    os.environ["OMP_NUM_THREADS"] = "1"
    folder.mkdir(exist_ok=True)
    network = yolo.load(folder / "yolo", 1)(str(weights))
    options: dict[str, Any] = {"nms": True, "conf": CONFIDENCE, "iou": OVERLAP}
    written = network.export(format="onnx", imgsz=SIZE, device="cpu", verbose=False, **options)
    Path(written).rename(folder / "model.onnx")
    classes = [network.names[index] for index in sorted(network.names)]
    (folder / "model.json").write_text(json.dumps({"classes": classes, "image_size": SIZE}))
    return folder


if __name__ == "__main__":
    main(__doc__ or "", measure)
