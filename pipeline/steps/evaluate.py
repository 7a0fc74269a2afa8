"""Third step: measure the model on the held-out flights, compare it with the deployed one, and pack what is served.

In: `model` (Train's model.tar.gz), `test` (tar shards), `report` (run.json). Out: `evaluation` (evaluation.json,
confusion_matrix.png, pr_curve.png), `model` (model.tar.gz: model.onnx, model.json, best.pt) and `explaining` (what the
next step explains: Clarify's configuration and photos nobody trained on).

Two ONNX files are exported: one with suppression in the graph, which is served, and a plain one, which is measured,
because mAP needs the boxes of low confidence that the served graph has thrown away. Same weights, same boxes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import dataset
from pipeline.explaining.config import CONFIG, INSTANCE, SETTINGS, config
from pipeline.steps import yolo
from pipeline.steps.container import Container, run, say
from pipeline.steps.deployed import Deployed, find
from pipeline.steps.runlog import RunLog
from pipeline.tracking import Tracking

THREADS = 1
CONFIDENCE = 0.25
OVERLAP = 0.7
"""Thresholds baked into the served graph (ultralytics' own defaults): score, and IoU of suppression."""
EXAMPLES = 2
"""Photos on which a new model is explained; `drift explain` shows more."""
METADATA_CHARACTERS = 256
"""Longest value of a model package's metadata (service model of SageMaker)."""


@dataclass(frozen=True)
class Score:
    """mAP50 and mAP50-95, 0..1, overall and by class; a class without an object in the test split has None."""

    map50: float
    map50_95: float
    per_class: Mapping[str, Mapping[str, float] | None]


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

    def measure(self, network: Path, size: int, name: str, *, plots: bool) -> tuple[Score, Path]:
        """Score a .onnx or .pt file on the test split; also the folder where its plots lie."""
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
        score = Score(_rounded(result.box.map50), _rounded(result.box.map), per_class)
        return score, Path(result.save_dir)


def evaluate(container: Container) -> str:
    """Run the step; see the module's words."""
    log = RunLog.join(container.input("report"), Tracking(container.environment.get("MLFLOW_TRACKING_URI", "")))
    with log.failing():
        return judge(container, log)


def judge(container: Container, log: RunLog) -> str:
    """Measure, compare, pack and report; returns the step's message."""
    classes = list(log.facts.classes)
    trained = container.scratch("trained")
    with tarfile.open(container.input("model") / "model.tar.gz") as tar:
        tar.extractall(trained, filter="data")
    size = int(json.loads((trained / "training.json").read_text("utf-8"))["image_size"])
    bench = Bench(container, classes)
    served = bench.export(trained / "best.pt", bench.work / "model.onnx", size, suppress=True)
    plain = bench.export(trained / "best.pt", bench.work / "plain.onnx", size, suppress=False)
    score, plots = bench.measure(plain, size, "trained-plots", plots=True)
    say("evaluated", map50=score.map50, map50_95=score.map50_95, images=bench.images)
    deployed = compare(container, bench)

    digest = pack(container, served, trained / "best.pt", plain, size, log)
    body = report(log, score, digest, size, deployed, float(container.setting("MAP_THRESHOLD")))
    folder = container.output("evaluation")
    (folder / "evaluation.json").write_text(json.dumps(body, indent=2), "utf-8")
    shutil.copy(plots / "BoxPR_curve.png", folder / "pr_curve.png")
    shutil.copy(plots / "confusion_matrix.png", folder / "confusion_matrix.png")

    examples(container, sorted((bench.work / "test" / "images").iterdir()), classes)

    log.metrics({"test/map50": score.map50, "test/map50_95": score.map50_95} | _by_class(score))
    log.tags({"digest": digest})
    log.files(*sorted(folder.iterdir()), folder="evaluation")
    log.files(*(trained / name for name in ("best.pt", "args.yaml", "results.csv", "training.json")), folder="training")
    return _words(score, deployed, bench.images) + log.remark()


def compare(container: Container, bench: Bench) -> Deployed:
    """Measure the model that is deployed now on the same pictures."""
    found = find(container.setting("ENDPOINT_NAME"), container.scratch("deployed"))
    if found.weights is not None and list(found.classes) != bench.classes:
        found = Deployed(reason=f"The deployed model has other classes: {', '.join(found.classes)}.")
    if found.weights is not None:
        score, _ = bench.measure(found.weights, found.image_size, "deployed-plots", plots=False)
        found = found.scored(score.map50, score.map50_95)
    say("baseline", **found.summary())
    return found


def pack(container: Container, served: Path, weights: Path, plain: Path, size: int, log: RunLog) -> str:
    """Write model.tar.gz with fixed order, times and owners; returns its SHA-256."""
    facts = {
        "classes": list(log.facts.classes),
        "image_size": size,
        "confidence": CONFIDENCE,
        "overlap": OVERLAP,
        "data_version": log.facts.data_version,
        "code_revision": log.facts.revision,
        "plain_onnx_sha256": hashlib.sha256(plain.read_bytes()).hexdigest(),
    }
    files = {
        "best.pt": weights.read_bytes(),
        "model.json": json.dumps(facts, indent=2, sort_keys=True).encode(),
        "model.onnx": served.read_bytes(),
    }
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    (container.output("model") / "model.tar.gz").write_bytes(buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def examples(container: Container, photos: Sequence[Path], classes: Sequence[str]) -> None:
    """Write what is to be explained of this model; the same photos for the same test split, of all its flights."""
    folder = container.output("explaining")
    for name in ("config", "data"):
        (folder / name).mkdir()
    model = container.setting("ENDPOINT_NAME")
    asked = config(SETTINGS, model=model, classes=classes, instance=INSTANCE, title="What carried the detections")
    (folder / "config" / CONFIG).write_text(json.dumps(asked, indent=1), "utf-8")
    for photo in sorted(photos, key=lambda path: hashlib.sha256(path.name.encode()).digest())[:EXAMPLES]:
        shutil.copy(photo, folder / "data" / photo.name)


def report(log: RunLog, score: Score, digest: str, size: int, deployed: Deployed, threshold: float) -> dict[str, Any]:
    """The content of evaluation.json; `package` holds the model package's metadata, all text."""
    facts = log.facts
    run_id = facts.mlflow["run_id"] if facts.mlflow else None
    return {
        "metrics": {"map50": {"value": score.map50}, "map50_95": {"value": score.map50_95}},
        "per_class": score.per_class,
        "model": {"digest": digest, "image_size": size, "classes": list(facts.classes)},
        "data": {"version": facts.data_version, "images": dict(facts.images)},
        "mlflow": {"run_id": run_id, "experiment": facts.experiment},
        "code": {"revision": facts.revision},
        "baseline": deployed.figures(),
        "baseline_reason": deployed.reason,
        "gate": {
            "threshold": threshold,
            "passed": score.map50 >= threshold,
            "short_by": round(max(0.0, threshold - score.map50), 4),
        },
        "package": {
            "digest": digest,
            "map50": f"{score.map50:.4f}",
            "map50_95": f"{score.map50_95:.4f}",
            "mlflow_run_id": run_id or "untracked",
            "data_version": facts.data_version,
            "code_revision": facts.revision,
            "classes": metadata("/".join(facts.classes)),
        },
    }


def metadata(text: str) -> str:
    """Text as a model package's metadata may hold it: letters, digits, spaces and `_.:/=+-@`, 256 characters."""
    allowed = (
        char if unicodedata.category(char)[0] in "LZN" or char in "_.:/=+-@" else "_"
        for char in text[:METADATA_CHARACTERS]
    )
    return "".join(allowed) or "_"


def _confuse_as_served(validator: Any) -> None:
    """Count confusions above the served threshold: mAP's own threshold would fill the matrix with thousands."""
    matrix = validator.confusion_matrix
    count = type(matrix).process_batch
    matrix.process_batch = lambda found, truth, conf: count(matrix, found, truth, conf=CONFIDENCE)


def _by_class(score: Score) -> dict[str, float]:
    return {
        f"test/map50/{metadata(name).replace('=', '_').replace('+', '_').replace('@', '_')}": figures["map50"]
        for name, figures in score.per_class.items()
        if figures is not None
    }


def _words(score: Score, deployed: Deployed, images: int) -> str:
    words = f"mAP50 {score.map50:.3f}, mAP50-95 {score.map50_95:.3f} on {images} held-out pictures"
    if deployed.map50 is None:
        return words + f"; not compared: {deployed.reason}"
    return words + f"; the deployed model has {deployed.map50:.3f}."


def _rounded(value: float) -> float:
    return round(float(value), 4)


if __name__ == "__main__":
    run(evaluate)
