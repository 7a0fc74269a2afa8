"""Cost Anomaly Detection: the monitors of the account, and who wants to hear of what they find."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.aws.costs.filters import compiled, invalid
from sandbox.aws.costs.ledger import Ledger
from sandbox.aws.costs.pages import page
from sandbox.aws.errors import AwsError

_IMPACTS = {"ANOMALY_TOTAL_IMPACT_ABSOLUTE": "TotalImpact", "ANOMALY_TOTAL_IMPACT_PERCENTAGE": "TotalImpactPercentage"}


@dataclass
class Kept:
    """A monitor or subscription: its members as the API has them, and its tags."""

    body: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)


class Monitors:
    """Monitors and subscriptions; what is found is in anomalies.py."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._monitors: dict[str, Kept] = {}
        self._subscriptions: dict[str, Kept] = {}

    def all(self) -> list[dict[str, Any]]:
        """Every monitor, as the API has it."""
        return [monitor.body for monitor in self._monitors.values()]

    def get(self, arn: str) -> dict[str, Any]:
        """A monitor. Raises AwsError when there is none."""
        return self._monitor(arn).body

    def topics(self, monitor: str, impact: Mapping[str, float]) -> Iterator[str]:
        """The topics that hear at once of an anomaly of such an impact, found by a monitor."""
        for each in list(self._subscriptions.values()):
            at_once = each.body["Frequency"] == "IMMEDIATE" and monitor in each.body["MonitorArnList"]
            if at_once and _over(each.body, impact):
                yield from (subscriber["Address"] for subscriber in each.body["Subscribers"])

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


def _tags(params: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in params.get("ResourceTags") or ()}
