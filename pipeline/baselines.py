"""The baseline an endpoint is compared with: what it is, and a window of traffic taken as the next one.

A baseline is a folder with statistics.json, constraints.json and perhaps examples.jpg. The monitor leaves one in every
report whose window could be one (`pipeline.monitoring.candidate`); accepting it copies it to where baselines lie, with
a record of who did so and why.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from pipeline import registry, reports
from pipeline.errors import BadInput, NotFound, Refused
from pipeline.monitoring.wording import CLASS
from pipeline.names import Environment, Names
from pipeline.reports import Report

STATISTICS, CONSTRAINTS, EXAMPLES, ACCEPTED = "statistics.json", "constraints.json", "examples.jpg", "accepted.json"
CANDIDATE = "baseline"
"""Folder of a report that holds its window as a baseline."""
ENOUGH = 500
"""Images a baseline needs before anyone is alarmed because of it (`pipeline.monitoring.drift.BASELINE`)."""
LARGEST = 32 << 20


@dataclass(frozen=True)
class Baseline:
    """A baseline in a few words. `limits` are distances in deviations by window size; `made` when it was written."""

    folder: str
    id: str
    model: str
    """Digest of the model its predictions come from."""
    images: int
    classes: Sequence[str]
    limits: Sequence[tuple[int, float]]
    drawn_by: str
    flights: int
    made: datetime
    accepted: Mapping[str, str] = field(default_factory=dict)
    """Who took a window of traffic as this baseline, when, why, and which; empty for one that a pipeline made."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """S3's tags of the content of its files, of a candidate only."""


def home(names: Names, env: Environment, endpoint: str, id: str) -> str:
    """Where an accepted baseline lies."""
    return f"s3://{names.bucket}/{env}/baselines/{endpoint}/{id}"


def load(s3: Any, folder: str) -> Baseline:
    """The baseline in a folder. Raises NotFound when there is none, BadInput when it is not one."""
    # Listed first: who may not list is told that an object which is not there is forbidden.
    files = reports.listed(s3, f"{folder}/")
    if f"{folder}/{STATISTICS}" not in files:
        raise NotFound("baseline in", folder, advice="`pipeline run` makes one together with its model.")
    data = reports.body_of(s3, f"{folder}/{STATISTICS}", LARGEST) or b""
    said = reports.body_of(s3, f"{folder}/{ACCEPTED}", LARGEST) if f"{folder}/{ACCEPTED}" in files else None
    try:
        record = {str(key): str(value) for key, value in json.loads(said or b"{}").items()}
        return _baseline(json.loads(data), folder, files[f"{folder}/{STATISTICS}"], record)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(
            f"{folder}/{STATISTICS} is not a baseline: {type(error).__name__}.", "Make a new one with `pipeline run`."
        ) from error


def candidate(s3: Any, report: Report) -> Baseline:
    """A report's window as a baseline. Raises Refused, with what to do, when it cannot be one."""
    models = [model for model, images in report.models.items() if images]
    if report.images < ENOUGH:
        raise Refused(
            f"This window has {report.images} images; a baseline needs {ENOUGH}.",
            "Look at a longer one: `drift report --window 7d --now`.",
        )
    if len(models) != 1 or not models[0]:
        raise Refused(
            "The images of this window were answered by several models, or it is not known by which.",
            "Take a window that lies after the last deployment.",
        )
    there = [name for name in (STATISTICS, CONSTRAINTS, EXAMPLES) if f"{CANDIDATE}/{name}" in report.files]
    if not {STATISTICS, CONSTRAINTS} <= set(there):
        raise Refused(
            "The monitor did not keep this window as a possible baseline.",
            "Look at it again: `drift report --now` with the same window.",
        )
    folder = f"{report.folder}/{CANDIDATE}"
    # The tags first: what is read afterwards is theirs, or copying it is refused.
    tags = {name: registry.content_tag(s3, f"{folder}/{name}") for name in there}
    return replace(load(s3, folder), tags=tags)


def accept(s3: Any, names: Names, env: Environment, endpoint: str, chosen: Baseline, record: Mapping[str, str]) -> str:
    """Copy a baseline to where the endpoint's baselines lie, with a record of the decision; returns its folder.

    Exactly the files that were looked at are copied. Raises Refused when one has changed.
    """
    folder = home(names, env, endpoint, chosen.id)
    for name, tag in chosen.tags.items():
        _copy(s3, f"{chosen.folder}/{name}", f"{folder}/{name}", tag)
    bucket, key = _place(f"{folder}/{ACCEPTED}")
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(record, indent=1, ensure_ascii=False).encode())
    return folder


def _copy(s3: Any, source: str, to: str, tag: str) -> None:
    (source_bucket, source_key), (bucket, key) = _place(source), _place(to)
    origin = {"Bucket": source_bucket, "Key": source_key}
    try:
        s3.copy_object(Bucket=bucket, Key=key, CopySource=origin, CopySourceIfMatch=tag)
    except ClientError as error:
        if error.response["Error"]["Code"] == "PreconditionFailed":
            raise Refused("The baseline has changed since it was looked at.", "Look at it again.") from error
        raise


def _baseline(told: Mapping[str, Any], folder: str, made: datetime, accepted: Mapping[str, str]) -> Baseline:
    calibration, columns = told["calibration"], [str(feature["name"]) for feature in told["features"]]
    limits = [(int(row["images"]), float(row["limit"])) for row in calibration["limits"]]
    if any(not math.isfinite(limit) for _, limit in limits):
        raise ValueError("a limit is not a number")
    return Baseline(
        folder=folder,
        id=str(told["baseline"]["id"]),
        model=str(told["baseline"]["model"]),
        images=int(told["dataset"]["item_count"]),
        classes=[name.removeprefix(CLASS) for name in columns if name.startswith(CLASS)],
        limits=sorted(limits),
        drawn_by=str(calibration["drawn_by"]),
        flights=int(calibration["flights"]),
        made=made,
        accepted=accepted,
    )


def _place(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
