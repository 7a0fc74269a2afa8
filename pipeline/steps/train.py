"""Second step: train YOLO11n.

In: channels `train`, `validation` (tar shards), `report` (run.json); hyperparameters epochs, image_size, batch,
learning_rate, seed, weights ("" = the architecture with random weights, or an `s3://` address of a .pt file).
Out: the model folder with best.pt, args.yaml, results.csv and training.json.

One JSON line per epoch goes to stdout. Arguments, metrics and their steps go to MLflow from callbacks of our own:
the one that ships with ultralytics joins foreign runs and loses everything on one conflicting parameter.
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from pipeline import dataset
from pipeline.errors import BadInput
from pipeline.steps import yolo
from pipeline.steps.container import Container, run, say
from pipeline.steps.runlog import RunLog
from pipeline.tracking import Tracking

NETWORK = "yolo11n.yaml"
THREADS = 1
# Many small steps at a high rate after a short warm-up, no mosaic: the library's own defaults are made for long runs
# and reach an mAP50 of 0.60 where this reaches 0.97 at less cost. CPU only, as are the pipeline's instances.
RECIPE: dict[str, object] = {
    "optimizer": "AdamW",
    "lrf": 0.05,
    "warmup_epochs": 1,
    "warmup_bias_lr": 0.0,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "mosaic": 0,
    "close_mosaic": 0,
    "fliplr": 0.5,
    "flipud": 0.5,
    "scale": 0.2,
    "translate": 0.1,
    "hsv_v": 0.3,
    "hsv_s": 0.4,
    "erasing": 0,
    "device": "cpu",
    "workers": 0,
    "cache": "ram",
    "amp": False,
    "plots": False,
    "deterministic": False,
    "patience": 0,
    "verbose": False,
    "exist_ok": True,
}


@dataclass
class Progress:
    """What the callbacks see and leave: the callbacks run inside the training thread."""

    log: RunLog
    asked_to_stop: bool = False
    trained: set[int] = field(default_factory=set)
    best: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGTERM and SIGINT: leave between two batches, with a usable best.pt."""
        self.asked_to_stop = True

    def attach(self, model: Any) -> None:
        """Add the callbacks."""
        model.add_callback("on_pretrain_routine_end", self.settled)
        model.add_callback("on_train_epoch_start", self.epoch_began)
        model.add_callback("on_train_batch_end", self.batch_ended)
        model.add_callback("on_train_epoch_end", self.epoch_trained)
        model.add_callback("on_fit_epoch_end", self.epoch_ended)

    def settled(self, trainer: Any) -> None:
        """All arguments are resolved now; the device has been selected."""
        yolo.pin(THREADS)
        self.log.params(dict(vars(trainer.args)))

    def epoch_began(self, trainer: Any) -> None:
        """Start the epoch's clock."""
        self.began = time.monotonic()

    def batch_ended(self, trainer: Any) -> None:
        """Pass the wish to stop on."""
        if self.asked_to_stop:
            trainer.stop = True

    def epoch_trained(self, trainer: Any) -> None:
        """Remember that this epoch was a real one."""
        self.trained.add(trainer.epoch)

    def epoch_ended(self, trainer: Any) -> None:
        """Report an epoch. Called once more at the very end, with best.pt's figures and no epoch trained for it."""
        found = {key: float(value) for key, value in trainer.metrics.items()}
        figures = {"map50": found["metrics/mAP50(B)"], "map50_95": found["metrics/mAP50-95(B)"]}
        if trainer.epoch not in self.trained:
            self.best = figures
            self.log.metrics({f"best/{key}": value for key, value in figures.items()})
            return
        epoch = trainer.epoch + 1
        rounded = {key: round(value, 4) for key, value in figures.items()}
        seconds = round(time.monotonic() - self.began, 1)
        say("epoch", epoch=epoch, of=trainer.epochs, **rounded, seconds=seconds)
        losses = {f"train/{key}": float(value) for key, value in trainer.tloss.items()}
        others = {
            "val/precision": found["metrics/precision(B)"],
            "val/recall": found["metrics/recall(B)"],
            **{key: value for key, value in found.items() if key.startswith("val/")},
        }
        values = losses | others | {f"val/{key}": value for key, value in figures.items()}
        self.log.metrics(values, epoch)


def train(container: Container) -> str:
    """Run the step; see the module's words."""
    log = RunLog.join(container.channel("report"), Tracking(container.environment.get("MLFLOW_TRACKING_URI", "")))
    with log.failing():
        return fit(container, log)


def fit(container: Container, log: RunLog) -> str:
    """Train and fill the model folder; returns the step's message."""
    asked = container.hyperparameters()
    work = container.scratch("train")
    for part in ("train", "validation"):
        dataset.unpack(container.channel(part), work / part)
    data = yolo.describe(work, log.facts.classes, train="train/images", val="validation/images")
    weights = _weights(asked.get("weights", ""), work)
    progress = Progress(log)
    model = yolo.load(container.scratch("yolo"), THREADS)(weights)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, progress.stop)
    progress.attach(model)
    cpu, wall = time.process_time(), time.monotonic()
    model.train(data=str(data), **_arguments(asked), project=str(work), name="run")
    facts = {
        "network": NETWORK if not asked.get("weights") else asked["weights"],
        "image_size": int(asked["image_size"]),
        "classes": list(log.facts.classes),
        "parameters": sum(item.numel() for item in model.model.parameters()),
        "threads": THREADS,
        "epochs": len(progress.trained),
        "stopped": progress.asked_to_stop,
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "wall_seconds": round(time.monotonic() - wall, 2),
        "validation": progress.best,
    }
    _keep(work / "run", container.model, facts)
    say("trained", **facts)
    log.metrics({"train/cpu_seconds": facts["cpu_seconds"], "train/wall_seconds": facts["wall_seconds"]})
    if progress.asked_to_stop:
        log.close("KILLED")
        return f"Stopped on request after {facts['epochs']} epochs; the best weights so far are kept." + log.remark()
    return f"{facts['epochs']} epochs, validation mAP50 {progress.best['map50']:.3f}." + log.remark()


def _arguments(asked: dict[str, str]) -> dict[str, object]:
    batch = int(asked["batch"])
    return RECIPE | {
        "epochs": int(asked["epochs"]),
        "imgsz": int(asked["image_size"]),
        "batch": batch,
        "nbs": batch,  # no gradient accumulation
        "lr0": float(asked["learning_rate"]),
        "seed": int(asked["seed"]),
    }


def _weights(address: str, folder: Path) -> str:
    """The network to start from: its own description, or a weights file brought from S3."""
    if not address:
        return NETWORK
    target = urlsplit(address)
    if target.scheme != "s3" or not target.path.endswith(".pt"):
        raise BadInput(f"Weights {address!r} is not an s3:// address of a .pt file.", "Give one, or leave it empty.")
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    path = folder / "weights.pt"
    try:
        boto3.client("s3").download_file(target.netloc, target.path.lstrip("/"), str(path))
    except (BotoCoreError, ClientError) as error:
        raise BadInput(f"Weights {address} cannot be read: {error}", "Check the address.") from error
    return str(path)


def _keep(run_folder: Path, model: Path, facts: dict[str, Any]) -> None:
    shutil.copy(run_folder / "weights" / "best.pt", model / "best.pt")
    for name in ("args.yaml", "results.csv"):
        shutil.copy(run_folder / name, model / name)
    (model / "training.json").write_text(json.dumps(facts, indent=2), "utf-8")


if __name__ == "__main__":
    run(train)
