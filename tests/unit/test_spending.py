"""Cost Explorer and Budgets on the wire: shapes as recorded, exact amounts, pages, throttling, what can be wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.stub import Stubber

from iam import sessions
from pipeline import anomalies, budgets, spending
from pipeline.errors import BadInput, Denied, GroundcrewError, Refused, Unavailable
from pipeline.spending import Charge
from tests.unit.bills import result

MAY = date(2026, 5, 4)
KEYS = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
ACCOUNT = "123456789012"


def client(service: str) -> Any:
    return boto3.client(service, "us-east-1", **KEYS)


@pytest.fixture
def ce() -> Iterator[tuple[Any, Stubber]]:
    made = client("ce")
    with Stubber(made) as stub:
        yield made, stub
        stub.assert_no_pending_responses()


def test_amounts_are_read_as_they_are_written(ce: tuple[Any, Stubber]) -> None:
    made, stub = ce
    groups = {
        ("Amazon SageMaker", "Environment$dev"): "0.1000000001",
        ("Amazon SageMaker", "Environment$"): "0.2000000002",
        ("AWS Lambda", "Environment$a$b"): "-0.0000000003",
        ("Nothing", "Environment$dev"): "0",
    }
    empty = {"TimePeriod": {"Start": "2026-05-05", "End": "2026-05-06"}, "Total": {}, "Groups": [], "Estimated": True}
    request = spending.own(MAY, date(2026, 5, 6))
    stub.add_response("get_cost_and_usage", {"ResultsByTime": [result(MAY, groups), empty]}, dict(request))
    bill = spending.read(spending.ask(made, request))
    assert bill.charges == [
        Charge(MAY, "Amazon SageMaker", "dev", Decimal("0.1000000001")),
        Charge(MAY, "Amazon SageMaker", "", Decimal("0.2000000002")),
        Charge(MAY, "AWS Lambda", "a$b", Decimal("-0.0000000003")),
    ]
    assert sum(charge.amount for charge in bill.charges) == Decimal("0.3000000000")
    assert (bill.currency, bill.provisional) == ("USD", {date(2026, 5, 5)})


def test_the_requests_ask_for_what_is_ours_and_for_everything() -> None:
    own, whole = spending.own(MAY, date(2026, 5, 6), "Owner"), spending.whole(MAY, date(2026, 5, 6))
    assert own["Filter"] == {"Tags": {"Key": "Project", "Values": ["groundcrew"], "MatchOptions": ["EQUALS"]}}
    assert own["GroupBy"] == [{"Type": "DIMENSION", "Key": "SERVICE"}, {"Type": "TAG", "Key": "Owner"}]
    assert "Filter" not in whole
    assert whole["TimePeriod"] == {"Start": "2026-05-04", "End": "2026-05-06"}


def test_further_pages_are_read(ce: tuple[Any, Stubber]) -> None:
    made, stub = ce
    request = spending.own(MAY, date(2026, 5, 5))
    pages = [{("A", "Environment$dev"): "1"}, {("B", "Environment$dev"): "2"}]
    answers = [{"ResultsByTime": [result(MAY, page)]} for page in pages]
    stub.add_response("get_cost_and_usage", {**answers[0], "NextPageToken": "more"}, dict(request))
    stub.add_response("get_cost_and_usage", answers[1], {**request, "NextPageToken": "more"})
    assert [charge.service for charge in spending.read(spending.ask(made, request)).charges] == ["A", "B"]


def test_an_answer_without_an_end_is_given_up() -> None:
    class Endless:
        calls = 0

        def get_cost_and_usage(self, **request: Any) -> dict[str, Any]:
            self.calls += 1
            return {"ResultsByTime": [], "NextPageToken": "again"}

    endless = Endless()
    with pytest.raises(Unavailable, match="does not end"):
        spending.ask(endless, spending.own(MAY, date(2026, 5, 5)))
    assert endless.calls == spending.MOST_PAGES


def test_currencies_are_not_added_up() -> None:
    rows = [result(MAY, {("A", "T$"): "1"}), result(MAY, {("B", "T$"): "1"}, unit="CNY")]
    with pytest.raises(Refused, match="CNY, USD"):
        spending.read(rows)
    assert spending.read(rows[1:]).currency == "CNY"


@pytest.mark.parametrize(
    ("code", "message", "error", "words"),
    [
        ("AccessDeniedException", "User: arn is not authorized to perform: ce:GetCostAndUsage", Denied, "authorized"),
        ("AccessDeniedException", "User not enabled for cost explorer access", Unavailable, "not enabled"),
        ("DataUnavailableException", "Data is not available.", Unavailable, "no data"),
        ("LimitExceededException", "Rate exceeded", Unavailable, "busy"),
        ("BillExpirationException", "The bill expired", Unavailable, "changed while it was read"),
        ("ValidationException", "Start date is too old", BadInput, "too old"),
        ("SomethingNewException", "Hm.", Unavailable, "refuses"),
    ],
)
def test_refusals_say_what_to_do(
    ce: tuple[Any, Stubber], code: str, message: str, error: type[GroundcrewError], words: str
) -> None:
    made, stub = ce
    stub.add_client_error("get_cost_and_usage", code, message)
    with pytest.raises(error, match=words) as raised:
        spending.ask(made, spending.own(MAY, date(2026, 5, 5)))
    assert message.rstrip(".") in raised.value.message
    assert raised.value.advice or error is Denied


def test_throttling_is_waited_for_and_then_said(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("botocore.endpoint.time.sleep", waits.append)
    made = boto3.client("ce", "us-east-1", config=sessions._CONFIG, **KEYS)
    asked: list[Any] = []

    def throttle(request: Any, **_: Any) -> AWSResponse:
        asked.append(request)

        class Raw:
            def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
                yield b'{"__type": "LimitExceededException", "Message": "Rate exceeded"}'

        headers = {"x-amzn-ErrorType": "LimitExceededException"}
        return AWSResponse(request.url, 400, headers, Raw())

    made.meta.events.register("before-send.ce.GetCostAndUsage", throttle)
    with pytest.raises(Unavailable, match="busy: Rate exceeded"):
        spending.ask(made, spending.own(MAY, date(2026, 5, 5)))
    assert (len(asked), len(waits)) == (5, 4)


def test_a_service_that_does_not_answer_is_unavailable() -> None:
    made = boto3.client(
        "ce", "us-east-1", endpoint_url="http://127.0.0.1:9", config=Config(retries={"total_max_attempts": 1}), **KEYS
    )
    with pytest.raises(Unavailable, match="does not answer"):
        spending.ask(made, spending.own(MAY, date(2026, 5, 5)))


def test_an_empty_period_is_refused() -> None:
    with pytest.raises(BadInput, match="no day"):
        spending.own(MAY, MAY)


def test_a_forecast_of_aws_is_for_what_is_ours(ce: tuple[Any, Stubber]) -> None:
    made, stub = ce
    period = {"Start": "2026-05-04", "End": "2026-05-06"}
    ours = {"Tags": {"Key": "Project", "Values": ["groundcrew"], "MatchOptions": ["EQUALS"]}}
    asked = {"TimePeriod": period, "Metric": "UNBLENDED_COST", "Granularity": "DAILY", "Filter": ours}
    stub.add_response("get_cost_forecast", {"Total": {"Amount": "21.0000000001", "Unit": "USD"}}, asked)
    total = {"Amount": "21.0000000001", "Unit": "USD"}
    assert spending.ask_forecast(made, MAY, date(2026, 5, 6)) == total


def test_the_active_tags_are_listed(ce: tuple[Any, Stubber]) -> None:
    made, stub = ce
    tag = {"TagKey": "Project", "Type": "UserDefined", "Status": "Active"}
    stub.add_response("list_cost_allocation_tags", {"CostAllocationTags": [tag], "NextToken": "more"})
    stub.add_response("list_cost_allocation_tags", {"CostAllocationTags": [{**tag, "TagKey": "Owner"}]})
    assert spending.active_tags(made) == ["Project", "Owner"]


def test_anomalies_of_our_monitor_are_read(ce: tuple[Any, Stubber]) -> None:
    made, stub = ce
    monitor = {"MonitorName": "groundcrew", "MonitorType": "CUSTOM", "MonitorArn": "arn:m"}
    other = {"MonitorName": "other", "MonitorType": "CUSTOM", "MonitorArn": "arn:o"}
    row = {
        "AnomalyId": "a1b2",
        "AnomalyStartDate": "2026-05-01T00:00:00Z",
        "AnomalyEndDate": "2026-05-02T00:00:00Z",
        "DimensionValue": "Amazon SageMaker",
        "AnomalyScore": {"MaxScore": 0.5, "CurrentScore": 0.4},
        "Impact": {"MaxImpact": 20.1, "TotalImpact": 30.5, "TotalActualSpend": 60.7, "TotalExpectedSpend": 30.2},
        "RootCauses": [{"Service": "Amazon SageMaker", "Region": "eu-west-1", "UsageType": "EUW1-Train:ml.g5.xlarge"}],
        "Feedback": "PLANNED_ACTIVITY",
        "MonitorArn": "arn:m",
    }
    stub.add_response("get_anomaly_monitors", {"AnomalyMonitors": [other, monitor]})
    when = {"StartDate": "2026-04-04", "EndDate": "2026-05-04"}
    stub.add_response("get_anomalies", {"Anomalies": [row]}, {"MonitorArn": "arn:m", "DateInterval": when})
    (found,) = anomalies.read(anomalies.ask(made, date(2026, 4, 4), MAY) or [])
    assert (found.start, found.end, found.service) == (date(2026, 5, 1), date(2026, 5, 2), "Amazon SageMaker")
    assert (found.actual, found.expected, found.excess) == (Decimal("60.7"), Decimal("30.2"), Decimal("30.5"))
    assert (found.causes, found.verdict, found.ours) == (["EUW1-Train:ml.g5.xlarge eu-west-1"], "planned", False)


def test_without_a_monitor_of_ours_nothing_is_asked_further(ce: tuple[Any, Stubber]) -> None:
    made, stub = ce
    stub.add_response("get_anomaly_monitors", {"AnomalyMonitors": []})
    assert anomalies.ask(made, MAY, MAY) is None


def budget(**more: Any) -> dict[str, Any]:
    base = {"BudgetName": "groundcrew-monthly", "BudgetType": "COST", "TimeUnit": "MONTHLY"}
    return {**base, "BudgetLimit": {"Amount": "900.0", "Unit": "USD"}, **more}


def test_a_budget_is_read_and_changed_in_its_limit_only() -> None:
    made = client("budgets")
    spend = {"ActualSpend": {"Amount": "950.125", "Unit": "USD"}, "ForecastedSpend": {"Amount": "1000", "Unit": "USD"}}
    filters = {"TagKeyValue": ["user:Project$groundcrew"]}
    there = budget(CalculatedSpend=spend, CostFilters=filters)
    with Stubber(made) as stub:
        asked = {"AccountId": ACCOUNT, "BudgetName": "groundcrew-monthly"}
        stub.add_response("describe_budget", {"Budget": there}, asked)
        found = budgets.load(made, ACCOUNT)
        stub.add_response("describe_budget", {"Budget": there}, asked)
        new = {**budget(CostFilters=filters), "BudgetLimit": {"Amount": "1200.50", "Unit": "USD"}}
        stub.add_response("update_budget", {}, {"AccountId": ACCOUNT, "NewBudget": new})
        budgets.put(made, ACCOUNT, Decimal("1200.50"), "USD")
        stub.assert_no_pending_responses()
    assert found is not None
    assert (found.left, found.forecast, found.currency) == (Decimal("-50.125"), Decimal(1000), "USD")


def test_a_budget_that_is_missing_is_made() -> None:
    made = client("budgets")
    with Stubber(made) as stub:
        for _ in range(2):
            stub.add_client_error("describe_budget", "NotFoundException", "Unable to get budget")
        filters = {"TagKeyValue": ["user:Project$groundcrew"]}
        new = {**budget(CostFilters=filters), "BudgetLimit": {"Amount": "500", "Unit": "USD"}}
        stub.add_response("create_budget", {}, {"AccountId": ACCOUNT, "Budget": new})
        assert budgets.load(made, ACCOUNT) is None
        budgets.put(made, ACCOUNT, Decimal(500), "USD")
        stub.assert_no_pending_responses()


def test_a_budget_that_may_not_be_seen_is_denied() -> None:
    made = client("budgets")
    with Stubber(made) as stub:
        stub.add_client_error("describe_budget", "AccessDeniedException", "not authorized: budgets:ViewBudget")
        with pytest.raises(Denied, match="ViewBudget"):
            budgets.load(made, ACCOUNT)
