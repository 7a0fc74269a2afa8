"""Approvals: who may decide, and what the card says in every state."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import create_engine

from commands import approvals as commands
from commands import registry
from commands.command import Context, Person
from commands.parsing import parse
from commands.reply import Mention, Outcome
from pipeline.errors import BadInput, NotFound, Refused
from pipeline.names import Names
from pipeline.tracking import Tracking
from state import approvals
from state.approvals import STATES, ApprovalRow
from state.grants import Grant
from state.invocations import Arrival

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ROW = ApprovalRow(
    id="Aabcde",
    team="T0GC",
    requester="U0DS1",
    command="registry request 8 --to staging",
    role="ml-engineer",
    title="promote detector v8 from dev to staging",
    facts=(("mAP50", "0.966"),),
    bound_hash="h",
    environment="staging",
    channel="C0DEV",
    invocation="i",
    state="pending",
    decided_by=None,
    reason="",
    created_at=NOON,
    expires_at=NOON,
    decided_at=None,
)


GRANT = Grant(
    id="Gabcde",
    kind="elevation",
    team="T0GC",
    user_id="U0DS2",
    role="ml-engineer",
    resource=None,
    reason="",
    approval="Aother",
    decided_by="U0ML1",
    channel=None,
    invocation="i",
    created_at=NOON,
    expires_at=NOON,
    ended_at=None,
    reviewed_by=None,
    reviewed_at=None,
    finding="",
)


def context(user: str, role: str) -> Context:
    return Context(
        person=Person("T0GC", user, user, role),
        invocation="i",
        names=Names("123456789012", "us-east-1"),
        client=lambda service: pytest.fail(f"an approval needs no {service}"),
        tracking=Tracking(""),
        state=create_engine("sqlite://"),
    )


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What reached the database; it answers as if this decision had won."""
    calls: list[dict[str, Any]] = []

    def decide(
        engine: object, team: str, id: str, *, by: str, approve: bool, reason: str = "", run: Arrival | None = None
    ) -> ApprovalRow:
        calls.append({"id": id, "by": by, "approve": approve, "reason": reason, "run": run and run.text})
        return replace(ROW, state="approved" if approve else "rejected", decided_by=by, reason=reason, decided_at=NOON)

    monkeypatch.setattr(approvals, "decide", decide)
    return calls


def test_an_approval_runs_the_very_command_that_was_asked_for(decided: list[dict[str, Any]]) -> None:
    reply = commands.decide(context("U0ML1", "ml-engineer"), ROW, approve=True)
    assert reply.approval == ROW.id
    assert decided == [{"id": "Aabcde", "by": "U0ML1", "approve": True, "reason": "", "run": ROW.command}]
    assert Mention("U0ML1") in reply.context
    assert Mention("U0DS1") in reply.context


def test_a_rejection_runs_nothing_and_keeps_its_reason(decided: list[dict[str, Any]]) -> None:
    reply = commands.decide(context("U0ML1", "ml-engineer"), ROW, approve=False, reason="too few photos")
    assert decided == [{"id": "Aabcde", "by": "U0ML1", "approve": False, "reason": "too few photos", "run": None}]
    assert "too few photos" in reply.context


@pytest.mark.parametrize("reason", ["", "   "])
def test_a_rejection_without_a_reason_is_answered_with_what_to_type(decided: list[dict[str, Any]], reason: str) -> None:
    reply = commands.decide(context("U0ML1", "ml-engineer"), ROW, approve=False, reason=reason)
    assert decided == []
    assert reply.outcome is Outcome.NEEDS_CONFIRMATION
    for action in reply.actions:
        command, arguments = parse(action.command)
        assert (command.name, arguments["id"]) == ("approvals reject", "Aabcde")
        assert arguments["reason"]


def test_who_holds_the_role_for_a_while_may_decide(decided: list[dict[str, Any]]) -> None:
    me = context("U0DS2", "data-scientist")
    commands.decide(replace(me, person=replace(me.person, elevations=(GRANT,))), ROW, approve=True)
    assert decided[0]["by"] == "U0DS2"


def test_but_not_on_giving_that_role_to_somebody_else(decided: list[dict[str, Any]]) -> None:
    me = context("U0DS2", "data-scientist")
    row = replace(ROW, command='access request ml-engineer --for 2h --reason "mine"')
    with pytest.raises(Refused, match="takes the role ml-engineer"):
        commands.decide(replace(me, person=replace(me.person, elevations=(GRANT,))), row, approve=True)
    commands.decide(context("U0ML1", "ml-engineer"), row, approve=True)
    assert [call["by"] for call in decided] == ["U0ML1"]


@pytest.mark.parametrize("approve", [True, False])
def test_another_role_may_not_decide(decided: list[dict[str, Any]], approve: bool) -> None:
    with pytest.raises(Refused, match="takes the role ml-engineer; you are data-scientist"):
        commands.decide(context("U0DS2", "data-scientist"), ROW, approve=approve)
    assert decided == []


def test_a_request_can_be_withdrawn_by_who_made_it(decided: list[dict[str, Any]]) -> None:
    commands.decide(context("U0DS1", "data-scientist"), ROW, approve=False)
    assert decided[0]["by"] == "U0DS1"


@pytest.mark.parametrize("state", STATES)
def test_only_an_open_card_has_buttons(state: Any) -> None:
    row = replace(ROW, state=state, decided_by=None if state in ("pending", "expired") else "U0ML1", decided_at=NOON)
    card = commands.card(row)
    assert card.slot == "approval-Aabcde"
    assert [fact.value for fact in card.facts] == ["0.966"]
    assert bool(card.actions) == (state == "pending")
    for action in card.actions:
        assert parse(action.command)[1]["id"] == "Aabcde"
    assert [action.label for action in card.actions if action.confirm] == (["Approve…"] if card.actions else [])


def test_a_promotion_is_found_by_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {row.id: row for row in (ROW, replace(ROW, id="Aother", command="deployment create --env prod"))}
    monkeypatch.setattr(approvals, "list", lambda engine, team, **more: list(rows.values()))
    monkeypatch.setattr(approvals, "get", lambda engine, team, id: rows[id])
    me = context("U0ML1", "ml-engineer")
    assert registry._pending(me, "v8").id == "Aabcde"
    assert registry._pending(me, "Aother").id == "Aother"
    with pytest.raises(NotFound):
        registry._pending(me, "9")
    rows["Atwice"] = replace(ROW, id="Atwice", command="registry request 8 --to prod")
    with pytest.raises(BadInput, match="2 requests are about version 8"):
        registry._pending(me, "8")
