"""One invocation's walk, on a real database, with commands of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import Engine, text

from bot.runner import Case, Runner
from commands.command import Approval, Command, Context, Person, Plan, command
from commands.reply import Audience, Fact, Follow, Outcome, Reply
from pipeline.errors import BadInput, NotFound
from pipeline.names import Names
from pipeline.tracking import Tracking
from state import approvals, audit, invocations
from state.invocations import Arrival

PEOPLE = {"U0DS1": "data-scientist", "U0ML1": "ml-engineer", "U0ML2": "ml-engineer"}
ME = "worker-1"


class Place:
    """A workplace whose people are the ones above; contexts remember their tags."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.tags: list[Mapping[str, str]] = []

    def person(self, team: str, user: str, name: str) -> Person | None:
        return Person(team, user, name or user, PEOPLE[user]) if user in PEOPLE else None

    def able(self, role: str, team: str) -> Sequence[str]:
        return [user for user, given in PEOPLE.items() if given == role]

    def advice(self, user: str) -> str:
        return "Ask an ML engineer."

    def context(self, case: Case, tags: Mapping[str, str]) -> Context:
        self.tags.append(tags)
        assert case.person is not None

        def client(service: str) -> Any:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": f"no {service}: not authorized"}}, "GetIt")

        return Context(
            case.person, case.asked.id, Names("1", "r"), client, Tracking(""), self.engine, case.asked.channel,
            tags.get("approval"),
        )  # fmt: skip


class World:
    """Commands to be typed, what they did, and ways to type them."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine = engine
        self.place = Place(engine)
        self.runner = Runner(self.place, ME)
        self.done: list[str] = []
        self.digest = "abc"
        self.typed = 0
        self.commands: dict[str, Command] = {}
        monkeypatch.setattr("bot.runner.parse", self.parse)
        self.declare("look", lambda ctx: Reply(title="seen"))
        self.declare("change", self._changed("change"), changes=True, audience=Audience.CHANNEL)
        plan = lambda ctx: Plan("do it", [Fact("Digest", self.digest)], {"digest": self.digest})  # noqa: E731
        self.declare("sure", self._changed("sure"), changes=True, confirm=True, plan=plan)
        self.declare("both", self._changed("both"), changes=True, approval=Approval("ml-engineer"), plan=plan)

    def declare(self, name: str, handler: Callable[..., Reply], **how: Any) -> None:
        self.commands[name] = command(name, **how)(handler).__command__  # type: ignore[attr-defined]

    def parse(self, line: str) -> tuple[Command, dict[str, Any]]:
        word, *rest = line.split()
        if word not in self.commands:
            raise BadInput(f"There is no command {word!r}.", "Did you mean `look`?")
        return self.commands[word], ({"yes": True} if rest == ["--yes"] else {})

    def _changed(self, name: str) -> Callable[..., Reply]:
        def handler(ctx: Context, yes: bool = False) -> Reply:
            self.done.append(name)
            return Reply(title=f"{name} done")

        return handler

    def type(self, line: str, user: str = "U0DS1", channel: str | None = "C0DEV") -> Reply:
        self.typed += 1
        arrival = Arrival("command", f"d{self.typed}", "T0GC", user, line, channel=channel, response_url="http://r")
        with self.engine.begin() as connection:
            invocations.accept(connection, arrival)
        return self.work()

    def work(self) -> Reply:
        claimed = invocations.claim(self.engine, ME)
        assert claimed is not None
        return self.runner.run(claimed)

    def rows(self, query: str) -> list[Any]:
        with self.engine.begin() as connection:
            return list(connection.execute(text(query)))


@pytest.fixture
def world(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(engine, monkeypatch)


def test_an_answer_is_recorded_queued_and_the_invocation_closed(world: World) -> None:
    assert world.type("look").title == "seen"
    assert world.rows("SELECT state, outcome FROM invocations") == [("finished", "ok")]
    assert world.rows("SELECT phase, role, command, outcome FROM audit ORDER BY id") == [
        ("opened", "data-scientist", "look", None),
        ("closed", "data-scientist", "look", "ok"),
    ]
    assert world.rows("SELECT kind, channel, user_id, state FROM outbox") == [("ephemeral", "C0DEV", "U0DS1", "queued")]


def test_what_a_command_declares_as_public_is_posted(world: World) -> None:
    world.type("change")
    assert world.rows("SELECT kind, channel FROM outbox") == [("message", "C0DEV")]


def test_a_mistake_with_a_public_command_is_between_the_bot_and_the_person(world: World) -> None:
    def handler(ctx: Context) -> Reply:
        raise BadInput("no", "do")

    world.declare("public", handler, audience=Audience.CHANNEL)
    world.type("public")
    assert world.rows("SELECT kind, user_id FROM outbox") == [("ephemeral", "U0DS1")]


def test_somebody_unknown_is_told_whom_to_ask_and_nothing_runs(world: World) -> None:
    reply = world.type("change", user="U0NEW")
    assert (reply.outcome, world.done) == (Outcome.DENIED, [])
    assert "Ask an ML engineer." in str(reply.text)
    assert world.rows("SELECT role, outcome FROM audit WHERE phase = 'closed'") == [(None, "denied")]


def test_a_mistake_is_answered_with_the_fix(world: World) -> None:
    reply = world.type("lok")
    assert (reply.outcome, reply.title) == (Outcome.ERROR, "There is no command 'lok'.")
    assert "look" in str(reply.text)


def test_aws_words_are_quoted_when_aws_says_no(world: World) -> None:
    world.declare("ask", lambda ctx: ctx.client("s3"))
    reply = world.type("ask")
    assert (reply.outcome, reply.quote) == (Outcome.DENIED, "no s3: not authorized")
    assert world.rows("SELECT outcome, detail FROM audit WHERE phase = 'closed'")[0][1].endswith(
        "no s3: not authorized"
    )


def test_a_request_aws_refuses_is_an_error_in_its_words(world: World) -> None:
    def handler(ctx: Context) -> Reply:
        raise ClientError({"Error": {"Code": "ValidationException", "Message": "name taken"}}, "CreateIt")

    world.declare("make", handler)
    reply = world.type("make")
    assert (reply.outcome, reply.quote) == (Outcome.ERROR, "name taken")


def test_a_defect_is_no_traceback_but_a_number(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.declare("broken", lambda ctx: Reply(title=str(1 // 0)))
    reply = world.type("broken")
    id = world.rows("SELECT id FROM invocations")[0].id
    assert (reply.outcome, reply.facts[0].value) == (Outcome.ERROR, id[:8])
    assert "ZeroDivisionError" not in str(reply)
    assert "ZeroDivisionError" in caplog.text


def test_what_asks_first_runs_only_with_yes(world: World) -> None:
    reply = world.type("sure")
    assert (reply.outcome, world.done) == (Outcome.NEEDS_CONFIRMATION, [])
    assert reply.actions[0].command == "sure --yes"
    assert world.type(reply.actions[0].command).title == "sure done"


def approve(world: World, id: str, by: str = "U0ML1") -> Reply:
    """What `approvals approve` does, then the invocation it enqueues."""
    row = approvals.decide(world.engine, id, by=by, approve=True)
    world.declare("approve", lambda ctx: Reply(title="Approved", then=row.command, approval=row.id), changes=True)
    world.type("approve", user=by)
    return world.work()


def test_an_approved_command_runs_once_as_the_approver_with_tags(world: World) -> None:
    asked = world.type("both")
    assert (asked.outcome, world.done) == (Outcome.PENDING_APPROVAL, [])
    assert asked.approval is not None
    assert [card.slot for card in asked.also] == [f"approval-{asked.approval}"]
    ran = approve(world, asked.approval)
    assert (ran.title, world.done) == ("both done", ["both"])
    assert world.place.tags[-1] == {"approval": asked.approval, "requester": "U0DS1"}
    assert approvals.get(world.engine, asked.approval).state == "consumed"
    rows = world.rows("SELECT user_id, surface, approval, outcome FROM audit WHERE phase = 'closed' ORDER BY id")
    assert rows[-1] == ("U0ML1", "approval", asked.approval, "ok")
    cards = world.rows("SELECT content->>'text' AS text FROM outbox WHERE slot LIKE 'approval-%'")
    assert [("used" in card.text) for card in cards] == [True]


def test_an_approval_is_void_when_what_it_was_about_has_changed(world: World) -> None:
    asked = world.type("both")
    assert asked.approval is not None
    world.digest = "other"
    reply = approve(world, asked.approval)
    assert (reply.outcome, world.done) == (Outcome.ERROR, [])
    assert approvals.get(world.engine, asked.approval).state == "void"


@pytest.mark.parametrize(("user", "state"), [("U0ML2", "approved"), ("U0DS1", "approved")])
def test_somebody_elses_approval_cannot_be_used(world: World, user: str, state: str) -> None:
    asked = world.type("both")
    assert asked.approval is not None
    approvals.decide(world.engine, asked.approval, by="U0ML1", approve=True)
    arrival = Arrival("approval", "forged", "T0GC", user, "both", channel="C0DEV", approval=asked.approval)
    with world.engine.begin() as connection:
        invocations.accept(connection, arrival)
    assert (world.work().outcome, world.done) == (Outcome.ERROR, [])
    assert approvals.get(world.engine, asked.approval).state == state


def test_an_approval_is_not_for_another_command(world: World) -> None:
    asked = world.type("both")
    assert asked.approval is not None
    approvals.decide(world.engine, asked.approval, by="U0ML1", approve=True)
    for line in ("change", "both --yes"):
        arrival = Arrival("approval", line, "T0GC", "U0ML1", line, channel="C0DEV", approval=asked.approval)
        with world.engine.begin() as connection:
            invocations.accept(connection, arrival)
        assert world.work().outcome is Outcome.ERROR
    assert world.done == []


def test_an_approval_that_ran_out_of_time_is_expired(world: World) -> None:
    asked = world.type("both")
    assert asked.approval is not None
    approvals.decide(world.engine, asked.approval, by="U0ML1", approve=True)
    with world.engine.begin() as connection:
        connection.execute(text("UPDATE approvals SET expires_at = now() - interval '1 s'"))
        arrival = Arrival("approval", "late", "T0GC", "U0ML1", "both", channel="C0DEV", approval=asked.approval)
        invocations.accept(connection, arrival)
    assert (world.work().outcome, world.done) == (Outcome.EXPIRED, [])


def test_when_only_the_requester_could_approve_it_is_refused_at_once(world: World, monkeypatch: Any) -> None:
    monkeypatch.setitem(PEOPLE, "U0ML2", "stakeholder")
    reply = world.type("both", user="U0ML1")
    assert reply.outcome is Outcome.ERROR
    assert "Nobody else" in reply.title
    assert approvals.list(world.engine) == []


def abandoned(world: World, line: str, attempts: int) -> Any:
    """An invocation whose worker died after `attempts` beginnings."""
    with world.engine.begin() as connection:
        invocations.accept(connection, Arrival("command", line, "T0GC", "U0DS1", line, channel="C0DEV"))
    invocations.claim(world.engine, "dead")
    with world.engine.begin() as connection:
        connection.execute(
            text("UPDATE invocations SET lease_until = now() - interval '1 s', attempts = :n"), {"n": attempts}
        )
    taken = invocations.claim_abandoned(world.engine, ME)
    assert taken is not None
    return taken


def test_a_reading_command_whose_worker_died_runs_again_once(world: World) -> None:
    taken = abandoned(world, "look", 1)
    assert world.runner.abandon(taken) is None
    invocations.release(world.engine, taken.id)
    assert world.work().title == "seen"


@pytest.mark.parametrize(("line", "attempts"), [("change", 1), ("look", 2)])
def test_anything_else_is_closed_as_interrupted_and_the_person_told(world: World, line: str, attempts: int) -> None:
    reply = world.runner.abandon(abandoned(world, line, attempts))
    assert reply is not None
    assert (reply.outcome, world.done) == (Outcome.INTERRUPTED, [])
    assert world.rows("SELECT kind, user_id FROM outbox") == [("ephemeral", "U0DS1")]
    assert world.rows("SELECT outcome FROM audit") == [("interrupted",)]
    assert world.rows("SELECT state, outcome FROM invocations") == [("finished", "interrupted")]


def test_a_worker_that_lost_its_lease_says_nothing(world: World) -> None:
    def slow(ctx: Context) -> Reply:
        with world.engine.begin() as connection:
            connection.execute(text("UPDATE invocations SET worker = 'other'"))
        return Reply(title="late")

    world.declare("slow", slow)
    world.type("slow")
    assert world.rows("SELECT id FROM outbox") == []
    assert world.rows("SELECT state FROM invocations") == [("running",)]


def test_what_is_followed_lives_in_its_own_message(world: World) -> None:
    reply = Reply(title="run", slot="execution-1", follow=Follow("execution", "arn:1"), audience=Audience.CHANNEL)
    world.declare("run", lambda ctx: reply)
    world.type("run")
    world.type("run")
    assert world.rows("SELECT slot FROM outbox ORDER BY id") == [("execution-1@1",), ("execution-1",)]
    assert world.rows("SELECT kind, arn, slot FROM live") == [("execution", "arn:1", "execution-1")]


def test_from_a_terminal_nothing_is_posted_but_a_standing_card_is_edited(world: World) -> None:
    asked = world.type("both")
    assert asked.approval is not None
    row = approvals.get(world.engine, asked.approval)
    from commands.approvals import card

    world.declare("edit", lambda ctx: Reply(title="only printed", also=(card(row),)))
    before = world.rows("SELECT id, revision FROM outbox ORDER BY id")
    world.type("edit", channel=None)
    after = world.rows("SELECT id, revision FROM outbox ORDER BY id")
    assert [id for id, _ in after] == [id for id, _ in before]
    assert sum(revision for _, revision in after) == sum(revision for _, revision in before) + 1


def test_arguments_in_the_audit_are_those_that_were_meant(world: World) -> None:
    world.type("sure --yes")
    with world.engine.begin() as connection:
        id = connection.scalar(text("SELECT id FROM invocations"))
        _, closed = audit.of_invocation(connection, str(id))
    assert closed.arguments == {"yes": "True"}


def test_not_found_names_the_nearest(world: World) -> None:
    def handler(ctx: Context) -> Reply:
        raise NotFound("execution", "abc", ["abd"])

    world.declare("show", handler)
    reply = world.type("show")
    assert (reply.outcome, reply.title) == (Outcome.ERROR, "There is no execution 'abc'.")
    assert "abd" in str(reply.text)
