"""Cost Explorer, Budgets and the price list over the wire, read by botocore itself, in the local AWS."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError

from alerts import events
from infra import stacks
from sandbox.aws.costs.history import SEED, history, spikes

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT, REGION = "123456789012", "us-east-1"
OURS = {"Tags": {"Key": "Project", "Values": ["groundcrew"]}}
BUDGET = {"AccountId": ACCOUNT, "BudgetName": "groundcrew-monthly"}


class Bill:
    """The account's clients for money, its day, and what may be let happen to it."""

    def __init__(self, cloud: Cloud, root: dict[str, str]) -> None:
        self.cloud, self._root = cloud, root
        self.ce, self.budgets, self.pricing = (cloud.client(name, root) for name in ("ce", "budgets", "pricing"))

    @property
    def today(self) -> date:
        return self.cloud.clock.now().date()

    def period(self, days: int, until: int = 0) -> dict[str, str]:
        """The last `days` days; `until` 1 takes today in."""
        end = self.today + timedelta(days=until)
        return {"Start": str(end - timedelta(days=days)), "End": str(end)}

    def post(self, path: str, body: Any) -> httpx.Response:
        url, headers = f"{self.cloud.endpoint_url}/_sandbox/{path}", {"X-Sandbox": "1"}
        return httpx.post(url, json=body, headers=headers, trust_env=False, timeout=60)

    def let(self, **conditions: Any) -> dict[str, Any]:
        answer = self.post("costs", conditions)
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return told

    def fails(self, **fault: Any) -> None:
        self.post("faults", fault).raise_for_status()

    def lines(self, period: dict[str, str]) -> list[dict[str, Any]]:
        answer = self.post("cost-lines", {"start": period["Start"], "end": period["End"]})
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found

    def usage(self, days: int = 14, granularity: str = "DAILY", *groups: tuple[str, str], **more: Any) -> Any:
        asked = {"GroupBy": [{"Type": kind, "Key": key} for kind, key in groups]} if groups else {}
        return self.ce.get_cost_and_usage(
            **{
                "TimePeriod": self.period(days),
                "Granularity": granularity,
                "Metrics": ["UnblendedCost"],
                **asked,
                **more,
            }
        )

    def iam(self) -> Any:
        return self.cloud.client("iam", self._root)

    def client(self, service: str) -> Any:
        return self.cloud.client(service, self._root)


@pytest.fixture(scope="module")
def bill(cloud: Cloud, root: dict[str, str]) -> Bill:
    return Bill(cloud, root)


@pytest.fixture(autouse=True)
def as_it_was(bill: Bill) -> Iterator[None]:
    yield
    bill.let(reset=True)
    bill.fails(clear=True)


@pytest.fixture
def mid_month(bill: Bill) -> Iterator[None]:
    """A day on which a month has cost something already."""
    ahead = timedelta(days=10 if bill.today.day < 5 else 0)
    bill.cloud.clock.move(ahead)
    yield
    bill.cloud.clock.move(-ahead)


def amount(metrics: dict[str, Any]) -> Decimal:
    return Decimal(metrics["UnblendedCost"]["Amount"])


def grouped(answer: Any) -> Decimal:
    return sum((amount(group["Metrics"]) for each in answer["ResultsByTime"] for group in each["Groups"]), Decimal(0))


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


# --- costs that were -----------------------------------------------------------------------------------------------


def test_a_report_is_the_sum_of_the_lines_and_those_are_the_seed_s(bill: Bill) -> None:
    answer = bill.usage(30)
    period = bill.period(30)
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for line in bill.lines(period):
        sums[line["day"]] += Decimal(line["amount"])
    assert {each["TimePeriod"]["Start"]: amount(each["Total"]) for each in answer["ResultsByTime"]} == sums
    assert all(each["Total"]["UnblendedCost"]["Unit"] == "USD" for each in answer["ResultsByTime"])
    told = bill.let()
    known = history(told["seed"], date.fromisoformat(told["opened"]))
    wanted = sum((each.amount for each in known if str(each.day) >= period["Start"]), Decimal(0))
    seeded = sum((Decimal(each["amount"]) for each in bill.lines(period)), Decimal(0))
    assert told["seed"] == SEED
    assert seeded >= wanted  # other tests may have used something yesterday


@pytest.mark.parametrize(
    "groups",
    [
        [("DIMENSION", "SERVICE")],
        [("DIMENSION", "USAGE_TYPE"), ("TAG", "Environment")],
        [("TAG", "Project"), ("DIMENSION", "REGION")],
        [("TAG", "NoSuchTag")],
    ],
)
@pytest.mark.parametrize("granularity", ["DAILY", "MONTHLY"])
def test_groups_add_up_to_the_total_and_have_none_of_their_own(
    bill: Bill, granularity: str, groups: list[tuple[str, str]]
) -> None:
    answer = bill.usage(45, granularity, *groups)
    total = sum((amount(each["Total"]) for each in bill.usage(45, granularity)["ResultsByTime"]), Decimal(0))
    assert grouped(answer) == total
    assert all(each["Total"] == {} for each in answer["ResultsByTime"])
    assert answer["GroupDefinitions"] == [{"Type": kind, "Key": key} for kind, key in groups]


def test_what_has_no_tag_is_a_group_of_its_own(bill: Bill) -> None:
    answer = bill.usage(7, "MONTHLY", ("TAG", "Project"))
    keys = {key for each in answer["ResultsByTime"] for group in each["Groups"] for key in group["Keys"]}
    assert keys == {"Project$", "Project$field-portal", "Project$groundcrew"}
    absent = bill.usage(7, Filter={"Tags": {"Key": "Project", "MatchOptions": ["ABSENT"]}})["ResultsByTime"]
    untagged = [
        amount(group["Metrics"])
        for each in bill.usage(7, "DAILY", ("TAG", "Project"))["ResultsByTime"]
        for group in each["Groups"]
        if group["Keys"] == ["Project$"]
    ]
    assert [amount(each["Total"]) for each in absent] == untagged


def test_a_filter_and_its_contrary_make_the_whole(bill: Bill) -> None:
    both = [
        sum((amount(each["Total"]) for each in bill.usage(20, Filter=one)["ResultsByTime"]), Decimal(0))
        for one in (OURS, {"Not": OURS})
    ]
    assert sum(both) == sum((amount(each["Total"]) for each in bill.usage(20)["ResultsByTime"]), Decimal(0))
    assert min(both) > 0


def test_pages_together_are_the_whole_answer(bill: Bill) -> None:
    groups = (("DIMENSION", "USAGE_TYPE"), ("TAG", "Environment"))
    whole = bill.usage(6, "DAILY", *groups)
    assert "NextPageToken" not in whole
    bill.let(page_rows=7)
    pages = [bill.usage(6, "DAILY", *groups)]
    while token := pages[-1].get("NextPageToken"):
        pages.append(bill.usage(6, "DAILY", *groups, NextPageToken=token))
    assert len(pages) > 6
    found: dict[str, list[Any]] = defaultdict(list)
    for each in (each for page in pages for each in page["ResultsByTime"]):
        found[each["TimePeriod"]["Start"]] += each["Groups"]
    assert found == {each["TimePeriod"]["Start"]: each["Groups"] for each in whole["ResultsByTime"]}
    token = pages[0]["NextPageToken"]
    changed = refusal(lambda: bill.usage(6, "DAILY", ("DIMENSION", "SERVICE"), NextPageToken=token))
    assert changed[0] == "RequestChangedException"
    assert refusal(lambda: bill.usage(6, "DAILY", *groups, NextPageToken="x"))[0] == "InvalidNextTokenException"


def test_months_end_where_they_end(bill: Bill) -> None:
    periods = [each["TimePeriod"] for each in bill.usage(80, "MONTHLY")["ResultsByTime"]]
    assert (periods[0]["Start"], periods[-1]["End"]) == tuple(bill.period(80).values())
    assert all(each["Start"].endswith("-01") for each in periods[1:])
    assert all(one["End"] == other["Start"] for one, other in pairwise(periods))


def test_the_last_days_are_provisional_and_others_are_not(bill: Bill) -> None:
    answer = bill.usage(10, TimePeriod=bill.period(10, until=1))["ResultsByTime"]
    assert [each["Estimated"] for each in answer] == [False] * 7 + [True] * 3


def test_metrics_come_with_their_units(bill: Bill) -> None:
    host = {"Dimensions": {"Key": "USAGE_TYPE", "Values": ["USE1-Host:ml.m5.large"]}}
    answer = bill.usage(3, Metrics=["UnblendedCost", "AmortizedCost", "UsageQuantity"], Filter=host)
    metrics = answer["ResultsByTime"][0]["Total"]
    assert set(metrics) == {"UnblendedCost", "AmortizedCost", "UsageQuantity"}
    assert metrics["UsageQuantity"]["Unit"] == "Hrs"
    mixed = bill.usage(3, Metrics=["UsageQuantity"])["ResultsByTime"][0]["Total"]
    assert mixed["UsageQuantity"]["Unit"] == "N/A"


def test_what_there_is_to_ask_for(bill: Bill) -> None:
    period = bill.period(10)
    services = bill.ce.get_dimension_values(TimePeriod=period, Dimension="SERVICE", Filter=OURS)
    names = [each["Value"] for each in services["DimensionValues"]]
    assert names == ["Amazon SageMaker", "Amazon Simple Storage Service", "AmazonCloudWatch"]
    assert (services["ReturnSize"], services["TotalSize"]) == (3, 3)
    found = bill.ce.get_dimension_values(TimePeriod=period, Dimension="USAGE_TYPE", SearchString="train")
    assert all("Train" in each["Value"] for each in found["DimensionValues"])
    assert {"Project", "Environment", "CostCenter", "Owner"} <= set(bill.ce.get_tags(TimePeriod=period)["Tags"])
    assert bill.ce.get_tags(TimePeriod=period, TagKey="Environment")["Tags"] == ["", "dev", "prod", "staging"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"Granularity": "HOURLY"}, "ValidationException"),
        ({"Metrics": ["NoSuchCost"]}, "ValidationException"),
        ({"GroupBy": [{"Type": "TAG", "Key": "a"}] * 3}, "ValidationException"),
        ({"GroupBy": [{"Type": "DIMENSION", "Key": "NO_SUCH"}]}, "ValidationException"),
        ({"Filter": {"Dimensions": {"Key": "SERVICE", "Values": []}}}, "ValidationException"),
        ({"TimePeriod": {"Start": "2026-01-05", "End": "2026-01-05"}}, "ValidationException"),
        ({"TimePeriod": {"Start": "2019-01-05", "End": "2019-01-06"}}, "ValidationException"),
    ],
)
def test_a_report_that_makes_no_sense_is_refused(bill: Bill, more: dict[str, Any], code: str) -> None:
    assert refusal(lambda: bill.usage(5, **more))[0] == code


def test_an_operation_that_is_not_here_is_refused(bill: Bill) -> None:
    code, _ = refusal(lambda: bill.ce.get_rightsizing_recommendation(Service="AmazonEC2"))
    assert code == "UnknownOperationException"


# --- accounts that are otherwise -----------------------------------------------------------------------------------


def test_cost_explorer_may_not_be_enabled(bill: Bill) -> None:
    bill.let(enabled=False)
    assert refusal(bill.usage) == ("AccessDeniedException", "User not enabled for cost explorer access")
    assert bill.pricing.describe_services(ServiceCode="AmazonSageMaker")["Services"]


def test_tags_may_not_be_activated_and_activation_does_not_reach_back(bill: Bill) -> None:
    bill.let(tags_active=False)
    assert bill.ce.get_tags(TimePeriod=bill.period(10))["Tags"] == []
    answer = bill.usage(10, "MONTHLY", ("TAG", "Project"))
    assert {key for each in answer["ResultsByTime"] for one in each["Groups"] for key in one["Keys"]} == {"Project$"}
    assert sum((amount(each["Total"]) for each in bill.usage(10, Filter=OURS)["ResultsByTime"]), Decimal(0)) == 0
    statuses = {each["TagKey"]: each["Status"] for each in bill.ce.list_cost_allocation_tags()["CostAllocationTags"]}
    assert statuses["Project"] == "Inactive"
    wanted = [{"TagKey": "Project", "Status": "Active"}, {"TagKey": "NoSuchTag", "Status": "Active"}]
    errors = bill.ce.update_cost_allocation_tags_status(CostAllocationTagsStatus=wanted)["Errors"]
    assert [each["TagKey"] for each in errors] == ["NoSuchTag"]
    active = bill.ce.list_cost_allocation_tags(Status="Active")["CostAllocationTags"]
    assert [(each["TagKey"], each["LastUpdatedDate"][:10]) for each in active] == [("Project", str(bill.today))]
    assert sum((amount(each["Total"]) for each in bill.usage(10, Filter=OURS)["ResultsByTime"]), Decimal(0)) == 0


def test_an_account_may_be_younger_than_the_period(bill: Bill) -> None:
    bill.let(age_days=5)
    costs = [amount(each["Total"]) for each in bill.usage(10)["ResultsByTime"]]
    assert [cost > 0 for cost in costs] == [False] * 5 + [True] * 5
    period = {"Start": str(bill.today), "End": str(bill.today + timedelta(days=5))}
    ask = {"TimePeriod": period, "Granularity": "DAILY", "Metric": "UNBLENDED_COST"}
    code, words = refusal(lambda: bill.ce.get_cost_forecast(**ask))
    assert (code, words) == (
        "DataUnavailableException",
        "Insufficient amount of historical data to generate forecast",
    )


def test_the_currency_may_be_another(bill: Bill) -> None:
    bill.let(currency="EUR")
    assert {each["Total"]["UnblendedCost"]["Unit"] for each in bill.usage(3)["ResultsByTime"]} == {"EUR"}


def test_calls_may_be_throttled_and_then_answered(bill: Bill) -> None:
    words = "You made too many calls in a short period of time. Try again later."
    # botocore repeats such a call once with this client: two refusals are one for the caller
    bill.fails(service="ce", operation="GetCostAndUsage", code="LimitExceededException", message=words, count=2)
    bill.ce.get_tags(TimePeriod=bill.period(3))
    assert refusal(bill.usage) == ("LimitExceededException", words)
    assert bill.usage(3)["ResultsByTime"]


@pytest.mark.parametrize(
    "body", [{"page_rows": "7"}, {"no_such": 1}, {"age_days": 2.5}, {"enabled": 1}, ["x"], {"currency": None}]
)
def test_a_condition_that_does_not_exist_is_refused(bill: Bill, body: Any) -> None:
    before = bill.let()
    assert bill.post("costs", body).status_code == 400
    assert bill.let() == before


def test_another_seed_is_another_history(bill: Bill) -> None:
    before = [each["Total"] for each in bill.usage(20)["ResultsByTime"]]
    bill.let(seed=SEED + 1)
    assert [each["Total"] for each in bill.usage(20)["ResultsByTime"]] != before
    bill.let(seed=SEED)
    assert [each["Total"] for each in bill.usage(20)["ResultsByTime"]] == before


# --- costs to come -------------------------------------------------------------------------------------------------


def test_a_forecast_has_days_a_total_and_an_interval(bill: Bill) -> None:
    period = {"Start": str(bill.today), "End": str(bill.today + timedelta(days=14))}
    ask = {"TimePeriod": period, "Granularity": "DAILY", "Metric": "UNBLENDED_COST", "Filter": OURS}
    plain = bill.ce.get_cost_forecast(**ask)
    days = [Decimal(each["MeanValue"]) for each in plain["ForecastResultsByTime"]]
    assert len(days) == 14
    assert sum(days) == Decimal(plain["Total"]["Amount"])
    assert "PredictionIntervalLowerBound" not in plain["ForecastResultsByTime"][0]
    narrow, wide = (bill.ce.get_cost_forecast(**ask, PredictionIntervalLevel=level) for level in (60, 95))
    for one, other in zip(narrow["ForecastResultsByTime"], wide["ForecastResultsByTime"], strict=True):
        low, high = (Decimal(one[f"PredictionInterval{side}Bound"]) for side in ("Lower", "Upper"))
        assert Decimal(other["PredictionIntervalLowerBound"]) < low < Decimal(one["MeanValue"]) < high
        assert high < Decimal(other["PredictionIntervalUpperBound"])
    code, words = refusal(lambda: bill.ce.get_cost_forecast(**{**ask, "TimePeriod": bill.period(5)}))
    assert (code, words) == ("ValidationException", f"Earliest supported Start is {bill.today}")
    assert refusal(lambda: bill.ce.get_cost_forecast(**ask, PredictionIntervalLevel=99 + 1))[0] == "ValidationException"


# --- anomalies and budgets, as infra makes them --------------------------------------------------------------------


@pytest.fixture(scope="module")
def deployed(bill: Bill) -> Iterator[str]:
    """infra/events.yaml and infra/cost.yaml; the monitor's ARN."""
    cloudformation = bill.client("cloudformation")
    files = [stacks.File(f"groundcrew-{name}", ROOT / "infra" / f"{name}.yaml") for name in ("events", "cost")]
    for file in files:
        stacks.up(cloudformation, file, lambda line: None)
    (monitor,) = bill.ce.get_anomaly_monitors()["AnomalyMonitors"]
    yield monitor["MonitorArn"]
    stacks.down(cloudformation, files[1], lambda line: None)
    assert bill.ce.get_anomaly_monitors()["AnomalyMonitors"] == []


class Queue:
    """Everything that comes into the bot's queue."""

    def __init__(self, bill: Bill) -> None:
        self._sqs = bill.client("sqs")
        self._url = self._sqs.get_queue_url(QueueName="groundcrew-events")["QueueUrl"]

    def drain(self) -> list[str]:
        found = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages", [])
        for each in found:
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=each["ReceiptHandle"])
        return [each["Body"] for each in found]

    def wait(self, count: int, seconds: float = 10) -> list[str]:
        found, until = self.drain(), time.monotonic() + seconds
        while len(found) < count and time.monotonic() < until:
            time.sleep(0.05)
            found += self.drain()
        return found


@pytest.fixture
def queue(bill: Bill, deployed: str) -> Queue:
    made = Queue(bill)
    made.drain()
    return made


def test_anomalies_are_the_planted_spikes(bill: Bill, deployed: str) -> None:
    told = bill.let()
    planted = spikes(told["seed"], date.fromisoformat(told["opened"]))
    interval = {"StartDate": str(bill.today - timedelta(days=90)), "EndDate": str(bill.today)}
    found = bill.ce.get_anomalies(DateInterval=interval, MonitorArn=deployed)["Anomalies"]
    assert [each["AnomalyStartDate"][:10] for each in found] == [str(spike.first) for spike in planted]
    for each in found:
        impact, (cause,) = each["Impact"], each["RootCauses"]
        assert impact["TotalActualSpend"] == pytest.approx(
            impact["TotalExpectedSpend"] + impact["TotalImpact"], abs=0.02
        )
        assert cause["Service"] == each["DimensionValue"] == "Amazon SageMaker"
        assert cause["UsageType"].startswith("USE1-")
    large = {"NumericOperator": "GREATER_THAN", "StartValue": max(each["Impact"]["TotalImpact"] for each in found)}
    assert bill.ce.get_anomalies(DateInterval=interval, TotalImpact=large)["Anomalies"] == []
    first = found[0]["AnomalyId"]
    assert bill.ce.provide_anomaly_feedback(AnomalyId=first, Feedback="PLANNED_ACTIVITY")["AnomalyId"] == first
    answered = bill.ce.get_anomalies(DateInterval=interval, Feedback="PLANNED_ACTIVITY")["Anomalies"]
    assert [each["AnomalyId"] for each in answered] == [first]
    none = "arn:aws:ce::123456789012:anomalymonitor/none"
    code, _ = refusal(lambda: bill.ce.get_anomalies(DateInterval=interval, MonitorArn=none))
    assert code == "UnknownMonitorException"
    assert (
        refusal(lambda: bill.ce.provide_anomaly_feedback(AnomalyId="none", Feedback="YES"))[0] == "ValidationException"
    )


def test_a_spike_is_announced_to_the_queue_in_words_the_bot_knows(bill: Bill, queue: Queue, deployed: str) -> None:
    told = bill.post("cost-spike", {"hours": 25, "environment": "dev"}).json()
    (body,) = queue.wait(1)
    happening = events.read(body, events.Home(ACCOUNT, REGION))
    assert (happening.topic, happening.effect) == ("cost", "fires")
    assert happening.title == "Cost anomaly: Amazon SageMaker $35.2 above what was expected"
    assert told["anomalies"] == [json.loads(body)["detail"]["anomalyId"]]
    assert amount(bill.usage(1, Filter=OURS)["ResultsByTime"][0]["Total"]) > Decimal("35.2")
    assert bill.post("cost-spike", {"hours": 2}).json()["anomalies"] == []  # below the subscription's threshold
    assert queue.drain() == []


@pytest.mark.usefixtures("mid_month")
def test_a_budget_knows_what_was_spent_of_it_and_writes_when_it_is_too_much(bill: Bill, queue: Queue) -> None:
    budget = bill.budgets.describe_budget(**BUDGET)["Budget"]
    month = {"Start": f"{bill.today:%Y-%m-01}", "End": str(bill.today + timedelta(days=1))}
    spent = sum(Decimal(each["amount"]) for each in bill.lines(month) if each["tags"].get("Project") == "groundcrew")
    assert Decimal(budget["CalculatedSpend"]["ActualSpend"]["Amount"]) == spent
    assert Decimal(budget["CalculatedSpend"]["ForecastedSpend"]["Amount"]) >= spent
    assert {each["NotificationState"] for each in notifications(bill)} == {"OK"}
    wanted = {name: budget[name] for name in ("BudgetName", "BudgetType", "TimeUnit", "CostFilters")}
    small = {"Amount": str(spent - 1), "Unit": "USD"}
    bill.budgets.update_budget(AccountId=ACCOUNT, NewBudget={**wanted, "BudgetLimit": small})
    letters = [events.read(body, events.Home(ACCOUNT, REGION)) for body in queue.wait(3)]
    assert [each.topic for each in letters] == ["budget"] * 3
    assert {each.state for each in letters} == {"actual over threshold", "forecasted over threshold"}
    assert all("groundcrew-monthly" in each.title for each in letters)
    assert {each["NotificationState"] for each in notifications(bill)} == {"ALARM"}
    bill.budgets.update_budget(AccountId=ACCOUNT, NewBudget={**wanted, "BudgetLimit": {"Amount": "900", "Unit": "USD"}})
    assert {each["NotificationState"] for each in notifications(bill)} == {"OK"}


def notifications(bill: Bill) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = bill.budgets.describe_notifications_for_budget(**BUDGET)["Notifications"]
    return found


@pytest.mark.usefixtures("mid_month")
def test_budgets_are_made_listed_and_removed(bill: Bill, deployed: str) -> None:
    made = {
        "BudgetName": "groundcrew-test",
        "BudgetType": "COST",
        "TimeUnit": "MONTHLY",
        "BudgetLimit": {"Amount": "50.5", "Unit": "USD"},
        "CostFilters": {"Service": ["Amazon SageMaker"], "TagKeyValue": ["user:Environment$prod"]},
    }
    bill.budgets.create_budget(AccountId=ACCOUNT, Budget=made)
    code, _ = refusal(lambda: bill.budgets.create_budget(AccountId=ACCOUNT, Budget=made))
    assert code == "DuplicateRecordException"
    names = [each["BudgetName"] for each in bill.budgets.describe_budgets(AccountId=ACCOUNT)["Budgets"]]
    assert names == ["groundcrew-monthly", "groundcrew-test"]
    past = bill.budgets.describe_budget_performance_history(AccountId=ACCOUNT, BudgetName="groundcrew-test")
    months = past["BudgetPerformanceHistory"]["BudgetedAndActualAmountsList"]
    assert len(months) >= 3
    assert all(Decimal(each["ActualAmount"]["Amount"]) > 0 for each in months)
    bill.budgets.delete_budget(AccountId=ACCOUNT, BudgetName="groundcrew-test")
    gone = refusal(lambda: bill.budgets.describe_budget(AccountId=ACCOUNT, BudgetName="groundcrew-test"))
    assert gone[0] == "NotFoundException"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"BudgetLimit": {"Amount": "x", "Unit": "USD"}}, "InvalidParameterException"),
        ({"BudgetLimit": {"Amount": "0", "Unit": "USD"}}, "InvalidParameterException"),
        ({"BudgetLimit": {"Amount": "5", "Unit": "EUR"}}, "InvalidParameterException"),
        ({"TimeUnit": "DAILY"}, "InvalidParameterException"),
        ({"BudgetType": "USAGE"}, "InvalidParameterException"),
        ({"CostFilters": {"NoSuch": ["x"]}}, "InvalidParameterException"),
        ({"BudgetName": "none"}, "NotFoundException"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(bill: Bill, deployed: str, change: dict[str, Any], code: str) -> None:
    budget = bill.budgets.describe_budget(**BUDGET)["Budget"]
    kept = {name: budget[name] for name in ("BudgetName", "BudgetType", "TimeUnit", "BudgetLimit")}
    assert refusal(lambda: bill.budgets.update_budget(AccountId=ACCOUNT, NewBudget={**kept, **change}))[0] == code


# --- prices --------------------------------------------------------------------------------------------------------


def products(pricing: Any, **filters: str) -> list[dict[str, Any]]:
    asked = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in filters.items()]
    pages = pricing.get_paginator("get_products").paginate(
        ServiceCode="AmazonSageMaker", Filters=asked, PaginationConfig={"PageSize": 5}
    )
    return [json.loads(text) for page in pages for text in page["PriceList"]]


def test_prices_are_found_by_region_component_and_instance(bill: Bill) -> None:
    (one,) = products(bill.pricing, regionCode=REGION, component="Hosting", instanceName="ml.m5.large")
    (term,) = one["terms"]["OnDemand"].values()
    (dimension,) = term["priceDimensions"].values()
    assert dimension["pricePerUnit"] == {"USD": "0.1150000000"}
    assert len(products(bill.pricing, regionCode=REGION, component="Training")) > 5
    assert products(bill.pricing, regionCode=REGION, instanceName="ml.p5.48xlarge") == []
    values = bill.pricing.get_attribute_values(ServiceCode="AmazonSageMaker", AttributeName="component")
    assert {"Training", "Processing", "Hosting"} <= {each["Value"] for each in values["AttributeValues"]}
    code, _ = refusal(lambda: bill.pricing.get_products(ServiceCode="NoSuch"))
    assert code == "InvalidParameterException"


def test_the_price_list_answers_in_few_regions_and_costs_everywhere(bill: Bill, root: dict[str, str]) -> None:
    session = boto3.Session(aws_access_key_id=root["AccessKeyId"], aws_secret_access_key=root["SecretAccessKey"])

    def client(service: str, region: str) -> Any:
        return session.client(service, region_name=region, endpoint_url=bill.cloud.endpoint_url)

    assert products(client("pricing", "eu-central-1"), regionCode="eu-west-1", component="Notebook")
    code, words = refusal(lambda: products(client("pricing", "eu-west-1")))
    assert (code, "us-east-1, eu-central-1, ap-south-1" in words) == ("InvalidRegion", True)
    assert client("ce", "eu-west-1").get_tags(TimePeriod=bill.period(2))["Tags"]


# --- who may ask ---------------------------------------------------------------------------------------------------


def test_who_may_not_ask_is_told_as_aws_tells_it(bill: Bill) -> None:
    iam = bill.iam()
    iam.create_user(UserName="counts-nothing")
    key = iam.create_access_key(UserName="counts-nothing")["AccessKey"]
    client = bill.cloud.client("ce", {name: key[name] for name in ("AccessKeyId", "SecretAccessKey")})
    ask = {"TimePeriod": bill.period(2), "Granularity": "DAILY", "Metrics": ["UnblendedCost"]}
    code, words = refusal(lambda: client.get_cost_and_usage(**ask))
    assert code == "AccessDeniedException"
    assert f"ce:GetCostAndUsage on resource: arn:aws:ce:us-east-1:{ACCOUNT}:/GetCostAndUsage" in words
    statement = {"Effect": "Allow", "Action": ["ce:GetCostAndUsage", "budgets:ViewBudget"], "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    iam.put_user_policy(UserName="counts-nothing", PolicyName="p", PolicyDocument=json.dumps(document))
    assert client.get_cost_and_usage(**ask)["ResultsByTime"]
    budgets = bill.cloud.client("budgets", {name: key[name] for name in ("AccessKeyId", "SecretAccessKey")})
    code, words = refusal(lambda: budgets.delete_budget(AccountId=ACCOUNT, BudgetName="groundcrew-x"))
    assert f"budgets:ModifyBudget on resource: arn:aws:budgets::{ACCOUNT}:budget/groundcrew-x" in words


# --- what was really used ------------------------------------------------------------------------------------------


def test_a_job_that_ran_is_on_the_bill_with_its_tags(bill: Bill) -> None:
    iam, sagemaker = bill.iam(), bill.client("sagemaker")
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName="metered", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    owner = [{"Key": "Project", "Value": "groundcrew"}, {"Key": "Owner", "Value": "metered"}]
    sagemaker.create_processing_job(
        ProcessingJobName="groundcrew-dev-metered",
        RoleArn=role,
        AppSpecification={
            "ImageUri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/groundcrew:1",
            "ContainerEntrypoint": ["/bin/sh", "-c", "true"],
        },
        ProcessingResources={
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
        },
        Tags=owner,
    )
    until = time.monotonic() + 30
    while True:
        job = sagemaker.describe_processing_job(ProcessingJobName="groundcrew-dev-metered")
        if job["ProcessingJobStatus"] not in ("InProgress", "Stopping"):
            break
        assert time.monotonic() < until
        time.sleep(0.05)
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    bill.ce.update_cost_allocation_tags_status(CostAllocationTagsStatus=[{"TagKey": "Owner", "Status": "Active"}])
    mine = {"Tags": {"Key": "Owner", "Values": ["metered"]}}
    answer = bill.usage(1, Filter=mine, TimePeriod=bill.period(1, until=1), Metrics=["UnblendedCost", "UsageQuantity"])
    seconds = max(1, -(-(job["ProcessingEndTime"] - job["ProcessingStartTime"]).total_seconds() // 1))
    hours = Decimal(answer["ResultsByTime"][-1]["Total"]["UsageQuantity"]["Amount"])
    assert (hours * 3600).quantize(Decimal("0.001")) == Decimal(seconds)
    cost = amount(answer["ResultsByTime"][-1]["Total"])
    assert cost.quantize(Decimal("0.00000001")) == (hours * Decimal("0.115")).quantize(Decimal("0.00000001"))


def test_an_app_left_on_costs_while_time_passes(bill: Bill) -> None:
    iam, sagemaker = bill.iam(), bill.client("sagemaker")
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName="notebooks", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    domain = sagemaker.create_domain(
        DomainName="costs",
        AuthMode="IAM",
        VpcId="vpc-1",
        SubnetIds=["s-1"],
        DefaultUserSettings={"ExecutionRole": role},
    )["DomainArn"].rpartition("/")[2]
    sagemaker.create_space(DomainId=domain, SpaceName="mine")
    app = {"DomainId": domain, "SpaceName": "mine", "AppType": "JupyterLab", "AppName": "default"}
    owner = [{"Key": "Owner", "Value": "left-on"}]
    sagemaker.create_app(**app, ResourceSpec={"InstanceType": "ml.g5.xlarge"}, Tags=owner)
    assert refusal(lambda: sagemaker.create_app(**app))[0] == "ResourceInUse"
    assert refusal(lambda: sagemaker.delete_space(DomainId=domain, SpaceName="mine"))[0] == "ResourceInUse"
    (listed,) = sagemaker.list_apps(DomainIdEquals=domain)["Apps"]
    assert (listed["Status"], listed["ResourceSpec"]["InstanceType"]) == ("InService", "ml.g5.xlarge")
    bill.cloud.clock.tick()
    first = bill.today
    bill.cloud.clock.move(timedelta(hours=10))
    sagemaker.delete_app(**app)
    bill.cloud.clock.move(timedelta(hours=10))
    try:
        period = {"Start": str(first), "End": str(first + timedelta(days=2))}
        lines = [each for each in bill.lines(period) if each["tags"].get("Owner") == "left-on"]
    finally:
        bill.cloud.clock.move(-timedelta(hours=20))
    hours = sum(Decimal(each["quantity"]) for each in lines)
    assert Decimal(10) <= hours < Decimal("10.1")
    assert {each["usage_type"] for each in lines} == {"USE1-Studio:JupyterLab-ml.g5.xlarge"}
    assert sagemaker.describe_app(**app)["Status"] == "Deleted"
    sagemaker.delete_space(DomainId=domain, SpaceName="mine")
    sagemaker.delete_domain(DomainId=domain)
