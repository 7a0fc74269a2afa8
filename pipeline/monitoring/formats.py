"""Model Monitor's files: statistics.json, constraints.json and constraint_violations.json, written and read.

A baseline is these files alone. The levels of our sketch are the compactors of the KLL field (level i counts 2^i
times), so distributions come back as they went. The limits go into `calibration`, beside the features: the schema of
statistics lets a container of one's own add metrics.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import BadInput
from pipeline.monitoring.calibration import Limits
from pipeline.monitoring.drift import Reference, Verdict
from pipeline.monitoring.quality import MODEL, Constraints, Violation, suggest
from pipeline.monitoring.sketch import CAPACITY, Distribution
from pipeline.monitoring.summary import Column, Profile

STATISTICS = "statistics.json"
CONSTRAINTS = "constraints.json"
VIOLATIONS = "constraint_violations.json"
OLD_VIOLATIONS = "constraints_violations.json"
"""The name on one page of the guide; read, never written."""
BUCKETS = 10
VIOLATED = "CompletedWithViolations: "
COMPLETED = "Completed: "


def write_baseline(folder: Path, reference: Reference) -> None:
    """Write statistics.json and constraints.json into a folder that exists."""
    _write(folder / STATISTICS, statistics(reference))
    _write(folder / CONSTRAINTS, constraints(suggest(reference), reference.limits))


def write_results(folder: Path, window: Profile, found: Sequence[Violation]) -> None:
    """Write a window's statistics.json and constraint_violations.json into a folder that exists."""
    _write(folder / STATISTICS, _statistics(window))
    entries = [
        {
            "feature_name": item.feature_name,
            "constraint_check_type": item.constraint_check_type,
            "description": item.description,
        }
        for item in found
    ]
    _write(folder / VIOLATIONS, {"violations": entries})


def read_reference(path: Path) -> Reference:
    """The baseline in a statistics.json. Raises `BadInput` when the file is not one that `write_baseline` wrote."""
    body = _read(path)
    try:
        return reference_from(body)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _broken(path, f"{type(error).__name__}: {error}") from error


def read_constraints(path: Path) -> Constraints:
    """What constraints.json demands. Raises `BadInput`."""
    body = _read(path)
    try:
        features = body["features"]
        numeric = [feature for feature in features if feature["inferred_type"] != "String"]
        domains = [feature["string_constraints"]["domains"] for feature in features if feature["name"] == MODEL]
        return Constraints(
            {feature["name"]: float(feature["completeness"]) for feature in numeric},
            tuple(domains[0]) if domains else (),
            float(body["monitoring_config"]["datatype_check_threshold"]),
            frozenset(feature["name"] for feature in numeric if feature["inferred_type"] == "Integral"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(path, f"{type(error).__name__}: {error}") from error


def read_violations(folder: Path) -> list[Violation]:
    """The violations in a folder, under either name; none when there is no file. Raises `BadInput`."""
    path = next((path for name in (VIOLATIONS, OLD_VIOLATIONS) if (path := folder / name).is_file()), None)
    if path is None:
        return []
    try:
        return [
            Violation(item["feature_name"], item["constraint_check_type"], item.get("description", ""))
            for item in _read(path)["violations"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise _broken(path, f"{type(error).__name__}: {error}") from error


def exit_message(verdict: Verdict, found: Sequence[Violation]) -> str:
    """What a monitoring job says when it ends; Model Monitor reads its outcome off the first word."""
    if found:
        return f"{VIOLATED}{verdict.headline} {len(found)} violation{'s' if len(found) != 1 else ''}."
    return f"{COMPLETED}{verdict.headline}"


def statistics(reference: Reference) -> dict[str, Any]:
    """The content of a baseline's statistics.json."""
    limits = reference.limits
    calibration = {
        "measure": "largest W1 / deviation of all columns, 99th percentile of the baseline's own windows",
        "limits": [{"images": size, "limit": limit} for size, limit in zip(limits.sizes, limits.limits, strict=True)],
        "drawn_by": limits.by,
        "flights": limits.flights,
    }
    baseline = {"id": reference.id, "model": reference.model}
    return _statistics(reference.profile) | {"calibration": calibration, "baseline": baseline}


def reference_from(body: Mapping[str, Any]) -> Reference:
    """The reverse of `statistics`. Raises KeyError, TypeError, ValueError or AttributeError for anything else."""
    told, baseline = body["calibration"], body["baseline"]
    sizes = tuple(int(limit["images"]) for limit in told["limits"])
    values = tuple(float(limit["limit"]) for limit in told["limits"])
    if any(not 0 <= value < math.inf for value in values) or list(sizes) != sorted(set(sizes)):
        raise ValueError("the limits are not in the order of their sizes, or not numbers")
    limits = Limits(sizes, values, str(told["drawn_by"]), int(told["flights"]))
    columns, models = {}, {}
    for feature in body["features"]:
        if "numerical_statistics" in feature:
            columns[str(feature["name"])] = _column(feature)
        elif feature["name"] == MODEL:
            buckets = feature["string_statistics"]["distribution"]["categorical"]["buckets"]
            models = {str(bucket["value"]): int(bucket["count"]) for bucket in buckets}
    profile = Profile(int(body["dataset"]["item_count"]), columns, models)
    return Reference(profile, limits, str(baseline["id"]), str(baseline["model"]))


def constraints(wanted: Constraints, limits: Limits) -> dict[str, Any]:
    """The content of constraints.json.

    Model Monitor's own comparison is switched off in it: it would hold a Kolmogorov-Smirnov distance against our
    limit, which is W1 in deviations.
    """
    features: list[dict[str, Any]] = [
        {
            "name": name,
            "inferred_type": "Integral" if name in wanted.whole else "Fractional",
            "completeness": completeness,
            "num_constraints": {"is_non_negative": True},
        }
        for name, completeness in wanted.completeness.items()
    ]
    if wanted.models:
        domains = {"domains": list(wanted.models)}
        features.append({"name": MODEL, "inferred_type": "String", "completeness": 1.0, "string_constraints": domains})
    return {
        "version": 0,
        "features": features,
        "monitoring_config": {
            "evaluate_constraints": "Enabled",
            "emit_metrics": "Enabled",
            "datatype_check_threshold": wanted.tolerated,
            "domain_content_threshold": 0.0,
            "distribution_constraints": {
                "perform_comparison": "Disabled",
                "comparison_threshold": limits.at(200),
                "comparison_method": "Robust",
            },
        },
    }


def _statistics(profile: Profile) -> dict[str, Any]:
    features = [_feature(name, column) for name, column in profile.columns.items()]
    if named := {model: count for model, count in profile.models.items() if model}:
        common = {"num_present": sum(named.values()), "num_missing": profile.images - sum(named.values())}
        buckets = [{"value": model, "count": count} for model, count in named.items()]
        text = {"common": common, "distinct_count": len(named), "distribution": {"categorical": {"buckets": buckets}}}
        features.append({"name": MODEL, "inferred_type": "String", "string_statistics": text})
    body: dict[str, Any] = {"version": 0, "dataset": {"item_count": profile.images}, "features": features}
    return body | ({"malformed": dict(profile.malformed)} if profile.malformed else {})


def _feature(name: str, column: Column) -> dict[str, Any]:
    values = column.values
    common = {"num_present": values.count, "num_missing": column.missing}
    numbers: dict[str, Any] = {"common": common}
    kind = "Unknown"
    if values.count:
        kind = "Integral" if column.whole else "Fractional"
        sketch = {
            "parameters": {"c": 1.0, "k": float(CAPACITY)},  # every level holds as much: no decay
            "data": [level.tolist() for level in values.levels],
        }
        numbers |= {"mean": values.mean, "sum": values.total, "std_dev": values.deviation}
        numbers |= {"min": values.low, "max": values.high}
        numbers["distribution"] = {"kll": {"buckets": _buckets(values), "sketch": sketch}}
    if column.mistyped or column.outside:
        numbers["unusable"] = {"mistyped": column.mistyped, "out_of_range": column.outside}
    return {"name": name, "inferred_type": kind, "numerical_statistics": numbers}


def _buckets(values: Distribution) -> list[dict[str, float]]:
    edges = np.linspace(values.low, values.high, BUCKETS + 1)
    below = np.concatenate([[0.0], values.share_below(edges[1:-1]), [1.0]])
    counts = np.diff(below) * values.count
    return [
        {"lower_bound": float(low), "upper_bound": float(high), "count": round(float(count), 6)}
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]


def _column(feature: Mapping[str, Any]) -> Column:
    numbers = feature["numerical_statistics"]
    count, missing = (int(numbers["common"][key]) for key in ("num_present", "num_missing"))
    unusable = numbers.get("unusable", {})
    if not count:
        nothing = Distribution(0, math.nan, math.nan, math.nan, math.nan, ())
        return Column(nothing, missing, int(unusable.get("mistyped", 0)), int(unusable.get("out_of_range", 0)))
    levels = tuple(np.array(level, np.float64) for level in numbers["distribution"]["kll"]["sketch"]["data"])
    if sum(len(level) << index for index, level in enumerate(levels)) != count:
        raise ValueError(f"the sketch of {feature['name']} does not hold its {count} values")
    mean, deviation, low, high = (float(numbers[key]) for key in ("mean", "std_dev", "min", "max"))
    return Column(
        Distribution(count, mean, deviation, low, high, levels),
        missing,
        int(unusable.get("mistyped", 0)),
        int(unusable.get("out_of_range", 0)),
        feature["inferred_type"] == "Integral",
    )


def _write(path: Path, body: object) -> None:
    path.write_text(json.dumps(body, allow_nan=False, ensure_ascii=False) + "\n", "utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _broken(path, str(error)) from error
    if not isinstance(body, dict):
        raise _broken(path, "it is not an object")
    return body


def _broken(path: Path, why: str) -> BadInput:
    return BadInput(f"{path.name} cannot be used: {why}.", "Make a new baseline with the pipeline's Baseline step.")
