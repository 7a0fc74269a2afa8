"""Whether a network in int8 may be served in the place of its f32 original.

Both are measured on the held-out flights, of which none was used to find int8's ranges. mAP50 hides what is lost, so
mAP50-95 is compared, overall and class by class (docs/pipelines.md).
"""

from __future__ import annotations

from pipeline.steps.bench import Score

LOSS, CLASS_LOSS = 0.010, 0.020
"""How much mAP50-95 may fall, overall and in each class."""


def refusal(whole: Score, small: Score) -> str:
    """Why int8 is not served; empty when it may be."""
    lost = [
        _lost("overall", whole.map50_95, small.map50_95, LOSS),
        *(
            _lost(name, figures["map50_95"], (small.per_class.get(name) or {}).get("map50_95", 0.0), CLASS_LOSS)
            for name, figures in whole.per_class.items()
            if figures is not None
        ),
    ]
    return "; ".join(filter(None, lost))


def _lost(what: str, before: float, after: float, allowed: float) -> str:
    loss = round(before - after, 4)
    return f"{what} mAP50-95 falls by {loss:.3f}, of {allowed:.3f} allowed" if loss > allowed else ""
