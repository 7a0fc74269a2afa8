"""First step: check the data set, split it by scene, pack it, and open the execution's MLflow run.

In: input `raw` (images/, labels/, classes.txt, perhaps unlabelled/). Out: `train`, `validation`, `test`, `unlabelled`
(tar shards), `report` (report.json, manifest.json, run.json) and `versions` (see `pipeline.versions`). Settings:
ON_BAD_DATA `skip` goes on without the bad files and reports them, `fail` stops and lists them; SEED; MAX_IMAGES
(0 = all); DATA_URI, where the data set lies.
"""

from __future__ import annotations

import json
from dataclasses import replace

from pipeline import dataset, versions
from pipeline.errors import BadInput
from pipeline.steps.container import MESSAGE_BYTES, Container, run, say
from pipeline.steps.runlog import Facts, RunLog
from pipeline.tracking import Tracking


def preprocess(container: Container) -> str:
    """Open the run, prepare the data in it; see the module's words."""
    execution, revision = container.setting("EXECUTION_ARN"), container.setting("CODE_REVISION")
    log = RunLog.open(
        Facts(execution, revision, container.setting("EXPERIMENT")),
        Tracking(container.environment.get("MLFLOW_TRACKING_URI", "")),
        container.setting("MLFLOW_ARTIFACTS"),
        {"execution": execution, "code_revision": revision},
    )
    with log.failing():
        return prepare(container, log)


def prepare(container: Container, log: RunLog) -> str:
    """Check, split and pack; returns the step's message. Raises `BadInput` for data that cannot be used."""
    seed = int(container.setting("SEED"))
    survey = dataset.read(container.input("raw"), int(container.setting("MAX_IMAGES")), seed)
    say(
        "checked",
        pictures=survey.found,
        usable=len(survey.samples),
        unlabelled=len(survey.unlabelled),
        problems=len(survey.problems),
    )
    if survey.problems and container.setting("ON_BAD_DATA") == "fail":
        reason = "The data set has "
        raise BadInput(reason + dataset.summarise(survey.problems, MESSAGE_BYTES - len(reason)))
    parts = dataset.split(survey, seed)
    for part, samples in parts.items():
        dataset.pack(samples, container.output(part))
    dataset.pack(survey.unlabelled, container.output("unlabelled"))
    images: dict[str, int] = {part: len(samples) for part, samples in parts.items()}
    report = container.output("report")
    (report / "report.json").write_text(json.dumps(dataset.report(survey, parts), indent=2), "utf-8")
    (report / "manifest.json").write_text(json.dumps(survey.manifest(), indent=2), "utf-8")
    summary = {
        "prefix": container.setting("DATA_URI").split("/", 3)[-1],
        "photos": len(survey.samples),
        "unlabelled": len(survey.unlabelled),
        "objects": sum(len(sample.boxes) for sample in survey.samples),
        "classes": list(survey.classes),
    }
    execution = log.facts.execution.rpartition("/")[2]
    versions.write(container.output("versions"), survey.version, survey.manifest(), summary, execution)
    log.tags({"data_version": survey.version})
    log.params({f"data/{part}_images": count for part, count in images.items()})
    log.files(report / "report.json", report / "manifest.json", folder="data")
    log.facts = replace(log.facts, data_version=survey.version, images=images, classes=list(survey.classes))
    log.facts.write(report / "run.json")
    return _words(survey, images) + log.remark()


def _words(survey: dataset.Survey, images: dict[str, int]) -> str:
    sizes = ", ".join(f"{count} {part}" for part, count in images.items())
    words = f"Data version {survey.version}: {sizes} pictures."
    words += f" {len(survey.unlabelled)} unlabelled for the baseline." if survey.unlabelled else ""
    return words + (f" Left out: {dataset.summarise(survey.problems, 500)}." if survey.problems else "")


if __name__ == "__main__":
    run(preprocess)
