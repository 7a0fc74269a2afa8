"""What is asked of an explanation: Clarify's `analysis_config.json`, and the names of the files on both sides.

Names, places and settings are Clarify's for `model_type` OBJECT_DETECTION. Needs the standard library only: whoever
starts a job has neither detector nor numpy.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pipeline.errors import BadInput

VERSION = "1.0"
CONFIG = "analysis_config.json"
RESULT = "analysis_result"
"""Name of the output that holds them all."""
ANALYSIS = "analysis.json"
REPORT = "report"
"""Name of the report, without its ending."""
MAPS = "explanations_shap"
"""Folder of the heat maps."""
SHEET = "heat_maps.jpg"
"""All of them in one picture, in that folder."""
ADVICE = "Start the job with `drift explain`."
LIMITS: Mapping[str, tuple[float, float]] = {
    "max_objects": (1, 20),
    "context": (0, 1),
    "iou_threshold": (0, 1),
    "num_segments": (1, 200),
    "segment_compactness": (0, 1000),
    "num_samples": (2, 10_000),
    "seed": (0, 2**32 - 1),
    "probability_threshold": (0, 1),
}
"""What a setting may be, both ends included."""


@dataclass(frozen=True)
class Settings:
    """Clarify's settings of `methods.shap` and its `image_config`, and `probability_threshold`.

    `context`: how much of the surroundings takes part, from 0 (the object's box alone) to 1 (the whole photo).
    """

    max_objects: int = 3
    context: float = 1.0
    iou_threshold: float = 0.5
    num_segments: int = 20
    segment_compactness: float = 5.0
    num_samples: int = 200
    seed: int = 0
    probability_threshold: float = 0.25


SETTINGS = Settings(num_segments=30, segment_compactness=10)
"""Finer than Clarify's 20 segments: objects in drone photos are small."""
INSTANCE = "ml.m5.large"
"""What explanations run on."""


@dataclass(frozen=True)
class Config:
    """An analysis as it was asked for. `report` is the report's file name without its ending."""

    settings: Settings
    model: str
    report: str
    title: str


def config(settings: Settings, *, model: str, classes: Sequence[str], instance: str, title: str) -> dict[str, Any]:
    """The content of analysis_config.json; `model` is the name of the SageMaker model that Clarify would serve."""
    known = {each.name: getattr(settings, each.name) for each in fields(settings)}
    threshold, samples, seed = (known.pop(name) for name in ("probability_threshold", "num_samples", "seed"))
    return {
        "version": VERSION,
        "dataset_type": "application/x-image",
        "probability_threshold": threshold,
        "methods": {
            "shap": {"num_samples": samples, "seed": seed, "image_config": {"model_type": "OBJECT_DETECTION", **known}},
            "report": {"name": REPORT, "title": title},
        },
        "predictor": {
            "model_name": model,
            "initial_instance_count": 1,
            "instance_type": instance,
            "label_headers": list(classes),
            "content_type": "image/jpeg",
            "accept_type": "application/json",
        },
    }


def read_config(text: str) -> Config:
    """An analysis_config.json; what it leaves out has our defaults. Raises `BadInput` for what cannot be done."""
    try:
        body = json.loads(text)
        shap = body["methods"]["shap"]
        image, report = shap["image_config"], body["methods"].get("report", {})
        kind, model = image["model_type"], str(body["predictor"]["model_name"])
        given = {"probability_threshold": body.get("probability_threshold"), **shap, **image}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"analysis_config.json is not Clarify's ({type(error).__name__}: {error}).", ADVICE) from error
    if kind != "OBJECT_DETECTION":
        raise BadInput(f"model_type {kind!r} is not explained here.", "It must be OBJECT_DETECTION.")
    name = str(report.get("name", REPORT))
    if not name.replace("_", "").replace("-", "").isalnum():
        raise BadInput(f"The report cannot be called {name!r}.", "Letters, digits, - and _ are allowed.")
    values: dict[str, Any] = {
        each.name: _number(each.name, given[each.name]) for each in fields(Settings) if given.get(each.name) is not None
    }
    return Config(Settings(**values), model, name, str(report.get("title", "What carried the detections")))


def _number(name: str, value: object) -> float | int:
    low, high = LIMITS[name]
    whole = isinstance(getattr(Settings, name), int)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise BadInput(f"{name} {value!r} is not a {'whole ' if whole else ''}number.", ADVICE)
    if not (math.isfinite(value) and low <= value <= high):
        raise BadInput(f"{name} {value} is not between {low:g} and {high:g}.", ADVICE)
    return value
