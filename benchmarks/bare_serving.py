"""The anchor of `serving.*`: ultralytics predicting with a `.pt` in a fresh process, on one thread.

`python -m benchmarks.bare_serving <best.pt> <folder of JPEGs> <size> <work folder> [<data.yaml>]` prints JSON:
CPU-seconds from the process's start to its first answer, CPU-seconds of a later picture (the mean), resident bytes at
the end. With a data.yaml it prints the mAP50-95 of the weights on its `val` split instead.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import psutil

CONFIDENCE, OVERLAP = 0.25, 0.7
"""As in the served graph."""


def predict(weights: Path, photos: list[Path], size: int, work: Path) -> dict[str, object]:
    """Read, decode and predict each photo, as the server does for its body."""
    import cv2

    from pipeline.steps import yolo

    model = yolo.load(work / "yolo", threads=1)(str(weights))
    cv2.setNumThreads(1)
    ready = 0.0
    for place, photo in enumerate(photos):
        picture = cv2.imread(str(photo))
        model.predict(picture, imgsz=size, conf=CONFIDENCE, iou=OVERLAP, device="cpu", verbose=False)
        if place == 0:
            ready = time.process_time()
            yolo.pin(1)  # the first call has chosen the device, and with it the number of threads
    each = (time.process_time() - ready) / (len(photos) - 1)
    return {"ready": ready, "each": each, "rss": psutil.Process().memory_info().rss}


def score(weights: Path, size: int, work: Path, data: Path) -> dict[str, object]:
    """mAP50-95 as ultralytics measures its own weights."""
    from pipeline.steps import yolo

    model = yolo.load(work / "yolo", threads=1)(str(weights))
    options = {"plots": False, "verbose": False, "project": str(work)}
    # Not `rect`: it would show the weights a wider picture, with a grey border, than a graph of fixed size can see.
    result = model.val(data=str(data), imgsz=size, batch=1, device="cpu", workers=0, rect=False, **options)
    return {"map50_95": float(result.box.map)}


def main(weights: str, folder: str, size: str, work: str, data: str = "") -> None:
    """See the module's words."""
    if data:
        found = score(Path(weights), int(size), Path(work), Path(data))
    else:
        found = predict(Path(weights), sorted(Path(folder).glob("*.jpg")), int(size), Path(work))
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
