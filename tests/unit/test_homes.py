"""Homes: what they say, when they are drawn, and what the catalog behind them keeps."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from sqlalchemy import Engine

from bot.homes import Homes
from bot.slack.home import view
from commands.command import Context, Person
from commands.home import home, sections
from commands.reply import Reply
from pipeline.errors import Refused
from pipeline.names import Names
from pipeline.tracking import Tracking
from sandbox.person import words
from sandbox.slack.blocks import check_view
from state import approvals, catalog, grants, homes, jobs
from state.catalog import Entry
from state.grants import Grant
from state.jobs import Job

NOW = datetime.now(UTC)


def context(engine: Engine, role: str = "data-scientist", user: str = "U0DS1", held: Sequence[Grant] = ()) -> Context:
    person = Person("T0GC", user, "someone", role, held)
    return Context(person, "home", Names("123456789012", "us-east-1"), lambda service: None, Tracking(""), engine)


def seen(engine: Engine, **who: Any) -> str:
    shown = view(sections(context(engine, **who)))
    check_view(shown)
    return words(shown)


def put(engine: Engine, *entries: Entry) -> None:
    for entry in entries:
        with engine.begin() as connection:
            others = catalog.newest(connection, entry.kind, [entry.environment])
            catalog.replace(connection, entry.kind, entry.environment, [entry, *others])


def run(name: str, env: str = "dev", user: str = "U0DS1", **more: Any) -> Entry:
    facts = {"state": "running", "at": NOW, "detail": {"about": "training, epoch 3 of 4", "progress": 0.75}} | more
    return Entry("run", env, name, team="T0GC", user_id=user, **facts)


def job(name: str, user: str, started: datetime, ended: datetime, price: str | None = "1") -> Job:
    seconds = Decimal(str((ended - started).total_seconds()))
    per_hour = Decimal(price) if price else None
    return Job(
        name, "training", name, "dev", "Train", None, None, "T0GC", user, "ml.m5.large", 1, False, started, ended,
        seconds, per_hour, "USD",
    )  # fmt: skip


def test_my_runs_are_there_with_their_progress_and_nobody_else_s(engine: Engine) -> None:
    put(
        engine,
        run("aaaa1111"),
        run("bbbb2222", user="U0DS2"),
        run("cccc3333", state="done", at=NOW - timedelta(days=8)),
    )
    said = seen(engine)
    assert "Run aaaa in dev" in said
    assert "epoch 3 of 4" in said
    assert "▰" in said
    assert "bbbb" not in said
    assert "cccc" not in said, "a week ago"


def test_endpoints_of_where_i_may_look_with_their_health_in_words(engine: Engine) -> None:
    put(
        engine,
        Entry("endpoint", "dev", "groundcrew-dev-detector", "InService", NOW),
        Entry("endpoint", "dev", "groundcrew-dev-b", "Failed", NOW),
        Entry("endpoint", "prod", "groundcrew-prod-detector", "Updating", NOW),
    )
    said = seen(engine)
    assert "healthy: in service" in said
    assert "failed" in said
    assert "groundcrew-prod-detector" not in said
    assert "updating" in seen(engine, role="ml-engineer", user="U0ML1")


def test_what_waits_for_me_is_what_i_can_decide(engine: Engine) -> None:
    about = {"team": "T0GC", "command": "x", "facts": [], "bound": {}, "invocation": "i"}
    theirs = approvals.open(engine, requester="U0DS1", role="ml-engineer", title="promote v1", **about)
    mine = approvals.open(engine, requester="U0ML1", role="ml-engineer", title="my own wish", **about)
    said = seen(engine, role="ml-engineer", user="U0ML1")
    assert f"Look at {theirs.id}" in said
    assert f"Look at {mine.id}" not in said
    assert "You asked" in said
    assert "Nothing waits" in seen(engine, role="stakeholder", user="U0STK")


def test_a_role_held_for_a_while_says_until_when_and_shows_its_environments(engine: Engine) -> None:
    put(engine, Entry("endpoint", "prod", "groundcrew-prod-detector", "InService", NOW))
    grant = grants.begin(
        engine, "elevation", team="T0GC", user="U0DS1", role="ml-engineer", lasts=timedelta(hours=1), reason="look",
        invocation="i",
    )  # fmt: skip
    said = seen(engine, held=[grant])
    assert "ml-engineer for a while" in said
    assert "groundcrew-prod-detector" in said


def test_money_is_this_month_s_and_mine_is_told_apart(engine: Engine) -> None:
    month = NOW.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    hour = timedelta(hours=1)
    with engine.begin() as connection:
        jobs.put(connection, job("a", "U0DS1", month - hour, month + hour))  # half of it lies in the month
        jobs.put(connection, job("b", "U0DS2", month, month + 3 * hour))
        jobs.put(connection, job("c", "U0DS2", month, month + hour, price=None))
    facts = {fact.label: str(fact.value) for part in sections(context(engine)) for fact in part.facts}
    assert facts["This month, everybody"].startswith("4.00 USD")
    assert "1 without a known price" in facts["This month, everybody"]
    assert facts["This month, you"] == "1.00 USD"


@pytest.mark.parametrize("role", ["data-scientist", "ml-engineer", "stakeholder"])
def test_the_panel_says_the_same_in_one_answer_and_offers_what_the_role_may(engine: Engine, role: str) -> None:
    from commands.parsing import parse

    put(engine, run("aaaa1111"))
    reply = home(context(engine, role))
    assert any("aaaa" in step.name for step in reply.steps)
    for action in reply.actions:
        command, _ = parse(action.command)  # type: ignore[union-attr]
        assert command.open_to(role)


def test_a_full_home_fits_a_view(engine: Engine) -> None:
    with engine.begin() as connection:
        catalog.replace(connection, "run", "dev", [run(f"{n:04}run") for n in range(50)])
        entries = [Entry("endpoint", "prod", f"groundcrew-prod-{n}", "InService", NOW) for n in range(30)]
        catalog.replace(connection, "endpoint", "prod", entries)
    check_view(view(sections(context(engine, "ml-engineer"))))


# --- drawing ----------------------------------------------------------------------------------------------------------


class FakeSlack:
    """Takes what is published, unless it is told to refuse."""

    def __init__(self) -> None:
        self.published: list[tuple[str, str]] = []
        self.refuses = False

    def views_publish(self, user_id: str, view: dict[str, Any]) -> None:
        if self.refuses:
            raise SlackApiError("no", SimpleNamespace(data={"error": "x"}, headers={}, get=lambda name: "x"))
        check_view(view)
        self.published.append((user_id, words(view)))


def test_a_home_is_published_when_it_is_opened_and_when_it_would_look_different(engine: Engine) -> None:
    slack, says = FakeSlack(), ["one"]
    drawing: Any = Homes(engine, slack, lambda team, user: [Reply(title=says[0])], threading.Event(), threading.Event())  # type: ignore[arg-type]
    drawing.draw()
    assert slack.published == [], "nobody looks"
    with engine.begin() as connection:
        homes.opened(connection, "T0GC", "U0DS1")
    drawing.draw()
    drawing.draw()
    assert slack.published == [("U0DS1", "one")]
    says[0] = "two"
    slack.refuses = True
    drawing.draw()
    slack.refuses = False
    drawing.draw()
    assert slack.published[-1] == ("U0DS1", "two"), "what Slack did not take is tried again"
    with engine.begin() as connection:
        assert [each.wanted for each in homes.looked_at(connection)] == [False]


def test_a_home_that_cannot_be_drawn_does_not_keep_others_from_theirs(engine: Engine) -> None:
    def sections(team: str, user: str) -> Sequence[Reply]:
        if user == "U0ODD":
            raise KeyError(user)
        return [Reply(title="fine")]

    slack = FakeSlack()
    with engine.begin() as connection:
        homes.opened(connection, "T0GC", "U0DS1")
        homes.opened(connection, "T0GC", "U0ODD")
    Homes(engine, slack, sections, threading.Event(), threading.Event()).draw()  # type: ignore[arg-type]
    assert slack.published == [("U0DS1", "fine")]


def test_who_may_see_nothing_is_told_why(engine: Engine) -> None:
    def sections(team: str, user: str) -> Sequence[Reply]:
        raise Refused("I do not know you yet.", "Ask somebody.")

    slack = FakeSlack()
    with engine.begin() as connection:
        homes.opened(connection, "T0GC", "U0NEW")
    Homes(engine, slack, sections, threading.Event(), threading.Event()).draw()  # type: ignore[arg-type]
    assert "I do not know you yet. Ask somebody." in slack.published[0][1]


# --- the catalog ------------------------------------------------------------------------------------------------------


def test_the_catalog_is_what_was_seen_last_and_tells_only_of_changes(engine: Engine) -> None:
    first = [run("aaaa1111"), run("bbbb2222")]
    with engine.begin() as connection:
        assert catalog.replace(connection, "run", "dev", first)
        assert not catalog.replace(connection, "run", "dev", first)
        assert catalog.replace(connection, "run", "dev", [run("aaaa1111", state="done")])
        assert [(each.name, each.state) for each in catalog.newest(connection, "run", ["dev"])] == [
            ("aaaa1111", "done")
        ]
        assert catalog.newest(connection, "run", ["prod"]) == []
