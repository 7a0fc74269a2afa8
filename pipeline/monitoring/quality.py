"""Constraints on the data, and what violates them, in Model Monitor's terms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.monitoring.drift import ENOUGH, Reference, Verdict
from pipeline.monitoring.features import bounds
from pipeline.monitoring.summary import Column, Profile

MISSING = "completeness_check"
TYPE = "data_type_check"
DRIFT = "baseline_drift_check"
LACKING = "missing_column_check"
EXTRA = "extra_column_check"
VALUES = "categorical_values_check"
CHECKS = (TYPE, MISSING, DRIFT, LACKING, EXTRA, VALUES)
"""Every `constraint_check_type` there is (Model Monitor's schema of violations)."""

TOLERATED = 0.01
"""Share of values that may be of another type or out of range, and of lines that may be unreadable."""
ALLOWANCE = 4.0
"""Standard errors, at ENOUGH images, by which a column may be less complete than in the baseline."""
RECORD = "record"
"""Where a violation of a whole line is filed: these have no column."""
MODEL = "model"
"""Where records of another model are filed."""


@dataclass(frozen=True)
class Violation:
    """One entry of constraint_violations.json."""

    feature_name: str
    constraint_check_type: str
    description: str


@dataclass(frozen=True)
class Constraints:
    """What a window must satisfy: least completeness of each column, and shares tolerated."""

    completeness: Mapping[str, float]
    models: tuple[str, ...] = ()
    """Digests that may answer; empty is any."""
    tolerated: float = TOLERATED
    whole: frozenset[str] = field(default_factory=frozenset)
    """Columns of whole numbers."""


def suggest(reference: Reference) -> Constraints:
    """Constraints a baseline meets itself, with an allowance for the smaller sample of a window."""
    profile = reference.profile
    return Constraints(
        {name: _least(1 - column.missing / max(1, profile.images)) for name, column in profile.columns.items()},
        (reference.model,) if reference.model else (),
        whole=frozenset(name for name, column in profile.columns.items() if column.whole),
    )


def violations(constraints: Constraints, window: Profile, verdict: Verdict) -> list[Violation]:
    """Everything that is wrong with a window; an empty window violates nothing (it is no traffic)."""
    return [*_drift(verdict), *_records(constraints, window), *_columns(constraints, window)] if window.records else []


def _drift(verdict: Verdict) -> Iterator[Violation]:
    if verdict.kind == "drift":
        for moved in verdict.moved:
            words = f"Baseline drift distance: {moved.distance:.3f} exceeds threshold: {moved.limit:.3f}"
            yield Violation(moved.column, DRIFT, words)


def _records(constraints: Constraints, window: Profile) -> Iterator[Violation]:
    unreadable = sum(window.malformed.values())
    if unreadable > constraints.tolerated * window.records:
        why = ", ".join(f"{reason} ({count})" for reason, count in window.malformed.items())
        yield Violation(RECORD, TYPE, f"{unreadable} of {window.records} records cannot be read: {why}")
    others = sum(count for model, count in window.models.items() if model not in constraints.models)
    if constraints.models and others:
        words = f"{others} of {window.images} images were answered by another model than the baseline's"
        yield Violation(MODEL, VALUES, words)


def _columns(constraints: Constraints, window: Profile) -> Iterator[Violation]:
    if not window.images:
        return
    for name, least in constraints.completeness.items():
        column = window.columns.get(name)
        if column is None:
            if least > 0:
                yield Violation(name, LACKING, "The column is in no record of this window")
            continue
        there = 1 - column.missing / window.images
        if there < least:
            yield Violation(name, MISSING, f"Completeness {there:.4f} is below the constraint {least:.4f}")
        if column.mistyped + column.outside > constraints.tolerated * window.images:
            yield Violation(name, TYPE, _unusable(name, column, window.images))
    for name in window.columns:
        if name not in constraints.completeness:
            yield Violation(name, EXTRA, "The column is not in the baseline")


def _unusable(name: str, column: Column, images: int) -> str:
    least, largest = bounds(name)
    reasons = []
    if column.mistyped:
        reasons.append(f"{column.mistyped} are not numbers")
    if column.outside:
        reasons.append(f"{column.outside} are outside of {least:g} to {largest:g}")
    return f"Of {images} values {' and '.join(reasons)}"


def _least(share: float) -> float:
    """Complete columns must stay complete; others may vary as a sample of ENOUGH does."""
    if share == 1:
        return 1.0
    return round(max(0.0, share - ALLOWANCE * math.sqrt(share * (1 - share) / ENOUGH)), 4)
