"""A small survey with its baseline, and traffic that was captured after it."""

import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import dataset
from pipeline.monitoring.formats import read_reference
from pipeline.serving.detector import Detector
from pipeline.steps.baseline import baseline
from pipeline.steps.container import Container
from pipeline.steps.runlog import Facts, write_data
from sandbox import imagery, traffic
from tests.unit.tiny import answer, line, model, seconds

SEED, SIDE, WINDOW = 3, 64, 200


@dataclass(frozen=True)
class Watched:
    """`baseline` holds the step's outputs; `digest` is the model's."""

    baseline: Path
    words: str
    digest: str
    detector: Detector

    def answers(self, kind: str = "usual", count: int = WINDOW) -> list[tuple[traffic.Photo, dict[str, Any]]]:
        """Photos of a kind, and what the server says about each."""
        photos = traffic.photos(SEED, count, kind, SIDE)
        return [(photo, answer(self.detector, photo.data, self.digest)) for photo in photos]

    def lines(self, kind: str = "usual", count: int = WINDOW) -> list[str]:
        """The same as capture lines, one a second."""
        return [
            line(body, seconds(number), photo.data, photo.id)
            for number, (photo, body) in enumerate(self.answers(kind, count))
        ]


def watch(folder: Path) -> Watched:
    """Draw a survey, split it, and run the Baseline step on it."""
    imagery.write(folder / "survey", SEED, images=260, side=SIDE, unlabelled=260)
    found = dataset.read(folder / "survey")
    container = Container(folder / "ml", {"LAST_STEP": "no"})
    for part, samples in {**dataset.split(found), "unlabelled": found.unlabelled}.items():
        dataset.pack(samples, container.input(part))
    for name in ("run", "report", "model"):
        container.input(name).mkdir(parents=True)
    Facts("arn:x/y", "rev", "e").write(container.input("run") / "run.json")
    write_data(container.input("report") / "data.json", found.version, {}, found.classes)
    served = model(container.scratch("served"))
    with tarfile.open(container.input("model") / "model.tar.gz", "w:gz") as tar:
        for name in ("model.onnx", "model.json"):
            tar.add(served / name, name)
    words = baseline(container)
    output = container.output("baseline")
    return Watched(output, words, read_reference(output / "statistics.json").model, Detector(served))
