"""Power for a while: how long it lasts, who may have it, what it is for, and that it stays open until reviewed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, get_args

import pytest
from sqlalchemy import Engine, text

from alerts.routes import Routes
from commands import elevation
from commands.command import Context, Person
from commands.reply import Reply
from iam.mapping import ROLES
from pipeline.errors import BadInput, NotFound, Refused
from pipeline.names import Names
from pipeline.tracking import Tracking
from state import approvals, grants
from state.grants import Grant

HOLDERS = {"ml-engineer": ("U0ML1", "U0ML2")}


def begin(engine: Engine, kind: grants.Kind = "elevation", **more: Any) -> Grant:
    given: dict[str, Any] = {"team": "T0GC", "user": "U0DS1", "role": "ml-engineer", "lasts": timedelta(hours=1)}
    given |= {"reason": "night", "invocation": "i"} | more
    return grants.begin(engine, kind, **given)


def context(engine: Engine, user: str, role: str, **more: Any) -> Context:
    return Context(
        person=Person("T0GC", user, user, role, grants.active(engine, "T0GC", user, kind="elevation")),
        invocation="i",
        names=Names("123456789012", "us-east-1"),
        client=lambda service: pytest.fail(f"this needs no {service}"),
        tracking=Tracking(""),
        state=engine,
        channel="C0DEV",
        holders=lambda role: HOLDERS.get(role, ()),
        routes=lambda: Routes("C0ALERTS", ()),
        **more,
    )


def test_a_grant_counts_until_its_time_is_over(engine: Engine) -> None:
    grant = begin(engine)
    begin(engine, user="U0DS2")
    begin(engine, team="T0BB")
    assert [each.id for each in grants.active(engine, "T0GC", "U0DS1")] == [grant.id]
    assert len(grants.active(engine, "T0GC")) == 2
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE grants SET expires_at = now() - interval '1 s' WHERE id = :id"), {"id": grant.id}
        )
    assert grants.active(engine, "T0GC", "U0DS1") == []


def test_an_ended_grant_does_not_count(engine: Engine) -> None:
    begin(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE grants SET ended_at = now()"))
    assert grants.active(engine, "T0GC") == []


def test_a_review_is_by_somebody_else_and_once(engine: Engine) -> None:
    glass = begin(engine, "break-glass", user="U0ML1", resource="groundcrew-prod-detector")
    with pytest.raises(Refused, match="yourself"):
        grants.review(engine, "T0GC", glass.id, by="U0ML1", finding="fine")
    assert [each.id for each in grants.unreviewed(engine, "T0GC")] == [glass.id]
    start = threading.Barrier(4)

    def close(user: str) -> bool:
        start.wait()
        try:
            grants.review(engine, "T0GC", glass.id.lower(), by=user, finding="ok")
        except Refused as error:
            assert "already reviewed" in error.message
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(close, ["U1", "U2", "U3", "U4"])) == 1
    assert grants.unreviewed(engine, "T0GC") == []


def test_a_break_glass_is_reviewed_in_its_own_workspace(engine: Engine) -> None:
    glass = begin(engine, "break-glass", user="U0ML1", resource="groundcrew-prod-detector")
    with pytest.raises(NotFound) as caught:
        grants.review(engine, "T0BB", glass.id, by="U0ML1", finding="all is well")
    assert glass.id not in caught.value.advice
    assert [each.id for each in grants.unreviewed(engine)] == [glass.id]


def test_only_break_glass_is_reviewed_and_missing_ones_name_the_nearest(engine: Engine) -> None:
    grant = begin(engine)
    with pytest.raises(Refused, match="elevation"):
        grants.review(engine, "T0GC", grant.id, by="U0ML2", finding="x")
    with pytest.raises(NotFound) as caught:
        grants.get(engine, "T0GC", grant.id[:-1])
    assert grant.id in caught.value.advice


@pytest.mark.parametrize(
    ("words", "minutes"), [("2h", 120), ("45m", 45), ("1h30m", 90), ("8H", 480), ("90min", 90), ("1h 5m", 65)]
)
def test_lengths_of_time_as_people_write_them(words: str, minutes: int) -> None:
    assert elevation.length(words) == timedelta(minutes=minutes)


@pytest.mark.parametrize("words", ["", "2", "h", "soon", "-1h", "2d", "0m", "4m", "8h1m", "9h", "9999h"])
def test_other_lengths_are_refused_with_what_to_write(words: str) -> None:
    with pytest.raises(BadInput) as caught:
        elevation.length(words)
    assert caught.value.advice


def test_the_roles_one_can_ask_for_are_those_of_the_access_file() -> None:
    assert get_args(get_args(elevation.Role)[0]) == ROLES


def test_what_is_asked_for_is_bound_to_person_role_and_time(engine: Engine) -> None:
    ds = context(engine, "U0DS1", "data-scientist")
    plan = elevation._plan_request(ds, role="ml-engineer", for_="2h", reason="night")
    assert plan.bound == {"person": "T0GC.U0DS1", "role": "ml-engineer", "seconds": "7200"}
    for role, reason, error in (("data-scientist", "x", Refused), ("ml-engineer", " ", BadInput)):
        with pytest.raises(error):
            elevation._plan_request(ds, role=role, for_="2h", reason=reason)


def test_an_elevation_is_the_requesters_and_begins_with_the_approval(engine: Engine) -> None:
    row = approvals.open(
        engine, team="T0GC", requester="U0DS1", command="access request", role="ml-engineer", title="t", facts=[],
        bound={}, invocation="i",
    )  # fmt: skip
    with pytest.raises(Refused, match="only with an approval"):
        elevation.request(context(engine, "U0ML1", "ml-engineer"), "ml-engineer", for_="2h", reason="night")
    approver = context(engine, "U0ML1", "ml-engineer", approval=row.id)
    plan = elevation._plan_request(approver, role="ml-engineer", for_="2h", reason="night")
    assert plan.bound["person"] == "T0GC.U0DS1"
    elevation.request(approver, "ml-engineer", for_="2h", reason="night")
    (grant,) = grants.active(engine, "T0GC", "U0DS1")
    assert (grant.role, grant.approval, grant.decided_by) == ("ml-engineer", row.id, "U0ML1")
    assert timedelta(minutes=119) < grant.expires_at - grant.created_at <= timedelta(minutes=120)
    assert grants.active(engine, "T0GC", "U0ML1") == []
    with pytest.raises(Refused, match="already"):
        ds = context(engine, "U0DS1", "data-scientist")
        elevation._plan_request(ds, role="ml-engineer", for_="2h", reason="more")


def test_holding_a_role_for_a_while_is_not_having_it(engine: Engine) -> None:
    begin(engine)
    person = context(engine, "U0DS1", "data-scientist").person
    assert person.holds("ml-engineer")
    assert person.holds("data-scientist", standing=True)
    assert not person.holds("ml-engineer", standing=True)
    assert not person.holds("stakeholder")


def break_glass(
    engine: Engine, user: str = "U0ML1", role: str = "ml-engineer", notify: str = "C0PROD", **given: Any
) -> Reply:
    given = {"resource": "groundcrew-prod-detector", "reason": "down"} | given
    named = {"ml-engineer": notify} if notify else {}
    return elevation.break_glass(context(engine, user, role, notify=named), **given)


def test_break_glass_tells_the_channel_and_everybody_who_was_skipped(engine: Engine) -> None:
    reply = break_glass(engine)
    assert (reply.title, reply.environment) == ("BREAK-GLASS on groundcrew-prod-detector", "prod")
    assert [each.to for each in reply.also] == ["C0PROD", "U0ML2"]
    (glass,) = grants.active(engine, "T0GC", "U0ML1")
    assert glass.expires_at - glass.created_at == timedelta(minutes=15)
    assert [elevation.touches(glass, env) for env in ("prod", "staging", "dev", None)] == [True, False, False, False]
    with pytest.raises(Refused, match="already"):
        break_glass(engine)


def test_a_channel_hears_of_break_glass_even_where_the_access_file_names_none(engine: Engine) -> None:
    assert [each.to for each in break_glass(engine, notify="").also] == ["C0ALERTS", "U0ML2"]


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"user": "U0DS1", "role": "data-scientist"}, Refused, "Only somebody with the role ml-engineer"),
        ({"user": "U0STK", "role": "stakeholder"}, Refused, "Only somebody with the role ml-engineer"),
        ({"resource": "groundcrew-prod-detektor"}, NotFound, "groundcrew-prod-detektor"),
        ({"resource": "prod"}, NotFound, "prod"),
        ({"resource": "groundcrew-dev-detector"}, NotFound, "groundcrew-dev-detector"),
        ({"reason": "  "}, BadInput, "words"),
    ],
)
def test_break_glass_is_refused(engine: Engine, more: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        break_glass(engine, **more)
    assert grants.active(engine, "T0GC") == []
    if error is NotFound:
        assert "groundcrew-prod-detector" in caught.value.advice  # type: ignore[attr-defined]


def test_an_open_review_is_everybodys_notice_until_it_is_closed(engine: Engine) -> None:
    break_glass(engine)
    (glass,) = grants.unreviewed(engine, "T0GC")
    with engine.begin() as connection:
        connection.execute(text("UPDATE grants SET expires_at = now() - interval '1 day'"))
    stakeholder = context(engine, "U0STK", "stakeholder")
    assert glass.id in str(elevation.notices(stakeholder))
    with pytest.raises(Refused, match="reviewed by ml-engineer or stakeholder"):
        elevation.review(context(engine, "U0DS1", "data-scientist"), glass.id, finding="fine")
    with pytest.raises(BadInput):
        elevation.review(stakeholder, glass.id, finding=" ")
    reply = elevation.review(stakeholder, glass.id, finding="the rollback was right")
    assert "the rollback was right" in str(reply.also[0].text)
    assert elevation.notices(stakeholder) == []
