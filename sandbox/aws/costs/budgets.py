"""AWS Budgets: monthly cost budgets, what was spent of them, and letters to a topic when a threshold is passed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from sandbox.aws.costs.explorer import text
from sandbox.aws.costs.filters import Wanted, compiled, of_budget
from sandbox.aws.costs.forecast import Forecaster
from sandbox.aws.costs.ledger import Ledger
from sandbox.aws.costs.letters import letter
from sandbox.aws.costs.lines import CENT, Line
from sandbox.aws.costs.pages import page
from sandbox.aws.costs.periods import next_month
from sandbox.aws.errors import AwsError
from sandbox.aws.sns import to_topic

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud

log = logging.getLogger(__name__)

SERVICE = "budgets.amazonaws.com"
_SAME = ("NotificationType", "ComparisonOperator", "Threshold", "ThresholdType")
"""Members that make a notification another one."""
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_NEVER = datetime(2087, 6, 15, tzinfo=UTC)
"""The end AWS writes into a budget that has none."""


@dataclass
class Notification:
    """A threshold, who hears of it, and the month it was last passed in."""

    body: dict[str, Any]
    subscribers: list[dict[str, str]]
    told: date | None = None


@dataclass
class Budget:
    """A budget as the API has it; `wanted` are the lines it counts."""

    body: dict[str, Any]
    wanted: Wanted
    notifications: list[Notification] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def limit(self) -> Decimal:
        """What may be spent in a month."""
        return Decimal(self.body["BudgetLimit"]["Amount"])


class Budgets:
    """All budgets of the account."""

    def __init__(self, cloud: Cloud, ledger: Ledger, forecaster: Forecaster) -> None:
        self._cloud, self._ledger, self._forecaster = cloud, ledger, forecaster
        self._budgets: dict[str, Budget] = {}
        self._looked: datetime | None = None

    # --- budgets ---------------------------------------------------------------------------------------------------

    def create_budget(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """CreateBudget, with its notifications."""
        budget = self._made(params, params["Budget"])
        name = budget.body["BudgetName"]
        if name in self._budgets:
            raise AwsError("DuplicateRecordException", f"Error creating budget: {name} - the budget already exists.")
        for each in params.get("NotificationsWithSubscribers") or ():
            self._notify(budget, each["Notification"], each["Subscribers"])
        budget.tags = {tag["Key"]: tag["Value"] for tag in params.get("ResourceTags") or ()}
        self._budgets[name] = budget
        self._looked = None
        return {}

    def update_budget(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """UpdateBudget: its settings; notifications stay, and may be passed again."""
        had = self._find(params, params["NewBudget"]["BudgetName"])
        made = self._made(params, params["NewBudget"])
        had.body, had.wanted = made.body, made.wanted
        for notification in had.notifications:
            notification.told = None
        self._looked = None
        return {}

    def delete_budget(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """DeleteBudget."""
        self._find(params, params["BudgetName"])
        del self._budgets[params["BudgetName"]]
        return {}

    def describe_budget(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """DescribeBudget."""
        return {"Budget": self._shown(self._find(params, params["BudgetName"]))}

    def describe_budgets(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """DescribeBudgets."""
        self._check_account(params)
        found = [self._budgets[name] for name in sorted(self._budgets)]
        kept, token = page(found, params, params.get("MaxResults") or 100, "NextToken")
        return {"Budgets": [self._shown(budget) for budget in kept], **({"NextToken": token} if token else {})}

    def describe_budget_performance_history(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """DescribeBudgetPerformanceHistory: the months since the bill begins, against what is budgeted now."""
        budget = self._find(params, params["BudgetName"])
        month, rows = self._ledger.first.replace(day=1), []
        while month <= self._ledger.today():
            spent = self._sum(budget, month, next_month(month))
            begin, end = (datetime.combine(day, time(), UTC) for day in (month, next_month(month)))
            amounts = {"BudgetedAmount": budget.body["BudgetLimit"], "ActualAmount": self._spend(spent)}
            rows.append({**amounts, "TimePeriod": {"Start": begin, "End": end}})
            month = next_month(month)
        kept = {name: budget.body[name] for name in ("BudgetName", "BudgetType", "TimeUnit")}
        return {"BudgetPerformanceHistory": {**kept, "BudgetedAndActualAmountsList": rows}}

    # --- notifications and tags ------------------------------------------------------------------------------------

    def describe_notifications_for_budget(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """DescribeNotificationsForBudget, each with its state."""
        budget, month = self._find(params, params["BudgetName"]), self._ledger.today().replace(day=1)
        return {
            "Notifications": [
                {**each.body, "NotificationState": "ALARM" if each.told == month else "OK"}
                for each in budget.notifications
            ]
        }

    def describe_subscribers_for_notification(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """DescribeSubscribersForNotification."""
        return {"Subscribers": self._notification(params).subscribers}

    def create_notification(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """CreateNotification."""
        budget = self._find(params, params["BudgetName"])
        self._notify(budget, params["Notification"], params["Subscribers"])
        self._looked = None
        return {}

    def delete_notification(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """DeleteNotification."""
        self._find(params, params["BudgetName"]).notifications.remove(self._notification(params))
        return {}

    def tag_resource(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """TagResource."""
        self._tagged(params).tags.update({tag["Key"]: tag["Value"] for tag in params["ResourceTags"]})
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
        budget = self._budgets.get(arn.rpartition("/")[2])
        return {} if budget is None else dict(budget.tags)

    # --- time ------------------------------------------------------------------------------------------------------

    def tick(self, now: datetime) -> None:
        """Once a minute, and after a change: look which thresholds were passed, and write to who wants to know."""
        minute = now.replace(second=0, microsecond=0)
        if self._looked == minute:
            return
        self._looked = minute
        for budget in list(self._budgets.values()):
            for notification in budget.notifications:
                self._look(budget, notification, now.date().replace(day=1))

    def _look(self, budget: Budget, notification: Notification, month: date) -> None:
        body, limit = notification.body, budget.limit
        threshold = Decimal(str(body["Threshold"]))
        if body.get("ThresholdType", "PERCENTAGE") == "PERCENTAGE":
            threshold = limit * threshold / 100
        amount = self._forecast(budget) if body["NotificationType"] == "FORECASTED" else self._actual(budget)
        if amount is None or amount <= threshold or notification.told == month:
            return
        notification.told = month
        subject, words = letter(self._ledger, budget.body["BudgetName"], limit, body, threshold, amount)
        source = f"arn:aws:budgets::{self._ledger.account}:budget/{budget.body['BudgetName']}"
        for subscriber in notification.subscribers:
            if subscriber["SubscriptionType"] == "SNS":
                to_topic(self._cloud, SERVICE, source, subscriber["Address"], words, subject)
        log.info("budget %s: %s", budget.body["BudgetName"], subject)

    # --- behind them -----------------------------------------------------------------------------------------------

    def _made(self, params: Mapping[str, Any], given: Mapping[str, Any]) -> Budget:
        self._check_account(params)
        body = {name: value for name, value in given.items() if name not in ("CalculatedSpend", "LastUpdatedTime")}
        if (body["BudgetType"], body["TimeUnit"]) != ("COST", "MONTHLY"):
            raise _invalid("The local AWS has monthly budgets of costs only.")
        if ":" in body["BudgetName"] or "\\" in body["BudgetName"]:
            raise _invalid("A budget's name has no : and no \\.")
        try:
            positive = Decimal(body["BudgetLimit"]["Amount"]) > 0
        except (InvalidOperation, KeyError) as error:
            raise _invalid("BudgetLimit needs an Amount, a number.") from error
        if not positive:
            raise _invalid("BudgetLimit.Amount must be greater than 0.")
        if body["BudgetLimit"]["Unit"] != self._ledger.conditions.currency:
            raise _invalid(f"Unit must be the account's currency, {self._ledger.conditions.currency}.")
        if body.get("CostFilters") and body.get("FilterExpression"):
            raise _invalid("A budget has CostFilters or a FilterExpression, not both.")
        expression = body.get("FilterExpression") or of_budget(body.get("CostFilters") or {})
        body.setdefault("TimePeriod", {"Start": _BEGAN, "End": _NEVER})
        body["LastUpdatedTime"] = self._ledger.now()
        return Budget(body, compiled(expression, self._ledger.account))

    def _notify(self, budget: Budget, body: Mapping[str, Any], subscribers: list[dict[str, str]]) -> None:
        if body["ComparisonOperator"] != "GREATER_THAN":
            raise _invalid("The local AWS compares with GREATER_THAN only.")
        if any(_same(each.body, body) for each in budget.notifications):
            raise AwsError("DuplicateRecordException", "Notification already exists.")
        budget.notifications.append(Notification(dict(body), list(subscribers)))

    def _shown(self, budget: Budget) -> dict[str, Any]:
        spent = {"ActualSpend": self._spend(self._actual(budget))}
        if (forecast := self._forecast(budget)) is not None:
            spent["ForecastedSpend"] = self._spend(forecast)
        return {**budget.body, "CalculatedSpend": spent}

    def _actual(self, budget: Budget) -> Decimal:
        today = self._ledger.today()
        return self._sum(budget, today.replace(day=1), today + timedelta(days=1))

    def _forecast(self, budget: Budget) -> Decimal | None:
        """What the month will have cost in the end; None for an account too young to tell."""
        today = self._ledger.today()
        try:
            means, _ = self._forecaster.days(budget.wanted, (today, next_month(today)))
        except AwsError:
            return None
        spent, now = self._sum(budget, today.replace(day=1), today), self._sum(budget, today, today + timedelta(days=1))
        rest = sum(means.values()) - means[today]
        return (spent + max(now, Decimal(means[today])) + Decimal(rest)).quantize(CENT)

    def _sum(self, budget: Budget, first: date, last: date) -> Decimal:
        return sum((line.amount for line in self._counted(budget, first, last)), Decimal(0))

    def _counted(self, budget: Budget, first: date, last: date) -> Iterator[Line]:
        return (line for line in self._ledger.lines(first, last) if budget.wanted(line))

    def _spend(self, amount: Decimal) -> dict[str, str]:
        return {"Amount": text(amount), "Unit": self._ledger.conditions.currency}

    def _find(self, params: Mapping[str, Any], name: str) -> Budget:
        self._check_account(params)
        if name not in self._budgets:
            raise AwsError("NotFoundException", f"Unable to get budget: {name} - the budget doesn't exist.")
        return self._budgets[name]

    def _tagged(self, params: Mapping[str, Any]) -> Budget:
        name = params["ResourceARN"].rpartition("/")[2]
        return self._find({"AccountId": params["ResourceARN"].split(":")[4]}, name)

    def _notification(self, params: Mapping[str, Any]) -> Notification:
        budget = self._find(params, params["BudgetName"])
        found = next((each for each in budget.notifications if _same(each.body, params["Notification"])), None)
        if found is None:
            raise AwsError("NotFoundException", "Unable to get the notification: it doesn't exist.")
        return found

    def _check_account(self, params: Mapping[str, Any]) -> None:
        if params["AccountId"] != self._ledger.account:
            raise AwsError("AccessDeniedException", f"Account {params['AccountId']} is not yours.")


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one.get(name, "PERCENTAGE") == other.get(name, "PERCENTAGE") for name in _SAME)


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterException", message)
