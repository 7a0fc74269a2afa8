"""Ultralytics without its surprises: nothing on the network, settings of this process alone, threads as asked for.

Import `ultralytics` and `torch` only through `load`: several switches are read while they are imported.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.hush import hush

OFF = ("sync", "mlflow", "clearml", "comet", "dvc", "raytune", "tensorboard", "wandb")


def load(config: Path, threads: int = 1) -> Any:
    """Import ultralytics and return its `YOLO` class; `config` is a writable folder of this process alone.

    One thread is the default: two hardware threads of one core cost 1.5 times the CPU for little wall time.
    """
    os.environ.update(
        YOLO_OFFLINE="1",
        YOLO_AUTOINSTALL="0",
        YOLO_CONFIG_DIR=str(config),
        MPLBACKEND="Agg",
        MLFLOW_DISABLE_TELEMETRY="true",
        OMP_NUM_THREADS=str(threads),
    )
    # With this key in the environment ultralytics streams metrics to its vendor.
    os.environ.pop("ULTRALYTICS_API_KEY", None)
    hush()
    _fonts(config / "Ultralytics")
    from ultralytics import YOLO, settings
    from ultralytics.utils import LOGGER

    settings.update(dict.fromkeys(OFF, False))
    LOGGER.setLevel(logging.WARNING)  # keeps warnings, drops the progress bars
    return YOLO


def threads() -> int:
    """Threads to train with: one for each physical core, as two hardware threads of a core share what computes."""
    return max(1, (os.cpu_count() or 2) // 2)


def device() -> str:
    """The first GPU where torch can use one, else the processor."""
    import torch

    return "0" if torch.cuda.is_available() else "cpu"


def pin(threads: int) -> None:
    """Set torch's threads again: selecting the device resets them to the number of cores less one."""
    import torch

    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)


def describe(root: Path, classes: Sequence[str], **splits: str) -> Path:
    """Write data.yaml for the folders of `root`, e.g. `train="train/images"`; returns its path."""
    path = root / "data.yaml"
    body = {"path": str(root.resolve()), **splits, "names": dict(enumerate(classes))}
    path.write_text(json.dumps(body), "utf-8")  # JSON is YAML
    return path


def _fonts(folder: Path) -> None:
    """Put a font where the data check would otherwise ask github.com for one, offline or not."""
    import matplotlib

    source = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("Arial.ttf", "Arial.Unicode.ttf"):
        if not (folder / name).exists():
            shutil.copy(source, folder / name)
