"""Days that cost more than anybody expected: as Cost Anomaly Detection sees them, and by a test of our own.

The test is for accounts without Cost Anomaly Detection, and for what that did not notice (it needs ten days of history,
and runs about three times a day). For every service: what a day was expected to cost is its forecast from the days
before (`pipeline.forecast`); it is odd when it exceeds that by far more than such forecasts were off lately, and by an
amount that matters in the whole. A day is judged by nothing later than itself, so tomorrow's verdict on it is the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from statistics import median
from types import MappingProxyType
from typing import Any

from pipeline.errors import Unavailable
from pipeline.forecast import LEAST_DAYS, ahead
from pipeline.names import PROJECT
from pipeline.spending import MOST_PAGES, understood

OWN = "own-"
"""What ids of our own findings begin with; AWS's never do."""
ERRORS_DAYS, LEAST_ERRORS = 28, 7
"""Forecasts looked back on to know how far they are off, and how many there must be."""
FAR = 4.0
"""Robust standard deviations (1.4826 times the median of the absolute errors) beyond which a day is odd."""
FLOOR = 0.05
"""Share of the expected cost that a deviation counts as at least: nothing is steadier than that."""
MATTERS = 0.05
"""Share of a usual day of all services together that an excess must have to be worth anybody's time."""

FEEDBACK: Mapping[str, str] = MappingProxyType({"yes": "YES", "no": "NO", "planned": "PLANNED_ACTIVITY"})
"""What people say about a finding, and how AWS is told."""


@dataclass(frozen=True)
class Anomaly:
    """Days from `start` to `end` (both included) on which a service cost more than expected.

    `causes` are AWS's words for what is behind it (usage type, region); empty for our own findings. `verdict` is a key
    of FEEDBACK, empty where nobody has said anything.
    """

    id: str
    start: date
    end: date
    service: str
    actual: Decimal
    expected: Decimal
    causes: Sequence[str] = ()
    verdict: str = ""

    @property
    def excess(self) -> Decimal:
        """What it cost beyond the expected."""
        return self.actual - self.expected

    @property
    def ours(self) -> bool:
        """Whether our own test found it."""
        return self.id.startswith(OWN)


def find(series: Mapping[str, Sequence[Decimal]], first: date) -> Sequence[Anomaly]:
    """What is odd in each service's cost by day, from `first` on, all equally long; the newest first."""
    length = max(map(len, series.values()), default=0)
    totals = [float(sum(day)) for day in zip(*series.values(), strict=True)]
    found: list[Anomaly] = []
    for service, exact in series.items():
        values, errors = [float(amount) for amount in exact], list[float]()
        for at in range(LEAST_DAYS, length):
            day = first + timedelta(days=at)
            expected = ahead(values[:at], day - timedelta(days=1), 1)[0]
            usual = median(totals[max(0, at - ERRORS_DAYS) : at])
            if _odd(values[at] - expected, expected, errors[-ERRORS_DAYS:], usual):
                _add(found, service, day, exact[at], Decimal(f"{expected:.10f}"))
            errors.append(values[at] - expected)
    return newest_first(found)


def newest_first(found: Iterable[Anomaly]) -> Sequence[Anomaly]:
    """In the order in which people are told."""
    return sorted(found, key=lambda each: (each.start, each.excess), reverse=True)


def ask(ce: Any, start: date, end: date) -> Sequence[Mapping[str, Any]] | None:
    """What our monitor found in a period (`end` included), as AWS wrote it; None where there is no monitor of ours.

    Raises Denied and Unavailable as `pipeline.spending.understood` does.
    """
    monitors = _pages(ce.get_anomaly_monitors, "AnomalyMonitors")
    ours = next((each["MonitorArn"] for each in monitors if each["MonitorName"] == PROJECT), None)
    if ours is None:
        return None
    when = {"StartDate": start.isoformat(), "EndDate": end.isoformat()}
    return _pages(ce.get_anomalies, "Anomalies", MonitorArn=ours, DateInterval=when)


def read(rows: Sequence[Mapping[str, Any]]) -> Sequence[Anomaly]:
    """What it found; the newest first."""
    return newest_first(_of_aws(row) for row in rows)


def tell(ce: Any, anomaly: str, verdict: str) -> None:
    """Tell AWS what a person thinks of its finding: it learns from that. Raises as `understood` does."""
    with understood("Cost Anomaly Detection"):
        ce.provide_anomaly_feedback(AnomalyId=anomaly, Feedback=FEEDBACK[verdict])


def unnoticed(ours: Sequence[Anomaly], theirs: Sequence[Anomaly]) -> Sequence[Anomaly]:
    """Our findings that AWS has none for: of the same service, on a day in common."""
    return [
        each
        for each in ours
        if not any(
            other.service == each.service and other.start <= each.end and each.start <= other.end for other in theirs
        )
    ]


def _pages(call: Callable[..., Any], member: str, **request: Any) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for _ in range(MOST_PAGES):
        with understood("Cost Anomaly Detection"):
            page = call(**request)
        found += page[member]
        if not page.get("NextPageToken"):
            return found
        request["NextPageToken"] = page["NextPageToken"]
    raise Unavailable(f"Cost Anomaly Detection's answer does not end after {MOST_PAGES} pages.", "Ask for fewer days.")


def _odd(error: float, expected: float, errors: Sequence[float], usual: float) -> bool:
    if len(errors) < LEAST_ERRORS or usual <= 0:
        return False
    spread = 1.4826 * median(map(abs, errors))
    return error > FAR * max(spread, FLOOR * expected) and error > MATTERS * usual


def _add(found: list[Anomaly], service: str, day: date, actual: Decimal, expected: Decimal) -> None:
    """One more odd day: it prolongs the finding of the day before, or begins one."""
    last = found[-1] if found else None
    if last is not None and last.service == service and last.end == day - timedelta(days=1):
        found[-1] = Anomaly(last.id, last.start, day, service, last.actual + actual, last.expected + expected)
    else:
        name = re.sub(r"[^a-z0-9]+", "-", service.lower()).strip("-")
        found.append(Anomaly(f"{OWN}{day:%Y%m%d}-{name}", day, day, service, actual, expected))


def _of_aws(row: Mapping[str, Any]) -> Anomaly:
    impact, causes = row["Impact"], row.get("RootCauses", ())
    actual = _amount(impact.get("TotalActualSpend", impact.get("TotalImpact", impact["MaxImpact"])))
    words = [" ".join(filter(None, (cause.get("UsageType"), cause.get("Region")))) for cause in causes]
    services = {cause["Service"] for cause in causes if cause.get("Service")}
    start = date.fromisoformat(row["AnomalyStartDate"][:10])
    verdicts = {said: word for word, said in FEEDBACK.items()}
    return Anomaly(
        row["AnomalyId"],
        start,
        date.fromisoformat(row.get("AnomalyEndDate", row["AnomalyStartDate"])[:10]),
        row.get("DimensionValue") or ", ".join(sorted(services)) or "unknown service",
        actual,
        _amount(impact.get("TotalExpectedSpend", 0)),
        [each for each in words if each],
        verdicts.get(row.get("Feedback", ""), ""),
    )


def _amount(number: float) -> Decimal:
    """Cost Anomaly Detection answers in floating point; its shortest form is what it means."""
    return Decimal(repr(number))
