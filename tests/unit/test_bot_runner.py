"""One invocation's walk, on a real database, with commands of the test's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import Engine, text

from bot.runner import Case, Runner
from commands import approvals as deciding
from commands.command import Approval, Command, Context, Person, Plan, command
from commands.estimate import Limits
from commands.reply import Audience, Fact, Follow, Outcome, Reply
from pipeline.errors import BadInput, NotFound, Refused, Unavailable
from pipeline.names import Names
from pipeline.tracking import Tracking
from state import approvals, audit, grants, invocations
from state.invocations import Arrival

PEOPLE = {"U0DS1": "data-scientist", "U0ML1": "ml-engineer", "U0ML2": "ml-engineer"}
ME = "worker-1"


class Place:
    """A workplace whose people are the ones above; contexts remember their tags."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.tags: list[Mapping[str, str]] = []
        self.notify: Mapping[str, str] = {}
        self.limits = Limits(Decimal(5), Decimal(50))

    def person(self, team: str, user: str, name: str) -> Person | None:
        held = grants.active(self.engine, team, user, kind="elevation")
        return Person(team, user, name or user, PEOPLE[user], held) if user in PEOPLE else None

    def able(self, role: str, team: str, *, standing: bool = False) -> Sequence[str]:
        return [user for user, given in PEOPLE.items() if given == role]

    def advice(self, user: str) -> str:
        return "Ask an ML engineer."

    def context(self, case: Case, tags: Mapping[str, str]) -> Context:
        self.tags.append(tags)
        assert case.person is not None

        def client(service: str) -> Any:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": f"no {service}: not authorized"}}, "GetIt")

        def eyes(service: str) -> Any:
            raise Unavailable(f"{service} does not answer")

        return Context(
            case.person, case.asked.id, Names("1", "r"), client, Tracking(""), self.engine, case.asked.channel,
            tags.get("approval"), notify=self.notify, eyes=eyes,
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
        monkeypatch.setattr("commands.approvals.parse", self.parse)
        self.declare("look", lambda ctx: Reply(title="seen"))
        self.declare("change", self._changed("change"), changes=True, audience=Audience.CHANNEL)
        plan = lambda ctx: Plan("do it", [Fact("Digest", self.digest)], {"digest": self.digest})  # noqa: E731
        self.declare("sure", self._changed("sure"), changes=True, confirm=True, plan=plan)
        self.declare("both", self._changed("both"), changes=True, approval=Approval("ml-engineer"), plan=plan)

    def declare(self, name: str, handler: Callable[..., Reply], **how: Any) -> None:
        self.commands[name] = command(name, **{"allowed": None, **how})(handler).__command__  # type: ignore[attr-defined]

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
    """What `approvals approve` does, and the invocation that is queued together with the decision."""
    row = approvals.get(world.engine, "T0GC", id)
    world.declare("approve", lambda ctx: deciding.decide(ctx, row, approve=True), changes=True)
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
    assert approvals.get(world.engine, "T0GC", asked.approval).state == "consumed"
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
    assert not any(world.place.tags), "a session carried the tag though nothing was approved in the end"
    assert approvals.get(world.engine, "T0GC", asked.approval).state == "void"


@pytest.mark.parametrize(("user", "state"), [("U0ML2", "approved"), ("U0DS1", "approved")])
def test_somebody_elses_approval_cannot_be_used(world: World, user: str, state: str) -> None:
    asked = world.type("both")
    assert asked.approval is not None
    approvals.decide(world.engine, "T0GC", asked.approval, by="U0ML1", approve=True)
    arrival = Arrival("approval", "forged", "T0GC", user, "both", channel="C0DEV", approval=asked.approval)
    with world.engine.begin() as connection:
        invocations.accept(connection, arrival)
    assert (world.work().outcome, world.done) == (Outcome.ERROR, [])
    assert approvals.get(world.engine, "T0GC", asked.approval).state == state


def test_an_approval_is_not_for_another_command(world: World) -> None:
    asked = world.type("both")
    assert asked.approval is not None
    approvals.decide(world.engine, "T0GC", asked.approval, by="U0ML1", approve=True)
    for line in ("change", "both --yes"):
        arrival = Arrival("approval", line, "T0GC", "U0ML1", line, channel="C0DEV", approval=asked.approval)
        with world.engine.begin() as connection:
            invocations.accept(connection, arrival)
        assert world.work().outcome is Outcome.ERROR
    assert world.done == []


def test_an_approval_that_ran_out_of_time_is_expired(world: World) -> None:
    asked = world.type("both")
    assert asked.approval is not None
    approvals.decide(world.engine, "T0GC", asked.approval, by="U0ML1", approve=True)
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
    assert approvals.list(world.engine, "T0GC") == []


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
    row = approvals.get(world.engine, "T0GC", asked.approval)
    world.declare("edit", lambda ctx: Reply(title="only printed", also=(deciding.card(row),)))
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


# --- who acts as what, for a while -----------------------------------------------------------------------------------


def elevate(world: World, user: str = "U0DS1", role: str = "ml-engineer") -> grants.Grant:
    lasts = timedelta(hours=1)
    return grants.begin(
        world.engine, "elevation", team="T0GC", user=user, role=role, lasts=lasts, reason="night", invocation="i"
    )


def over(world: World, table: str) -> None:
    with world.engine.begin() as connection:
        connection.execute(text(f"UPDATE {table} SET expires_at = now() - interval '1 s'"))


def test_an_elevated_person_acts_in_the_first_role_that_may_and_it_shows_until_it_ends(world: World) -> None:
    world.declare("engineers", lambda ctx: Reply(title=ctx.person.role), allowed={"ml-engineer": ("prod",)})
    world.declare("scientists", lambda ctx: Reply(title=ctx.person.role), allowed={"data-scientist": ("dev",)})
    elevate(world)
    reply = world.type("engineers")
    assert reply.title == "ml-engineer"
    assert "acting as ml-engineer until" in str(reply.context)
    own = world.type("scientists")
    assert (own.title, own.context) == ("data-scientist", "")
    over(world, "grants")
    assert world.type("engineers").title == "data-scientist"  # AWS will say no
    assert [row.role for row in world.rows("SELECT role FROM audit WHERE phase = 'closed' ORDER BY id")] == [
        "ml-engineer",
        "data-scientist",
        "data-scientist",
    ]


def test_somebody_else_s_elevation_is_not_mine(world: World) -> None:
    world.declare("engineers", lambda ctx: Reply(title=ctx.person.role), allowed={"ml-engineer": ("prod",)})
    elevate(world, user="U0DS2")
    assert world.type("engineers").title == "data-scientist"


def test_an_approver_whose_role_was_taken_away_before_it_runs_loses(world: World, monkeypatch: Any) -> None:
    asked = world.type("both")
    row = approvals.get(world.engine, "T0GC", asked.approval or "")
    world.declare("approve", lambda ctx: deciding.decide(ctx, row, approve=True), changes=True)
    world.type("approve", user="U0ML1")
    monkeypatch.setitem(PEOPLE, "U0ML1", "data-scientist")
    reply = world.work()
    assert (reply.outcome, world.done) == (Outcome.ERROR, [])
    assert "another ml-engineer" in reply.title
    assert approvals.get(world.engine, "T0GC", row.id).state == "approved"


def test_an_approver_whose_elevation_has_ended_before_it_runs_loses(world: World, monkeypatch: Any) -> None:
    monkeypatch.setitem(PEOPLE, "U0DS2", "data-scientist")
    elevate(world, user="U0DS2")
    asked = world.type("both")
    row = approvals.get(world.engine, "T0GC", asked.approval or "")
    world.declare("approve", lambda ctx: deciding.decide(ctx, row, approve=True), changes=True)
    world.type("approve", user="U0DS2")
    assert approvals.get(world.engine, "T0GC", row.id).state == "approved"
    over(world, "grants")
    assert (world.work().outcome, world.done) == (Outcome.ERROR, [])


def test_two_decisions_at_one_moment_give_one_and_it_runs_once(world: World) -> None:
    asked = world.type("both")
    row = approvals.get(world.engine, "T0GC", asked.approval or "")
    start = threading.Barrier(6)

    def decide(case: tuple[str, bool]) -> str:
        user, agree = case
        ctx = Context(
            Person("T0GC", user, user, "ml-engineer"), "i", Names("1", "r"), lambda _: None, Tracking(""), world.engine
        )
        start.wait()
        try:
            return deciding.decide(ctx, row, approve=agree, reason="because").title.split(":")[0]
        except Refused as error:
            assert "already" in error.message
            return "too late"

    cases = [(user, agree) for user in ("U0ML1", "U0ML2", "U0ML3") for agree in (True, False)]
    with ThreadPoolExecutor(6) as pool:
        won = [word for word in pool.map(decide, cases) if word != "too late"]
    assert len(won) == 1
    queued = world.rows("SELECT text, user_id FROM invocations WHERE surface = 'approval'")
    assert len(queued) == (won == ["Approved"])


def test_a_decision_and_its_run_are_stored_together_or_not_at_all(world: World, monkeypatch: Any) -> None:
    asked = world.type("both")
    row = approvals.get(world.engine, "T0GC", asked.approval or "")

    def dies(*_: object) -> None:
        raise OSError("the worker dies here")

    monkeypatch.setattr("state.invocations.accept", dies)
    ctx = Context(
        Person("T0GC", "U0ML1", "x", "ml-engineer"), "i", Names("1", "r"), lambda _: None, Tracking(""), world.engine
    )
    with pytest.raises(OSError, match="dies here"):
        deciding.decide(ctx, row, approve=True)
    assert approvals.get(world.engine, "T0GC", row.id).state == "pending"


# --- break-glass -----------------------------------------------------------------------------------------------------


def glass(world: World, user: str = "U0ML1", env: str = "prod") -> grants.Grant:
    return grants.begin(
        world.engine, "break-glass", team="T0GC", user=user, role="ml-engineer", lasts=timedelta(minutes=15),
        reason="down", invocation="i", resource=f"groundcrew-{env}-detector",
    )  # fmt: skip


@pytest.fixture
def guarded(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world in which every line is about prod."""
    plain = world.parse

    def parse(line: str) -> tuple[Command, dict[str, Any]]:
        command, arguments = plain(line)
        return command, arguments | {"env": "prod"}

    def change(ctx: Context, env: str) -> Reply:
        world.done.append(f"{ctx.approval} {ctx.person.role}")
        return Reply(title="changed")

    monkeypatch.setattr("bot.runner.parse", parse)
    plan = lambda ctx, env: Plan("do it", [], {})  # noqa: E731
    world.declare("risky", change, changes=True, approval=Approval("ml-engineer"), plan=plan)
    return world


def test_under_break_glass_it_runs_at_once_tagged_loud_and_recorded(guarded: World) -> None:
    broken = glass(guarded)
    reply = guarded.type("risky", user="U0ML1")
    assert (reply.outcome, guarded.done) == (Outcome.OK, [f"{broken.id} ml-engineer"])
    assert guarded.place.tags[-1] == {"approval": broken.id, "requester": "U0ML1"}
    assert guarded.rows("SELECT type, approval FROM audit WHERE phase = 'closed'") == [("break-glass", broken.id)]
    sent = guarded.rows("SELECT channel, content->>'text' AS text FROM outbox ORDER BY id")
    assert [row.channel for row in sent] == ["C0DEV", "U0ML2"]
    assert all(broken.id in row.text and "down" in row.text for row in sent)
    assert approvals.list(guarded.engine, "T0GC") == []


@pytest.mark.parametrize("case", ["other person", "other resource", "over", "role lost"])
def test_break_glass_is_for_one_person_one_resource_one_quarter_of_an_hour(
    guarded: World, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    glass(guarded, user="U0ML2" if case == "other person" else "U0ML1", env="staging" if "resource" in case else "prod")
    if case == "over":
        over(guarded, "grants")
    if case == "role lost":
        monkeypatch.setitem(PEOPLE, "U0ML1", "data-scientist")
    reply = guarded.type("risky", user="U0ML1")
    assert (reply.outcome, guarded.done) == (Outcome.PENDING_APPROVAL, [])


def test_what_asks_first_still_asks_under_break_glass(guarded: World) -> None:
    def delete(ctx: Context, env: str, yes: bool = False) -> Reply:
        guarded.done.append("deleted")
        return Reply(title="deleted")

    plan = lambda ctx, env, yes=False: Plan("delete it", [], {})  # noqa: E731
    how: dict[str, Any] = {"changes": True, "approval": Approval("ml-engineer"), "confirm": True, "plan": plan}
    guarded.declare("delete", delete, **how)
    glass(guarded)
    assert guarded.type("delete", user="U0ML1").outcome is Outcome.NEEDS_CONFIRMATION
    assert guarded.done == []
    assert guarded.type("delete --yes", user="U0ML1").title == "deleted"


# --- who is who ------------------------------------------------------------------------------------------------------


def test_whom_slack_no_longer_vouches_for_is_refused_whatever_they_type(world: World) -> None:
    def person(team: str, user: str, name: str) -> Person | None:
        raise Refused(f"Nothing is done for {user}: they are a guest in this workspace.", "Ask.")

    world.place.person = person  # type: ignore[method-assign]
    for line in ("change", "lok"):
        assert "guest" in world.type(line).title
    assert world.done == []
    assert world.rows("SELECT outcome FROM audit WHERE phase = 'closed'") == [("denied",), ("denied",)]


def test_a_broken_access_file_stops_everybody_and_says_where(world: World) -> None:
    def person(team: str, user: str, name: str) -> Person | None:
        raise BadInput("access.yaml, line 4: unknown role 'king'.", "See the form.")

    world.place.person = person  # type: ignore[method-assign]
    reply = world.type("change")
    assert ("line 4" in reply.title, world.done) == (True, [])


def test_a_copy_in_another_channel_is_edited_together_with_the_card(world: World) -> None:
    world.place.notify = {"ml-engineer": "C0PROD"}
    asked = world.type("both")
    assert asked.approval is not None
    slot = f"approval-{asked.approval}"
    query = "SELECT slot, channel, content->>'text' AS text FROM outbox WHERE slot LIKE 'approval-%' ORDER BY id"
    assert [(row.slot, row.channel) for row in world.rows(query)] == [(slot, "C0DEV"), (f"{slot}#C0PROD", "C0PROD")]
    approve(world, asked.approval)
    assert ["used" in row.text for row in world.rows(query)] == [True, True]
