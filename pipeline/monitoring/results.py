"""What a monitor leaves behind: Model Monitor's files, the verdict for programs, the report for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.monitoring import formats, sheet
from pipeline.monitoring.calibration import LEAST, Limits
from pipeline.monitoring.chart import chart
from pipeline.monitoring.drift import Moved, Reference, Verdict, judge
from pipeline.monitoring.quality import Constraints, Violation, suggest, violations
from pipeline.monitoring.report import report
from pipeline.monitoring.summary import Profile
from pipeline.monitoring.truth import Quality

NONE = Reference(Profile(0, {}), Limits())
"""In place of a baseline where there is none."""
NO_BASELINE = "This endpoint has no baseline: there are figures, but nothing to compare them with."
DIGITS = 4


@dataclass(frozen=True)
class Baseline:
    """A baseline as its files hold it; `reference` is None for an endpoint that has none."""

    reference: Reference | None = None
    constraints: Constraints | None = None
    examples: Path | None = None

    @classmethod
    def read(cls, statistics: Path | None, constraints: Path | None) -> Baseline:
        """From statistics.json, constraints.json (suggested ones when it is not given) and the photos beside them.

        Raises `BadInput` for a file that is not one.
        """
        if statistics is None:
            return cls()
        reference = formats.read_reference(statistics)
        wanted = formats.read_constraints(constraints) if constraints else suggest(reference)
        return cls(reference, wanted, statistics.with_name(sheet.EXAMPLES))

    def judge(self, window: Profile, quality: Quality | None = None, caveats: Sequence[str] = ()) -> Results:
        """What is said about a window; `caveats` are added to the verdict's own."""
        if self.reference is None or self.constraints is None:
            verdict = Verdict("no verdict" if window.records else "no traffic", window.images, (), (NO_BASELINE,))
            found: list[Violation] = []
        else:
            verdict = judge(self.reference, window)
            found = violations(self.constraints, window, verdict)
        return Results(self, window, replace(verdict, caveats=(*verdict.caveats, *caveats)), tuple(found), quality)


@dataclass(frozen=True)
class Results:
    """A judged window."""

    baseline: Baseline
    window: Profile
    verdict: Verdict
    violations: tuple[Violation, ...]
    quality: Quality | None = None

    @property
    def message(self) -> str:
        """The exit message of the job."""
        if self.baseline.reference is None and self.window.records:
            return f"{formats.COMPLETED}No verdict: this endpoint has no baseline; {self.window.images} image(s)."
        return formats.exit_message(self.verdict, self.violations)

    def write(self, folder: Path, facts: Mapping[str, str], examples: Sequence[bytes], review: int) -> None:
        """Write all files. `facts` are endpoint, start, end and review prefix, `review` the photos copied there."""
        folder.mkdir(parents=True, exist_ok=True)
        formats.write_results(folder, self.window, self.violations)
        body = self.told(facts, review)
        (folder / "verdict.json").write_text(json.dumps(body, indent=1, allow_nan=False, ensure_ascii=False), "utf-8")
        reference = self.baseline.reference or NONE
        picture = chart(self.verdict, reference, self.window) if self.verdict.columns else None
        if picture is not None:
            (folder / "chart.png").write_bytes(picture)
        beside = self._examples(examples)
        if beside is not None:
            (folder / sheet.EXAMPLES).write_bytes(beside)
        named = {"Photos": [beside]} if beside is not None else {}
        page = report(self.verdict, reference, self.window, list(self.violations), _facts(body), picture, named)
        (folder / "report.html").write_text(page, "utf-8")

    def told(self, facts: Mapping[str, str], review: int) -> dict[str, Any]:
        """The content of verdict.json."""
        reference = self.baseline.reference
        start, end = facts["start"], facts["end"]
        return {
            "version": 1,
            "verdict": self.verdict.kind,
            "message": self.message,
            "endpoint": facts["endpoint"],
            "window": {"start": start, "end": end},
            "images": self.window.images,
            "records": self.window.records,
            "malformed": dict(self.window.malformed),
            "models": dict(self.window.models),
            "columns": [_column(column) for column in self.verdict.columns],
            "limits": None if reference is None else _limits(reference.limits, self.window.images),
            "baseline": None
            if reference is None
            else {"id": reference.id, "model": reference.model, "images": reference.profile.images},
            "violations": [asdict(violation) for violation in self.violations],
            "quality": None if self.quality is None else asdict(self.quality),
            "review": {"prefix": facts["review"], "photos": review},
            "caveats": list(self.verdict.caveats),
        }

    def _examples(self, now: Sequence[bytes]) -> bytes | None:
        """Photos of both windows side by side; None when no photo was captured."""
        if not now:
            return None
        path = self.baseline.examples
        before = cv2.imread(str(path)) if path is not None and path.is_file() else None
        return sheet.jpeg(sheet.beside(None if before is None else np.asarray(before, np.uint8), sheet.sheet(now)))


def _column(column: Moved) -> dict[str, Any]:
    body = asdict(column)
    return {key: round(value, DIGITS) if isinstance(value, float) else value for key, value in body.items()}


def _limits(limits: Limits, images: int) -> dict[str, Any]:
    origin = (
        f"99th percentile of the baseline's own windows of that size, drawn by {limits.by}; at least {LEAST}"
        if limits.sizes
        else f"the least limit, {LEAST}: the baseline is too small to calibrate one"
    )
    return {"at": images, "limit": round(limits.at(images), DIGITS), "from": origin, "flights": limits.flights}


def _facts(body: Mapping[str, Any]) -> dict[str, str]:
    """What the report's reader wants to know besides the figures that the report has itself."""
    quality = body["quality"]
    facts = {
        "Endpoint": body["endpoint"],
        "Window (UTC)": f"{body['window']['start']} to {body['window']['end']}",
        "Model": ", ".join(digest[:12] or "unknown" for digest in body["models"]) or "none",
    }
    if quality:
        shares = (
            f"{name} {quality[name]:.3f}" for name in ("precision", "recall", "map50") if quality[name] is not None
        )
        facts["Against ground truth"] = f"{quality['pictures']} images: {', '.join(shares)}"
    if body["review"]["photos"]:
        facts["To be labelled"] = f"{body['review']['photos']} photos in {body['review']['prefix']}"
    return facts
