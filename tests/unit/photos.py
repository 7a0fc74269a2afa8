"""Small data sets for tests of profiling: photos with structure, so that they are no duplicates of each other."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]


def scene(seed: int, width: int = 96, height: int = 72) -> Picture:
    """A picture of blurred noise and edges of its own (height, width, 3)."""
    rng = np.random.default_rng(seed)
    rough = rng.integers(40, 216, (9, 12, 3), np.uint8)
    large = cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = rng.integers(-12, 13, large.shape)
    return np.asarray(np.clip(large.astype(np.int16) + grain, 0, 255), np.uint8)


def encoded(picture: Picture, kind: str = "JPEG", **options: int) -> bytes:
    """A picture's file."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, kind, **options)
    return out.getvalue()


def survey(folder: Path, flights: int = 4, shots: int = 4, row: str = "0 0.5 0.5 0.2 0.2") -> Path:
    """A YOLO data set without anything wrong."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "classes.txt").write_text("boat\ncar\n")
    for flight in range(flights):
        for shot in range(shots):
            name = f"f{flight}_{shot}"
            (folder / "images" / f"{name}.jpg").write_bytes(encoded(scene(flight * 100 + shot), quality=90))
            (folder / "labels" / f"{name}.txt").write_text(f"{row}\n1 0.3 0.3 0.1 0.1\n")
    return folder


def names(folder: Path) -> list[str]:
    """All files, relative."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
