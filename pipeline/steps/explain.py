"""What carried a model's detections on some photos: an explanation in the files of SageMaker Clarify.

In: `analysis_config` (input/config/analysis_config.json), `dataset` (input/data: photos), both as Clarify wants them,
and `model` (model.tar.gz as registered; its SHA-256 must be MODEL_DIGEST). Out, in `processing/output`: analysis.json,
<report>.html, and heat maps below explanations_shap/. Same input, same output.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

from pipeline.errors import BadInput
from pipeline.explaining import heatmaps
from pipeline.explaining.analysis import Outcome, analysis
from pipeline.explaining.config import ADVICE, ANALYSIS, CONFIG, MAPS, SHEET, Config, read_config
from pipeline.explaining.detections import explain
from pipeline.explaining.page import page
from pipeline.serving.detector import Detector, decode
from pipeline.steps.container import Container, run, say

THREADS = 1
PHOTOS = (".jpg", ".jpeg", ".png")


def main(container: Container) -> str:
    """Run the step; see the module's words."""
    asked = read_config(_config(container).read_text("utf-8"))
    digest = container.setting("MODEL_DIGEST")
    detector = Detector(_model(container, digest), THREADS)
    output = container.root / "processing" / "output"
    maps = output / MAPS
    maps.mkdir(parents=True, exist_ok=True)
    outcomes = [_outcome(detector, path, asked, maps, n) for n, path in enumerate(_photos(container), 1)]
    photos = [each.photo for each in outcomes if each.photo]
    if not photos:
        raise BadInput(
            "None of the photos can be read: " + "; ".join(f"{each.image}: {each.reason}" for each in outcomes),
            "Choose others.",
        )
    (maps / SHEET).write_bytes(heatmaps.jpeg(heatmaps.sheet(photos)))
    body = analysis(asked, outcomes, digest)
    (output / f"{asked.report}.html").write_text(page(asked.title, _facts(asked, digest), outcomes), "utf-8")
    (output / ANALYSIS).write_text(json.dumps(body, indent=1), "utf-8")
    objects = sum(len(photo.objects) for photo in photos)
    unread = len(outcomes) - len(photos)
    words = f"Explained {objects} detection(s) on {len(photos)} photo(s)"
    return words + (f"; {unread} could not be read." if unread else ".")


def _outcome(detector: Detector, path: Path, asked: Config, maps: Path, photo_number: int) -> Outcome:
    """One photo explained, its heat maps written; numbered, as photos of different folders may share a name."""
    try:
        picture = decode(path.read_bytes())
    except BadInput as error:
        return Outcome(path.name, reason=error.message)
    photo = explain(detector, picture, asked.settings)
    names = []
    for number, each in enumerate(photo.objects, 1):
        name = f"{photo_number}_{path.stem}_{number}_{each.detection.name}.jpg"
        names.append("".join(char if char.isalnum() or char in "._-" else "_" for char in name))
        (maps / names[-1]).write_bytes(heatmaps.jpeg(heatmaps.heat_map(photo, each)))
    say("explained", photo=path.name, objects=[f"{each.detection.name} {each.score:.2f}" for each in photo.objects])
    return Outcome(path.name, photo, maps=names)


def _config(container: Container) -> Path:
    path = container.input("config") / CONFIG
    if not path.is_file():
        raise BadInput(f"Input analysis_config holds no {CONFIG}.", ADVICE)
    return path


def _photos(container: Container) -> list[Path]:
    found = sorted(path for path in container.input("data").rglob("*") if path.suffix.lower() in PHOTOS)
    if not found:
        raise BadInput("Input dataset holds no JPEG or PNG.", "Choose a prefix with photos.")
    return found


def _model(container: Container, digest: str) -> Path:
    """The folder of the unpacked model. Raises `BadInput` for another model than the registered one."""
    archive = container.input("model") / "model.tar.gz"
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != digest:
        raise BadInput(f"The model's sha256 is {found[:12]}, not {digest[:12]}.", "Register it again.")
    folder = container.scratch("model")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


def _facts(asked: Config, digest: str) -> dict[str, str]:
    settings = asked.settings
    return {
        "Model": f"{asked.model}, sha256:{digest[:12]}",
        "Segments": f"about {settings.num_segments} for each photo, compactness {settings.segment_compactness:g}",
        "Samples": f"up to {settings.num_samples} masked photos for each, seed {settings.seed}",
        "Counts as found": f"same class, IoU at least {settings.iou_threshold:g}",
    }


if __name__ == "__main__":
    run(main)
