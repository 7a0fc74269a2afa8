"""Fourth step, for an accepted model: what is usual, so that a monitor can tell what is not.

In: `model` (Evaluate's model.tar.gz), `train`, `validation`, `test`, `unlabelled` (tar shards), `run`, `report`
(run.json, data.json).
Out: `baseline` (statistics.json and constraints.json, which the model package carries, and examples.jpg). Setting
LAST_STEP: `yes` ends the execution's MLflow run.

Pictures are read, measured and asked about by the server's own code and graph, so both sides of a later comparison are
made alike. Image columns come from every picture: what a camera sees does not depend on the training. Prediction
columns come only from pictures the model was not trained on: on its own training set it is surer and finds more than
it ever will in service, and against such a baseline ordinary traffic would read as drift. (Validation counts as not
trained on; it has only chosen the epoch.)
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipeline import dataset
from pipeline.errors import BadInput
from pipeline.monitoring import drift, features, formats, sheet
from pipeline.monitoring.drift import BASELINE, ENOUGH, Reference
from pipeline.monitoring.sheet import EXAMPLES
from pipeline.serving.detector import Detector, decode
from pipeline.steps.container import Container, run, say
from pipeline.steps.runlog import RunLog
from pipeline.tracking import Tracking

UNSEEN = ("validation", "test", "unlabelled")
"""What the model was not trained on."""
ID_CHARACTERS = 12


def baseline(container: Container) -> str:
    """Run the step; see the module's words."""
    tracking = Tracking(container.environment.get("MLFLOW_TRACKING_URI", ""))
    log = RunLog.join(container.input("run"), container.input("report"), tracking)
    with log.failing():
        words = measure(container, log)
    if container.setting("LAST_STEP") == "yes":
        log.close("FINISHED")
    return words + log.remark()


def measure(container: Container, log: RunLog) -> str:
    """Measure every picture, calibrate, write; returns the step's message."""
    archive = container.input("model") / "model.tar.gz"
    detector = Detector(_served(archive, container.scratch("model")))
    pictures: dict[str, list[Path]] = {}
    for part in ("train", *UNSEEN):
        dataset.unpack(container.input(part), container.scratch(part))
        pictures[part] = sorted((container.scratch(part) / "images").iterdir())
    seen = rows(detector, pictures["train"], predict=False)
    unseen = rows(detector, [path for part in UNSEEN for path in pictures[part]], predict=True)
    flights = [dataset.scene(path) for part in ("train", *UNSEEN) for path in pictures[part]]
    say("measured", pictures=len(flights), predicted=len(unseen), flights=len(set(flights)))

    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    reference = drift.fit([*seen, *unseen], flights, name(digest, seen, unseen), digest)
    folder = container.output("baseline")
    formats.write_baseline(folder, reference)
    (folder / EXAMPLES).write_bytes(sheet.jpeg(sheet.sheet(_examples(pictures))))
    log.tags({"baseline": reference.id})
    log.files(*sorted(folder.iterdir()), folder="baseline")
    return _words(reference, len(unseen))


def rows(detector: Detector, pictures: Iterable[Path], *, predict: bool) -> list[dict[str, float]]:
    """The columns of each picture, those of its prediction only when asked for."""
    found = []
    for path in pictures:
        picture = decode(path.read_bytes())
        row = features.image_features(picture)
        if predict:
            height, width = picture.shape[:2]
            row |= features.prediction_features(detector.detect(picture), detector.classes, width, height)
        found.append(row)
    return found


def name(digest: str, *parts: object) -> str:
    """The baseline's id: another model or other measurements, another id."""
    return hashlib.sha256(json.dumps([digest, *parts]).encode()).hexdigest()[:ID_CHARACTERS]


def _examples(pictures: Mapping[str, Sequence[Path]]) -> list[bytes]:
    """A few photos from all over the baseline, to be shown beside those of a window."""
    every = [path for part in UNSEEN for path in pictures[part]]
    step = max(1, len(every) // sheet.PHOTOS)
    return [path.read_bytes() for path in every[::step][: sheet.PHOTOS]]


def _served(archive: Path, folder: Path) -> Path:
    """The unpacked model."""
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise BadInput(
            f"The model cannot be unpacked: {error}", "Connect `model` to the output of Evaluate."
        ) from error
    return folder


def _words(reference: Reference, predicted: int) -> str:
    images = reference.profile.images
    words = (
        f"Baseline {reference.id}: {images} pictures of {reference.limits.flights} flights, {predicted} of them not "
        f"trained on; a window of {ENOUGH} may lie {reference.limits.at(ENOUGH):.2f} deviations away."
    )
    if images < BASELINE:
        words += f" Fewer than {BASELINE}: drift will only be warned of."
    return words


if __name__ == "__main__":
    run(baseline)
