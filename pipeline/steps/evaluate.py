"""Third step: measure the model on the held-out flights, compare it with the deployed one, and pack what is served.

In: `model` (Train's model.tar.gz), `test` (tar shards), `calibration` (a shard of the training photos), `run`, `report`
(run.json, data.json). Out: `evaluation` (evaluation.json with the model's card in it, confusion_matrix.png,
pr_curve.png), `model` (model.tar.gz: the network, model.json, best.pt), `explaining` (what the next step explains:
Clarify's configuration and photos nobody trained on) and `versions` (that this run used its data).

Two ONNX files are exported: one with suppression in the graph, which is served, and a plain one, which is measured,
because mAP needs the boxes of low confidence that the served graph has thrown away. Same weights, same boxes.
With PRECISION `int8` the network is also exported in int8 for OpenVINO and measured; where it passes the gate of
`precision` it is served in the place of ONNX, and every figure is its own.
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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from pipeline import card, versions
from pipeline.explaining.config import CONFIG, INSTANCE, SETTINGS, config
from pipeline.serving.networks import ONNX, OPENVINO
from pipeline.steps import precision
from pipeline.steps.bench import CONFIDENCE, OVERLAP, Bench, Score
from pipeline.steps.container import Container, run, say
from pipeline.steps.deployed import Deployed, find
from pipeline.steps.runlog import RunLog
from pipeline.tracking import Tracking

CHOSEN = ("epochs", "imgsz", "batch", "lr0", "optimizer", "patience", "seed")
"""Arguments of a training that its model card names; MLflow has all of them."""
EXAMPLES = 2
"""Photos on which a new model is explained; `drift explain` shows more."""
METADATA_CHARACTERS = 256
"""Longest value of a model package's metadata (service model of SageMaker)."""


def evaluate(container: Container) -> str:
    """Run the step; see the module's words."""
    tracking = Tracking(container.environment.get("MLFLOW_TRACKING_URI", ""))
    log = RunLog.join(container.input("run"), container.input("report"), tracking)
    with log.failing():
        return judge(container, log)


@dataclass(frozen=True)
class Served:
    """The network that is packed: its files by their names in the package, how good it is, and where its plots lie.

    `measured` is the SHA-256 of the file that was measured, `others` what is known of the one not taken.
    """

    runtime: str
    files: Mapping[str, Path]
    score: Score
    plots: Path
    measured: str
    others: Mapping[str, Any]

    @property
    def precision(self) -> str:
        """In which numbers it computes."""
        return "int8" if self.runtime == OPENVINO else "fp32"


def judge(container: Container, log: RunLog) -> str:
    """Measure, compare, pack and report; returns the step's message."""
    classes = list(log.facts.classes)
    trained = container.scratch("trained")
    with tarfile.open(container.input("model") / "model.tar.gz") as tar:
        tar.extractall(trained, filter="data")
    training = json.loads((trained / "training.json").read_text("utf-8"))
    size = int(training["image_size"])
    bench = Bench(container, classes)
    chosen = whole(bench, trained / "best.pt", size)
    if container.setting("PRECISION") == "int8":
        chosen = smaller(bench, trained / "best.pt", size, container.input("calibration"), chosen)
    say("evaluated", map50=chosen.score.map50, map50_95=chosen.score.map50_95, images=bench.images)
    deployed = compare(container, bench)

    digest = pack(container, chosen, trained / "best.pt", size, log)
    body = report(log, chosen, digest, size, deployed, float(container.setting("MAP_THRESHOLD")))
    body["card"] = card.write(body, settings(trained, training), log.facts.execution)
    folder = container.output("evaluation")
    (folder / "evaluation.json").write_text(json.dumps(body, indent=2), "utf-8")
    shutil.copy(chosen.plots / "BoxPR_curve.png", folder / "pr_curve.png")
    shutil.copy(chosen.plots / "confusion_matrix.png", folder / "confusion_matrix.png")

    examples(container, sorted((bench.work / "test" / "images").iterdir()), classes)

    execution = log.facts.execution.rpartition("/")[2]
    versions.used(container.output("versions"), log.facts.data_version, execution)
    log.params({f"told/{name}": container.setting(name.upper()) for name in ("map_threshold", "precision")})
    log.metrics({"test/map50": chosen.score.map50, "test/map50_95": chosen.score.map50_95} | _by_class(chosen.score))
    log.tags({"digest": digest, "served": chosen.precision})
    log.files(*sorted(folder.iterdir()), folder="evaluation")
    log.files(*(trained / name for name in ("best.pt", "args.yaml", "results.csv", "training.json")), folder="training")
    return _words(chosen, deployed, bench.images) + log.remark()


def whole(bench: Bench, weights: Path, size: int) -> Served:
    """The network in f32, for ONNX Runtime."""
    served = bench.export(weights, bench.work / "model.onnx", size, suppress=True)
    plain = bench.export(weights, bench.work / "plain.onnx", size, suppress=False)
    score, plots = bench.measure(plain, size, "trained-plots", plots=True)
    return Served(ONNX, {"model.onnx": served}, score, plots, _sha256(plain), {})


def smaller(bench: Bench, weights: Path, size: int, photos: Path, plain: Served) -> Served:
    """The network in int8, for OpenVINO, when it passes the gate; else what there was, and why."""
    folder = bench.quantise(weights, size, photos)
    (graph,) = folder.glob("*.xml")
    files = {"model.xml": graph, "model.bin": graph.with_suffix(".bin")}
    score, plots = bench.measure(folder, size, "int8-plots", plots=True)
    reason = precision.refusal(plain.score, score)
    say("quantised", map50_95=score.map50_95, fp32=plain.score.map50_95, refused=reason)
    if reason:
        return replace(plain, others={"int8": _figures(score), "reason": reason})
    return Served(OPENVINO, files, score, plots, _sha256(files["model.bin"]), {"fp32": _figures(plain.score)})


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


def pack(container: Container, chosen: Served, weights: Path, size: int, log: RunLog) -> str:
    """Write model.tar.gz with fixed order, times and owners; returns its SHA-256."""
    facts = {
        "classes": list(log.facts.classes),
        "image_size": size,
        "runtime": chosen.runtime,
        "confidence": CONFIDENCE,
        "overlap": OVERLAP,
        "data_version": log.facts.data_version,
        "code_revision": log.facts.revision,
        "measured_sha256": chosen.measured,
    }
    files = {
        "best.pt": weights.read_bytes(),
        "model.json": json.dumps(facts, indent=2, sort_keys=True).encode(),
        **{name: path.read_bytes() for name, path in chosen.files.items()},
    }
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    (container.output("model") / "model.tar.gz").write_bytes(buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def settings(trained: Path, training: Mapping[str, Any]) -> dict[str, object]:
    """What the model was trained with: the network and its size, and of the arguments those that people choose."""
    arguments = yaml.safe_load((trained / "args.yaml").read_text("utf-8"))
    chosen = {name: arguments[name] for name in CHOSEN if name in arguments}
    return {"network": training["network"], "parameters": training["parameters"], **chosen}


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


def report(log: RunLog, chosen: Served, digest: str, size: int, deployed: Deployed, threshold: float) -> dict[str, Any]:
    """The content of evaluation.json without its card; `package` holds the model package's metadata, all text."""
    facts, score = log.facts, chosen.score
    run_id = facts.mlflow["run_id"] if facts.mlflow else None
    return {
        "metrics": {"map50": {"value": score.map50}, "map50_95": {"value": score.map50_95}},
        "per_class": score.per_class,
        "confusion": {"labels": [*facts.classes, "background"], "counts": score.confusion},
        "model": {"digest": digest, "image_size": size, "classes": list(facts.classes)},
        "precision": {"served": chosen.precision, **chosen.others},
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
            "precision": chosen.precision,
        },
    }


def metadata(text: str) -> str:
    """Text as a model package's metadata may hold it: letters, digits, spaces and `_.:/=+-@`, 256 characters."""
    allowed = (
        char if unicodedata.category(char)[0] in "LZN" or char in "_.:/=+-@" else "_"
        for char in text[:METADATA_CHARACTERS]
    )
    return "".join(allowed) or "_"


def _by_class(score: Score) -> dict[str, float]:
    return {
        f"test/map50/{metadata(name).replace('=', '_').replace('+', '_').replace('@', '_')}": figures["map50"]
        for name, figures in score.per_class.items()
        if figures is not None
    }


def _figures(score: Score) -> dict[str, Any]:
    return {"map50": score.map50, "map50_95": score.map50_95, "per_class": score.per_class}


def _words(chosen: Served, deployed: Deployed, images: int) -> str:
    score = chosen.score
    words = f"mAP50 {score.map50:.3f}, mAP50-95 {score.map50_95:.3f} on {images} held-out pictures"
    if "fp32" in chosen.others:
        words += f", in int8; in fp32 mAP50-95 {chosen.others['fp32']['map50_95']:.3f}"
    elif "reason" in chosen.others:
        words += f", in fp32: int8 is not served, {chosen.others['reason']}"
    if deployed.map50 is None:
        return words + f"; not compared: {deployed.reason}"
    return words + f"; the deployed model has {deployed.map50:.3f}."


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    run(evaluate)
