"""The report of an explanation: one HTML file that needs nothing else, neither scripts nor addresses."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence

from pipeline.explaining.analysis import Outcome
from pipeline.explaining.detections import Explained, Photo
from pipeline.explaining.heatmaps import heat_map, jpeg, with_boxes
from pipeline.monitoring.report import STYLE
from pipeline.serving.detector import Picture

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
HOW = (
    "Each photo was cut into segments. The detector saw it again and again with some of them greyed out, and the "
    "change in its confidence was shared out among them (kernel SHAP). Warm segments raised the confidence, blue ones "
    "lowered it; the colours of a heat map are relative to its strongest segment."
)


def page(title: str, facts: Mapping[str, str], outcomes: Sequence[Outcome]) -> str:
    """The whole page; `facts` are lines about the model and the analysis."""
    rows = "".join(f"<tr><td>{_text(name)}</td><td>{_text(value)}</td></tr>" for name, value in facts.items())
    parts = [f"<h1>{_text(title)}</h1>", f"<p>{HOW}</p>", f"<table>{rows}</table>"]
    for outcome in outcomes:
        parts.append(f"<h2>{_text(outcome.image)}</h2>")
        parts.append(_photo(outcome.photo) if outcome.photo else f"<p>{_text(outcome.reason)}</p>")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" '
        f'content="{POLICY}"><style>{STYLE}</style></head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"
    )


def words(explained: Explained) -> str:
    """A detection and what carried it, in a line."""
    said = f"{explained.detection.name} {explained.score:.2f}"
    if explained.own is None:
        return f"{said}: no segment raised its confidence"
    return f"{said}: {explained.own:.0%} of what raised its confidence lies in segments that it occupies"


def _photo(photo: Photo) -> str:
    if not photo.objects:
        return f"{_figure(photo.picture, 'the photo')}<p>Nothing was detected.</p>"
    figures = [_figure(with_boxes(photo), "the photo with what was detected")]
    figures += [_figure(heat_map(photo, each), words(each)) for each in photo.objects]
    return f'<div class="side">{"".join(figures)}</div>'


def _figure(picture: Picture, caption: str) -> str:
    data = base64.b64encode(jpeg(picture)).decode()
    return f'<div><img alt="{_text(caption)}" src="data:image/jpeg;base64,{data}"><p>{_text(caption)}</p></div>'


def _text(said: str) -> str:
    return html.escape(said, quote=True)
