"""Budgets, and the monitors and subscriptions of Cost Anomaly Detection."""

from __future__ import annotations

import json
from typing import Any

from sandbox.aws.server import ACCOUNT

from ..errors import ResourceFailure
from ..shapes import Shape
from .kind import TAGS, Client, Kind, Properties, changed

_TAGS = "ResourceTags"


_NOTIFICATION = {
    **dict.fromkeys(("NotificationType", "ComparisonOperator", "ThresholdType"), "text"),
    "Threshold": "number",
}
_BUDGET: dict[str, Shape] = {
    "Budget": {
        **dict.fromkeys(("BudgetName", "BudgetType", "TimeUnit"), "text"),
        "BudgetLimit": {"Amount": "number", "Unit": "text"},
        "CostFilters": "json",
    },
    "NotificationsWithSubscribers": [
        {"Notification": _NOTIFICATION, "Subscribers": [{"SubscriptionType": "text", "Address": "text"}]}
    ],
    _TAGS: TAGS,
}


def _budget(properties: Properties) -> dict[str, Any]:
    """The budget as the API wants it: an amount is a text there."""
    budget = dict(properties["Budget"])
    limit = budget["BudgetLimit"]
    return {**budget, "BudgetLimit": {**limit, "Amount": f"{limit['Amount']:g}"}}


def _create_budget(client: Client, wanted: Properties) -> str:
    more = {name: wanted[name] for name in ("NotificationsWithSubscribers", _TAGS) if name in wanted}
    client.create_budget(AccountId=ACCOUNT, Budget=_budget(wanted), **more)
    return str(wanted["Budget"]["BudgetName"])


def _apply_budget(client: Client, name: str, before: Properties, after: Properties) -> None:
    if before and changed("Budget", before, after):
        if after["Budget"]["BudgetName"] != name:
            raise ResourceFailure("The local AWS does not rename a budget: give it another logical name.")
        client.update_budget(AccountId=ACCOUNT, NewBudget=_budget(after))


def _create_monitor(client: Client, wanted: Properties) -> str:
    monitor = {name: value for name, value in wanted.items() if name != _TAGS}
    if "MonitorSpecification" in monitor:
        monitor["MonitorSpecification"] = json.loads(monitor["MonitorSpecification"])
    return str(client.create_anomaly_monitor(AnomalyMonitor=monitor, ResourceTags=wanted.get(_TAGS, []))["MonitorArn"])


def _apply_monitor(client: Client, arn: str, before: Properties, after: Properties) -> None:
    if before and changed("MonitorName", before, after):
        client.update_anomaly_monitor(MonitorArn=arn, MonitorName=after["MonitorName"])


def _subscription(properties: Properties) -> dict[str, Any]:
    made = {name: value for name, value in properties.items() if name != _TAGS}
    if "ThresholdExpression" in made:
        made["ThresholdExpression"] = json.loads(made["ThresholdExpression"])
    return made


def _create_subscription(client: Client, wanted: Properties) -> str:
    made = client.create_anomaly_subscription(
        AnomalySubscription=_subscription(wanted), ResourceTags=wanted.get(_TAGS, [])
    )
    return str(made["SubscriptionArn"])


def _apply_subscription(client: Client, arn: str, before: Properties, after: Properties) -> None:
    if before and _subscription(before) != _subscription(after):
        client.update_anomaly_subscription(SubscriptionArn=arn, **_subscription(after))


_SUBSCRIPTION = {
    **dict.fromkeys(("SubscriptionName", "Frequency", "ThresholdExpression"), "text"),
    "Threshold": "number",
    "MonitorArnList": ["text"],
    "Subscribers": [{"Type": "text", "Address": "text"}],
}

KINDS = (
    Kind(
        type="AWS::Budgets::Budget",
        service="budgets",
        properties=lambda: _BUDGET,
        create=_create_budget,
        apply=_apply_budget,
        delete=lambda client, name, had: client.delete_budget(AccountId=ACCOUNT, BudgetName=name),
        in_place=frozenset({"Budget"}),
    ),
    Kind(
        type="AWS::CE::AnomalyMonitor",
        service="ce",
        properties=lambda: {
            **dict.fromkeys(("MonitorName", "MonitorType", "MonitorDimension", "MonitorSpecification"), "text"),
            _TAGS: TAGS,
        },
        create=_create_monitor,
        apply=_apply_monitor,
        delete=lambda client, arn, had: client.delete_anomaly_monitor(MonitorArn=arn),
        attributes=lambda client, arn, wanted: {"MonitorArn": arn},
        in_place=frozenset({"MonitorName"}),
    ),
    Kind(
        type="AWS::CE::AnomalySubscription",
        service="ce",
        properties=lambda: {**_SUBSCRIPTION, _TAGS: TAGS},
        create=_create_subscription,
        apply=_apply_subscription,
        delete=lambda client, arn, had: client.delete_anomaly_subscription(SubscriptionArn=arn),
        attributes=lambda client, arn, wanted: {"SubscriptionArn": arn, "AccountId": ACCOUNT},
        in_place=frozenset(_SUBSCRIPTION),
    ),
)
