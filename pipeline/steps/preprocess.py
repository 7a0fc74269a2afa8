"""First step: check the data set, split it by scene and pack it.

In: input `raw` (images/, labels/, classes.txt, perhaps unlabelled/). Out: `train`, `validation`, `test`, `unlabelled`
(tar shards), `report` (report.json, manifest.json, data.json) and `versions` (see `pipeline.versions`). Settings:
ON_BAD_DATA `skip` goes on without the bad files and reports them, `fail` stops and lists them; SEED; MAX_IMAGES
(0 = all); CLASSES (names with commas between; empty = all); DATA_VERSION (what the data must be; empty = anything);
DATA_URI, where the data set lies. Whatever else differs between two runs must not be given: see `pipeline.definition`.
"""

from __future__ import annotations

import json

from pipeline import dataset, versions
from pipeline.errors import BadInput
from pipeline.steps.container import MESSAGE_BYTES, Container, run, say
from pipeline.steps.runlog import write_data


def preprocess(container: Container) -> str:
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
    survey = dataset.only(survey, container.environment.get("CLASSES", ""))
    wanted = container.environment.get("DATA_VERSION", "")
    if not survey.version.startswith(wanted):
        raise BadInput(
            f"The data are version {survey.version}, not {wanted}: photos or labels were changed, or other classes or "
            "another number of photos are asked for.",
            "`dataset versions` shows what runs have used; leave --data-version out to train on what is there.",
        )
    parts = dataset.split(survey, seed)
    for part, samples in parts.items():
        dataset.pack(samples, container.output(part))
    dataset.pack(survey.unlabelled, container.output("unlabelled"))
    images: dict[str, int] = {part: len(samples) for part, samples in parts.items()}
    report = container.output("report")
    (report / "report.json").write_text(json.dumps(dataset.report(survey, parts), indent=2), "utf-8")
    (report / "manifest.json").write_text(json.dumps(survey.manifest(), indent=2), "utf-8")
    write_data(report / "data.json", survey.version, images, survey.classes)
    summary = {
        "prefix": container.setting("DATA_URI").split("/", 3)[-1],
        "photos": len(survey.samples),
        "unlabelled": len(survey.unlabelled),
        "objects": sum(len(sample.boxes) for sample in survey.samples),
        "classes": list(survey.classes),
    }
    versions.write(container.output("versions"), survey.version, survey.manifest(), summary)
    return _words(survey, images)


def _words(survey: dataset.Survey, images: dict[str, int]) -> str:
    sizes = ", ".join(f"{count} {part}" for part, count in images.items())
    words = f"Data version {survey.version}: {sizes} pictures."
    words += f" {len(survey.unlabelled)} unlabelled for the baseline." if survey.unlabelled else ""
    return words + (f" Left out: {dataset.summarise(survey.problems, 500)}." if survey.problems else "")


if __name__ == "__main__":
    run(preprocess)
