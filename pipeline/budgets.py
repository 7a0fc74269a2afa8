"""The month's budget in AWS Budgets: how much may be spent, how much was, and what AWS expects.

AWS brings a budget's figures up to date some three times a day; asking for them costs nothing, unlike Cost Explorer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from botocore.exceptions import ClientError

from pipeline.names import PROJECT
from pipeline.spending import TAG, understood

NAME = f"{PROJECT}-monthly"
"""The budget of everything that carries our tag."""
_MISSING = "NotFoundException"
_TOLD = frozenset({"CalculatedSpend", "LastUpdatedTime", "HealthStatus"})
"""What AWS says of a budget and nobody sets."""


@dataclass(frozen=True)
class Budget:
    """A monthly budget. `spent` is since the first of the month; `forecast` the whole month's, None when not told."""

    name: str
    limit: Decimal
    spent: Decimal
    forecast: Decimal | None
    currency: str

    @property
    def left(self) -> Decimal:
        """What may still be spent this month; negative when it is overdrawn."""
        return self.limit - self.spent


def load(budgets: Any, account: str, name: str = NAME) -> Budget | None:
    """The budget as AWS has it now, None when there is none. Raises Denied, Unavailable (`spending.understood`)."""
    with understood("AWS Budgets"):
        try:
            found = budgets.describe_budget(AccountId=account, BudgetName=name)["Budget"]
        except ClientError as refusal:
            if refusal.response["Error"].get("Code") == _MISSING:
                return None
            raise
    spend: Mapping[str, Any] = found.get("CalculatedSpend", {})
    limit = found["BudgetLimit"]
    forecast = spend.get("ForecastedSpend")
    return Budget(
        name,
        Decimal(limit["Amount"]),
        Decimal(spend["ActualSpend"]["Amount"]) if "ActualSpend" in spend else Decimal(0),
        Decimal(forecast["Amount"]) if forecast else None,
        limit["Unit"],
    )


def put(budgets: Any, account: str, limit: Decimal, currency: str, name: str = NAME) -> None:
    """Set the month's limit; the budget is made where there is none. What it warns of and whom stays as it is.

    Raises Denied, Unavailable, BadInput (`spending.understood`).
    """
    amount = {"Amount": str(limit), "Unit": currency}
    with understood("AWS Budgets"):
        try:
            there = budgets.describe_budget(AccountId=account, BudgetName=name)["Budget"]
        except ClientError as refusal:
            if refusal.response["Error"].get("Code") != _MISSING:
                raise
            budgets.create_budget(AccountId=account, Budget=_new(name, amount))
            return
        kept = {key: value for key, value in there.items() if key not in _TOLD}
        budgets.update_budget(AccountId=account, NewBudget={**kept, "BudgetLimit": amount})


def _new(name: str, amount: Mapping[str, str]) -> Mapping[str, Any]:
    return {
        "BudgetName": name,
        "BudgetLimit": amount,
        "BudgetType": "COST",
        "TimeUnit": "MONTHLY",
        "CostFilters": {"TagKeyValue": [f"user:{TAG}${PROJECT}"]},
    }
