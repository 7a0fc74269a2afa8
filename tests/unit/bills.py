"""Answers of AWS's billing services as recorded, and an account that gives them to the commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine

from commands.command import Context, Person
from pipeline.names import Names
from pipeline.tracking import Tracking
from tests.unit.fake_aws import FakeClient

TODAY = datetime.now(UTC).date()
NAMES = Names("123456789012", "eu-west-1")
Groups = Mapping[tuple[str, str], str]
"""Amounts by the two keys of a group, such as `("Amazon SageMaker", "Environment$dev")`."""


def result(day: date, groups: Groups, *, estimated: bool = False, unit: str = "USD") -> dict[str, Any]:
    """One day of GetCostAndUsage with groups: `Total` is empty then."""
    metrics = [
        {"Keys": list(keys), "Metrics": {"UnblendedCost": {"Amount": amount, "Unit": unit}}}
        for keys, amount in groups.items()
    ]
    period = {"Start": day.isoformat(), "End": (day + timedelta(days=1)).isoformat()}
    return {"TimePeriod": period, "Total": {}, "Groups": metrics, "Estimated": estimated}


def usual(day: date) -> Groups:
    """What is ours on a day: less at weekends."""
    busy = day.weekday() < 5
    return {
        ("Amazon SageMaker", "Environment$dev"): "12.5000000001" if busy else "4.0000000000",
        ("Amazon SageMaker", "Environment$prod"): "6.1250000000",
        ("Amazon Simple Storage Service", "Environment$"): "1.0000000003",
    }


class Biller:
    """AWS's billing services for an account. `own` and `rest` say what a day is charged, from `begins` on."""

    def __init__(
        self,
        own: Callable[[date], Groups] = usual,
        rest: Callable[[date], Groups] = lambda day: {("AWS CloudTrail", "Project$"): "0.3300000000"},
        begins: date = TODAY - timedelta(days=90),
        unit: str = "USD",
    ) -> None:
        self.own, self.rest, self.begins, self.unit = own, rest, begins, unit
        self.ce = FakeClient(
            get_cost_and_usage=self._usage,
            get_cost_forecast={"Total": {"Amount": "321.5", "Unit": unit}, "ForecastResultsByTime": []},
            get_anomaly_monitors={"AnomalyMonitors": []},
            get_anomalies={"Anomalies": []},
            list_cost_allocation_tags={"CostAllocationTags": []},
            provide_anomaly_feedback={"AnomalyId": "a"},
        )
        self.budgets = FakeClient(
            describe_budget={
                "Budget": {
                    "BudgetName": "groundcrew-monthly",
                    "BudgetLimit": {"Amount": "900.0", "Unit": unit},
                    "BudgetType": "COST",
                    "TimeUnit": "MONTHLY",
                    "CostFilters": {"TagKeyValue": ["user:Project$groundcrew"]},
                    "CalculatedSpend": {
                        "ActualSpend": {"Amount": "400.25", "Unit": unit},
                        "ForecastedSpend": {"Amount": "700.5", "Unit": unit},
                    },
                    "LastUpdatedTime": datetime(2026, 5, 4, tzinfo=UTC),
                }
            },
            update_budget={},
            create_budget={},
        )

    def context(self, engine: Engine, role: str = "ml-engineer") -> Context:
        """Somebody with that role who types."""
        clients = {"ce": self.ce, "budgets": self.budgets}
        return Context(
            person=Person("T0GC", "U0ML1", "ml", role),
            invocation="0a1b",
            names=NAMES,
            client=clients.__getitem__,
            tracking=Tracking("http://127.0.0.1:9"),
            state=engine,
            eyes=clients.__getitem__,
        )

    def asked(self) -> int:
        """How many requests that cost a cent each were made of GetCostAndUsage."""
        return len(self.ce.requests("get_cost_and_usage"))

    def _usage(self, **request: Any) -> dict[str, Any]:
        start, end = (date.fromisoformat(request["TimePeriod"][name]) for name in ("Start", "End"))
        groups = self.own if "Filter" in request else lambda day: {**_whole(self.own(day)), **self.rest(day)}
        days = [start + timedelta(days=number) for number in range((end - start).days)]
        first_open = TODAY.replace(day=1)
        rows = [
            result(day, groups(day) if day >= self.begins else {}, estimated=day >= first_open, unit=self.unit)
            for day in days
        ]
        return {"ResultsByTime": rows, "GroupDefinitions": request["GroupBy"]}


def _whole(own: Groups) -> Groups:
    """The same as the account's bill has it: by whose it is."""
    sums: dict[tuple[str, str], Decimal] = {}
    for (service, _), amount in own.items():
        key = (service, "Project$groundcrew")
        sums[key] = sums.get(key, Decimal(0)) + Decimal(amount)
    return {key: str(amount) for key, amount in sums.items()}
