"""What is asked before money is spent: nothing, the person, or somebody else; and what an agreement covers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from commands import approvals as deciding
from commands.command import Approval, Context, Plan, Spend, Use
from commands.reply import Audience, Follow, Outcome, Reply
from pipeline.errors import Unavailable
from state import approvals, prices
from tests.unit.test_bot_runner import World, approve


@pytest.fixture
def world(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world with a command that starts a job of an hour on one instance, at the price that `costs` sets."""
    made = World(engine, monkeypatch)

    def train(ctx: Context, yes: bool = False) -> Reply:
        made.done.append(f"train as {ctx.person.user}")
        return Reply(title="training", follow=Follow("execution", "arn:run"), audience=Audience.CHANNEL)

    spend = Spend([Use("Train", "Training", "ml.big", seconds=3600)])
    made.declare("train", train, changes=True, spends=lambda ctx, **_: spend)
    plan = lambda ctx, yes=False: Plan("train in prod", [], {"digest": made.digest})  # noqa: E731
    how: dict[str, Any] = {"approval": Approval("ml-engineer"), "plan": plan, "spends": lambda ctx, **_: spend}
    made.declare("guarded", train, changes=True, **how)
    return made


def row_of(world: World, id: str | None) -> approvals.ApprovalRow:
    return approvals.get(world.engine, "T0GC", id or "")


def costs(world: World, per_hour: str | None) -> None:
    """The list price of an hour; the job is thought to take one, three at most."""
    with world.engine.begin() as connection:
        prices.put(connection, "r", "Training", "ml.big", None if per_hour is None else Decimal(per_hour), "USD")


def shown(reply: Reply) -> dict[str, str]:
    return {fact.label: str(fact.value) for fact in reply.facts}


def kept(world: World) -> list[Any]:
    return world.rows("SELECT subject, command, low, expected, high, currency FROM estimates ORDER BY created_at")


def test_what_is_cheap_runs_and_says_what_it_will_cost(world: World) -> None:
    costs(world, "0.9")
    reply = world.type("train")
    assert (reply.title, world.done) == ("training", ["train as U0DS1"])
    assert shown(reply)["Estimated cost"].startswith("0.90 USD (0.30 to 2.70), price list × typical time")
    assert kept(world) == [("arn:run", "train", Decimal("0.3"), Decimal("0.9"), Decimal("2.7"), "USD")]


def test_above_the_first_limit_the_person_is_asked_and_sees_the_price(world: World) -> None:
    costs(world, "2")
    reply = world.type("train")
    assert (reply.outcome, world.done) == (Outcome.NEEDS_CONFIRMATION, [])
    assert reply.title == "Really start this train?"
    assert shown(reply)["Estimated cost"].startswith("2.00 USD (0.67 to 6.00)")
    assert world.type(reply.actions[0].command).title == "training"  # type: ignore[union-attr]
    assert [row.subject for row in kept(world)] == [None, "arn:run"]


def test_the_limits_are_amounts_that_are_still_free(world: World) -> None:
    world.place.limits = type(world.place.limits)(Decimal(6), Decimal(50))
    costs(world, "2")
    assert world.type("train").title == "training"


def test_above_the_second_limit_somebody_else_agrees_and_whoever_asked_starts_it(world: World) -> None:
    costs(world, "20")
    asked = world.type("train --yes")
    assert (asked.outcome, world.done) == (Outcome.PENDING_APPROVAL, [])
    assert "20.00 USD" in shown(asked)["Estimated cost"]
    assert "you can start it" in str(asked.text)
    row = row_of(world, asked.approval)
    assert (row.role, row.requester) == ("ml-engineer", "U0DS1")
    world.declare("approve", lambda ctx: deciding.decide(ctx, row, approve=True), changes=True)
    agreed = world.type("approve", user="U0ML1")
    assert [action.command for action in agreed.actions] == ["train --yes"]  # type: ignore[union-attr]
    assert world.rows("SELECT id FROM invocations WHERE surface = 'approval'") == []  # nobody acts for the absent
    assert world.done == []
    assert world.type("train --yes").title == "training"
    assert world.done == ["train as U0DS1"]
    assert row_of(world, row.id).state == "consumed"
    assert world.type("train --yes").outcome is Outcome.PENDING_APPROVAL  # it was for once


@pytest.mark.parametrize(("line", "user"), [("train", "U0DS1"), ("train --yes", "U0ML2")])
def test_an_agreement_is_for_one_line_of_one_person(world: World, line: str, user: str) -> None:
    costs(world, "20")
    agreed(world, "train --yes")
    assert world.type(line, user=user).outcome is Outcome.PENDING_APPROVAL
    assert world.done == []


def agreed(world: World, line: str) -> approvals.ApprovalRow:
    """An approval that was given and is not used yet."""
    asked = world.type(line)
    assert asked.approval is not None
    return approvals.decide(world.engine, "T0GC", asked.approval, by="U0ML1", approve=True)


@pytest.mark.parametrize("price", ["61", None], ids=["dearer than the high end", "unknown by now"])
def test_an_agreement_is_void_when_it_would_cost_more_than_was_shown(world: World, price: str | None) -> None:
    costs(world, "20")
    row = agreed(world, "train --yes")
    costs(world, price)
    reply = world.type("train --yes")
    if price is None:  # below the limits as far as is known: the person said yes to an unknown price
        assert reply.title == "training"
        return
    assert (reply.outcome, world.done) == (Outcome.ERROR, [])
    assert "more than was agreed to" in reply.title
    assert row_of(world, row.id).state == "void"


def test_an_agreement_covers_what_lies_within_what_was_shown(world: World) -> None:
    costs(world, "20")
    agreed(world, "train --yes")
    costs(world, "59")
    assert world.type("train --yes").title == "training"


@pytest.mark.parametrize("price", ["61", None], ids=["dearer", "unknown by now"])
def test_an_approval_for_another_reason_binds_the_price_too(world: World, price: str | None) -> None:
    costs(world, "20")
    asked = world.type("guarded")
    assert "20.00 USD" in shown(asked)["Estimated cost"]
    costs(world, price)
    assert approve(world, asked.approval or "").outcome is Outcome.ERROR
    assert world.done == []
    assert row_of(world, asked.approval).state == "void"


def test_an_approval_for_another_reason_is_enough_whatever_it_costs(world: World) -> None:
    costs(world, "20")
    asked = world.type("guarded")
    assert approve(world, asked.approval or "").title == "training"
    assert world.done == ["train as U0ML1"]  # as any approved change: in the session of whoever agreed


def test_a_price_that_the_list_does_not_have_is_said_to_be_unknown_and_asked_about(world: World) -> None:
    costs(world, None)
    reply = world.type("train")
    assert (reply.outcome, world.done) == (Outcome.NEEDS_CONFIRMATION, [])
    assert "unknown: the AWS price list has no price for ml.big" in shown(reply)["Estimated cost"]
    assert world.type("train --yes").title == "training"
    assert [row.expected for row in kept(world)] == [None, None]


def test_a_price_list_that_does_not_answer_stops_nobody_and_is_said(world: World, monkeypatch: Any) -> None:
    def silent(*_: object) -> None:
        raise Unavailable("The AWS price list does not answer")

    monkeypatch.setattr("commands.estimate.hourly", silent)
    reply = world.type("train")
    assert (reply.title, world.done) == ("training", ["train as U0DS1"])
    assert "unknown: the AWS price list does not answer" in shown(reply)["Estimated cost"]


def test_who_is_alone_with_the_role_is_told_at_once(world: World, monkeypatch: Any) -> None:
    monkeypatch.setitem(world.place.__class__.person.__globals__["PEOPLE"], "U0ML2", "stakeholder")
    costs(world, "20")
    reply = world.type("train", user="U0ML1")
    assert reply.outcome is Outcome.ERROR
    assert "Nobody else" in reply.title
