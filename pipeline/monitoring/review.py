"""Photos worth a person's look, chosen while a window streams by, and copied out of the capture for labelling.

Only places in files are remembered while reading: a captured photo may have megabytes.
"""

from __future__ import annotations

import base64
import heapq
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

LOW = 0.4
"""Mean confidence below which a photo is worth a label."""
MOST = 20
"""Photos of each kind that one run copies."""
EXAMPLES = 6
LONGEST_NAME = 80
SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png"}


@dataclass(frozen=True, order=True)
class Candidate:
    """A photo of the window: how much it deserves a look (more is more), and where it lies."""

    score: float
    at: datetime
    event: str
    path: Path = field(compare=False)
    offset: int = field(compare=False)
    inference: str = field(compare=False, default="")
    answer: Mapping[str, Any] = field(compare=False, default_factory=dict)


@dataclass(frozen=True)
class Photo:
    """A captured photo with what the model said about it. `reason`: `low confidence` or `unlike the baseline`."""

    candidate: Candidate
    reason: str
    data: bytes
    suffix: str

    @property
    def name(self) -> str:
        """File name, the same every time the photo is chosen."""
        return re.sub(r"[^\w-]", "_", self.candidate.event)[:LONGEST_NAME] + self.suffix

    def line(self) -> str:
        """Its line in the manifest: enough to label it and to give the label back as ground truth."""
        seen = self.candidate
        return json.dumps(
            {
                "file": self.name,
                "reason": self.reason,
                "score": round(seen.score, 3),
                "time": f"{seen.at:%Y-%m-%dT%H:%M:%SZ}",
                "inference_id": seen.inference or seen.event,
                "detections": seen.answer.get("detections", []),
            }
        )


class Chosen:
    """Keeps the most deserving candidates of each kind, the newest of equals, and a fair sample of all."""

    def __init__(self, seed: int = 0) -> None:
        self._unsure: list[Candidate] = []
        self._unusual: list[Candidate] = []
        self._sample: list[Candidate] = []
        self._seen = 0
        self._rng = np.random.default_rng(seed)

    def consider(self, candidate: Candidate, confidence: object, unusual: float) -> None:
        """One photo: the model's mean confidence (None: nothing found) and how unlike the baseline it is."""
        if isinstance(confidence, float) and confidence < LOW:
            _keep(self._unsure, replace(candidate, score=1 - confidence))
        if unusual > 0:
            _keep(self._unusual, replace(candidate, score=unusual))
        self._seen += 1
        if len(self._sample) < EXAMPLES:
            self._sample.append(candidate)
        elif (place := int(self._rng.integers(self._seen))) < EXAMPLES:
            self._sample[place] = candidate

    def photos(self, *, drifting: bool) -> Iterator[Photo]:
        """What to look at, the most deserving first; unlike the baseline counts only in a window that drifts."""
        given: set[str] = set()
        chosen = [("unlike the baseline", self._unusual)] if drifting else []
        for reason, kept in [*chosen, ("low confidence", self._unsure)]:
            for candidate in sorted(kept, reverse=True):
                if candidate.event not in given and (photo := fetch(candidate, reason)) is not None:
                    given.add(candidate.event)
                    yield photo

    def examples(self) -> list[bytes]:
        """A few photos of the window, drawn fairly."""
        photos = (fetch(candidate, "example") for candidate in self._sample)
        return [photo.data for photo in photos if photo is not None]


def fetch(candidate: Candidate, reason: str) -> Photo | None:
    """The photo out of its capture record; None when the input was not captured or is no picture."""
    with candidate.path.open("rb") as file:
        file.seek(candidate.offset)
        captured = json.loads(file.readline())["captureData"].get("endpointInput")
    match captured:
        case {"observedContentType": str(kind), "encoding": "BASE64", "data": str(data)}:
            suffix = SUFFIXES.get(kind.partition(";")[0].strip().lower())
        case _:
            return None
    try:
        return None if suffix is None else Photo(candidate, reason, base64.b64decode(data, validate=True), suffix)
    except ValueError:  # a broken picture is no reason to lose the verdict
        return None


def _keep(heap: list[Candidate], candidate: Candidate) -> None:
    heapq.heappush(heap, candidate)
    if len(heap) > MOST:
        heapq.heappop(heap)
