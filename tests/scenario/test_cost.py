"""Money through the front door: the bill, its forecast, the budget two people change, anomalies, the digest, refusals.

The bill is the sandbox's: three seeded months, with what it really used on top. Straightforward sums are asked of the
same stand-in with the operator's rights, so what a person reads is held against something that is not ours.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any

import httpx
from PIL import Image

from sandbox import evidence
from sandbox.person import buttons, rows
from tests.conftest import Sandbox
from tests.scenario.test_access import Aws
from tests.scenario.test_governance import sql

OURS = {"Tags": {"Key": "Project", "Values": ["groundcrew"], "MatchOptions": ["EQUALS"]}}


def today() -> date:
    return datetime.now(UTC).date()


def billed(sandbox: Sandbox, days: int) -> Decimal:
    """What is ours in the days up to yesterday, asked without any grouping."""
    period = {"Start": str(today() - timedelta(days=days)), "End": str(today())}
    answer = (
        Aws(sandbox.settings())
        .client("ce")
        .get_cost_and_usage(TimePeriod=period, Granularity="DAILY", Metrics=["UnblendedCost"], Filter=OURS)
    )
    amounts = [Decimal(day["Total"]["UnblendedCost"]["Amount"]) for day in answer["ResultsByTime"]]
    return sum(amounts, Decimal(0))


def fails(sandbox: Sandbox, **fault: Any) -> None:
    """Order a fault in the local AWS."""
    url = f"http://127.0.0.1:{sandbox.port('aws')}/_sandbox/faults"
    httpx.post(url, json=fault, headers={"X-Sandbox": "1"}, trust_env=False).raise_for_status()


def test_the_report_is_the_bill_to_the_cent_with_a_picture(sandbox: Sandbox) -> None:
    person = sandbox.slack.person("U0STK")
    message = person.asks("cost report --days 30", "USD in 30 days", "from the bill")
    assert f"{billed(sandbox, 30):,.2f} USD in 30 days" in message["words"]
    table = rows(message)
    assert table[0] == ["Service", "Cost", "Share", "Before", "Change"]
    assert {"Amazon SageMaker", "Amazon Simple Storage Service"} <= {row[0] for row in table}
    assert "Without a project tag" in message["words"]
    with Image.open(BytesIO(sandbox.slack.bytes_of(evidence.picture(message)))) as picture:
        assert picture.size == (1200, 560)
    by_environment = person.sees("USD in 30 days", "staging", after=person.presses(message, "By environment"))
    assert {"dev", "staging", "prod"} <= {row[0] for row in rows(by_environment)}


def test_the_forecast_stands_beside_the_one_of_aws_and_the_budget(sandbox: Sandbox) -> None:
    message = sandbox.slack.person("U0STK").asks("cost forecast", "will come to about", "AWS's forecast")
    assert "AWS's forecast\nnone" not in message["words"]
    assert evidence.picture(message)


def test_a_budget_takes_two_people(sandbox: Sandbox) -> None:
    ml, other = sandbox.slack.person("U0ML1"), sandbox.slack.person("U0ML2")
    after = sandbox.slack.person("U0STK").types('cost budget set 950 --reason "a second drone"')
    ml.sees("Approval needed", "950.00 USD", after=after)
    card = other.sees("Approval needed", "950.00 USD", "a second drone", button="Approve…", after=after)
    other.sees("The month's budget is 950.00 USD", after=other.presses(card, "Approve…"))
    sandbox.slack.person("U0STK").asks("cost budget show", "950.00 USD a month")
    ml.asks("cost budget set 500 --currency EUR", "billed in USD")


def test_an_unexpected_cost_is_answered_with_a_button(sandbox: Sandbox) -> None:
    ds = sandbox.slack.person("U0DS1")
    message = ds.asks("cost anomalies --days 30", "One unexpected cost", "Cost Anomaly Detection")
    assert evidence.picture(message)
    sandbox.slack.person("U0STK").asks(buttons(message)["Planned"], "AWS said no")
    ds.sees("planned", "Cost Anomaly Detection was told", after=ds.presses(message, "Planned"))
    assert "planned, says" in ds.asks("cost anomalies --days 30", "One unexpected cost")["words"]


def test_the_digest_is_posted_for_everybody_by_hand_and_by_schedule(sandbox: Sandbox) -> None:
    ml, reader = sandbox.slack.person("U0ML1"), sandbox.slack.person("U0STK")
    after = ml.types("cost digest now")
    message = reader.sees("Cost of", "Month to date", "Forecast of", after=after)
    assert not message["ephemeral"], "nobody else sees it"
    assert f"{billed(sandbox, 1):,.2f} USD" in message["words"]
    assert evidence.picture(message)
    after = ml.types("schedule set digest-weekly --at 00:00 --zone UTC --late 1w")
    try:
        ml.sees("Schedule digest-weekly", after=after)
        # As if it had been set a week ago: the last midnight is due, and dealt with when the schedules are looked at.
        sql(sandbox, "UPDATE schedules SET created_at = now() - interval '7 days' WHERE name = 'digest-weekly'")
        sql(sandbox, "NOTIFY groundcrew_schedules")
        posted = reader.sees("Cost of the last 7 days", "digest-weekly", after=after, seconds=60)
        assert evidence.picture(posted)
    finally:
        ml.asks("schedule remove digest-weekly", "is removed")


def test_what_aws_will_not_tell_is_said_with_what_to_do(sandbox: Sandbox) -> None:
    person = sandbox.slack.person("U0ML2")
    fault = {"service": "ce", "operation": "GetCostAndUsage"}
    fails(sandbox, **fault, code="AccessDeniedException", message="User not enabled for cost explorer access")
    person.asks("cost report --by tag --tag Owner", "not enabled in this account", "opens Cost Explorer")
    fails(sandbox, **fault, code="DataUnavailableException", message="Data is not available.")
    person.asks("cost report --by tag --tag Owner", "no data for this yet")
    fails(sandbox, **fault, code="LimitExceededException", message="Rate exceeded", count=2)
    person.asks("cost report --by tag --tag Owner", "USD in 30 days", "data-science")
    person.asks("cost report --until 2999-01-01", "lies in the future", "cost forecast")


def test_a_person_without_a_role_sees_no_costs(sandbox: Sandbox) -> None:
    sandbox.slack.person("U0NEW").asks("cost report", "I do not know you yet")
