"""What people read about idle things: dearest first, unknown said to be unknown, and what ends each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from bot.slack.render import blocks_of, render
from commands import idle as commands
from commands import leftovers, studio
from commands.monthly import NOTHING, UNKNOWN, Cost, Monthly, summed, total
from commands.parsing import parse
from commands.reply import Action, Menu, Reply
from commands.wording import money, size
from pipeline.errors import BadInput, NotFound
from sandbox.slack.blocks import check_message
from tests.unit.fake_aws import FakeClient, refusal
from tests.unit.tidying import DETECTOR, ENV, NAMES, Account, context

LONG_AGO = datetime.now(UTC) - timedelta(days=100)


@pytest.fixture
def account() -> Account:
    """A detector that nobody asks, a stray, and a notebook left on."""
    made = Account()
    made.made = LONG_AGO
    made.deployed()
    made.endpoints[f"{NAMES.begin(ENV)}second"] = "c"
    made.models.append(f"{NAMES.begin(ENV)}stray")
    made.apps = [
        {"DomainId": "d-1", "AppType": "JupyterLab", "AppName": "a", "SpaceName": "mine", "Status": "InService"}
    ]
    return made


class Quiet:
    """The account's clients, with CloudWatch that saw no request and apps that say since when nobody used them."""

    def __init__(self, account: Account, **changed: FakeClient) -> None:
        self.account = account
        self.changed = changed

    def client(self, service: str) -> Any:
        if service in self.changed:
            return self.changed[service]
        if service == "cloudwatch":
            return FakeClient(get_metric_statistics={"Datapoints": []})
        client = self.account.client(service)
        if service == "sagemaker":
            about = {"Status": "InService", "CreationTime": LONG_AGO, "ResourceSpec": {"InstanceType": "ml.t3.large"}}
            client.answers["describe_app"] = about
        return client


def shown(reply: Reply) -> Reply:
    content = render(reply)
    check_message(blocks_of(content), [])
    for action in reply.actions:
        for each in action.options if isinstance(action, Menu) else [action]:
            assert parse(each.command)
    return reply


def buttons(reply: Reply) -> list[str]:
    return [action.command for action in reply.actions if isinstance(action, Action)]


def listed(account: Account, engine: Engine, **changed: FakeClient) -> Reply:
    return shown(commands.idle_(context(Quiet(account, **changed), engine), env=ENV))  # type: ignore[arg-type]


def test_the_list_begins_with_what_costs_most_and_ends_with_clutter(account: Account, engine: Engine) -> None:
    account.prices["ml.t3.large"] = "0.1"
    account.prices["ml.m5.large"] = "0.115"
    reply = listed(account, engine)
    assert reply.title == "Idle in staging: 240.90 USD a month"
    assert reply.table is not None
    assert [(row[0], row[3]) for row in reply.table.rows] == [
        ("endpoint on ml.m5.large", "83.95 USD"),
        ("endpoint on ml.m5.large", "83.95 USD"),
        ("Studio app on ml.t3.large (all environments)", "73.00 USD"),
        ("log group, 2.0 KB (all environments)", "less than 0.0001 USD"),
        ("leftovers", "nothing by itself"),
    ]
    assert buttons(reply) == [
        f"deployment delete --env {ENV}",
        f"cleanup plan {ENV}",
        "studio stop mine",
        "cleanup logs",
        f"cleanup models {ENV}",
    ]


def test_what_has_no_price_comes_first_and_is_said_to_be_unknown(account: Account, engine: Engine) -> None:
    del account.prices["ml.m5.large"]
    account.prices["ml.t3.large"] = "0.1"
    reply = listed(account, engine)
    assert reply.title == "Idle in staging: 73.00 USD and 2 of unknown cost a month"
    assert reply.table is not None
    assert [row[3] for row in reply.table.rows][:3] == ["unknown", "unknown", "73.00 USD"]


def test_a_price_list_that_does_not_answer_is_asked_once(account: Account, engine: Engine) -> None:
    silent = FakeClient(get_products=refusal("InternalErrorException", "we are down"))
    reply = listed(account, engine, pricing=silent)
    assert len(silent.calls) == 1
    assert "Some costs are unknown" in str(reply.text)
    assert "we are down" in str(reply.text)


def test_nothing_idle_says_what_was_looked_at(engine: Engine) -> None:
    bounded = FakeClient(describe_log_groups={"logGroups": []})
    reply = listed(Account(), engine, logs=bounded)
    assert reply.title == "Nothing in staging is idle"
    assert buttons(reply) == [f"cost idle --env {ENV} --days 0"]


def test_clutter_alone_costs_nothing_and_says_so(engine: Engine) -> None:
    account = Account()
    account.made = LONG_AGO
    account.models.append(f"{NAMES.begin(ENV)}stray")
    reply = listed(account, engine, logs=FakeClient(describe_log_groups={"logGroups": []}))
    assert reply.title == "Left over in staging: nothing that costs by itself"


def test_a_digest_names_the_dearest_and_what_ending_all_saves(account: Account, engine: Engine) -> None:
    account.prices["ml.t3.large"] = "0.1"
    facts = commands.idle_facts(context(Quiet(account), engine))  # type: ignore[arg-type]
    assert facts[0].label == f"Idle: {DETECTOR}"
    assert str(facts[0].value).endswith("83.95 USD a month")
    assert facts[-1].label == "Ending what is idle saves"
    assert str(facts[-1].value) == "240.90 USD a month, 2 more"


def test_a_digest_survives_an_aws_that_refuses(account: Account, engine: Engine) -> None:
    denied = FakeClient(
        list_domains=refusal("AccessDeniedException", "not authorized to perform: sagemaker:ListDomains")
    )
    (fact,) = commands.idle_facts(context(Quiet(account, sagemaker=denied), engine))  # type: ignore[arg-type]
    assert "not authorized" in str(fact.value)


# ---------------------------------------------------------------- costs


costs = st.builds(Cost, st.none() | st.decimals(0, 10**6, places=4), st.just("USD"))


@given(st.lists(costs, max_size=6))
def test_a_total_is_exact_or_unknown(every: list[Cost]) -> None:
    sum_ = total(every).amount
    known = [cost.amount for cost in every]
    assert sum_ == (None if None in known else sum((each for each in known if each), Decimal(0)))


def test_different_currencies_are_not_added() -> None:
    mixed = [Cost(Decimal(1), "USD"), Cost(Decimal(2), "CNY")]
    assert total(mixed).amount is None
    assert summed([*mixed, UNKNOWN, NOTHING]) == "1.00 USD + 2.00 CNY and 1 of unknown cost"
    assert summed([NOTHING]) == ""


def test_storage_costs_by_its_size_and_is_unknown_without_one(engine: Engine) -> None:
    monthly = Monthly(context(Account(), engine))
    assert monthly.stored("AmazonS3", 10 * 1024**3).amount == Decimal("0.23")
    assert monthly.stored("AmazonS3", None) is UNKNOWN


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("1234.5", "1,234.50 USD"),
        ("0.0099", "0.0099 USD"),
        ("0.00001", "less than 0.0001 USD"),
        ("0.01", "0.01 USD"),
        ("0", "0.00 USD"),
    ],
)
def test_money_is_never_rounded_to_nothing(amount: str, words: str) -> None:
    assert money(Decimal(amount), "USD") == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (1023, "1023 B"), (2048, "2.0 KB"), (5 * 1024**3, "5.0 GB"), (5000 * 1024**4, "5000 TB")],
)
def test_sizes(count: int, words: str) -> None:
    assert size(count) == words


# ---------------------------------------------------------------- ending single kinds


def test_models_that_nothing_serves_are_deleted_and_those_gone_already_are_no_failure(
    account: Account, engine: Engine
) -> None:
    ctx = context(account, engine)
    plan = leftovers._plan_models(ctx, env=ENV, days=7, yes=False)
    assert plan.bound == {"names": f"{NAMES.begin(ENV)}stray"}
    client = account.client("sagemaker")
    client.answers["delete_model"] = refusal("ValidationException", "Could not find model")
    reply = shown(leftovers.models(context(Quiet(account, sagemaker=client), engine), ENV, days=7))  # type: ignore[arg-type]
    assert [step.name for step in reply.steps] == [f"{NAMES.begin(ENV)}stray"]
    with pytest.raises(NotFound):
        leftovers.models(context(Account(), engine), ENV, days=7)


def test_logs_get_a_limit_that_aws_knows(engine: Engine) -> None:
    logs = FakeClient(
        describe_log_groups={"logGroups": [{"logGroupName": "/aws/sagemaker/TrainingJobs", "storedBytes": 1}]},
        put_retention_policy={},
    )
    ctx = context(Quiet(Account(), logs=logs), engine)  # type: ignore[arg-type]
    shown(leftovers.logs(ctx, keep=30))
    assert logs.requests("put_retention_policy") == [
        {"logGroupName": "/aws/sagemaker/TrainingJobs", "retentionInDays": 30}
    ]
    with pytest.raises(BadInput) as refused:
        leftovers.logs(ctx, keep=100)
    assert refused.value.advice == "Nearest: `--keep 90`."


def test_a_space_s_apps_are_stopped_and_no_other_s(account: Account, engine: Engine) -> None:
    account.apps.append({**account.apps[0], "SpaceName": "theirs"})
    client = account.client("sagemaker")
    client.answers["delete_app"] = {}
    ctx = context(Quiet(account, sagemaker=client), engine)  # type: ignore[arg-type]
    shown(studio.stop(ctx, "mine"))
    assert [request["SpaceName"] for request in client.requests("delete_app")] == ["mine"]
    with pytest.raises(NotFound) as missing:
        studio.stop(ctx, "mina")
    assert "mine" in missing.value.advice


# ---------------------------------------------------------------- who sees which button


def test_a_button_is_shown_to_whoever_may_press_it(account: Account, engine: Engine) -> None:
    ctx = context(Quiet(account), engine, role="stakeholder")  # type: ignore[arg-type]
    reply = shown(commands.idle_(ctx, env=ENV))
    assert buttons(reply) == [f"cleanup plan {ENV}"]
    assert "another role than yours" in str(reply.text)
    (menu,) = (action for action in reply.actions if isinstance(action, Menu))
    assert [option.command for option in menu.options] == [
        "cost idle --env dev --days 7",
        "cost idle --env prod --days 7",
    ]
