"""What the tables promise: once, one winner, nothing forgotten."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from pipeline.errors import NotFound, Refused
from state import approvals, audit, database, invocations, live, outbox, sending, tables
from state.invocations import Arrival
from state.outbox import OutboxRow, Priority


def arrival(delivery: str = "command:1", text: str = "whoami", **more: str) -> Arrival:
    return Arrival(surface="command", delivery=delivery, team="T0GC", user="U0DS1", text=text, channel="C0DEV", **more)


def store(engine: Engine, what: Arrival) -> str | None:
    with engine.begin() as connection:
        return invocations.accept(connection, what)


def expire_leases(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE invocations SET lease_until = now() - interval '1 second'"))


def test_migrations_make_the_tables_that_the_code_uses(engine: Engine) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []


def test_migrating_together_and_again_changes_nothing(database_url: str) -> None:
    engines = [database.engine(database_url) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(database.migrate, engines))
    for engine in engines:
        engine.dispose()


def test_a_repeated_delivery_is_stored_once(engine: Engine) -> None:
    first = store(engine, arrival())
    assert first is not None
    assert store(engine, arrival()) is None
    claimed = invocations.claim(engine, "w1")
    assert claimed is not None
    assert (claimed.id, claimed.text, claimed.attempts) == (first, "whoami", 1)
    assert invocations.claim(engine, "w1") is None


def test_storing_notifies(engine: Engine, database_url: str) -> None:
    with database.dedicated(database_url) as connection:
        database.listen(connection, [database.CHANNEL_INVOCATIONS])
        id = store(engine, arrival())
        notes = list(connection.notifies(timeout=5, stop_after=1))
    assert [(note.channel, note.payload) for note in notes] == [(database.CHANNEL_INVOCATIONS, id)]


def test_many_workers_share_without_doing_anything_twice(engine: Engine) -> None:
    ids = {store(engine, arrival(f"command:{n}")) for n in range(20)}

    def work(worker: str) -> list[str]:
        done = []
        while claimed := invocations.claim(engine, worker):
            done.append(claimed.id)
        return done

    with ThreadPoolExecutor(4) as pool:
        taken = [id for done in pool.map(work, ["a", "b", "c", "d"]) for id in done]
    assert len(taken) == 20
    assert set(taken) == ids


def test_a_lease_that_runs_out_is_taken_over_and_the_first_worker_no_longer_holds(engine: Engine) -> None:
    store(engine, arrival())
    first = invocations.claim(engine, "dead")
    assert first is not None
    assert invocations.claim_abandoned(engine, "alive") is None
    expire_leases(engine)
    again = invocations.claim_abandoned(engine, "alive")
    assert again is not None
    assert (again.id, again.attempts) == (first.id, 2)
    with engine.begin() as connection:
        assert not invocations.holds(connection, first.id, "dead")
        assert invocations.holds(connection, first.id, "alive")


def test_renewing_keeps_a_lease(engine: Engine) -> None:
    store(engine, arrival())
    invocations.claim(engine, "w")
    expire_leases(engine)
    assert invocations.renew(engine, "w") == 1
    assert invocations.claim_abandoned(engine, "other") is None


def test_finishing_forgets_the_response_url(engine: Engine) -> None:
    id = store(engine, arrival(response_url="https://hooks.slack.com/x"))
    assert id is not None
    with engine.begin() as connection:
        invocations.finish(connection, id, "ok")
        row = connection.execute(text("SELECT * FROM invocations")).one()
    assert (row.state, row.outcome, row.response_url) == ("finished", "ok", None)


def opened(engine: Engine, lifetime: timedelta = timedelta(hours=1)) -> approvals.ApprovalRow:
    return approvals.open(
        engine,
        team="T0GC",
        requester="U0ML1",
        command="registry request 3 --to staging",
        role="ml-engineer",
        title="promote v3",
        facts=[("mAP50", "0.9")],
        bound={"digest": "abc"},
        invocation="i",
        channel="C0DEV",
        lifetime=lifetime,
    )


def test_an_approval_is_found_as_people_type_it_and_missing_ones_name_the_nearest(engine: Engine) -> None:
    row = opened(engine)
    assert len(row.id) == 6
    assert row.id.startswith("A")
    assert approvals.get(engine, "T0GC", row.id.upper()).facts == (("mAP50", "0.9"),)
    with pytest.raises(NotFound) as caught:
        approvals.get(engine, "T0GC", row.id[:-1])
    assert row.id in caught.value.advice


def test_a_request_is_for_the_people_of_its_workspace(engine: Engine) -> None:
    row = opened(engine)
    assert approvals.list(engine, "T0BB") == []
    for ask in (
        lambda: approvals.get(engine, "T0BB", row.id),
        lambda: approvals.decide(engine, "T0BB", row.id, by="U0ML2", approve=True),
        lambda: approvals.decide(engine, "T0BB", row.id, by="U0ML2", approve=False),
    ):
        with pytest.raises(NotFound) as caught:
            ask()
        assert row.id not in caught.value.advice
    approvals.decide(engine, "T0GC", row.id, by="U0ML2", approve=True)
    with pytest.raises(NotFound):
        approvals.consume(engine, "T0BB", row.id, by="U0ML2")
    assert approvals.get(engine, "T0GC", row.id).state == "approved"


def test_nobody_approves_their_own_request_but_may_withdraw_it(engine: Engine) -> None:
    row = opened(engine)
    with pytest.raises(Refused, match="yourself"):
        approvals.decide(engine, "T0GC", row.id, by="U0ML1", approve=True)
    assert approvals.decide(engine, "T0GC", row.id, by="U0ML1", approve=False).state == "rejected"


def test_of_many_who_decide_at_once_one_wins(engine: Engine) -> None:
    row = opened(engine)
    start = threading.Barrier(6)

    def press(user: str) -> bool:
        start.wait()
        try:
            approvals.decide(engine, "T0GC", row.id, by=user, approve=True)
        except Refused as error:
            assert "already" in error.message
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(press, [f"U{n}" for n in range(6)])) == 1


def test_an_approval_is_used_once_and_only_by_who_gave_it(engine: Engine) -> None:
    row = opened(engine)
    with pytest.raises(Refused):
        approvals.consume(engine, "T0GC", row.id, by="U0ML2")
    approvals.decide(engine, "T0GC", row.id, by="U0ML2", approve=True)
    with pytest.raises(Refused):
        approvals.consume(engine, "T0GC", row.id, by="U0ML3")
    assert approvals.consume(engine, "T0GC", row.id, by="U0ML2").state == "consumed"
    with pytest.raises(Refused, match="carried out"):
        approvals.consume(engine, "T0GC", row.id, by="U0ML2")


def test_time_ends_an_approval(engine: Engine) -> None:
    row = opened(engine, timedelta(seconds=-1))
    with pytest.raises(Refused, match="expired"):
        approvals.decide(engine, "T0GC", row.id, by="U0ML2", approve=True)
    assert approvals.get(engine, "T0GC", row.id).state == "expired"
    assert [ended.id for ended in approvals.expire(engine)] == [row.id]
    assert approvals.expire(engine) == []
    assert approvals.list(engine, "T0GC") == []


def test_the_fingerprint_changes_with_anything_that_was_approved() -> None:
    same = approvals.fingerprint("run 1", {"a": "1", "b": "2"})
    assert same == approvals.fingerprint("run 1", {"b": "2", "a": "1"})
    assert same != approvals.fingerprint("run 1", {"a": "1", "b": "3"})
    assert same != approvals.fingerprint("run 2", {"a": "1", "b": "2"})


def put(engine: Engine, text: str, *, priority: Priority = Priority.POST, **more: Any) -> int | None:
    with engine.begin() as connection:
        return outbox.put(connection, "message", {"text": text}, priority=priority, **({"channel": "C0DEV"} | more))


def take(engine: Engine, id: int | None) -> OutboxRow:
    """Take a row that waits at the head of its lane."""
    with engine.begin() as connection:
        (row,) = [row for row in sending.waiting(connection) if row.id == id]
        taken = sending.take(connection, row)
    assert taken is not None
    return taken


def send(engine: Engine, id: int | None, ts: str) -> OutboxRow:
    """What the sender does when Slack has taken the message."""
    row = take(engine, id)
    with engine.begin() as connection:
        sending.sent(connection, row, ts)
    return row


def fail(engine: Engine, id: int | None, error: str = "channel_not_found") -> None:
    assert id is not None
    with engine.begin() as connection:
        sending.failed(connection, id, error)


def waiting(engine: Engine) -> list[str]:
    with engine.begin() as connection:
        return [row.content["text"] for row in sending.waiting(connection)]


def in_turn(engine: Engine) -> list[str]:
    """The texts in the order in which they leave, each sent before the next is chosen."""
    order = []
    while True:
        with engine.begin() as connection:
            rows = sending.waiting(connection)
            if not rows:
                return order
            taken = sending.take(connection, rows[0])
            assert taken is not None
            sending.sent(connection, taken, f"{taken.id}.0")
        order.append(taken.content["text"])


def fields(engine: Engine, *columns: str) -> list[tuple[Any, ...]]:
    with engine.begin() as connection:
        return [tuple(row) for row in connection.execute(text(f"SELECT {', '.join(columns)} FROM outbox ORDER BY id"))]


def test_the_urgent_goes_first(engine: Engine) -> None:
    for priority in reversed(Priority):
        put(engine, priority.name, priority=priority)
    assert in_turn(engine) == ["ANSWER", "CRITICAL", "FIRING", "POST", "LIVE"]


def test_a_more_urgent_edit_of_what_waits_makes_it_urgent_and_a_less_urgent_one_does_not(engine: Engine) -> None:
    put(engine, "elsewhere", priority=Priority.FIRING, channel="C0PROD")
    put(engine, "firing", priority=Priority.POST, slot="alert-1")
    put(engine, "critical", priority=Priority.CRITICAL, slot="alert-1")
    put(engine, "critical, twice", priority=Priority.LIVE, slot="alert-1")
    assert waiting(engine) == ["critical, twice", "elsewhere"]


def test_a_channel_with_ten_thousand_messages_hides_no_other(engine: Engine) -> None:
    content = {"text": "burst"}
    burst = [{"kind": "message", "content": content, "priority": Priority.CRITICAL, "channel": "C0BUSY"}] * 10_000
    with engine.begin() as connection:
        connection.execute(tables.outbox.insert(), burst)
    put(engine, "progress", priority=Priority.LIVE)
    put(engine, "answer", priority=Priority.ANSWER, channel="C0BUSY")
    with engine.begin() as connection:
        began = time.perf_counter()
        found = [row.content["text"] for row in sending.waiting(connection)]
        took = time.perf_counter() - began
    assert found == ["answer", "progress"]
    assert took < 0.1  # a few milliseconds; reading all rows takes far longer


def test_edits_in_one_channel_take_turns(engine: Engine) -> None:
    for slot in ("a", "b", "c"):
        send(engine, put(engine, slot, slot=slot), f"{slot}.1")
    order = []
    for _ in range(2):
        for slot in ("a", "b", "c"):
            put(engine, slot, slot=slot, priority=Priority.LIVE)
    for _ in range(6):
        (slot,) = waiting(engine)
        with engine.begin() as connection:
            (row,) = sending.waiting(connection)
            taken = sending.take(connection, row)
            assert taken is not None
            sending.sent(connection, taken, None)
        put(engine, slot, slot=slot, priority=Priority.LIVE)  # changed again before the others had their turn
        order.append(slot)
    assert order == ["a", "b", "c", "a", "b", "c"]


def test_what_must_wait_is_not_sent_before_and_does_not_hold_up_others(engine: Engine) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    put(engine, "later", priority=Priority.ANSWER, not_before=soon)
    put(engine, "now")
    assert waiting(engine) == ["now"]
    with engine.begin() as connection:
        assert 20 < (sending.seconds_to_next(connection) or 0) <= 31


def test_a_message_below_another_waits_for_it_and_hangs_in_its_thread(engine: Engine) -> None:
    root = put(engine, "alert", slot="alert-1")
    put(engine, "history", slot="alert-1-history", below="alert-1", priority=Priority.CRITICAL, channel=None)
    put(engine, "history, longer", slot="alert-1-history", below="alert-1", channel=None)
    put(engine, "unrelated")
    assert waiting(engine) == ["alert"]
    send(engine, root, "111.1")
    assert waiting(engine) == ["history, longer"]
    assert fields(engine, "channel", "thread_ts")[1] == ("C0DEV", "111.1")
    put(engine, "remark", below="alert-1", priority=Priority.ANSWER, channel=None)
    assert waiting(engine) == ["remark"]
    assert fields(engine, "thread_ts")[-1] == ("111.1",)


def test_a_message_below_one_that_cannot_be_posted_fails_with_it(engine: Engine) -> None:
    root = put(engine, "alert", slot="alert-1")
    put(engine, "history", below="alert-1", channel=None)
    fail(engine, root)
    assert put(engine, "too late", below="alert-1", channel=None) is None
    reason = "the message it hangs below could not be posted"
    assert fields(engine, "state", "error")[1:] == [("failed", reason)] * 2
    assert waiting(engine) == []


def test_a_message_queued_below_another_while_that_is_being_posted_is_not_forgotten(engine: Engine) -> None:
    root = put(engine, "alert", slot="alert-1")
    row = take(engine, root)
    locked, thread = threading.Event(), threading.Thread()
    with engine.begin() as drawing:
        outbox.put(drawing, "message", {"text": "history"}, priority=Priority.POST, below="alert-1")

        def record() -> None:
            with engine.begin() as connection:
                locked.set()
                sending.sent(connection, row, "111.1")

        thread = threading.Thread(target=record)
        thread.start()
        locked.wait(5)
    thread.join(10)
    assert waiting(engine) == ["history"]


def test_a_moved_message_takes_along_what_hangs_below_it(engine: Engine) -> None:
    root = put(engine, "alert", slot="alert-1")
    history = put(engine, "history", slot="alert-1-history", below="alert-1", channel=None)
    send(engine, root, "111.1")
    send(engine, history, "111.2")
    put(engine, "history, longer", slot="alert-1-history", below="alert-1")
    row = take(engine, history)
    with engine.begin() as connection:
        sending.move(connection, row, "C0OPS")
    assert waiting(engine) == ["alert"]
    assert fields(engine, "channel", "meant_for", "ts", "state")[0] == ("C0OPS", "C0DEV", None, "queued")
    send(engine, root, "222.1")
    assert waiting(engine) == ["history, longer"]
    assert fields(engine, "channel", "thread_ts", "ts")[1] == ("C0OPS", "222.1", None)


def test_edits_of_a_slot_overwrite_each_other_until_sent_and_then_edit_the_message(engine: Engine) -> None:
    id = put(engine, "one", slot="s")
    assert id is not None
    assert put(engine, "two", slot="s") == id
    assert waiting(engine) == ["two"]
    row = take(engine, id)
    put(engine, "three", slot="s")  # while "two" is being sent
    assert waiting(engine) == []
    with engine.begin() as connection:
        sending.sent(connection, row, "111.1")
    assert waiting(engine) == ["three"]
    assert take(engine, id).ts == "111.1"


def test_a_detached_slot_starts_a_new_message(engine: Engine) -> None:
    first = put(engine, "old", slot="s")
    with engine.begin() as connection:
        outbox.detach(connection, "s")
    assert put(engine, "new", slot="s") != first
    assert in_turn(engine) == ["old", "new"]


def test_a_message_that_could_never_be_posted_is_not_edited(engine: Engine) -> None:
    fail(engine, put(engine, "one", slot="s"))
    assert put(engine, "two", slot="s") is None
    assert waiting(engine) == []


def test_after_a_change_of_leader_what_was_half_sent_is_looked_for_or_given_up(engine: Engine) -> None:
    post = put(engine, "post")
    with engine.begin() as connection:
        private = outbox.put(connection, "ephemeral", {"text": "p"}, priority=Priority.ANSWER, channel="C", user="U")
        assert not sending.posted_within(connection, timedelta(seconds=1))
    take(engine, post)
    take(engine, private)
    with engine.begin() as connection:
        assert sending.posted_within(connection, timedelta(seconds=1))
        assert sending.take_over(connection) == 2
    assert waiting(engine) == ["post"]
    assert take(engine, post).unsure


def test_pictures_are_dropped_once_sent(engine: Engine) -> None:
    with engine.begin() as connection:
        id = outbox.put(connection, "message", {"text": "p"}, priority=Priority.POST, channel="C", picture=b"png")
    row = take(engine, id)
    assert row.picture == b"png"
    with engine.begin() as connection:
        sending.sent(connection, row, "1.1")
        assert connection.scalar(text("SELECT picture FROM outbox")) is None


def test_what_is_followed_comes_due_until_it_ends(engine: Engine) -> None:
    with engine.begin() as connection:
        live.follow(connection, kind="execution", arn="arn", slot="s", invocation="i")
        (row,) = live.due(connection)
        assert live.looked(connection, row, digest="d", pause=timedelta(seconds=30), ended=False)
        assert live.due(connection) == []
        assert live.following(connection) == 1
        assert 25 < (live.seconds_to_next(connection) or 0) <= 30
        live.unfollow(connection, "s")
        assert live.seconds_to_next(connection) is None
        assert live.following(connection) == 0


def test_audit_keeps_what_happened_but_no_secrets(engine: Engine) -> None:
    leaky = "look https://b.s3/x?X-Amz-Signature=deadbeef&a=1 xoxb-12-abc AKIAIOSFODNN7EXAMPLE token=hush"
    with engine.begin() as connection:
        audit.append(
            connection, "opened", invocation="i", surface="command", team="T", user="U", command=leaky,
            arguments={"key": leaky, "n": 3},
        )  # fmt: skip
        (row,) = audit.of_invocation(connection, "i")
    said = f"{row.command} {row.arguments}"
    assert row.arguments["n"] == "3"
    assert "a=1" in said
    for secret in ("deadbeef", "xoxb-12", "AKIAIOSFODNN7EXAMPLE", "hush"):
        assert secret not in said
