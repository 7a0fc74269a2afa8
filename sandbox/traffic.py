"""Photos after the survey, and how they reach an endpoint: `python -m sandbox.traffic --count 200 --kind fog`.

Drawn on further flights over the same ground (the survey's seed gives the survey's ground) and sent as a program of
the team would send them: InvokeEndpoint, with an inference id by which the truth can be joined later. It ends when data
capture has written all of them. Run it with the credentials of somebody who may ask the endpoint and read the bucket;
with `--truth NAME` what they really show is put where `drift ground-truth NAME` finds it.

With `--into FOLDER` nothing is sent: the photos are written as a labelled data set, as if people had labelled them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sandbox.environment import BUCKET
from sandbox.imagery import CLASSES, FLIGHTS, SHARES, UNLABELLED, Box, Picture, jpeg, rows, survey

LATER = 1000
"""Number of the first flight after the survey."""
RECENT = 5000
"""Flights of a data set of recent photos come so much later: none of them was sent."""
RUSH_HOUR = (0.08, 0.72, 0.08, 0.12)
"""Shares of the classes when the mix has changed: hardly anything but vehicles."""
SENDERS = 4
CAPTURED_SECONDS = 30.0

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


def dataset(folder: Path, seed: int, kind: str, labelled: int = 430, unlabelled: int = UNLABELLED) -> None:
    """Recent photos of one of `KINDS` as a data set of their own, of flights that nobody has sent."""
    for name in ("images", "labels", "unlabelled"):
        (folder / name).mkdir(parents=True)
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    for photo in photos(seed, labelled, kind, first=RECENT):
        (folder / "images" / f"{photo.id}.jpg").write_bytes(photo.data)
        (folder / "labels" / f"{photo.id}.txt").write_text(rows(photo.boxes))
    for photo in photos(seed, unlabelled, kind, first=RECENT + FLIGHTS):
        (folder / "unlabelled" / f"{photo.id}.jpg").write_bytes(photo.data)


def captured(s3: Any, endpoint: str, sent: list[Photo], began: datetime) -> str:
    """Wait until data capture has written all these photos; the hour of the last file, as in its key.

    `began` is the machine's time before the first was sent. Raises TimeoutError.
    """
    missing, read, hour = {photo.id for photo in sent}, set[str](), ""
    until = time.monotonic() + CAPTURED_SECONDS
    pages = s3.get_paginator("list_objects_v2")
    while missing:
        if time.monotonic() > until:
            raise TimeoutError(f"{len(missing)} of {len(sent)} requests were not captured")
        for page in pages.paginate(Bucket=BUCKET, Prefix=f"{environment(endpoint)}/capture/{endpoint}/"):
            for item in page.get("Contents", []):
                if item["Key"] in read or item["LastModified"] < began - timedelta(seconds=1):
                    continue
                read.add(item["Key"])
                lines = s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read().splitlines()
                missing -= {json.loads(line)["eventMetadata"].get("inferenceId") for line in lines}
                hour = "/".join(item["Key"].split("/")[-5:-1])
        time.sleep(0.2)
    return hour


def environment(endpoint: str) -> str:
    """The environment in an endpoint's name."""
    return endpoint.split("-")[1]


def _corners(cx: float, cy: float, width: float, height: float) -> tuple[float, float, float, float]:
    return cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2


def main() -> None:
    """Read the command line, send or write, and say what was done."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.traffic", description="Send photos to an endpoint.")
    parser.add_argument("--endpoint", default="groundcrew-dev-detector")
    parser.add_argument("--kind", choices=KINDS, default="usual", help="what has become of the ground")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, required=True, help="the survey's seed")
    parser.add_argument("--first", type=int, default=0, help="skip as many flights")
    parser.add_argument("--truth", help="put what they show below this folder of the environment's ground truth")
    parser.add_argument("--into", type=Path, help="write a data set of them instead")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.into:
        dataset(options.into, options.seed, options.kind)
        print(f"recent photos ({options.kind}), labelled, are in {options.into}")
        return
    import boto3

    began, s3 = datetime.now(UTC), boto3.client("s3")
    drawn = list(photos(options.seed, options.count, options.kind, first=options.first))
    count = send(boto3.client("sagemaker-runtime"), options.endpoint, iter(drawn))
    hour = captured(s3, options.endpoint, drawn, began)
    if options.truth:
        key = f"{environment(options.endpoint)}/ground-truth/{options.truth}/{hour}/truth.jsonl"
        s3.put_object(Bucket=BUCKET, Key=key, Body="".join(f"{photo.truth()}\n" for photo in drawn).encode())
    print(f"{count} photos ({options.kind}) were sent to {options.endpoint} in the hour {hour}")


if __name__ == "__main__":
    main()
