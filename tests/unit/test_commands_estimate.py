"""What a line is said to cost, from our own runs or from a typical time; and what it did cost, in a message."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from commands import estimate, spent
from commands.command import Context, Person
from commands.estimate import Estimate, Limits
from commands.parsing import parse
from commands.reply import Reply
from commands.wording import money, money_range
from pipeline import definition
from pipeline.errors import BadInput, Refused, Unavailable
from pipeline.names import Names
from pipeline.tracking import Tracking
from state import estimates, jobs, prices
from state.estimates import EstimateRow
from state.jobs import Job

NAMES = Names("123456789012", "us-east-1")
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
EXECUTION = NAMES.arn("sagemaker", "pipeline/groundcrew-dev-detector/execution/7f3abc12def0")
PRICES = {
    ("Processing", "ml.t3.medium"): "0.05",
    ("Processing", "ml.m5.large"): "0.115",
    ("Training", "ml.c5.xlarge"): "0.204",
    ("Hosting", "ml.t2.medium"): "0.056",
    ("Hosting", "ml.m5.large"): "0.115",
    ("Hosting", "ml.c5.large"): "0.102",
    ("Hosting", "ml.c5.xlarge"): "0.204",
    ("Hosting", "ml.c5.2xlarge"): "0.408",
}
TIMES = {"Preprocess": 10, "Train": 40, "Evaluate": 12, "Baseline": 20, "Explain": 9, "Deploy": 15}


class Books:
    """A database with prices and, when the test says so, runs."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        with engine.begin() as connection:
            for (component, kind), amount in PRICES.items():
                prices.put(connection, NAMES.region, component, kind, Decimal(amount), "USD")

    def context(self, role: str = "data-scientist") -> Context:
        def eyes(service: str) -> Any:
            raise Unavailable(f"{service} does not answer")

        me = Person("T0GC", "U0DS1", "somebody", role)
        return Context(me, "i", NAMES, eyes, Tracking(""), self.engine, eyes=eyes)

    def ask(self, line: str) -> Estimate:
        command, arguments = parse(line)
        found = estimate.of(self.context(), command, arguments)
        assert found is not None
        return found

    def says(self, line: str, role: str = "data-scientist") -> Reply:
        command, arguments = parse(f"cost estimate {line}")
        return command.handler(self.context(role), **arguments)

    def ran(self, number: int, scale: float = 1.0, work: Mapping[str, int] | None = None) -> None:
        """A whole run of the pipeline that completed."""
        done = work or {"epochs": 4, "image_size": 128, "photos": 300}
        for step, seconds in TIMES.items():
            self.job(f"{step}-{number}", step, seconds * (scale if step == "Train" else 1.0), NOON, done)
        self.serves("ml.m5.large")

    def job(
        self, name: str, step: str, seconds: float | None, at: datetime, work: Mapping[str, int] | None = None
    ) -> Job:
        kind = definition.JOBS[step][0]
        component = "Training" if step == "Train" else "Processing"
        ended = None if seconds is None else at + timedelta(seconds=seconds)
        job = Job(
            name, "training" if step == "Train" else "processing", name, "dev", step, EXECUTION, None, "T0GC", "U0DS1",
            kind, 1, False, at, ended, None if seconds is None else Decimal(str(seconds)),
            Decimal(PRICES[component, kind]), "USD", work,
        )  # fmt: skip
        with self.engine.begin() as connection:
            jobs.put(connection, job)
        return job

    def serves(self, kind: str, since: datetime = NOON) -> None:
        stack = NAMES.stack("dev")
        row = Job(
            f"{stack}#c", "endpoint", stack, "dev", None, None, stack, None, None, kind, 1, False, since, None, None,
            Decimal(PRICES["Hosting", kind]), "USD",
        )  # fmt: skip
        with self.engine.begin() as connection:
            jobs.put(connection, row)


@pytest.fixture
def books(engine: Engine) -> Books:
    return Books(engine)


def facts(reply: Reply) -> dict[str, str]:
    return {fact.label: str(fact.value) for fact in reply.facts}


def test_without_history_it_is_list_price_and_a_typical_time_and_says_so(books: Books) -> None:
    found = books.ask("pipeline run")
    assert found.total is not None
    assert found.total.high == pytest.approx(found.total.low * 9, rel=Decimal("0.01"))
    assert found.basis.startswith("price list × typical time: nothing like it has run yet, prices of 20")


def test_with_history_it_is_what_the_same_run_cost(books: Books) -> None:
    for number in range(3):
        books.ran(number, 1 + 0.02 * number)
    found = books.ask("pipeline run")
    costs = {step: seconds * float(found_rate(step)) / 3600 for step, seconds in TIMES.items()}
    assert found.total is not None
    assert float(found.total.expected) == pytest.approx(sum(costs.values()), rel=0.05)
    assert found.total.high < found.total.expected * 2
    assert found.basis.startswith("from the last 3 runs like this, prices of")


def found_rate(step: str) -> Decimal:
    component = "Training" if step == "Train" else "Processing"
    return Decimal(PRICES[component, definition.JOBS[step][0]])


@pytest.mark.parametrize(
    ("line", "ratio"),
    [
        ("pipeline run --epochs 8", 2),
        ("pipeline run --image-size 256", 4),
        ("pipeline run --max-images 150", 0.5),
        ("pipeline run --max-images 9000", 1),  # there are 300
    ],
)
def test_training_is_scaled_by_epochs_photos_and_image_size(books: Books, line: str, ratio: float) -> None:
    books.ran(1)
    part = next(part for part in books.ask(line).parts if part.use.step == "Train")
    assert part.time is not None
    assert part.time.expected == pytest.approx(20 + 20 * ratio)  # half of so short a run is its start


def test_the_endpoint_of_dev_counts_where_none_serves_yet(books: Books) -> None:
    first = books.ask("pipeline run")
    assert [part.use.instance_type for part in first.parts if part.use.stays] == ["ml.m5.large"]
    assert first.cheaper == []  # a run cannot choose on what it is served
    assert first.counted == pytest.approx(first.total.high + Decimal("0.115") * 24)  # type: ignore[union-attr]
    books.serves("ml.m5.large")
    assert not [part for part in books.ask("pipeline run").parts if part.use.stays]
    assert not [part for part in books.ask("pipeline run --env staging").parts if part.use.stays]


def test_a_job_is_stopped_at_its_limit_and_that_is_said(books: Books) -> None:
    books.ran(1)
    found = books.ask("pipeline run --epochs 300 --image-size 1280")
    train = next(part for part in found.parts if part.use.step == "Train")
    assert train.cut
    assert train.money is not None
    assert train.money.high == Decimal("0.816")  # four hours, no more
    assert any("and is stopped after 4 h" in words for words in found.cheaper)
    assert found.level(Limits(Decimal(1000), Decimal(2000))) == "confirmation"  # it would be in vain


def test_fewer_epochs_are_offered_when_it_is_worth_it_and_nothing_that_cannot_be_had(books: Books) -> None:
    books.ran(1)
    assert books.ask("pipeline run").cheaper == []
    dear = books.ask("pipeline run --epochs 100 --image-size 640")
    (words,) = [words for words in dear.cheaper if "--epochs 50" in words]
    assert "costs about" in words
    assert "spot" not in str(dear.cheaper)  # the pipeline keeps no checkpoints to go on from


def test_an_endpoint_costs_by_the_hour_until_it_is_deleted_and_a_smaller_one_is_offered(books: Books) -> None:
    reply = books.says("deployment create --instance-type ml.c5.2xlarge")
    assert reply.title == "About 297.84 USD a month until it is deleted"
    assert facts(reply)["Estimated monthly cost"] == "297.84 USD until it is deleted (ml.c5.2xlarge, 0.408 an hour)"
    assert facts(reply)["Cheaper"].startswith("ml.t2.medium costs 40.88 USD a month")


def test_an_endpoint_that_runs_on_it_already_costs_nothing_more(books: Books) -> None:
    books.serves("ml.m5.large")
    assert books.says("deployment create").title == "That would cost nothing more"
    assert books.ask("deployment create").level(Limits(Decimal(0), Decimal(0))) == "nothing"


def test_what_has_no_price_is_unknown_and_the_rest_still_counts(books: Books) -> None:
    with books.engine.begin() as connection:
        prices.put(connection, NAMES.region, "Training", "ml.c5.xlarge", None, "USD")
    found = books.ask("pipeline run")
    assert (found.total, found.unknown) == (None, ["ml.c5.xlarge"])
    assert found.counted > 0
    assert estimate.words(found) == "unknown: the AWS price list has no price for ml.c5.xlarge here"
    assert found.level(Limits(Decimal(1000), Decimal(2000))) == "confirmation"
    assert found.level(Limits(Decimal("0.001"), Decimal("0.002"))) == "approval"
    reply = books.says("pipeline run")
    assert reply.title == "What that costs is unknown"
    assert reply.table is not None
    assert "unknown" in reply.table.rows[1]


def test_what_costs_nothing_is_said_so(books: Books) -> None:
    with pytest.raises(BadInput, match="starts nothing that costs by the hour"):
        books.says("whoami")
    assert books.says("drift report").title == "That would cost nothing more"
    assert books.says("drift report --now").title.startswith("About 0.00")


def test_nobody_estimates_what_they_may_not_do(books: Books) -> None:
    with pytest.raises(Refused, match="data-scientist may not do that in prod"):
        books.says("deployment create --env prod")


def test_every_command_that_starts_instances_says_what_it_spends() -> None:
    from commands import all_commands

    starts = {"sagemaker:StartPipelineExecution", "sagemaker:RetryPipelineExecution", "sagemaker:CreateProcessingJob"}
    starts |= {"cloudformation:CreateStack"}
    for command in all_commands().values():
        done = {
            each
            for need in command.needs
            for each in ([need.actions] if isinstance(need.actions, str) else need.actions)
        }
        if starts & done and command.name != "deployment rollback":  # the same instance as before
            assert command.spends, f"{command.name} starts instances and does not say what they cost"


# --- after it ran ----------------------------------------------------------------------------------------------------


def said(books: Books, low: str, high: str) -> None:
    row = EstimateRow(
        f"i{low}",
        EXECUTION,
        "pipeline run",
        "dev",
        "T0GC",
        "U0DS1",
        Decimal(low),
        Decimal(low),
        Decimal(high),
        "USD",
        "",
    )
    with books.engine.begin() as connection:
        estimates.put(connection, row)


def test_a_run_shows_money_so_far_and_at_its_end_beside_the_estimate(books: Books) -> None:
    said(books, "0.0029", "0.0041")
    done = books.job("train-arn", "Train", 60, NOON)
    found, settled = spent.of_execution(books.context(), EXECUTION, [done.id], None)
    assert ([(fact.label, fact.value) for fact in found], settled) == (
        [("Cost so far", "0.0034 USD (estimate 0.0029 to 0.0041)")],
        False,
    )
    found, settled = spent.of_execution(books.context(), EXECUTION, [done.id], datetime.now(UTC))
    assert ([fact.label for fact in found], settled) == (["Cost"], True)


def test_the_last_word_waits_for_the_last_job_but_not_for_ever(books: Books) -> None:
    books.job("train-arn", "Train", 60, NOON)
    now = datetime.now(UTC)
    assert not spent.of_execution(books.context(), EXECUTION, ["train-arn", "other"], now)[1]
    assert spent.of_execution(books.context(), EXECUTION, ["train-arn", "other"], now - spent.WRITTEN_WITHIN * 2)[1]
    books.job("other", "Evaluate", None, now)
    assert not spent.of_execution(books.context(), EXECUTION, ["train-arn", "other"], now)[1]


def test_a_retried_run_is_compared_with_what_was_spent_before_and_the_last_estimate(books: Books) -> None:
    said(books, "0.0100", "0.0200")
    books.job("first", "Train", 60, NOON)  # 0.0034, long before the second estimate
    said(books, "0.0010", "0.0020")
    found, _ = spent.of_execution(books.context(), EXECUTION, ["first"], NOON)
    assert str(found[0].value).endswith("(estimate 0.0044 to 0.0054)")


def test_an_unknown_estimate_and_an_unknown_price_are_said(books: Books) -> None:
    assert spent.of_execution(books.context(), EXECUTION, [], None)[0] == []
    with books.engine.begin() as connection:
        estimates.put(connection, EstimateRow("i", EXECUTION, "l", "dev", "T", "U", None, None, None, "USD", ""))
    found, _ = spent.of_execution(books.context(), EXECUTION, [], None)
    assert found[0].value == "not yet counted (estimate unknown)"


def test_an_endpoint_says_its_hour_and_what_it_has_cost(books: Books) -> None:
    books.serves("ml.m5.large", datetime.now(UTC) - timedelta(hours=10))
    (fact,) = spent.of_endpoint(books.context(), NAMES.stack("dev"))
    assert fact.value == "0.115 USD an hour until it is deleted, 1.15 so far"
    assert spent.of_endpoint(books.context(), NAMES.stack("prod")) == []


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("1234.5", "1,234.50 USD"), ("0.345", "0.34 USD"), ("0.0034219", "0.0034 USD"), ("0.0001", "0.00010 USD"),
        ("0", "0.00 USD"), ("0.05", "0.05 USD"), ("-3", "-3.00 USD"),
    ],
)  # fmt: skip
def test_small_amounts_say_something(amount: str, words: str) -> None:
    assert money(Decimal(amount), "USD") == words


def test_a_range_of_one_amount_is_one_amount() -> None:
    assert money_range(Decimal("0.00341"), Decimal("0.00343"), "USD") == "0.0034 USD"
