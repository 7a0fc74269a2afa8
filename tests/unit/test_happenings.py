"""What a batch of events leaves in the database: the same whatever the order, the repetitions and the crashes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from state import alerts, database, handling, happenings, live, tables
from state.grouping import News, Place, alert_id
from state.subjects import Subject

START = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
PLACE = Place("default", "C0DEV", "", timedelta(minutes=30))
LAWS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def news(subject: str, state: str, minute: float, effect: Any = "moves", **more: Any) -> News:
    given: dict[str, Any] = {
        "fingerprint": f"{subject}|{state}|{minute}|{effect}", "kind": "Job State Change", "topic": "job",
        "subject": f"arn:aws:sagemaker:us-east-1:1:training-job/{subject}", "family": f"family-of-{subject[0].lower()}",
        "environment": "dev", "severity": "warning", "effect": effect, "state": state,
        "at": START + timedelta(minutes=minute), "title": f"{subject} {state}", "text": "", "facts": {},
        "ended": state in ENDED, "reopens": False, "followed": "", "place": PLACE,
    }  # fmt: skip
    return News(**given | more)


ENDED = ("failed", "succeeded", "stopped")


def put(engine: Engine, *batch: News) -> Sequence[str]:
    with engine.begin() as connection:
        return happenings.record(connection, batch)


def rows(engine: Engine, query: str) -> list[Any]:
    with engine.begin() as connection:
        return list(connection.execute(text(query)))


def one(engine: Engine) -> Any:
    (row,) = rows(engine, "SELECT * FROM alerts")
    return row


def clear_tables(engine: Engine) -> None:
    with engine.begin() as connection:
        for table in (tables.events, tables.subjects, tables.alerts, tables.live):
            connection.execute(table.delete())


def test_a_failure_opens_one_alert_and_its_repetition_changes_nothing(engine: Engine) -> None:
    failed = news("a1", "failed", 1, "fires")
    assert put(engine, failed, failed) == [failed.fingerprint]
    before = one(engine)
    assert put(engine, failed) == []
    assert one(engine) == before
    assert (before.id, before.state, before.count, before.dirty) == (alert_id(failed.fingerprint), "firing", 1, True)


def test_failures_of_a_family_are_one_alert_with_the_newest_on_its_face(engine: Engine) -> None:
    put(engine, news("a2", "failed", 5, "fires", severity="critical"))
    put(engine, news("a1", "failed", 1, "fires"), news("b1", "failed", 2, "fires"))
    found = {row.family: row for row in rows(engine, "SELECT * FROM alerts")}
    assert sorted(found) == ["family-of-a", "family-of-b"]
    group = found["family-of-a"]
    assert (group.count, group.title, group.severity, group.first_at) == (
        2, "a2 failed", "critical", START + timedelta(minutes=1),
    )  # fmt: skip


def test_an_alert_is_resolved_when_none_of_its_subjects_fires_any_more(engine: Engine) -> None:
    put(engine, news("a1", "alarm", 1, "fires"), news("a2", "alarm", 1, "fires"))
    put(engine, news("a1", "ok", 2, "clears"))
    assert (one(engine).state, one(engine).dirty) == ("firing", True)
    put(engine, news("a2", "ok", 3, "clears"))
    row = one(engine)
    assert (row.state, row.last_state, row.resolved_by) == ("resolved", "ok", None)
    assert rows(engine, "SELECT count(*) FROM subjects WHERE alert IS NOT NULL")[0][0] == 0


def test_for_executions_a_later_success_of_the_family_clears_and_an_earlier_one_does_not(engine: Engine) -> None:
    put(engine, news("a1", "failed", 5, "fires", topic="execution"))
    put(engine, news("a2", "succeeded", 4, "clears", topic="execution"))
    put(engine, news("a8", "stopped", 7, "clears", topic="execution"))
    assert one(engine).state == "firing"
    put(engine, news("a3", "succeeded", 6, "clears", topic="execution"))
    assert one(engine).state == "resolved"
    put(engine, news("a4", "failed", 5.5, "fires", topic="execution"))
    assert (one(engine).state, one(engine).count) == ("resolved", 1)


@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_success_clears_its_family_although_that_execution_failed_later(engine: Engine, first: int) -> None:
    some = [
        news("a1", "failed", 1, "fires", topic="execution"),
        news("a2", "succeeded", 2, "clears", topic="execution"),
        news("a2", "failed", 3, "fires", topic="execution"),
    ]
    for each in [*some[first:], *some[:first]]:
        put(engine, each)
    on_an_alert = "SELECT arn FROM subjects WHERE alert IS NOT NULL"
    assert [row.arn for row in rows(engine, on_an_alert)] == [some[2].arn]


def test_what_comes_back_within_the_window_fires_the_same_alert_again_and_nobody_has_seen_it(engine: Engine) -> None:
    put(engine, news("a1", "alarm", 1, "fires"))
    first = one(engine)
    with engine.begin() as connection:
        handling.acknowledge(connection, first.id, "U0DS1")
        handling.resolve(connection, first.id, "U0DS1")
    put(engine, news("a1", "alarm", 2, "fires"))
    again = one(engine)
    assert (again.id, again.state, again.count) == (first.id, "firing", 2)
    assert (again.acknowledged_by, again.resolved_by, again.resolved_at) == (None, None, None)


def test_after_the_window_it_is_a_new_alert(engine: Engine) -> None:
    put(engine, news("a1", "alarm", 1, "fires"))
    put(engine, news("a1", "ok", 2, "clears"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alerts SET resolved_at = now() - interval '31 minutes'"))
    put(engine, news("a1", "alarm", 3, "fires"))
    assert sorted(row.state for row in rows(engine, "SELECT state FROM alerts")) == ["firing", "resolved"]


def test_a_failure_that_was_over_when_it_came_says_nothing(engine: Engine) -> None:
    put(engine, news("a1", "ok", 2, "clears"))
    put(engine, news("a1", "alarm", 1, "fires"))
    assert rows(engine, "SELECT * FROM alerts") == []
    assert len(rows(engine, "SELECT * FROM events")) == 2


@pytest.mark.parametrize("first", ["fires", "clears"])
def test_what_fires_and_clears_in_one_moment_goes_on_firing(engine: Engine, first: str) -> None:
    both = sorted(
        [news("a1", "alarm", 1, "fires"), news("a1", "ok", 1, "clears")], key=lambda each: each.effect != first
    )
    for each in both:
        put(engine, each)
    assert one(engine).state == "firing"


def test_a_retried_execution_moves_on_although_it_had_ended(engine: Engine) -> None:
    put(engine, news("a1", "succeeded", 9, "clears", topic="execution"))
    put(engine, news("a1", "failed", 1, "fires", topic="execution"))
    put(engine, news("a1", "executing", 3, reopens=True), news("a1", "executing", 2))
    (row,) = rows(engine, "SELECT * FROM subjects")
    assert (row.state, row.ended, row.at) == ("succeeded", True, START + timedelta(minutes=9))


def test_what_a_live_message_follows_opens_no_alert_and_is_looked_at_at_once(engine: Engine) -> None:
    arn = news("a1", "failed", 1).subject
    stack = "arn:aws:cloudformation:us-east-1:1:stack/groundcrew-dev-detector/"
    with engine.begin() as connection:
        live.follow(connection, kind="execution", arn=arn, slot="s1", invocation="i")
        live.follow(connection, kind="deployment", arn=f"{stack}5f", slot="s2", invocation="i")
        connection.execute(text("UPDATE live SET next_look = now() + interval '1 hour'"))
    put(engine, news("A1", "failed", 1, "fires"), news("b1", "failed", 1, "fires", followed=stack))
    assert rows(engine, "SELECT * FROM alerts") == []
    with engine.begin() as connection:
        assert len(live.due(connection)) == 2
        connection.execute(text("UPDATE live SET ended = true"))
    put(engine, news("a1", "failed", 2, "fires"))  # its message says how it ended
    assert rows(engine, "SELECT * FROM alerts") == []
    put(engine, news("b1", "failed", 2, "fires", followed=stack))  # that deployment is long over
    assert one(engine).family == "family-of-b"


def test_what_can_no_longer_be_shown_in_its_message_opens_an_alert(engine: Engine) -> None:
    failed = news("a1", "failed", 1, "fires", topic="execution")
    with engine.begin() as connection:
        live.follow(connection, kind="execution", arn=failed.subject, slot="s1", invocation="i")
        live.unfollow(connection, "s1")
    put(engine, failed)
    assert one(engine).state == "firing"


def test_what_had_ended_is_followed_again_when_somebody_retries_it(engine: Engine) -> None:
    failed = news("a1", "failed", 1, "fires", ended=True, reopens=True, topic="execution")
    with engine.begin() as connection:
        live.follow(connection, kind="execution", arn=failed.subject, slot="s1", invocation="i")
        connection.execute(text("UPDATE live SET ended = true"))
    put(engine, failed)
    with engine.begin() as connection:
        assert live.due(connection) == []
    put(engine, news("a1", "executing", 2, reopens=True, topic="execution"))
    with engine.begin() as connection:
        assert [row.slot for row in live.due(connection)] == ["s1"]


def test_what_is_only_told_has_one_message_a_subject_and_none_without_a_channel(engine: Engine) -> None:
    nowhere = replace(PLACE, channel=None)
    put(engine, news("a1", "pending", 1, "tells"), news("a2", "pending", 1, "tells"))
    put(engine, news("a1", "approved", 2, "tells"), news("c1", "pending", 1, "tells", place=nowhere))
    found = rows(engine, "SELECT state, last_state, count FROM alerts ORDER BY subject")
    assert found == [("info", "approved", 2), ("info", "pending", 1)]


def test_facts_stay_in_their_order(engine: Engine) -> None:
    facts = {"Source": "aws.sagemaker", "Account": "1", "n": "3", "about": "x"}
    put(engine, news("a1", "failed", 1, "fires", facts=facts))
    assert list(alerts.listed(engine)[0].facts) == ["Source", "Account", "n", "about"]


def test_what_is_told_while_its_family_fires_is_in_that_alert_and_has_no_message(engine: Engine) -> None:
    nowhere = replace(PLACE, channel=None)
    put(engine, news("a1", "alarm", 1, "fires"), news("a2", "completed", 1, "tells", place=nowhere))
    put(engine, news("a3", "completed", 2, "tells"))
    alert = one(engine)
    assert (alert.state, alert.last_state, alert.count) == ("firing", "alarm", 3)
    with engine.begin() as connection:
        assert len(alerts.history(connection, alert.id).entries) == 3
    put(engine, news("a1", "ok", 3, "clears"))
    assert one(engine).state == "resolved"


def test_what_is_only_recorded_is_not_drawn(engine: Engine) -> None:
    put(engine, news("a1", "failed", 1, "fires", place=replace(PLACE, channel=None)))
    assert (one(engine).channel, one(engine).dirty) == (None, False)


def test_the_history_of_an_alert_is_what_touched_it(engine: Engine) -> None:
    put(engine, news("a1", "alarm", 1, "fires"), news("a1", "checking", 2))
    put(engine, news("a1", "ok", 3, "clears"))
    with engine.begin() as connection:
        found = alerts.history(connection, one(engine).id)
    assert [entry.state for entry in found.entries] == ["alarm", "ok"]


def test_recording_wakes_whoever_draws(engine: Engine, database_url: str) -> None:
    with database.dedicated(database_url) as connection:
        database.listen(connection, [database.CHANNEL_ALERTS])
        put(engine, news("a1", "failed", 1, "fires"))
        assert [note.channel for note in connection.notifies(timeout=5, stop_after=1)] == [database.CHANNEL_ALERTS]


def test_only_what_would_open_an_alert_is_asked_for_its_tags(engine: Engine) -> None:
    old, new, told = news("a1", "failed", 1, "fires"), news("b1", "failed", 1, "fires"), news("a9", "x", 1, "tells")
    put(engine, old)
    asked = [old, news("a2", "failed", 2, "fires"), new, told, news("c1", "running", 1)]
    with engine.begin() as connection:
        assert happenings.opening(connection, asked) == {new.fingerprint, told.fingerprint}


def test_old_events_are_forgotten_and_what_they_did_is_not(engine: Engine) -> None:
    put(engine, news("a1", "failed", 1, "fires"), news("b1", "running", 1))
    with engine.begin() as connection:
        age = "UPDATE events SET received_at = now() - interval '16 days' WHERE state = 'failed'"
        connection.execute(text(age))
        assert happenings.forget(connection) == 1
    assert [row.state for row in rows(engine, "SELECT state FROM events")] == ["running"]
    assert one(engine).state == "firing"


# Laws

SUBJECTS = st.sampled_from(["a1", "a2", "b1"])
MOVES = st.sampled_from(
    [("running", "moves"), ("failed", "fires"), ("succeeded", "clears"), ("executing", "moves"), ("alarm", "fires")]
)
EVENTS = st.builds(
    lambda subject, move, minute: news(
        subject, move[0], minute, move[1], reopens=move[0] == "executing",
        topic="execution" if subject[0] == "a" else "job",
    ),
    SUBJECTS, MOVES, st.integers(0, 6),
)  # fmt: skip
CALM = EVENTS.filter(lambda each: each.effect != "clears")


@st.composite
def deliveries(draw: st.DrawFn, one: st.SearchStrategy[News] = EVENTS) -> tuple[list[News], list[list[News]]]:
    """Some events, and a way they may arrive: in any order, some more than once, in batches of any size."""
    some = draw(st.lists(one, min_size=1, max_size=10, unique_by=lambda each: each.fingerprint))
    arriving = draw(st.permutations(some + draw(st.lists(st.sampled_from(some), max_size=6))))
    sizes = draw(st.lists(st.integers(1, 4), min_size=len(arriving), max_size=len(arriving)))
    batches = []
    for size in sizes:
        batches.append(arriving[:size])
        arriving = arriving[size:]
    return some, [batch for batch in batches if batch]


def effect(engine: Engine, batches: Iterable[Iterable[News]]) -> tuple[Any, Any]:
    """What is left: the subjects with the family of the alert they fire on, and the firing alerts."""
    clear_tables(engine)
    for batch in batches:
        put(engine, *batch)
    left = """SELECT s.arn, s.state, s.ended, s.at, s.latest_at, s.ended_at, s.reopened_at, s.fired_at, s.cleared_at,
        a.family, a.state FROM subjects s LEFT JOIN alerts a ON a.id = s.alert ORDER BY s.arn"""
    return rows(engine, left), rows(engine, "SELECT family FROM alerts WHERE state = 'firing' ORDER BY family")


@given(deliveries())
@LAWS
def test_any_order_and_repetition_leaves_the_same(engine: Engine, case: tuple[list[News], list[list[News]]]) -> None:
    some, batches = case
    as_it_happened = effect(engine, [[each] for each in sorted(some, key=lambda each: each.when)])
    assert effect(engine, batches) == as_it_happened
    assert len(rows(engine, "SELECT * FROM events")) == len(some)
    firing = rows(engine, "SELECT count(*) FROM alerts a WHERE state = 'firing' AND NOT EXISTS "
                          "(SELECT FROM subjects s WHERE s.alert = a.id)")  # fmt: skip
    assert firing[0][0] == 0


@given(deliveries(CALM))
@LAWS
def test_what_nothing_clears_has_the_same_alerts_to_the_last_word(
    engine: Engine, case: tuple[list[News], list[list[News]]]
) -> None:
    some, batches = case
    face = "SELECT family, state, last_state, title, subject, severity, count, first_at, last_at FROM alerts ORDER BY 1"
    effect(engine, [some])
    expected = rows(engine, face)
    effect(engine, batches)
    assert rows(engine, face) == expected


@given(st.lists(EVENTS, min_size=1, max_size=12))
@LAWS
def test_an_ended_state_stays_ended_until_something_reopens_it_later(engine: Engine, some: list[News]) -> None:
    clear_tables(engine)
    seen: dict[str, list[News]] = {}
    for each in some:
        put(engine, each)
        seen.setdefault(each.arn, []).append(each)
        row = next(row for row in rows(engine, "SELECT * FROM subjects") if row.arn == each.arn)
        ends = [was.at for was in seen[each.arn] if was.ended]
        reopens = [was.at for was in seen[each.arn] if was.reopens]
        assert row.ended == bool(ends and (not reopens or max(reopens) <= max(ends)))


@given(st.lists(EVENTS, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_a_subject_is_the_same_in_any_order(some: list[News], chance: Any) -> None:
    def fold(order: Sequence[News]) -> Mapping[str, Subject]:
        found: dict[str, Subject] = {}
        for each in order:
            known = found.get(each.arn) or Subject(each.arn, each.family, None, each.at, each.state)
            found[each.arn] = known.after(each.state, each.at, each.effect, ended=each.ended, reopens=each.reopens)
        return found

    other = some + some
    chance.shuffle(other)
    assert fold(other) == fold(some)


@pytest.mark.parametrize("size", [1, 200])
def test_a_batch_that_fails_leaves_nothing(engine: Engine, size: int) -> None:
    batch = [news(f"a{number}", "failed", number, "fires") for number in range(size)]
    with pytest.raises(Exception, match="stringent"), engine.begin() as connection:
        happenings.record(connection, batch)
        raise RuntimeError("stringent")
    assert rows(engine, "SELECT * FROM events") == []
    assert len(put(engine, *batch)) == size
    assert one(engine).count == size
