"""What people are told about money: report, forecast, budget, anomalies, digest, and what can be wrong with each."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from bot.slack.render import PICTURE_BLOCK, blocks_of, render
from bot.slack.words import plain
from commands import anomalies, bill, budget, cost, cost_forecast, digest
from commands.command import Person
from commands.parsing import parse
from commands.reckoned import by_day
from commands.reply import Menu, Reply
from pipeline.errors import BadInput, Denied, NotFound, Unavailable
from sandbox.slack.blocks import check_message
from state import jobs
from state.jobs import Job
from tests.unit.bills import TODAY, Biller, Groups, usual
from tests.unit.fake_aws import FakeClient, refusal
from tests.unit.tidying import DETECTOR, Account

DAY = timedelta(days=1)


def ask(engine: Engine, biller: Biller, line: str, role: str = "ml-engineer") -> Reply:
    """Type a line; the answer fits into Slack, whatever it is."""
    command, arguments = parse(line)
    reply = command.handler(biller.context(engine, role), **arguments)
    return fits(reply)


def fits(reply: Reply) -> Reply:
    """The same; fails when Slack would refuse it."""
    message = render(reply)
    blocks = [block for block in message["blocks"] if block.get("block_id") != PICTURE_BLOCK]
    check_message(blocks, message.get("attachments", []))
    return reply


def facts(reply: Reply) -> dict[str, str]:
    return {fact.label: plain(fact.value) for fact in reply.facts}


def total_of(days: int, *, until: date = TODAY) -> Decimal:
    """Straightforwardly: what is ours in the days up to the day before `until`."""
    each = [usual(until - DAY * (number + 1)) for number in range(days)]
    return sum((Decimal(amount) for groups in each for amount in groups.values()), Decimal(0))


def test_a_report_tells_total_change_movers_and_what_is_apart(engine: Engine) -> None:
    reply = ask(engine, Biller(), "cost report --days 28")
    total = total_of(28)
    assert reply.title == f"{total:,.2f} USD in 28 days, as much as the 28 days before"
    assert "from the bill" in str(reply.context)
    told = facts(reply)
    assert told["Without a project tag"] == "9.24 USD, not in the total"
    assert reply.table is not None
    assert [row[0] for row in reply.table.rows] == ["Amazon SageMaker", "Amazon Simple Storage Service"]
    assert reply.picture is not None
    assert reply.picture.data.startswith(b"\x89PNG")
    assert "Amazon SageMaker" in reply.picture.alt
    assert any(block.get("block_id") == PICTURE_BLOCK for block in blocks_of(render(reply)))
    open_days = [TODAY - DAY * number for number in range(1, 29) if (TODAY - DAY * number).month == TODAY.month]
    assert ("Provisional" in told) == bool(open_days)


@pytest.mark.parametrize(
    ("by", "labels"),
    [
        ("service", {"Amazon SageMaker", "Amazon Simple Storage Service"}),
        ("environment", {"dev", "prod", "untagged"}),
        ("tag --tag Owner", {"dev", "prod", "untagged"}),
    ],
)
def test_every_grouping_of_the_bill_has_the_same_total(engine: Engine, by: str, labels: set[str]) -> None:
    reply = ask(engine, Biller(), f"cost report --days 10 --by {by}")
    assert facts(reply)["Total"] == f"{total_of(10):,.2f} USD"
    assert reply.table is not None
    assert {row[0] for row in reply.table.rows} == labels


def test_a_report_costs_two_requests_and_the_rest_of_the_hour_is_free(engine: Engine) -> None:
    biller = Biller()
    for line in (
        "cost report",
        "cost report --by environment --days 7",
        "cost forecast",
        "cost anomalies",
        "cost digest now",
    ):
        ask(engine, biller, line)
    assert biller.asked() == 2


def test_what_was_said_to_one_role_is_not_shown_to_another(engine: Engine) -> None:
    biller = Biller()
    ask(engine, biller, "cost report")
    biller.ce.answers["get_cost_and_usage"] = refusal("AccessDeniedException", "not authorized: ce:GetCostAndUsage")
    ask(engine, biller, "cost report")
    with pytest.raises(Denied, match="ce:GetCostAndUsage"):
        ask(engine, biller, "cost report", role="stakeholder")


def test_after_an_hour_it_is_asked_again(engine: Engine) -> None:
    biller = Biller()
    ask(engine, biller, "cost report")
    with engine.begin() as connection:
        connection.execute(text("UPDATE answers SET at = at - interval '61 minutes'"))
    ask(engine, biller, "cost report")
    assert biller.asked() == 4
    with engine.begin() as connection:
        connection.execute(text("UPDATE answers SET at = at - interval '2 days'"))
    ask(engine, biller, "cost report --by tag")
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM answers")) == 2


def test_a_rise_is_told_with_what_moved(engine: Engine) -> None:
    def rising(day: date) -> Groups:
        more = "30.0000000000" if day >= TODAY - DAY * 7 else "10.0000000000"
        return {("Amazon SageMaker", "Environment$dev"): more, ("AWS Lambda", "Environment$dev"): "1.0"}

    reply = ask(engine, Biller(own=rising), "cost report --days 7")
    assert reply.title == "217.00 USD in 7 days, 182 % more than the 7 days before"
    assert "Moved most\n    Amazon SageMaker +140.00 USD (+200 %)" in render(reply)["text"]
    assert reply.table is not None
    assert reply.table.rows[1][-1] == "no change"


def test_another_currency_is_named(engine: Engine) -> None:
    reply = ask(engine, Biller(unit="CNY"), "cost report --days 7")
    assert "CNY in 7 days" in reply.title
    assert "USD" not in str(render(reply))


def test_an_account_younger_than_the_period_is_not_compared(engine: Engine) -> None:
    reply = ask(engine, Biller(begins=TODAY - DAY * 10), "cost report --days 30")
    assert reply.title == f"{total_of(10):,.2f} USD in 30 days"
    assert "no full period to compare with" in str(reply.text)
    assert reply.table is not None
    assert list(reply.table.columns) == ["Service", "Cost", "Share"]


def test_without_tags_it_says_what_to_activate(engine: Engine) -> None:
    biller = Biller(own=lambda day: {}, rest=lambda day: {("Amazon SageMaker", "Project$"): "3.5"})
    reply = ask(engine, biller, "cost report --days 10")
    assert "Active are: none" in str(reply.text)
    assert "not for days before, and lag a day" in str(reply.text)
    assert facts(reply)["Without a project tag"] == "35.00 USD, not in the total"
    assert reply.picture is None
    biller.ce.answers["list_cost_allocation_tags"] = refusal("AccessDeniedException", "no")
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM answers"))
    assert "Activate Project" in str(ask(engine, biller, "cost report --days 10").text)


def test_an_account_without_any_charge_is_said_to_be(engine: Engine) -> None:
    reply = ask(engine, Biller(begins=TODAY + DAY), "cost report")
    assert reply.title == "No costs in 30 days"
    assert reply.table is None
    assert "too little history" in ask(engine, Biller(begins=TODAY + DAY), "cost forecast").title


@pytest.mark.parametrize(("until", "words"), [("2999-01-01", "future"), ("soon", "is no day")])
def test_a_period_that_cannot_be(engine: Engine, until: str, words: str) -> None:
    biller = Biller()
    with pytest.raises(BadInput, match=words):
        ask(engine, biller, f"cost report --until {until}")
    assert biller.asked() == 0


def test_a_period_of_long_ago_is_asked_for(engine: Engine) -> None:
    until = TODAY - DAY * 40
    reply = ask(engine, Biller(), f"cost report --days 14 --until {until}")
    assert facts(reply)["Total"] == f"{total_of(14, until=until + DAY):,.2f} USD"


def test_cost_explorer_that_is_off_or_busy(engine: Engine) -> None:
    biller = Biller()
    biller.ce.answers["get_cost_and_usage"] = refusal(
        "AccessDeniedException", "User not enabled for cost explorer access"
    )
    with pytest.raises(Unavailable, match="not enabled"):
        ask(engine, biller, "cost report")
    biller.ce.answers["get_cost_and_usage"] = refusal("LimitExceededException", "Rate exceeded")
    with pytest.raises(Unavailable, match="busy"):
        ask(engine, biller, "cost report")


# ---- from our own records

NOW = datetime.now(UTC)
MIDDAY = datetime.combine(TODAY - DAY * 3, time(12), UTC)
TRAINING = Job(
    "arn:1", "training", "groundcrew-dev-train-1", "dev", "Train", "arn:e", None, "T0GC", "U0DS1", "ml.c5.xlarge", 1,
    False, MIDDAY, MIDDAY + timedelta(hours=2), Decimal(7200), Decimal("0.204"), "USD",
)  # fmt: skip
ENDPOINT = replace(
    TRAINING, id="arn:2#c", kind="endpoint", step=None, execution=None, endpoint="groundcrew-dev-detector",
    user_id=None, started_at=MIDDAY - DAY * 4, ended_at=None, seconds=None, per_hour=Decimal("0.115"),
)  # fmt: skip


@pytest.fixture
def records(engine: Engine) -> Iterator[Engine]:
    with engine.begin() as connection:
        for job in (TRAINING, ENDPOINT, replace(TRAINING, id="arn:3", per_hour=None, currency=None)):
            jobs.put(connection, job)
    yield engine


def test_records_are_laid_over_their_days_and_marked_as_reckoned(records: Engine) -> None:
    biller, until = Biller(), f"--until {TODAY - DAY}"
    reply = ask(records, biller, f"cost report --by endpoint --days 2 {until}")
    assert facts(reply)["Total"] == "5.52 USD"  # two whole days of the endpoint
    assert "not from the bill" in str(reply.text)
    assert "1 of the records have no known price" not in str(reply.text)
    assert biller.asked() == 0
    longer = ask(records, biller, f"cost report --by step --days 5 {until}")
    assert longer.table is not None
    assert {row[0]: row[1] for row in longer.table.rows} == {"endpoint": "13.80 USD", "Train": "0.41 USD"}
    assert "1 of the records have no known price" in str(longer.text)
    by_person = ask(records, biller, f"cost report --by person --days 5 {until}")
    assert by_person.table is not None
    assert {row[0] for row in by_person.table.rows} == {"U0DS1", "nobody by hand"}
    totals = {facts(reply)["Total"] for reply in (longer, by_person)}
    assert totals == {"14.21 USD"}


def test_our_own_records_know_today_up_to_now(engine: Engine) -> None:
    began = datetime.now(UTC) - timedelta(seconds=2)
    with engine.begin() as connection:
        jobs.put(connection, replace(TRAINING, started_at=began, ended_at=None, seconds=None, per_hour=Decimal(3600)))
    reply = ask(engine, Biller(), "cost report --by step --days 2")
    assert reply.table is not None
    assert [row[0] for row in reply.table.rows] == ["Train"]
    assert "Today is counted up to now" in str(reply.text)


def test_records_in_another_currency_are_told_apart(records: Engine) -> None:
    with records.begin() as connection:
        jobs.put(connection, replace(TRAINING, id="arn:4", currency="CNY"))
    reply = ask(records, Biller(), "cost report --by step --days 5")
    assert "0.41 CNY more is in another currency, and not added" in str(reply.text)


def test_no_records_are_no_error(engine: Engine) -> None:
    reply = ask(engine, Biller(), "cost report --by person")
    assert "No job with a price was recorded" in str(reply.text)
    assert reply.picture is None


@given(
    st.integers(0, 10 * 86_400), st.integers(0, 10 * 86_400), st.decimals("0.0001", "100", places=4), st.integers(1, 4)
)
def test_the_days_of_a_job_add_up_to_the_job(start: int, ran: int, price: Decimal, instances: int) -> None:
    began = datetime(2026, 5, 4, tzinfo=UTC) + timedelta(seconds=start)
    ended = began + timedelta(seconds=ran)
    job = replace(TRAINING, started_at=began, ended_at=ended, seconds=Decimal(ran), per_hour=price, instances=instances)
    parts = dict(by_day(job, ended))
    whole = job.cost(ended)
    assert whole is not None
    assert sum(parts.values(), Decimal(0)) == whole.quantize(Decimal("0.0000000001"))
    assert all(amount >= 0 for amount in parts.values())
    assert set(parts) <= {began.date() + DAY * number for number in range((ended.date() - began.date()).days + 1)}


# ---- forecast and budget


def test_the_month_is_foretold_and_held_against_the_budget(engine: Engine) -> None:
    biller = Biller()
    reply = ask(engine, biller, "cost forecast")
    last = calendar.monthrange(TODAY.year, TODAY.month)[1]
    month = [TODAY.replace(day=number) for number in range(1, last + 1)]
    truth = sum((Decimal(amount) for day in month for amount in usual(day).values()), Decimal(0))
    assert reply.title == f"{TODAY:%B %Y} will come to about {truth:,.2f} USD"
    told = facts(reply)
    assert told["Budget"].startswith("900.00 USD: the month is expected to take")
    spent = sum((Decimal(amount) for day in month if day < TODAY for amount in usual(day).values()), Decimal(0))
    assert told["AWS's forecast"] == f"{spent + Decimal('321.5'):,.2f} USD"
    assert reply.picture is not None


def test_a_forecast_does_without_aws_and_without_a_budget(engine: Engine) -> None:
    biller = Biller()
    biller.ce.answers["get_cost_forecast"] = refusal("DataUnavailableException", "Insufficient amount of data")
    biller.budgets.answers["describe_budget"] = refusal("NotFoundException", "Unable to get budget")
    told = facts(ask(engine, biller, "cost forecast"))
    assert told["AWS's forecast"].startswith("none: Cost Explorer's forecast has no data")
    assert told["Budget"] == "none; cost budget set 500 makes one"
    biller.budgets.answers["describe_budget"] = refusal("AccessDeniedException", "not authorized")
    assert facts(ask(engine, biller, "cost forecast"))["Budget"] == "unknown: not authorized"


@pytest.mark.parametrize("day", [1, 28, 31])
def test_a_month_has_its_edges(engine: Engine, day: int) -> None:
    """On the first nothing was spent yet, on the last one day is left."""
    since, today = date(2026, 1, 20), date(2026, 5, day)
    rows = [bill.spending.Charge(each, "A", "", Decimal(10)) for each in bill.spending.days(since, today + DAY)]
    own = bill.spending.Bill(rows, "USD", frozenset())
    found = cost_forecast.month(bill.Spending(today, since, own, own))
    assert found is not None
    assert (found.start, found.end, len(found.days)) == (date(2026, 5, 1), date(2026, 6, 1), 32 - day)
    assert (found.spent, found.total) == (10 * (day - 1), pytest.approx(Decimal(310)))
    assert found.low == pytest.approx(Decimal(310))


def test_a_budget_is_shown_with_what_is_left(engine: Engine) -> None:
    biller = Biller()
    reply = ask(engine, biller, "cost budget show")
    assert reply.title == "499.75 USD of the month's budget is left"
    assert facts(reply)["AWS expects"] == "700.50 USD"
    left = budget.left(biller.context(engine))
    assert left is not None
    assert left.left == Decimal("499.75")
    biller.budgets.answers["describe_budget"] = refusal("NotFoundException", "Unable to get budget")
    assert ask(engine, biller, "cost budget show").title == "There is no budget"


def test_a_budget_is_planned_and_set(engine: Engine) -> None:
    biller = Biller()
    command, arguments = parse('cost budget set 1200.5 --reason "two surveys"')
    assert command.approval is not None
    assert command.plan is not None
    plan = command.plan(biller.context(engine), **arguments)
    assert plan.title == "set the month's budget to 1,200.50 USD"
    assert plan.bound["was"] == "900.00 USD"
    reply = ask(engine, biller, 'cost budget set 1200.5 --reason "two surveys"')
    assert reply.title == "The month's budget is 1,200.50 USD"
    (sent,) = biller.budgets.requests("update_budget")
    assert sent["NewBudget"]["BudgetLimit"] == {"Amount": "1200.50", "Unit": "USD"}


def test_a_budget_in_another_currency_is_refused(engine: Engine) -> None:
    with pytest.raises(BadInput, match="billed in USD"):
        ask(engine, Biller(), "cost budget set 500 --currency EUR")
    biller = Biller(begins=TODAY + DAY)
    biller.budgets.answers["describe_budget"] = refusal("NotFoundException", "Unable to get budget")
    with pytest.raises(BadInput, match="currency is unknown"):
        ask(engine, biller, "cost budget set 500")
    ask(engine, biller, "cost budget set 500 --currency usd")
    assert biller.budgets.requests("create_budget")[0]["Budget"]["BudgetLimit"] == {"Amount": "500.00", "Unit": "USD"}


# ---- anomalies and digest

ODD = TODAY - DAY * 3


def spiky(day: date) -> Groups:
    extra = Decimal(40) if day == ODD else Decimal(0)
    base = usual(day)
    key = ("Amazon SageMaker", "Environment$dev")
    return {**base, key: str(Decimal(base[key]) + extra)}


def own_id() -> str:
    return f"own-{ODD:%Y%m%d}-amazon-sagemaker"


def test_what_nobody_expected_is_told_with_what_is_behind_it(engine: Engine) -> None:
    with engine.begin() as connection:
        at = datetime.combine(ODD, time(1), UTC)
        jobs.put(
            connection, replace(TRAINING, started_at=at, ended_at=at + timedelta(hours=20), seconds=Decimal(72000))
        )
    biller = Biller(own=spiky)
    reply = ask(engine, biller, "cost anomalies")
    assert reply.title.startswith("One unexpected cost in 30 days, 40.")
    words = str(render(reply)["text"])
    assert own_id() in words
    assert "Train groundcrew-dev-train-1" in words
    assert "4.08 USD, reckoned" in words
    assert "used: Amazon SageMaker +" in words  # the stand-in answers with services whatever is grouped
    assert "has no monitor groundcrew" in facts(reply)["Looked by"]
    (menu,) = [action for action in reply.actions if isinstance(action, Menu)]
    assert [option.command.rsplit(" ", 1)[-1] for option in menu.options] == ["yes", "no", "planned"]
    assert biller.asked() == 3


def test_feedback_on_our_own_finding_is_kept(engine: Engine) -> None:
    biller = Biller(own=spiky)
    said = ask(engine, biller, f"cost feedback {own_id()} --verdict planned")
    assert said.title.endswith(": planned")
    assert biller.ce.requests("provide_anomaly_feedback") == []
    again = ask(engine, biller, "cost anomalies")
    assert "planned, says" in str(render(again)["text"])
    assert not any(isinstance(action, Menu) for action in again.actions)
    with pytest.raises(NotFound, match="own-20200101"):
        ask(engine, biller, "cost feedback own-20200101-x --verdict yes")


def test_feedback_on_aws_finding_is_passed_on(engine: Engine) -> None:
    biller = Biller(own=spiky)
    biller.ce.answers["get_anomaly_monitors"] = {
        "AnomalyMonitors": [{"MonitorName": "groundcrew", "MonitorArn": "arn:m"}]
    }
    row: dict[str, Any] = {
        "AnomalyId": "a1b2",
        "AnomalyStartDate": f"{ODD}T00:00:00Z",
        "AnomalyEndDate": f"{ODD}T00:00:00Z",
        "DimensionValue": "Amazon SageMaker",
        "Impact": {"MaxImpact": 40.25, "TotalImpact": 40.25, "TotalActualSpend": 60.5, "TotalExpectedSpend": 20.25},
        "RootCauses": [{"Service": "Amazon SageMaker", "UsageType": "Train:ml.g5.xlarge", "Region": "eu-west-1"}],
    }
    biller.ce.answers["get_anomalies"] = {"Anomalies": [row]}
    reply = ask(engine, biller, "cost anomalies")
    words = str(render(reply)["text"])
    assert reply.title == "One unexpected cost in 30 days, 40.25 USD beyond what was expected"
    assert "Train:ml.g5.xlarge eu-west-1" in words
    assert own_id() not in words
    assert facts(reply)["Looked by"] == "Cost Anomaly Detection, and our own test"
    ask(engine, biller, "cost feedback a1b2 --verdict no")
    assert biller.ce.requests("provide_anomaly_feedback") == [{"AnomalyId": "a1b2", "Feedback": "NO"}]
    assert biller.asked() == 2


def test_detection_that_may_not_be_asked_does_not_hide_our_own_test(engine: Engine) -> None:
    biller = Biller(own=spiky)
    biller.ce.answers["get_anomaly_monitors"] = refusal("AccessDeniedException", "not authorized")
    reply = ask(engine, biller, "cost anomalies")
    assert reply.title.startswith("One unexpected cost")
    assert "could not be asked: not authorized" in facts(reply)["Looked by"]


def test_the_digest_tells_the_day_the_month_and_what_is_odd(engine: Engine) -> None:
    biller, account = Biller(own=spiky), Account()
    account.made = NOW - timedelta(days=100)
    account.deployed()
    billing = biller.context(engine)

    def client(service: str) -> Any:
        if service == "cloudwatch":
            return FakeClient(get_metric_statistics={"Datapoints": []})
        return billing.client(service) if service in ("ce", "budgets") else account.client(service)

    observer = Person("T0GC", "schedule", "Groundcrew", "observer")
    context = replace(billing, person=observer, client=client, eyes=client)
    yesterday = TODAY - DAY
    reply = digest.daily(context, NOW)
    day = f"{yesterday:%A} {yesterday.day} {yesterday:%B}"
    assert reply.title == f"Cost of {day}: {total_of(1):,.2f} USD, as much as the same day last week"
    assert facts(reply)["Budget"].startswith("900.00 USD")
    assert "Month to date" in facts(reply)
    assert reply.picture is not None
    assert "Nothing cost more than expected" in str(reply.text)
    assert "no request" in facts(reply)[f"Idle: {DETECTOR}"]
    assert facts(reply)["Ending what is idle saves"] == "83.95 USD a month"
    weekly = digest.weekly(context, NOW)
    assert weekly.title.startswith("Cost of the last 7 days:")
    assert own_id() in str(render(weekly)["text"])
    fits(weekly)
    assert biller.asked() == 2


def test_a_digest_without_a_bill_says_so_to_whoever_asked(engine: Engine) -> None:
    biller = Biller()
    biller.ce.answers["get_cost_and_usage"] = refusal("DataUnavailableException", "Data is not available.")
    with pytest.raises(Unavailable, match="no data"):
        digest.daily(biller.context(engine), NOW)


def test_periods_end_yesterday_if_nobody_says_otherwise() -> None:
    assert cost.period(1, "", date(2026, 3, 1)) == (date(2026, 2, 28), date(2026, 3, 1))
    assert cost.period(31, "2026-03-31", date(2026, 4, 1)) == (date(2026, 3, 1), date(2026, 4, 1))
    assert anomalies.LONGEST + 6 * 7 <= bill.HISTORY_DAYS
