"""The explanation job: Clarify's files in, Clarify's layout out, and what it says when it cannot."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline import explain as jobs
from pipeline.errors import BadInput
from pipeline.explaining.config import Settings, config, read_config
from pipeline.explaining.page import POLICY
from pipeline.steps import explain as step
from pipeline.steps.container import Container
from tests.unit import tiny


def photo(seed: int, suffix: str = ".jpg") -> bytes:
    rough = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.imencode(suffix, cv2.resize(rough, (80, 60), interpolation=cv2.INTER_CUBIC))[1].tobytes()


def packed(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for path in sorted(tiny.model(folder).iterdir()):
            tar.add(path, path.name)
    return buffer.getvalue()


@pytest.fixture
def job(tmp_path: Path) -> Container:
    """A job with the network that finds one boat and two cars on every picture, and two photos."""
    for name in ("config", "data", "model"):
        (tmp_path / "ml/processing/input" / name).mkdir(parents=True)
    (tmp_path / "made").mkdir()
    model = packed(tmp_path / "made")
    container = Container(tmp_path / "ml", {"MODEL_DIGEST": hashlib.sha256(model).hexdigest()})
    (container.input("model") / "model.tar.gz").write_bytes(model)
    (container.input("data") / "b.png").write_bytes(photo(1, ".png"))
    (container.input("data") / "sub").mkdir()
    (container.input("data") / "sub" / "a & <b>.jpg").write_bytes(photo(2))
    ask(container, Settings(num_samples=40, num_segments=6))
    return container


def ask(container: Container, settings: Settings, **more: Any) -> None:
    asked = config(settings, model="groundcrew-dev-detector-1234", classes=["boat"], instance="ml.m5.large", title="T")
    (container.input("config") / "analysis_config.json").write_text(json.dumps(asked | more))


def output(container: Container) -> Path:
    return container.root / "processing" / "output"


def test_the_result_has_clarifys_layout(job: Container) -> None:
    assert step.main(job) == "Explained 6 detection(s) on 2 photo(s)."
    folder = output(job)
    body = json.loads((folder / "analysis.json").read_text())
    found = body["explanations"]["kernel_shap"]
    assert {name: len(rows) for name, rows in found.items()} == {"boat": 2, "car": 4}
    for row in (row for rows in found.values() for row in rows):
        assert sum(row["shap_values"]) == pytest.approx(row["score"] - row["expected_value"], abs=1e-4)
        assert all(0 <= edge <= 1 for edge in row["box"])
        assert (folder / row["heat_map"]).read_bytes().startswith(b"\xff\xd8\xff")
    assert len(list((folder / "explanations_shap").iterdir())) == 7
    assert {each["image"] for each in body["images"]} == {"b.png", "a & <b>.jpg"}
    page = (folder / "report.html").read_text()
    assert POLICY in page
    assert "a &amp; &lt;b&gt;.jpg" in page
    assert not re.search(r"""(src|href)=["'](?!data:)|<script|https?:""", page)
    assert page.count("<img") == 2 * 4


def test_the_same_input_gives_the_same_output(job: Container) -> None:
    step.main(job)
    files = {path: path.read_bytes() for path in output(job).rglob("*") if path.is_file()}
    step.main(job)
    assert {path: path.read_bytes() for path in output(job).rglob("*") if path.is_file()} == files


def test_a_photo_that_cannot_be_read_is_named_and_the_others_are_explained(job: Container) -> None:
    (job.input("data") / "c.jpg").write_bytes(b"this was never a picture")
    (job.input("data") / "notes.txt").write_bytes(b"not a photo, and not meant as one")
    assert step.main(job) == "Explained 6 detection(s) on 2 photo(s); 1 could not be read."
    images = json.loads((output(job) / "analysis.json").read_text())["images"]
    assert {each["image"]: bool(each["reason"]) for each in images} == {
        "b.png": False,
        "c.jpg": True,
        "a & <b>.jpg": False,
    }


def test_without_any_photo_that_can_be_read_it_fails_and_says_why(job: Container) -> None:
    for path in [path for path in job.input("data").rglob("*") if path.is_file()]:
        path.write_bytes(b"x")
    with pytest.raises(BadInput, match=r"None of the photos can be read: .*b\.png"):
        step.main(job)
    for path in [path for path in job.input("data").rglob("*") if path.is_file()]:
        path.unlink()
    with pytest.raises(BadInput, match="holds no JPEG or PNG"):
        step.main(job)


def test_another_model_than_the_registered_one_is_not_explained(job: Container) -> None:
    with pytest.raises(BadInput, match=r"The model's sha256 is .*, not 000000000000"):
        step.main(Container(job.root, {"MODEL_DIGEST": "0" * 64}))


def changed(**more: Any) -> Mapping[str, Any]:
    asked = config(Settings(), model="m", classes=[], instance="i", title="t")
    shap = asked["methods"]["shap"]
    known = shap["image_config"]
    shap["image_config"] = {key: value for key, value in {**known, **more}.items() if value is not None}
    return asked


def test_what_is_left_out_has_clarifys_defaults() -> None:
    asked = read_config(json.dumps(changed(max_objects=None, num_segments=None, context=None, iou_threshold=None)))
    assert asked.settings == Settings(max_objects=3, num_segments=20, context=1.0, iou_threshold=0.5)
    assert (asked.report, asked.title, asked.model) == ("report", "t", "m")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not Clarify's"),
        ("[]", "not Clarify's"),
        ('{"methods": {}}', "not Clarify's"),
        (json.dumps(changed(model_type="IMAGE_CLASSIFICATION")), "'IMAGE_CLASSIFICATION' is not explained"),
        (json.dumps(changed(num_segments=0)), "num_segments 0 is not between 1 and 200"),
        (json.dumps(changed(num_segments=2.5)), "num_segments 2.5 is not a whole number"),
        (json.dumps(changed(context="all")), "context 'all' is not a number"),
        (json.dumps(changed(iou_threshold=float("nan"))), "iou_threshold nan is not between"),
        (json.dumps(changed(max_objects=True)), "max_objects True is not a whole number"),
        (
            json.dumps({**changed(), "methods": {**changed()["methods"], "report": {"name": "../../x"}}}),
            r"cannot be called '\.\./\.\./x'",
        ),
    ],
)
def test_a_configuration_that_cannot_be_done_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_config(text)


def test_what_the_command_asks_for_can_be_done() -> None:
    asked = config(jobs.SETTINGS, model="m", classes=["boat"], instance="ml.m5.large", title="t")
    assert read_config(json.dumps(asked)).settings == jobs.SETTINGS
    # The members that Clarify knows, and none beside them.
    assert set(asked["methods"]["shap"]["image_config"]) == {
        "model_type", "max_objects", "context", "iou_threshold", "num_segments", "segment_compactness",
    }  # fmt: skip
