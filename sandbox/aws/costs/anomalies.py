"""Cost Anomaly Detection: monitors, subscriptions, and the spikes of the bill as anomalies.

Nothing is detected here: what was planted in the bill is what a monitor finds, if it is in its scope. A spike that is
planted while the sandbox runs is announced as AWS does it, where a monitor has an immediate subscription: as an event
on EventBridge, and to the subscription's topic.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sandbox.aws.costs import history
from sandbox.aws.costs.filters import Wanted, compiled, invalid
from sandbox.aws.costs.ledger import Ledger
from sandbox.aws.costs.pages import page
from sandbox.aws.costs.periods import dates
from sandbox.aws.errors import AwsError
from sandbox.aws.sns import to_topic

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud

SERVICE = "costalerts.amazonaws.com"
FEEDBACK = ("YES", "NO", "PLANNED_ACTIVITY")
_IMPACTS = {"ANOMALY_TOTAL_IMPACT_ABSOLUTE": "TotalImpact", "ANOMALY_TOTAL_IMPACT_PERCENTAGE": "TotalImpactPercentage"}
_CONSOLE = "https://console.aws.amazon.com/cost-management/home#/anomaly-detection/monitors"
_COMPARED = {
    "EQUAL": lambda impact, low, high: impact == low,
    "GREATER_THAN": lambda impact, low, high: impact > low,
    "GREATER_THAN_OR_EQUAL": lambda impact, low, high: impact >= low,
    "LESS_THAN": lambda impact, low, high: impact < low,
    "LESS_THAN_OR_EQUAL": lambda impact, low, high: impact <= low,
    "BETWEEN": lambda impact, low, high: low <= impact <= high,
}


@dataclass
class Kept:
    """A monitor or subscription: its members as the API has them, and its tags."""

    body: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)


class Anomalies:
    """The monitors and subscriptions of the account, and what they found."""

    def __init__(self, cloud: Cloud, ledger: Ledger) -> None:
        self._cloud, self._ledger = cloud, ledger
        self._monitors: dict[str, Kept] = {}
        self._subscriptions: dict[str, Kept] = {}
        self._feedback: dict[str, str] = {}

    # --- monitors --------------------------------------------------------------------------------------------------

    def create_anomaly_monitor(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """CreateAnomalyMonitor: by service, or of what an expression covers."""
        wanted = dict(params["AnomalyMonitor"])
        if (wanted["MonitorType"] == "DIMENSIONAL") != ("MonitorDimension" in wanted):
            raise invalid("A monitor of type DIMENSIONAL, and only that, has a MonitorDimension.")
        if wanted.get("MonitorDimension", "SERVICE") != "SERVICE":
            raise invalid("The local AWS monitors by SERVICE only.")
        if wanted["MonitorType"] == "CUSTOM" and not wanted.get("MonitorSpecification"):
            raise invalid("A monitor of type CUSTOM has a MonitorSpecification.")
        if wanted["MonitorType"] == "DIMENSIONAL" and any(
            each.body["MonitorType"] == "DIMENSIONAL" for each in self._monitors.values()
        ):
            raise AwsError("LimitExceededException", "Limit exceeded on dimensional spend monitor creation")
        compiled(wanted.get("MonitorSpecification"), self._ledger.account)
        arn, now = self._arn("anomalymonitor"), f"{self._ledger.now():%Y-%m-%d}"
        self._monitors[arn] = Kept({**wanted, "MonitorArn": arn, "CreationDate": now}, _tags(params))
        return {"MonitorArn": arn}

    def get_anomaly_monitors(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """GetAnomalyMonitors."""
        arns = params.get("MonitorArnList") or list(self._monitors)
        kept, token = page([self._monitor(arn).body for arn in arns], params, params.get("MaxResults") or 100)
        return {"AnomalyMonitors": kept, **({"NextPageToken": token} if token else {})}

    def update_anomaly_monitor(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """UpdateAnomalyMonitor: its name."""
        monitor = self._monitor(params["MonitorArn"])
        monitor.body |= {name: params[name] for name in ("MonitorName",) if params.get(name)}
        return {"MonitorArn": params["MonitorArn"]}

    def delete_anomaly_monitor(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """DeleteAnomalyMonitor. Subscriptions lose it."""
        self._monitor(params["MonitorArn"])
        del self._monitors[params["MonitorArn"]]
        return {}

    # --- subscriptions ---------------------------------------------------------------------------------------------

    def create_anomaly_subscription(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """CreateAnomalySubscription: at once to a topic, or by day or week to addresses."""
        wanted = dict(params["AnomalySubscription"])
        for arn in wanted["MonitorArnList"]:
            self._monitor(arn)
        kinds = {each["Type"] for each in wanted["Subscribers"]}
        if kinds != ({"SNS"} if wanted["Frequency"] == "IMMEDIATE" else {"EMAIL"}):
            raise invalid("Subscribers of frequency IMMEDIATE are SNS topics, those of DAILY and WEEKLY are addresses.")
        if "Threshold" not in wanted and "ThresholdExpression" not in wanted:
            raise invalid("A subscription has a Threshold or a ThresholdExpression.")
        _over(wanted, dict.fromkeys(_IMPACTS.values(), 0.0))
        arn = self._arn("anomalysubscription")
        self._subscriptions[arn] = Kept(
            {**wanted, "SubscriptionArn": arn, "AccountId": self._ledger.account}, _tags(params)
        )
        return {"SubscriptionArn": arn}

    def get_anomaly_subscriptions(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """GetAnomalySubscriptions."""
        arns = params.get("SubscriptionArnList") or list(self._subscriptions)
        found = [self._subscription(arn).body for arn in arns]
        wanted = [body for body in found if params.get("MonitorArn") in (None, *body["MonitorArnList"])]
        kept, token = page(wanted, params, params.get("MaxResults") or 100)
        return {"AnomalySubscriptions": kept, **({"NextPageToken": token} if token else {})}

    def update_anomaly_subscription(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """UpdateAnomalySubscription: what is given replaces what was."""
        subscription = self._subscription(params["SubscriptionArn"])
        subscription.body |= {name: value for name, value in params.items() if value is not None}
        return {"SubscriptionArn": params["SubscriptionArn"]}

    def delete_anomaly_subscription(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """DeleteAnomalySubscription."""
        self._subscription(params["SubscriptionArn"])
        del self._subscriptions[params["SubscriptionArn"]]
        return {}

    # --- tags of both ----------------------------------------------------------------------------------------------

    def tag_resource(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """TagResource."""
        self._tagged(params).tags.update(_tags(params))
        return {}

    def untag_resource(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """UntagResource."""
        for key in params["ResourceTagKeys"]:
            self._tagged(params).tags.pop(key, None)
        return {}

    def list_tags_for_resource(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """ListTagsForResource."""
        return {"ResourceTags": [{"Key": key, "Value": value} for key, value in self._tagged(params).tags.items()]}

    def tags_of(self, arn: str) -> Mapping[str, str]:
        """The tags that policies see."""
        kept = {**self._monitors, **self._subscriptions}.get(arn)
        return {} if kept is None else dict(kept.tags)

    # --- anomalies -------------------------------------------------------------------------------------------------

    def get_anomalies(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """GetAnomalies of the monitors there are, those that began in the interval."""
        interval = params["DateInterval"]
        first, last = dates({"Start": interval["StartDate"], "End": interval.get("EndDate") or str(date.max)})
        if last < first:
            raise invalid("End date must be after the start date.")
        arns, impact = [params["MonitorArn"]] if params.get("MonitorArn") else list(self._monitors), _asked(params)
        found = [
            each
            for arn in arns
            for each in self._found(self._monitor(arn).body)
            if str(first) <= each["AnomalyStartDate"][:10] <= str(last)
            and impact(each["Impact"]["TotalImpact"])
            and params.get("Feedback") in (None, each.get("Feedback"))
        ]
        kept, token = page(found, params, params.get("MaxResults") or 100)
        return {"Anomalies": kept, **({"NextPageToken": token} if token else {})}

    def provide_anomaly_feedback(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """ProvideAnomalyFeedback: whether it was one."""
        known = {each["AnomalyId"] for monitor in self._monitors.values() for each in self._found(monitor.body)}
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
        for monitor in list(self._monitors.values()):
            told += [
                self._announce(monitor.body, found)
                for found in self._found(monitor.body)
                if found["AnomalyId"] == _identity(monitor.body["MonitorArn"], spike)
            ]
        return {"day": str(spike.first), "anomalies": [each for each in told if each]}

    def _announce(self, monitor: Mapping[str, Any], found: Mapping[str, Any]) -> str:
        topics = [
            subscriber["Address"]
            for each in self._subscriptions.values()
            if each.body["Frequency"] == "IMMEDIATE"
            and monitor["MonitorArn"] in each.body["MonitorArnList"]
            and _over(each.body, found["Impact"])
            for subscriber in each.body["Subscribers"]
        ]
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
            if scope(cause) and spike.first < self._ledger.today():
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

    # --- small parts -----------------------------------------------------------------------------------------------

    def _arn(self, kind: str) -> str:
        return f"arn:aws:ce::{self._ledger.account}:{kind}/{uuid.uuid4()}"

    def _monitor(self, arn: str) -> Kept:
        if arn not in self._monitors:
            raise AwsError("UnknownMonitorException", f"Monitor {arn} does not exist.")
        return self._monitors[arn]

    def _subscription(self, arn: str) -> Kept:
        if arn not in self._subscriptions:
            raise AwsError("UnknownSubscriptionException", f"Subscription {arn} does not exist.")
        return self._subscriptions[arn]

    def _tagged(self, params: Mapping[str, Any]) -> Kept:
        kept = {**self._monitors, **self._subscriptions}.get(params["ResourceArn"])
        if kept is None:
            raise AwsError("ResourceNotFoundException", f"{params['ResourceArn']} does not exist.")
        return kept


def _identity(monitor: str, spike: history.Spike) -> str:
    """The same at each look."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{monitor}/{spike.first}/{spike.source.usage}/{spike.quantity}"))


def _asked(params: Mapping[str, Any]) -> Any:
    wanted = params.get("TotalImpact")
    if not wanted:
        return lambda impact: True
    compare = _COMPARED[wanted["NumericOperator"]]
    return lambda impact: compare(impact, wanted["StartValue"], wanted.get("EndValue"))


def _over(subscription: Mapping[str, Any], impact: Mapping[str, float]) -> bool:
    """Whether an impact is worth an alert. Raises AwsError for an expression that is no threshold."""
    if "ThresholdExpression" not in subscription:
        return impact["TotalImpact"] >= float(subscription["Threshold"])
    return _holds(subscription["ThresholdExpression"], impact)


def _holds(expression: Mapping[str, Any], impact: Mapping[str, float]) -> bool:
    if len(expression) == 1:
        root, value = next(iter(expression.items()))
        if root in ("And", "Or"):
            return (all if root == "And" else any)(_holds(each, impact) for each in value)
        if root == "Dimensions" and value.get("MatchOptions") == ["GREATER_THAN_OR_EQUAL"] and value["Key"] in _IMPACTS:
            return impact[_IMPACTS[value["Key"]]] >= float(value["Values"][0])
    raise invalid("A threshold is an impact, absolute or in per cent, with GREATER_THAN_OR_EQUAL.")


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


def _tags(params: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in params.get("ResourceTags") or ()}
