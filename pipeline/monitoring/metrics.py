"""A monitor's figures as CloudWatch takes them: Model Monitor's file of the contract, and our own namespace for alarms.

AWS's pages disagree on the namespace and dimensions of the file's metrics, so alarms watch ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipeline.monitoring.drift import Verdict
from pipeline.monitoring.summary import Profile
from pipeline.monitoring.truth import Quality

NAMESPACE = "Groundcrew/Monitoring"

Row = dict[str, Any]


def figures(verdict: Verdict, window: Profile, violations: int, quality: Quality | None) -> dict[str, float]:
    """By metric: `drift_distance_ratio` (largest distance over its limit: 1 is the limit), counts of the window, and
    how good the model was where the truth is known (shares 0..1).
    """
    found: dict[str, float] = {
        "records": window.records,
        "images": window.images,
        "malformed": sum(window.malformed.values()),
        "violations": violations,
    }
    # Only the strict rule alarms: not a small sample, nor a baseline of few flights, whose limits only warn.
    ratios = [column.distance / column.limit for column in verdict.columns if column.limit > 0]
    if ratios and verdict.kind in ("drift", "no drift"):
        found["drift_distance_ratio"] = max(ratios)
    if quality is not None:
        shares = {"precision": quality.precision, "recall": quality.recall, "map50": quality.map50}
        found |= {name: share for name, share in shares.items() if share is not None}
    return found


def data(values: Mapping[str, float], endpoint: str, at: datetime) -> list[Row]:
    """PutMetricData's `MetricData`; `at` is the end of the window, so that a repeated run says nothing new."""
    dimensions = [{"Name": "EndpointName", "Value": endpoint}]
    return [
        {"MetricName": name, "Timestamp": at, "Dimensions": dimensions, "Value": value, "Unit": "None"}
        for name, value in values.items()
    ]


def lines(verdict: Verdict, window: Profile, endpoint: str, schedule: str, at: datetime) -> str:
    """The file's content: Model Monitor's own metrics, one JSON object a line."""
    values = {f"feature_non_null_{name}": float(column.values.count) for name, column in window.columns.items()}
    values |= {f"feature_baseline_drift_{column.column}": column.distance for column in verdict.columns}
    dimensions = [{"Name": "Endpoint", "Value": endpoint}, {"Name": "MonitoringSchedule", "Value": schedule}]
    return "".join(
        json.dumps(
            {
                "MetricName": name,
                "Timestamp": f"{at:%Y-%m-%dT%H:%M:%SZ}",
                "Dimensions": dimensions,
                "Value": round(value, 6),
                "Unit": "None",
            }
        )
        + "\n"
        for name, value in values.items()
    )
