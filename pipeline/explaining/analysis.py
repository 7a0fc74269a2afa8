"""The result of an explanation: Clarify's `analysis.json`.

What stands below a class in `explanations.kernel_shap` is ours, as AWS documents only heat maps there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from pipeline.explaining.config import MAPS, VERSION, Config, Settings
from pipeline.explaining.detections import Photo


@dataclass(frozen=True)
class Outcome:
    """What became of one photo of the data set: explained, or the reason why not."""

    image: str
    photo: Photo | None = None
    reason: str = ""
    maps: Sequence[str] = ()


def analysis(asked: Config, outcomes: Sequence[Outcome], digest: str) -> dict[str, Any]:
    """The content of analysis.json. Boxes are left, top, right, bottom as shares of the photo's width and height."""
    found: dict[str, list[dict[str, Any]]] = {}
    for outcome in outcomes:
        if outcome.photo is None:
            continue
        height, width = outcome.photo.picture.shape[:2]
        for each, file in zip(outcome.photo.objects, outcome.maps, strict=True):
            box = [edge / side for edge, side in zip(each.detection.box, (width, height) * 2, strict=True)]
            found.setdefault(each.detection.name, []).append(
                {
                    "image": outcome.image,
                    "score": round(each.score, 6),
                    "expected_value": round(each.base, 6),
                    "box": [round(edge, 6) for edge in box],
                    "shap_values": [round(float(value), 6) for value in each.values],
                    "own_share": None if each.own is None else round(each.own, 4),
                    "coalitions": each.coalitions,
                    "exact": each.exact,
                    "heat_map": f"{MAPS}/{file}",
                }
            )
    return {
        "version": VERSION,
        "explanations": {"kernel_shap": found},
        "images": [
            {"image": each.image, "objects": len(each.photo.objects) if each.photo else 0, "reason": each.reason}
            for each in outcomes
        ],
        "model": {"name": asked.model, "digest": digest},
        "settings": {each.name: getattr(asked.settings, each.name) for each in fields(Settings)},
    }
