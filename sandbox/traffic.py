"""Photos after the survey, and how they reach an endpoint: `python -m sandbox.traffic --count 200 --kind fog`.

Drawn on further flights over the same ground (the survey's seed gives the survey's ground) and sent as a program of
the team would send them: InvokeEndpoint, with an inference id by which the truth can be joined later. Run it with the
credentials of somebody who may ask the endpoint.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import cv2
import numpy as np

from sandbox.imagery import CLASSES, SHARES, Box, Picture, jpeg, survey

LATER = 1000
"""Number of the first flight after the survey."""
RUSH_HOUR = (0.08, 0.72, 0.08, 0.12)
"""Shares of the classes when the mix has changed: hardly anything but vehicles."""
SENDERS = 4

Change = Callable[[Picture, np.random.Generator], Picture]


def usual(picture: Picture, rng: np.random.Generator) -> Picture:
    """More of the same."""
    return picture


def fog(picture: Picture, rng: np.random.Generator) -> Picture:
    """A pale veil between camera and ground, in which edges dissolve."""
    veil = rng.uniform(0.3, 0.5)
    return np.asarray(cv2.convertScaleAbs(cv2.GaussianBlur(picture, (0, 0), 0.8), alpha=1 - veil, beta=225 * veil))


def dusk(picture: Picture, rng: np.random.Generator) -> Picture:
    """The last light: dark and blue, with the noise of a sensor that amplifies."""
    light = rng.uniform(0.4, 0.6) * np.array([1.15, 0.95, 0.9])
    return np.clip(picture * light + rng.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


def camera(picture: Picture, rng: np.random.Generator) -> Picture:
    """Another camera: softer, with a warmer white balance and its own idea of contrast."""
    soft = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.9, 1.3)).astype(np.float32)
    return np.clip((soft - 110) * 1.2 + 110 + np.float32([-14, 2, 16]), 0, 255).astype(np.uint8)


KINDS: Mapping[str, tuple[Change, tuple[float, ...]]] = {
    "usual": (usual, SHARES),
    "fog": (fog, SHARES),
    "dusk": (dusk, SHARES),
    "camera": (camera, SHARES),
    "mix": (usual, RUSH_HOUR),
}
"""What may have become of the ground: a change of the picture, and how often each class stands on it."""


@dataclass(frozen=True)
class Photo:
    """A photo as it is sent, and what it shows (boxes as shares of the picture)."""

    id: str
    data: bytes
    side: int
    boxes: list[Box]

    def truth(self) -> str:
        """The ground-truth line that belongs to it, as Model Monitor merges them; boxes in pixels."""
        objects = [
            {"class": CLASSES[kind], "box": [round(edge * self.side, 1) for edge in _corners(*box)]}
            for kind, *box in self.boxes
        ]
        return json.dumps(
            {
                "groundTruthData": {"data": json.dumps({"objects": objects}), "encoding": "JSON"},
                "eventMetadata": {"eventId": self.id},
                "eventVersion": "0",
            }
        )


def photos(seed: int, count: int, kind: str = "usual", side: int = 160, first: int = 0) -> Iterator[Photo]:
    """Photos of one of `KINDS`, the strength of the change drawn for each; `first` skips as many flights.

    Raises KeyError for another kind.
    """
    change, shares = KINDS[kind]
    for number, (name, picture, boxes) in enumerate(survey(seed, count, side, LATER + first, shares)):
        altered = change(picture, np.random.default_rng((seed, LATER, first, number)))
        yield Photo(f"{kind}-{seed}-{name}", jpeg(altered), side, boxes)


def send(runtime: Any, endpoint: str, sent: Iterator[Photo]) -> int:
    """Ask the endpoint about every photo, several at a time; returns how many. The first failure is raised.

    `runtime` is a boto3 client of sagemaker-runtime.
    """

    def one(photo: Photo) -> None:
        runtime.invoke_endpoint(EndpointName=endpoint, ContentType="image/jpeg", Body=photo.data, InferenceId=photo.id)[
            "Body"
        ].read()

    with ThreadPoolExecutor(SENDERS) as senders:
        return sum(1 for _ in senders.map(one, sent))


def _corners(cx: float, cy: float, width: float, height: float) -> tuple[float, float, float, float]:
    return cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2


def main() -> None:
    """Read the command line, send, and say what was sent."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.traffic", description="Send photos to an endpoint.")
    parser.add_argument("--endpoint", default="groundcrew-dev-detector")
    parser.add_argument("--kind", choices=KINDS, default="usual", help="what has become of the ground")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, required=True, help="the survey's seed")
    parser.add_argument("--first", type=int, default=0, help="skip as many flights")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    import boto3

    began = datetime.now(UTC)
    drawn = photos(options.seed, options.count, options.kind, first=options.first)
    count = send(boto3.client("sagemaker-runtime"), options.endpoint, drawn)
    seconds = (datetime.now(UTC) - began).total_seconds()
    print(f"{count} photos ({options.kind}) were sent to {options.endpoint} in {seconds:.1f} s")


if __name__ == "__main__":
    main()
