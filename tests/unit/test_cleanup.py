"""Cleaning an environment up: in the right order, as often as it takes, whatever is there or goes meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine

from bot.runner import Case, Runner
from bot.slack.render import blocks_of, render
from commands import cleanup as commands
from commands.command import Context
from commands.parsing import parse
from commands.reply import Outcome, Reply
from pipeline import cleanup
from pipeline.cleanup import ORDER
from pipeline.errors import BadInput, Refused
from sandbox.slack.blocks import check_message
from state import approvals, invocations
from state.invocations import Arrival
from tests.unit.fake_aws import refusal
from tests.unit.test_bot_runner import Place
from tests.unit.tidying import DETECTOR, ENV, NAMES, NOON, Account, context

TOKEN = "t" * 64
BEGIN = NAMES.begin(ENV)
NOWHERE = create_engine("sqlite://")


def full() -> Account:
    """One of everything, in a stack and outside of it."""
    account = Account()
    account.deployed()
    account.runs = {"7f3a": "Executing"}
    account.jobs = {f"{DETECTOR}-monitor-1": "InProgress", f"{BEGIN}train-x": "InProgress"}
    account.schedules = [f"{BEGIN}old-monitor"]
    account.endpoints[f"{BEGIN}stray"] = f"{BEGIN}stray-bb"
    account.configs.append(f"{BEGIN}stray-bb")
    account.models += [f"{BEGIN}stray-bb", f"{BEGIN}older"]
    return account


def everything(account: Account) -> list[cleanup.Item]:
    return cleanup.found(account.client, NAMES, ENV)


def end_all(account: Account) -> None:
    for item in everything(account):
        if not item.going:
            cleanup.end(account.client, NAMES, ENV, item, token=TOKEN)


# ---------------------------------------------------------------- what is there, in which order


def test_everything_is_found_in_the_order_in_which_it_has_to_go() -> None:
    assert [(item.kind, item.name) for item in everything(full())] == [
        ("run", "training run 7f3a"),
        ("job", f"job {DETECTOR}-monitor-1"),
        ("schedule", f"{BEGIN}old-monitor"),
        ("stack", DETECTOR),
        ("endpoint", f"{BEGIN}stray"),
        ("config", f"{BEGIN}stray-bb"),
        ("model", f"{BEGIN}stray-bb"),
        ("model", f"{BEGIN}older"),
    ]


def test_a_stack_takes_along_what_is_in_it_and_costs_what_its_endpoint_costs() -> None:
    account = Account()
    account.deployed()
    (stack,) = everything(account)
    assert (stack.kind, stack.runs_on) == ("stack", {"ml.m5.large": 1})


def test_what_a_stack_has_let_go_is_left_over() -> None:
    account = Account()
    account.deployed()
    account.status[DETECTOR] = "DELETE_FAILED"
    account.stacks[DETECTOR][f"model/{DETECTOR}-aa"] = "DELETE_SKIPPED"
    assert [item.kind for item in everything(account)] == ["stack", "model"]


def test_other_environments_are_none_of_it() -> None:
    account = Account()
    for name in ("groundcrew-prod-detector", "groundcrew-dev-detector", f"my-{DETECTOR}"):
        account.endpoints[name] = name
        account.configs.append(name)
        account.models.append(name)
        account.stacks[name], account.status[name] = {}, "CREATE_COMPLETE"
        account.jobs[f"{name}-monitor-1"] = "InProgress"
    assert everything(account) == []


_NAME = st.sampled_from([f"{BEGIN}{letter}" for letter in "abcd"])


@st.composite
def accounts(draw: Any) -> Account:
    account = Account()
    account.runs = draw(st.dictionaries(st.sampled_from(["7f3a", "9c01", "aa55"]), st.just("Executing")))
    account.jobs = {f"{name}-monitor-1": "InProgress" for name in draw(st.sets(_NAME))}
    account.schedules = [f"{name}-monitor" for name in draw(st.sets(_NAME))]
    account.endpoints = dict.fromkeys(draw(st.sets(_NAME)), f"{BEGIN}a")
    account.configs = sorted(draw(st.sets(_NAME)))
    account.models = sorted(draw(st.sets(_NAME)))
    if draw(st.booleans()):
        account.deployed()
    return account


@given(accounts(), st.integers(min_value=0, max_value=20))
def test_interrupted_anywhere_it_goes_on_and_ends_everything_in_order(account: Account, breaks_after: int) -> None:
    account.breaks_after = breaks_after
    try:
        end_all(account)
    except ConnectionError:
        account.settle()
    account.breaks_after = None
    account.calls.clear()
    end_all(account)
    assert account.calls == sorted(account.calls, key=ORDER.index)  # type: ignore[arg-type]
    assert all(item.going for item in everything(account))
    account.settle()
    assert account.names() == []
    assert everything(account) == []


@given(accounts(), st.data())
def test_what_goes_between_plan_and_apply_is_no_failure(account: Account, data: st.DataObject) -> None:
    planned = everything(account)
    lost = data.draw(st.sets(st.sampled_from(account.names()))) if account.names() else set()
    for rows in (account.runs, account.jobs, account.endpoints):
        for name in lost & set(rows):
            del rows[name]  # type: ignore[attr-defined]
    for left in (account.schedules, account.configs, account.models):
        left[:] = [name for name in left if name not in lost]
    for item in planned:
        cleanup.end(account.client, NAMES, ENV, item, token=TOKEN)
    account.settle()
    assert everything(account) == []


def test_a_stack_in_deletion_is_going_and_tells_how_far_it_is() -> None:
    account = Account()
    account.deployed()
    end_all(account)
    (stack,) = everything(account)
    assert stack.going
    assert stack.gone == pytest.approx(1 / 3)


# ---------------------------------------------------------------- what people see


def shown(reply: Reply) -> Reply:
    """Every reply fits into Slack, and every button is a command."""
    content = render(reply)
    check_message(blocks_of(content), [])
    for action in reply.actions:
        assert parse(action.command)  # type: ignore[union-attr]
    return reply


def told(reply: Reply) -> dict[str, str]:
    return {line.name: f"{line.state}: {line.detail}" for line in reply.steps}


def test_the_plan_says_what_goes_what_it_saves_what_stays_and_what_to_type(engine: Engine) -> None:
    reply = shown(commands.plan(context(full(), engine), ENV))
    assert reply.title == "Cleaning up staging would end 8 things: saves 167.90 USD a month"
    assert told(reply)[DETECTOR] == "waiting: deployment on ml.m5.large · CREATE_COMPLETE · 83.95 USD a month"
    assert "cleanup apply staging --confirm staging" in render(reply)["text"]
    assert "another ML engineer then agrees" in render(reply)["text"]
    facts = {fact.label: render(Reply("x", facts=[fact]))["text"] for fact in reply.facts}
    assert "1.0 GB, 0.02 USD a month" in facts["Artifacts (all environments)"]
    assert "1.0 GB" in facts["Audit record (locked)"]
    assert "less than 0.0001 USD" in facts["Logs"]


def test_whoever_may_only_look_hears_who_does_it(engine: Engine) -> None:
    reply = shown(commands.plan(context(full(), engine, "stakeholder"), ENV))
    assert "Somebody with the role ml-engineer does it with cleanup apply" in render(reply)["text"].replace("`", "")


def test_an_unknown_price_is_said_to_be_unknown(engine: Engine) -> None:
    account = full()
    account.prices = {}
    assert commands.plan(context(account, engine), ENV).title.endswith("what that saves is not known")


def test_a_plan_of_nothing_says_what_stays(engine: Engine) -> None:
    reply = shown(commands.plan(context(Account(), engine), ENV))
    assert reply.title == "Nothing in staging runs or is left over"
    assert reply.facts


@pytest.mark.parametrize("typed", ["", "stagin", "prod", "STAGING", "staging "])
def test_the_environment_has_to_be_typed_out(engine: Engine, typed: str) -> None:
    account = full()
    for act in (commands.apply, commands._asked):
        with pytest.raises(BadInput) as refused:
            act(context(account, engine), env=ENV, confirm=typed)
        assert "--confirm staging" in refused.value.advice
    assert account.calls == []


def test_nobody_is_asked_to_agree_to_nothing(engine: Engine) -> None:
    with pytest.raises(Refused, match="runs or is left over"):
        commands._asked(context(Account(), engine), env=ENV, confirm=ENV)


def applied(account: Account, engine: Engine, approval: str | None = None) -> Reply:
    return shown(commands.apply(context(account, engine, approval=approval), ENV, confirm=ENV))


def look(account: Account, engine: Engine, reply: Reply) -> tuple[Reply, bool]:
    assert reply.follow is not None
    seen, ended = commands.cleanup_live(context(account, engine, "observer"), reply.follow.arn)
    return shown(seen), ended


def test_it_is_followed_until_everything_is_gone(engine: Engine) -> None:
    account = full()
    started = applied(account, engine)
    assert started.title == "Cleaning up staging: 8 things, saves 167.90 USD a month"
    assert {line.split(":")[0] for line in told(started).values()} == {"running"}
    seen, ended = look(account, engine, started)
    assert (seen.title, ended) == ("Cleaning up staging: 5 of 8 gone", False)
    assert told(seen)[DETECTOR] == "running: deployment · DELETE_IN_PROGRESS"
    account.settle()
    account.apps = [
        {"DomainId": "d-1", "AppType": "JupyterLab", "AppName": "a", "SpaceName": "s", "Status": "InService"}
    ]
    seen, ended = look(account, engine, started)
    assert (seen.title, ended, seen.outcome) == (
        "Cleaned up staging: nothing in it costs by the hour any more", True, Outcome.OK,
    )  # fmt: skip
    assert "saves 167.90 USD a month" in render(seen)["text"]
    assert "Studio apps on" in [fact.label for fact in seen.facts]


def test_what_aws_refuses_is_said_and_the_rest_goes(engine: Engine) -> None:
    account = full()
    account.refuse = {DETECTOR: refusal("ValidationError", f"Stack [{DETECTOR}] cannot be deleted while in status X")}
    started = applied(account, engine)
    assert told(started)[DETECTOR] == f"failed: Stack [{DETECTOR}] cannot be deleted while in status X"
    account.settle()
    account.status[DETECTOR] = "DELETE_FAILED"
    seen, ended = look(account, engine, started)
    assert (seen.title, ended) == ("Cleaning up staging has come to a stop: one thing still there", True)
    assert (seen.outcome, seen.quote) == (Outcome.ERROR, "Endpoint: somebody is using it")
    assert [action.command for action in seen.actions] == ["cleanup plan staging"]  # type: ignore[union-attr]
    account.refuse = {}
    again = applied(account, engine)
    assert list(told(again)) == [DETECTOR]


def test_a_denial_of_everything_is_aws_s_own(engine: Engine) -> None:
    account = Account()
    account.models = [f"{BEGIN}a", f"{BEGIN}b"]
    denied = refusal("AccessDeniedException", "not authorized to perform: sagemaker:DeleteModel")
    account.refuse = dict.fromkeys(account.models, denied)
    with pytest.raises(type(denied), match="not authorized"):
        applied(account, engine)


def test_typed_twice_at_once_the_second_only_joins(engine: Engine) -> None:
    account = Account()
    account.deployed()
    applied(account, engine)
    account.calls.clear()
    assert told(applied(account, engine)) == {DETECTOR: "running: deployment · DELETE_IN_PROGRESS"}
    assert account.calls == []


def asked_for(engine: Engine) -> str:
    row = approvals.open(
        engine, team="T0GC", requester="U0ML2", command="cleanup apply staging --confirm staging", role="ml-engineer",
        title="t", facts=(), bound={}, invocation="i",
    )  # fmt: skip
    return row.id


def test_what_was_made_after_it_was_agreed_to_stays_and_is_said(engine: Engine) -> None:
    account = full()
    id = asked_for(engine)
    account.made = datetime.now(UTC) + timedelta(minutes=1)
    reply = applied(account, engine, id)
    assert (reply.title, account.calls) == ("Nothing in staging is there any more of what was agreed to", [])
    assert "after this was asked for: it stays" in told(reply)[DETECTOR]


def test_what_was_there_when_it_was_asked_for_goes(engine: Engine) -> None:
    account = full()
    assert account.made == NOON
    applied(account, engine, asked_for(engine))
    assert account.calls[0] == "run"
    assert len(account.calls) == 8


def test_an_approved_plan_binds_the_environment_and_not_what_may_go_meanwhile(engine: Engine) -> None:
    account, after = full(), Account()
    before = commands._asked(context(account, engine), env=ENV, confirm=ENV)
    later = commands._asked(context(after, engine, approval="A1test"), env=ENV, confirm=ENV)
    assert before.bound == later.bound == {"environment": ENV}


# ---------------------------------------------------------------- the whole walk, with the real runner


class Office(Place):
    """People who clean an account up."""

    def __init__(self, engine: Engine, account: Account) -> None:
        super().__init__(engine)
        self.account = account

    def context(self, case: Case, tags: Mapping[str, str]) -> Context:
        assert case.person is not None
        made = context(self.account, self.engine, approval=tags.get("approval"))
        return replace(made, person=case.person, invocation=case.asked.id, channel=case.asked.channel)


class Desk:
    """Where they type; what is asked for and agreed to runs at once."""

    def __init__(self, engine: Engine, account: Account) -> None:
        self.engine = engine
        self.runner = Runner(Office(engine, account), "worker-1")
        self.typed = 0

    def type(self, line: str, user: str = "U0ML1") -> Reply:
        self.typed += 1
        arrival = Arrival("command", f"d{self.typed}", "T0GC", user, line, channel="C0DEV", response_url="http://r")
        with self.engine.begin() as connection:
            invocations.accept(connection, arrival)
        return self.work()

    def work(self) -> Reply:
        claimed = invocations.claim(self.engine, "worker-1")
        assert claimed is not None
        return shown(self.runner.run(claimed))


LINE = f"cleanup apply {ENV} --confirm {ENV}"


def test_another_engineer_agrees_and_what_went_meanwhile_voids_nothing(engine: Engine) -> None:
    account = full()
    desk = Desk(engine, account)
    asked = desk.type(LINE)
    assert asked.outcome is Outcome.PENDING_APPROVAL
    assert account.calls == []
    del account.endpoints[f"{BEGIN}stray"]
    agreed = desk.type(f"approvals approve {asked.approval}", "U0ML2")
    assert agreed.outcome is Outcome.OK
    done = desk.work()
    assert done.title == "Cleaning up staging: 7 things, saves 83.95 USD a month"
    account.settle()
    assert account.names() == [f"{BEGIN}train-x"], "a job of a run is its run's to stop"
    assert look(account, engine, done)[1]


def test_dev_takes_the_name_alone(engine: Engine) -> None:
    account = Account()
    account.runs = {"7f3a": "Executing"}
    desk = Desk(engine, account)
    assert desk.type("cleanup apply dev", "U0DS1").outcome is Outcome.ERROR
    assert account.calls == []
    done = desk.type("cleanup apply dev --confirm dev", "U0DS1")
    assert (done.outcome, account.calls) == (Outcome.OK, ["run"])
    assert told(done) == {"training run 7f3a": "running: run · its end has begun"}


def test_a_button_in_the_list_of_idle_things_asks_before_it_ends_anything(engine: Engine) -> None:
    account = full()
    desk = Desk(engine, account)
    asked = desk.type("cleanup models staging --days 0")
    assert asked.outcome is Outcome.PENDING_APPROVAL
    assert f"{BEGIN}older" in render(asked)["text"]
    refused = desk.type("cleanup logs", "U0DS1")
    assert "you are data-scientist" in refused.title + str(refused.text)
    assert account.calls == []
