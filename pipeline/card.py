"""The model card of a version: what the model is for, how it was made and how good it is, as SageMaker keeps it.

Evaluate writes it from what it has measured, the Register step puts it into the model package (`ModelCard`), and a
promotion adds who asked and who agreed. The layout is AWS's model card schema as far as a package's own card takes it:
no `model_package_details`, and of `model_overview` the creator and the artifact only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import BadInput

STATUS, APPROVED = "PendingReview", "Approved"
LONGEST = 100_000
"""Characters of a card (service model of SageMaker)."""
MOST_CLASSES = 50
"""With more of them the confusion matrix stays out of the card; the evaluation report has it in any case."""
_NAME, _TEXT = 255, 1024
PURPOSE = "Finds objects in photos that drones take of the ground, and says where in the photo each of them is: "
USES = (
    "Help people look through surveys: detections are suggestions to be looked at. Not made for finding persons, "
    "for photos taken from the ground, or for decisions that nobody checks."
)
FACTORS = (
    "Season, time of day, light, weather, height and camera. Objects smaller than a few pixels at the image size of "
    "the training, and classes with few labelled objects, are found less reliably."
)
CAVEATS = (
    "Measured on flights that were held out of the training, from the same survey: another place or season may do "
    "worse. Each deployment is watched for drift (`drift report`)."
)


def write(report: Mapping[str, Any], settings: Mapping[str, object], execution: str) -> str:
    """The card of a model as JSON, from Evaluate's report, the training's settings and the execution's ARN.

    Raises BadInput when it gets longer than SageMaker takes.
    """
    data, classes = report["data"], report["model"]["classes"]
    version = f"data version {data['version']}"
    body = {
        "model_overview": {"model_creator": f"Groundcrew's pipeline, run {execution.rpartition('/')[2]}"},
        "intended_uses": {
            "purpose_of_model": PURPOSE + ", ".join(classes)[:_TEXT],
            "intended_uses": USES,
            "factors_affecting_model_efficiency": FACTORS,
            "risk_rating": "Unknown",
        },
        "training_details": {
            "training_observations": _photos(data["images"]),
            "training_job_details": {
                "training_datasets": [version],
                "user_provided_hyper_parameters": [
                    {"name": name, "value": str(value)[:_NAME]} for name, value in settings.items()
                ],
            },
        },
        "evaluation_details": [
            {
                "name": "Held-out flights",
                "evaluation_observation": _gate(report["gate"]),
                "datasets": [version],
                "metric_groups": _groups(report),
            }
        ],
        "additional_information": {
            "caveats_and_recommendations": CAVEATS,
            "custom_details": {
                "digest": report["model"]["digest"],
                "data_version": data["version"],
                "code_revision": report["code"]["revision"],
                "mlflow_run_id": report["package"]["mlflow_run_id"],
                "pipeline_execution": execution,
            },
        },
    }
    return _text(body)


def approved(text: str, details: Mapping[str, str]) -> str:
    """The card with more of `custom_details`, e.g. who agreed to a promotion. Raises BadInput for what is no card."""
    body = read(text)
    more = body.setdefault("additional_information", {})
    more["custom_details"] = {**more.get("custom_details", {}), **details}
    return _text(body)


def read(text: str) -> dict[str, Any]:
    """A card's content. Raises BadInput for what is none."""
    try:
        body = json.loads(text)
    except ValueError as error:
        raise BadInput(f"The model card cannot be read: {error}", "Train again with `pipeline run`.") from error
    if not isinstance(body, dict):
        raise BadInput("The model card cannot be read: it is no object.", "Train again with `pipeline run`.")
    return body


def _text(body: Mapping[str, Any]) -> str:
    text = json.dumps(body)
    if len(text) > LONGEST:
        raise BadInput(f"The model card has {len(text):,} characters, of {LONGEST:,} allowed.", "Use fewer classes.")
    return text


def _photos(images: Mapping[str, int]) -> str:
    return "Split by flight: " + ", ".join(f"{count} {part}" for part, count in images.items()) + " photos."


def _gate(gate: Mapping[str, Any]) -> str:
    word = "passed" if gate["passed"] else "missed"
    return f"The model {word} the threshold of mAP50 {gate['threshold']:.2f}."


def _groups(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    overall = [
        _number(name, report["metrics"][key]["value"]) for key, name in (("map50", "mAP50"), ("map50_95", "mAP50-95"))
    ]
    by_class = [
        _number(f"{name[: _NAME - 10]} {label}", figures[key])
        for name, figures in report["per_class"].items()
        if figures is not None
        for key, label in (("map50", "mAP50"), ("map50_95", "mAP50-95"))
    ]
    groups = [{"name": "Overall", "metric_data": overall}, {"name": "By class", "metric_data": by_class}]
    labels: Sequence[str] = report["confusion"]["labels"]
    if len(labels) <= MOST_CLASSES + 1:
        matrix = {
            "name": "Confusion matrix",
            "notes": "Objects counted at the confidence that is served; rows: predicted, columns: labelled.",
            "type": "matrix",
            "value": report["confusion"]["counts"],
            "x_axis_name": labels,
            "y_axis_name": labels,
        }
        groups.append({"name": "Confusion", "metric_data": [matrix]})
    return [group for group in groups if group["metric_data"]]


def _number(name: str, value: float) -> dict[str, Any]:
    return {"name": name, "type": "number", "value": value}
