"""Cost Anomaly Detection: the spikes of the bill as anomalies.

Nothing is detected here: what was planted in the bill is what a monitor finds, if it is in its scope. A spike that is
planted while the sandbox runs is announced as AWS does it, where a monitor has an immediate subscription: as an event
on EventBridge, and to the subscription's topic.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sandbox.aws.costs import history
from sandbox.aws.costs.filters import Wanted, compiled, invalid
from sandbox.aws.costs.ledger import Ledger
from sandbox.aws.costs.monitors import Monitors
from sandbox.aws.costs.pages import page
from sandbox.aws.costs.periods import dates
from sandbox.aws.sns import to_topic

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud

SERVICE = "costalerts.amazonaws.com"
FEEDBACK = ("YES", "NO", "PLANNED_ACTIVITY")
_CONSOLE = "https://console.aws.amazon.com/cost-management/home#/anomaly-detection/monitors"
_COMPARED = {
    "EQUAL": lambda impact, low, high: impact == low,
    "GREATER_THAN": lambda impact, low, high: impact > low,
    "GREATER_THAN_OR_EQUAL": lambda impact, low, high: impact >= low,
    "LESS_THAN": lambda impact, low, high: impact < low,
    "LESS_THAN_OR_EQUAL": lambda impact, low, high: impact <= low,
    "BETWEEN": lambda impact, low, high: low <= impact <= high,
}


class Anomalies:
    """What the monitors found, and what people said of it."""

    def __init__(self, cloud: Cloud, ledger: Ledger, monitors: Monitors) -> None:
        self._cloud, self._ledger, self._monitors = cloud, ledger, monitors
        self._feedback: dict[str, str] = {}

    def get_anomalies(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """GetAnomalies of the monitors there are, those that began in the interval."""
        interval = params["DateInterval"]
        first, last = dates({"Start": interval["StartDate"], "End": interval.get("EndDate") or str(date.max)})
        if last < first:
            raise invalid("End date must be after the start date.")
        arn, impact = params.get("MonitorArn"), _asked(params)
        found = [
            each
            for monitor in ([self._monitors.get(arn)] if arn else self._monitors.all())
            for each in self._found(monitor)
            if str(first) <= each["AnomalyStartDate"][:10] <= str(last)
            and impact(each["Impact"]["TotalImpact"])
            and params.get("Feedback") in (None, each.get("Feedback"))
        ]
        kept, token = page(found, params, params.get("MaxResults") or 100)
        return {"Anomalies": kept, **({"NextPageToken": token} if token else {})}

    def provide_anomaly_feedback(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """ProvideAnomalyFeedback: whether it was one."""
        known = {each["AnomalyId"] for monitor in self._monitors.all() for each in self._found(monitor)}
        if params["AnomalyId"] not in known:
            raise invalid(f"Anomaly {params['AnomalyId']} does not exist.")
        if params["Feedback"] not in FEEDBACK:
            raise invalid(f"Feedback is one of {', '.join(FEEDBACK)}.")
        self._feedback[params["AnomalyId"]] = params["Feedback"]
        return {"AnomalyId": params["AnomalyId"]}

    def control(self, body: Any) -> dict[str, Any]:
        """Plant a spike in the bill of yesterday (`Ledger.plant`) and announce it; who was told of it."""
        spike = self._ledger.plant(body)
        told = []
        for monitor in self._monitors.all():
            new = _identity(monitor["MonitorArn"], spike)
            told += [self._announce(monitor, each) for each in self._found(monitor) if each["AnomalyId"] == new]
        return {"day": str(spike.first), "anomalies": [each for each in told if each]}

    def _announce(self, monitor: Mapping[str, Any], found: Mapping[str, Any]) -> str:
        topics = list(self._monitors.topics(monitor["MonitorArn"], found["Impact"]))
        if not topics:
            return ""
        detail = _event(monitor, found, self._ledger.account)
        self._cloud.emit("aws.ce", "Anomaly Detected", [monitor["MonitorArn"]], detail)
        for topic in topics:
            to_topic(self._cloud, SERVICE, monitor["MonitorArn"], topic, json.dumps(detail), "AWS Cost Management")
        self._cloud.events.settle()
        return str(found["AnomalyId"])

    def _found(self, monitor: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        scope = compiled(monitor.get("MonitorSpecification"), self._ledger.account)
        for spike in self._ledger.spikes():
            cause = history.line(spike.source, spike.first, spike.quantity, self._ledger.region)
            if scope(self._ledger.allocated(cause)) and spike.first < self._ledger.today():
                yield self._anomaly(monitor["MonitorArn"], spike, scope)

    def _anomaly(self, monitor: str, spike: history.Spike, scope: Wanted) -> dict[str, Any]:
        cause = history.line(spike.source, spike.first, spike.quantity, self._ledger.region)
        end = spike.first + timedelta(days=spike.days)
        lines = self._ledger.lines(spike.first, end)
        actual = sum((line.amount for line in lines if line.service == cause.service and scope(line)), Decimal(0))
        impact = cause.amount * spike.days
        expected, identity = actual - impact, _identity(monitor, spike)
        known = {"Feedback": self._feedback[identity]} if identity in self._feedback else {}
        root = {
            "Service": cause.service,
            "Region": cause.region,
            "LinkedAccount": self._ledger.account,
            "UsageType": cause.usage_type,
            "Impact": {"Contribution": float(round(impact, 2))},
        }
        return {
            "AnomalyId": identity,
            "AnomalyStartDate": f"{spike.first}T00:00:00Z",
            "AnomalyEndDate": f"{end - timedelta(days=1)}T00:00:00Z",
            "DimensionValue": cause.service,
            "RootCauses": [root],
            "AnomalyScore": {"MaxScore": 0.9, "CurrentScore": 0.9},
            "Impact": {
                "MaxImpact": float(round(cause.amount, 2)),
                "TotalImpact": float(round(impact, 2)),
                "TotalActualSpend": float(round(actual, 2)),
                "TotalExpectedSpend": float(round(expected, 2)),
                "TotalImpactPercentage": float(round(100 * impact / expected, 2)) if expected > 0 else 100.0,
            },
            "MonitorArn": monitor,
            **known,
        }


def _identity(monitor: str, spike: history.Spike) -> str:
    """The same at each look."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{monitor}/{spike.first}/{spike.source.usage}/{spike.quantity}"))


def _asked(params: Mapping[str, Any]) -> Any:
    wanted = params.get("TotalImpact")
    if not wanted:
        return lambda impact: True
    compare = _COMPARED[wanted["NumericOperator"]]
    return lambda impact: compare(impact, wanted["StartValue"], wanted.get("EndValue"))


def _event(monitor: Mapping[str, Any], found: Mapping[str, Any], account: str) -> dict[str, Any]:
    """An anomaly as EventBridge tells it: the same members, in another spelling."""
    told = {name[0].lower() + name[1:]: _small(value) for name, value in found.items()}
    link = f"{_CONSOLE}/{monitor['MonitorArn'].rpartition('/')[2]}/anomalies/{found['AnomalyId']}"
    who = {"accountName": account, "accountId": account, "monitorName": monitor["MonitorName"]}
    return {**told, **who, "anomalyDetailsLink": link}


def _small(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name[0].lower() + name[1:]: _small(item) for name, item in value.items()}
    return [_small(item) for item in value] if isinstance(value, list) else value
