"""Second step: train YOLO11.

In: channels `train`, `validation` (tar shards), `run` and `report` (run.json, data.json); hyperparameters model,
epochs, image_size, batch, learning_rate, optimizer, patience, augmentation, seed, weights ("" = the network with random
weights, or an `s3://` address of a .pt file), and in the checkpoint folder perhaps what an interrupted training has
left. A trial of a tuning job has the hyperparameters `tuning`, `experiment` and `artifacts` in the place of `run`.
Out: the model folder with best.pt, args.yaml, results.csv and training.json.

One JSON line per epoch goes to stdout. Arguments, metrics and their steps go to MLflow from callbacks of our own:
the one that ships with ultralytics joins foreign runs and loses everything on one conflicting parameter.
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from pipeline import dataset
from pipeline.errors import BadInput
from pipeline.steps import recipe, yolo
from pipeline.steps.checkpoints import Checkpoints
from pipeline.steps.container import Container, run, say
from pipeline.steps.runlog import Facts, RunLog, read_data
from pipeline.tracking import Tracking

STOPPED = "Stopped on request"


@dataclass
class Progress:
    """What the callbacks see and leave: the callbacks run inside the training thread."""

    log: RunLog
    checkpoints: Checkpoints
    threads: int = 1
    resumed: bool = False
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
        model.add_callback("on_model_save", self.saved)

    def settled(self, trainer: Any) -> None:
        """All arguments are resolved now; the device has been selected."""
        yolo.pin(self.threads)
        if self.resumed:
            # What was logged before the interruption stays: MLflow lets no parameter change.
            self.trained.update(range(trainer.start_epoch))
            say("resumed", epoch=trainer.start_epoch, of=trainer.epochs)
            self.log.tags({"resumed_after_epoch": str(trainer.start_epoch)})
        else:
            self.log.params(dict(vars(trainer.args)))

    def epoch_began(self, trainer: Any) -> None:
        """Start the epoch's clock."""
        self.began = time.monotonic()

    def batch_ended(self, trainer: Any) -> None:
        """Pass the wish to stop on."""
        if self.asked_to_stop:
            trainer.stop = True

    def saved(self, trainer: Any) -> None:
        """Keep what an interruption must not take; an epoch that was cut short is none."""
        if trainer.epoch in self.trained:
            self.checkpoints.keep(trainer)

    def epoch_trained(self, trainer: Any) -> None:
        """Remember that this epoch was a whole one."""
        if not self.asked_to_stop:
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
    asked = container.hyperparameters()
    log = _trial(container, asked) if asked.get("tuning") else _joined(container)
    # As it was asked for, by the names people know: a preset, an instance. What YOLO makes of it, `settled` logs.
    told = {**asked, "instance_type": container.instance()}
    log.params({f"told/{name}": value for name, value in told.items() if value})
    with log.failing():
        words = fit(container, asked, log)
    if asked.get("tuning") and not words.startswith(STOPPED):
        log.close("FINISHED")
    return words


def _joined(container: Container) -> RunLog:
    """The run of the pipeline's execution, told which data it trains on: Preprocess may have prepared it for others."""
    tracking = Tracking(container.environment.get("MLFLOW_TRACKING_URI", ""))
    report = container.channel("report")
    log = RunLog.join(container.channel("run"), report, tracking)
    log.files(report / "report.json", report / "manifest.json", folder="data")
    _tell_data(log)
    return log


def _trial(container: Container, asked: Mapping[str, str]) -> RunLog:
    """A run of its own for a trial of a tuning job."""
    arn = container.setting("TRAINING_JOB_ARN")
    data = read_data(container.channel("report") / "data.json")
    facts = Facts(arn, asked.get("revision", ""), asked["experiment"], **data)
    tags = {"execution": arn, "tuning": asked["tuning"], "code_revision": asked.get("revision", "")}
    tracking = Tracking(container.environment.get("MLFLOW_TRACKING_URI", ""))
    log = RunLog.open(facts, tracking, asked["artifacts"], tags)
    _tell_data(log)
    return log


def _tell_data(log: RunLog) -> None:
    log.tags({"data_version": log.facts.data_version})
    log.params({f"data/{part}_images": count for part, count in log.facts.images.items()})
    log.params({"data/classes": ", ".join(log.facts.classes)})


def fit(container: Container, asked: Mapping[str, str], log: RunLog) -> str:
    """Train and fill the model folder; returns the step's message."""
    work = container.scratch("train")
    for part in ("train", "validation"):
        dataset.unpack(container.channel(part), work / part)
    data = yolo.describe(work, log.facts.classes, train="train/images", val="validation/images")
    checkpoints = Checkpoints(container.checkpoints, work / "run")
    progress = Progress(log, checkpoints, yolo.threads(), resumed=checkpoints.restore())
    start = str(checkpoints.last) if progress.resumed else _weights(asked, work)
    model = yolo.load(container.scratch("yolo"), progress.threads)(start)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, progress.stop)
    progress.attach(model)
    cpu, wall = time.process_time(), time.monotonic()
    if progress.resumed:
        model.train(resume=True, data=str(data), save_dir=str(checkpoints.run))
    else:
        model.train(data=str(data), **recipe.arguments(asked, yolo.device()), project=str(work), name="run")
    facts = {
        "network": asked.get("weights") or asked["model"],
        "image_size": int(asked["image_size"]),
        "classes": list(log.facts.classes),
        "parameters": sum(item.numel() for item in model.model.parameters()),
        "threads": progress.threads,
        "epochs": len(progress.trained),
        "resumed": progress.resumed,
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
        return f"{STOPPED} after {facts['epochs']} epochs; the best weights so far are kept." + log.remark()
    return f"{facts['epochs']} epochs, validation mAP50 {progress.best['map50']:.3f}." + log.remark()


def _weights(asked: Mapping[str, str], folder: Path) -> str:
    """The network to start from: its own description, or a weights file brought from S3."""
    address = asked.get("weights", "")
    if not address:
        return f"{asked['model']}.yaml"
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
