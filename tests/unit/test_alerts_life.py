"""The life of an alert on a real database: drawn once, held, handed from one to another, asked about again, ended."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from alerts.route import Match
from alerts.routes import Escalation, Quiet, Route, Routes
from bot.alerts import evidence, reminders
from bot.alerts.drawing import Drawer, hold_until, priority
from bot.slack.render import blocks_of
from commands.alert_card import card
from pipeline.errors import BadInput, NotFound
from state import alerts, grants, handling, happenings, outbox
from state.alerts import AlertRow, Mute
from state.grouping import News, Place
from state.outbox import Priority

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
RUN = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/groundcrew-prod-detector/execution/abc123def456"
LOUD = Route("loud", "C0PROD", "S0ONCALL", remind=HOUR, escalate=Escalation(2 * HOUR, "C0BOSS", "U0BOSS"))
ALWAYS_QUIET = Quiet(time(0, 0), time(23, 59, 59), ZoneInfo("UTC"))
ROUTES = Routes(
    "C0FALL", [(Match(), LOUD), (Match(), Route("night", "C0DEV", "S0ONCALL", remind=HOUR, quiet=ALWAYS_QUIET))]
)


def news(name: str = "abc123def456", effect: Any = "fires", route: str = "loud", **more: Any) -> News:
    to = ROUTES.named(route) or Route(route, None)
    given_: dict[str, Any] = {
        "fingerprint": f"{name}|{effect}|{more.get('at', NOW)}", "kind": "Status Change", "topic": "execution",
        "subject": RUN.replace("abc123def456", name), "family": RUN.partition("/execution")[0], "environment": "prod",
        "severity": "critical" if route == "loud" else "warning", "effect": effect,
        "state": "failed" if effect == "fires" else "succeeded", "at": NOW, "title": "Pipeline detector failed",
        "text": "", "facts": {}, "ended": True, "reopens": True, "followed": "",
        "place": Place(to.name, to.channel, to.mention, to.window),
    }  # fmt: skip
    return News(**given_ | more)


def record(engine: Engine, *batch: News) -> AlertRow:
    with engine.begin() as connection:
        happenings.record(connection, batch)
    return alert(engine)


def alert(engine: Engine) -> AlertRow:
    (row,) = alerts.listed(engine, open_only=False)
    return row


def drawer(engine: Engine) -> Drawer:
    return Drawer(engine, lambda: ROUTES, threading.Event(), threading.Event(), threading.Event())


def draw(engine: Engine) -> int:
    return drawer(engine).draw()


def messages(engine: Engine) -> dict[str, Any]:
    """What is in the outbox, by slot."""
    with engine.begin() as connection:
        return {row.slot: row for row in connection.execute(text("SELECT * FROM outbox ORDER BY id"))}


def post(engine: Engine) -> None:
    """Let everything that waits stand in Slack."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE outbox SET state = 'sent', ts = '1700000000.' || id WHERE ts IS NULL"))


def run(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def mute(engine: Engine, until: datetime) -> None:
    with engine.begin() as connection:
        handling.mute(connection, news().family, "U0ML1", until, "we know")


def said(row: Any) -> str:
    return json.dumps(row.content)


def words(row: Any) -> str:
    return str(row.content["text"])


# Drawing


def test_a_firing_alert_is_posted_once_with_the_mention_and_edited_without(engine: Engine) -> None:
    row = record(engine, news())
    assert draw(engine) == 1
    assert draw(engine) == 0
    (message,) = messages(engine).values()
    assert (message.slot, message.channel, message.priority) == (f"alert-{row.id}", "C0PROD", Priority.CRITICAL)
    assert "<!subteam^S0ONCALL>" in said(message)
    assert "PRODUCTION" in words(message) and "CRITICAL" in words(message)
    post(engine)
    record(engine, news("zzz123def456", at=NOW + timedelta(minutes=1)))
    draw(engine)
    edited = messages(engine)[f"alert-{row.id}"]
    assert "subteam" not in said(edited)
    assert "2 times" in words(edited)


def test_the_mention_survives_an_edit_that_comes_before_the_post(engine: Engine) -> None:
    record(engine, news())
    draw(engine)
    row = record(engine, news("zzz123def456", at=NOW + timedelta(minutes=1)))
    draw(engine)
    assert "<!subteam^S0ONCALL>" in said(messages(engine)[f"alert-{row.id}"])


def test_resolved_calls_nobody_and_offers_no_buttons_that_make_no_sense(engine: Engine) -> None:
    record(engine, news())
    draw(engine)
    row = record(engine, news(effect="clears", at=NOW + timedelta(minutes=1)))
    draw(engine)
    message = messages(engine)[f"alert-{row.id}"]
    assert row.state == "resolved"
    assert "S0ONCALL" not in said(message)
    labels = [
        each["text"]["text"]
        for block in blocks_of(message.content)
        for each in block.get("elements", [])
        if each["type"] == "button"
    ]
    assert labels == ["Logs"]


def test_history_is_one_message_in_the_thread_and_appears_when_there_is_any(engine: Engine) -> None:
    row = record(engine, news())
    draw(engine)
    assert f"alert-{row.id}-history" not in messages(engine)
    for minute in range(1, 40):
        record(engine, news(f"run{minute:09}", at=NOW + timedelta(minutes=minute)))
    draw(engine)
    story = messages(engine)[f"alert-{row.id}-history"]
    assert (story.below, story.state, story.priority) == (f"alert-{row.id}", "held", Priority.LIVE)
    assert "15 older ones are not shown" in words(story)
    assert words(story).count("failed") >= 25


def test_an_event_that_calls_itself_an_act_is_nobody_s(engine: Engine) -> None:
    row = record(engine, replace(news(), kind=alerts.ACT, subject="U0ML1"))
    with engine.begin() as connection:
        assert [entry.by for entry in alerts.history(connection, row.id).entries] == [None]


def test_what_is_only_recorded_is_never_posted(engine: Engine) -> None:
    row = record(engine, news(route="silent"))
    draw(engine)
    assert messages(engine) == {}
    assert alert(engine).id == row.id


def test_quiet_hours_hold_the_uncritical_and_what_ends_meanwhile_is_never_posted(engine: Engine) -> None:
    held = record(engine, news(route="night"))
    draw(engine)
    assert messages(engine) == {}
    assert (alert(engine).hold_until or NOW) > NOW
    assert alert(engine).remind_at is None
    record(engine, news(effect="clears", route="night", at=NOW + timedelta(minutes=1)))
    draw(engine)
    assert messages(engine) == {}
    found = alerts.get(engine, held.id[:6])
    assert (found.state, found.hold_until) == ("resolved", None)


def test_a_held_alert_that_becomes_critical_is_posted_at_once(engine: Engine) -> None:
    record(engine, news(route="night"))
    draw(engine)
    record(engine, news("zzz123def456", route="night", severity="critical", at=NOW + timedelta(minutes=1)))
    draw(engine)
    assert len(messages(engine)) == 2


def test_a_muted_family_is_held_until_the_mute_ends(engine: Engine) -> None:
    mute(engine, NOW + HOUR)
    row = record(engine, news())
    draw(engine)
    assert messages(engine) == {}
    run(engine, "UPDATE mutes SET until = now() - interval '1 second'")
    reminders.look(engine, ROUTES, NOW)
    assert draw(engine) == 1
    assert "S0ONCALL" in said(messages(engine)[f"alert-{row.id}"])


def test_a_posted_alert_says_that_it_is_muted_and_when_that_is_over_no_more(engine: Engine) -> None:
    row = record(engine, news())
    draw(engine)
    mute(engine, NOW + HOUR)
    draw(engine)
    assert "Muted until" in words(messages(engine)[f"alert-{row.id}"])
    run(engine, "UPDATE mutes SET until = now() - interval '1 second'")
    reminders.look(engine, ROUTES, NOW)
    draw(engine)
    assert "Muted until" not in words(messages(engine)[f"alert-{row.id}"])
    reminders.look(engine, ROUTES, NOW)
    assert draw(engine) == 0


def test_news_of_a_muted_family_is_recorded_and_not_posted(engine: Engine) -> None:
    mute(engine, NOW + HOUR)
    record(engine, news(effect="tells"))
    draw(engine)
    assert messages(engine) == {}
    assert alert(engine).state == "info"


def test_critical_alerts_are_drawn_first(engine: Engine) -> None:
    for number in range(25):
        record_one = news(f"run{number:09}", route="loud", severity="warning", family=f"f{number}")
        with engine.begin() as connection:
            happenings.record(connection, [record_one])
    with engine.begin() as connection:
        happenings.record(connection, [news("critical0000", family="f-critical")])
    draw(engine)
    first = next(iter(messages(engine).values()))
    assert first.priority == Priority.CRITICAL


def test_two_drawers_draw_an_alert_once(engine: Engine) -> None:
    record(engine, news())
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda _: draw(engine), range(4)))
    assert sum(drawn) == 1
    assert [row.revision for row in messages(engine).values()] == [1]


def test_a_critical_event_that_waited_for_the_database_is_looked_for_before_it_is_posted(engine: Engine) -> None:
    record(engine, news(at=NOW - timedelta(minutes=5)))
    draw(engine)
    assert [row.unsure for row in messages(engine).values()] == [True]
    run(engine, "TRUNCATE alerts, subjects, events, outbox")
    record(engine, news(at=datetime.now(UTC)))
    draw(engine)
    assert [row.unsure for row in messages(engine).values()] == [False]


# What people do


def both(engine: Engine, act: Any) -> Sequence[AlertRow | None]:
    """The same by two people at one moment."""
    ready = threading.Barrier(2)

    def one(user: str) -> AlertRow | None:
        ready.wait()
        with engine.begin() as connection:
            return act(connection, user)  # type: ignore[no-any-return]

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, ["U0ML1", "U0ML2"]))


def test_two_clicks_at_one_moment_are_one_acknowledgement(engine: Engine) -> None:
    id = record(engine, news()).id
    won = [row for row in both(engine, lambda connection, user: handling.acknowledge(connection, id, user)) if row]
    assert len(won) == 1
    assert alert(engine).acknowledged_by == won[0].acknowledged_by
    with engine.begin() as connection:
        acts = [entry for entry in alerts.history(connection, id).entries if entry.by]
    assert [entry.state for entry in acts] == ["acknowledged"]


def test_two_who_take_it_at_one_moment_do_not_take_it_from_each_other(engine: Engine) -> None:
    id = record(engine, news()).id
    won = [row for row in both(engine, lambda connection, user: handling.assign(connection, id, user)) if row]
    assert len(won) == 1
    assert alert(engine).assigned_to == won[0].assigned_to == alert(engine).acknowledged_by


def test_what_a_person_resolved_fires_again_with_the_same_message(engine: Engine) -> None:
    id = record(engine, news()).id
    draw(engine)
    with engine.begin() as connection:
        assert handling.resolve(connection, id, "U0ML1", "disk was full") is not None
        assert handling.resolve(connection, id, "U0ML2") is None
    draw(engine)
    assert "Resolved by" in words(messages(engine)[f"alert-{id}"])
    again = record(engine, news("zzz123def456", at=NOW + timedelta(minutes=1)))
    assert (again.id, again.state, again.acknowledged_by, again.resolved_by) == (id, "firing", None, None)


def test_an_alert_is_found_by_the_beginning_of_its_id(engine: Engine) -> None:
    row = record(engine, news())
    assert alerts.get(engine, row.id[:5].upper()).id == row.id
    with pytest.raises(NotFound, match="There is no alert"):
        alerts.get(engine, "zzzz")
    with pytest.raises(NotFound):
        alerts.get(engine, "%")
    with engine.begin() as connection:
        happenings.record(connection, [news(family=f"f{n}", fingerprint=str(n)) for n in range(20)])
    ids = sorted(each.id for each in alerts.listed(engine))
    shared = next((a[0] for a, b in pairwise(ids) if a[0] == b[0]), "")
    with pytest.raises(BadInput, match="Several"):
        alerts.get(engine, shared)


# Asked again


def due(engine: Engine, column: str = "remind_at") -> None:
    run(engine, f"UPDATE alerts SET {column} = now() - interval '1 minute'")


def reminded(engine: Engine) -> list[Any]:
    return [row for slot, row in messages(engine).items() if "-remind-" in str(slot)]


def test_who_does_not_answer_is_asked_again_in_the_thread_with_doubling_pauses(engine: Engine) -> None:
    row = record(engine, news())
    draw(engine)
    post(engine)
    assert (alert(engine).remind_at or NOW) > NOW + timedelta(minutes=55)
    reminders.look(engine, ROUTES, NOW)
    assert reminded(engine) == []
    for count, pause in ((1, 2 * HOUR), (2, 4 * HOUR)):
        run(engine, f"UPDATE alerts SET remind_at = now() - interval '{10 - count} minutes'")
        reminders.look(engine, ROUTES, NOW)
        assert len(reminded(engine)) == count
        assert alert(engine).remind_at == NOW + pause
    last = reminded(engine)[-1]
    assert (last.below, last.thread_ts is not None, last.priority) == (f"alert-{row.id}", True, Priority.CRITICAL)
    assert "<!subteam^S0ONCALL>" in said(last)


def test_two_leaders_ask_once(engine: Engine) -> None:
    record(engine, news())
    draw(engine)
    due(engine)
    due(engine, "escalate_at")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: reminders.look(engine, ROUTES, NOW), range(4)))
    slots = [str(slot) for slot in messages(engine)]
    assert (len(reminded(engine)), sum("-escalation-" in slot for slot in slots)) == (1, 1)


def test_what_was_due_for_another_leader_too_changes_once(engine: Engine) -> None:
    record(engine, news())
    draw(engine)
    due(engine)
    from state import reminders as stored

    with engine.begin() as connection:
        (row,) = stored.due_reminders(connection)
    with engine.begin() as connection:
        assert stored.reminded(connection, row, NOW + HOUR)
    with engine.begin() as connection:
        assert not stored.reminded(connection, row, NOW + HOUR)
    assert alert(engine).reminded == 1


@pytest.mark.parametrize("answered", ["acknowledged", "resolved", "muted"])
def test_nobody_is_asked_about_what_somebody_answered(engine: Engine, answered: str) -> None:
    id = record(engine, news()).id
    draw(engine)
    due(engine)
    due(engine, "escalate_at")
    with engine.begin() as connection:
        if answered == "acknowledged":
            handling.acknowledge(connection, id, "U0ML1")
        elif answered == "resolved":
            handling.resolve(connection, id, "U0ML1")
        else:
            handling.mute(connection, news().family, "U0ML1", NOW + HOUR)
    reminders.look(engine, ROUTES, NOW)
    assert [slot for slot in messages(engine) if "-remind-" in slot or "-escalation-" in slot] == []


def test_escalation_tells_others_once_and_where_the_message_stands(engine: Engine) -> None:
    record(engine, news())
    draw(engine)
    due(engine, "escalate_at")
    reminders.look(engine, ROUTES, NOW)
    reminders.look(engine, ROUTES, NOW)
    (row,) = [row for slot, row in messages(engine).items() if "-escalation-" in slot]
    assert (row.channel, row.below) == ("C0BOSS", None)
    assert "<@U0BOSS>" in said(row) and "<#C0PROD>" in said(row)
    draw(engine)
    assert alert(engine).escalate_at is None


def test_in_quiet_hours_nobody_is_asked_until_they_end(engine: Engine) -> None:
    record(engine, news(route="night"))
    draw(engine)
    run(engine, "UPDATE alerts SET hold_until = NULL, remind_at = now() - interval '1 minute'")
    reminders.look(engine, ROUTES, NOW)
    assert reminded(engine) == []
    assert (alert(engine).remind_at or NOW) > NOW


def test_a_route_that_is_gone_reminds_of_nothing(engine: Engine) -> None:
    record(engine, news())
    draw(engine)
    due(engine)
    reminders.look(engine, Routes("C0FALL"), NOW)
    assert reminded(engine) == []
    assert alert(engine).remind_at is None


def test_an_open_review_is_kept_in_mind_once_a_day_in_the_fallback_channel(engine: Engine) -> None:
    grant = grants.begin(
        engine, "break-glass", team="T0GC", user="U0ML1", role="ml-engineer", lasts=HOUR, reason="down", invocation="i",
        resource="groundcrew-prod-detector",
    )  # fmt: skip
    for hours in (1, 23, 25, 26, 47, 49):
        reminders.look(engine, ROUTES, grant.created_at + timedelta(hours=hours))
    found = messages(engine)
    assert [row.channel for row in found.values()] == ["C0FALL", "C0FALL"]
    assert all(f"access review {grant.id}" in said(row) for row in found.values())
    grants.review(engine, "T0GC", grant.id, by="U0ML2", finding="right")
    reminders.look(engine, ROUTES, grant.created_at + timedelta(hours=73))
    assert len(messages(engine)) == 2


# Evidence


class Failing:
    """Clients of AWS that answer nothing but an error."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("not reachable")


def test_what_could_not_be_read_leaves_a_note_and_is_not_read_again(engine: Engine) -> None:
    row = record(engine, news())
    assert evidence.explain_next(engine, lambda: lambda service: Failing()) == 0  # nothing is posted yet
    draw(engine)
    assert evidence.explain_next(engine, lambda: lambda service: Failing()) == 1
    assert evidence.explain_next(engine, lambda: lambda service: Failing()) == 0
    draw(engine)
    assert "could not be read (RuntimeError)" in words(messages(engine)[f"alert-{row.id}"])


def test_eyes_that_do_not_answer_are_not_waited_for(engine: Engine) -> None:
    record(engine, news())
    draw(engine)
    answer = threading.Event()

    def eyes() -> Any:
        answer.wait(30)
        raise RuntimeError

    assert evidence.explain_next(engine, eyes, patience=0.05) == 1
    answer.set()
    assert "did not answer in time" in str(alert(engine).evidence)


def test_step_reason_and_last_lines_are_shown_and_read_again_after_the_next_failure(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def of_execution(client: Any, arn: str) -> dict[str, Any]:
        looked.append(arn)
        return {"step": "Train", "reason": "out of memory", "lines": ["epoch 3", "CUDA out of memory"]}

    monkeypatch.setattr(evidence, "of_execution", of_execution)
    row = record(engine, news())
    for _ in range(2):
        draw(engine)
        evidence.explain_next(engine, lambda: lambda service: None)
    draw(engine)
    shown = said(messages(engine)[f"alert-{row.id}"])
    assert all(each in shown for each in ("Train", "out of memory", "CUDA out of memory"))
    record(engine, news("zzz123def456", at=NOW + timedelta(minutes=1)))
    draw(engine)
    evidence.explain_next(engine, lambda: lambda service: None)
    assert [arn[-12:] for arn in looked] == ["abc123def456", "zzz123def456"]


# The rules


@given(st.timedeltas(timedelta(seconds=1), timedelta(days=31)), st.integers(0, 200))
def test_a_next_reminder_is_later_each_time_and_never_later_than_a_day_or_the_route_says(
    remind: timedelta, count: int
) -> None:
    pause = reminders.next_reminder(remind, count, NOW) - NOW
    after = reminders.next_reminder(remind, count + 1, NOW) - NOW
    assert remind <= pause <= after <= max(timedelta(days=1), remind)
    assert after in (2 * pause, max(timedelta(days=1), remind))


def row_like(**more: Any) -> AlertRow:
    return AlertRow(**dict.fromkeys(AlertRow.__dataclass_fields__) | {"state": "firing", "severity": "warning"} | more)


times = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))


@given(times, times, st.times(), st.times(), st.sampled_from(["critical", "warning", "info"]))
def test_held_is_what_is_muted_or_quiet_and_never_into_the_past(
    now: datetime, until: datetime, start: time, end: time, severity: str
) -> None:
    route = Route("r", "C0", quiet=Quiet(start, end, ZoneInfo("Europe/Berlin"))) if start != end else None
    mute = Mute("M", "f", "U", "", now, until, None) if until > now else None
    row = row_like(severity=severity)
    held = hold_until(row, mute, route, now)
    assert held is None or held > now
    assert mute is None or (held is not None and held >= mute.until)
    if severity == "critical":
        assert held == (mute.until if mute else None)


@pytest.mark.parametrize(
    ("state", "severity", "urgent"),
    [
        ("firing", "critical", Priority.CRITICAL),
        ("firing", "warning", Priority.FIRING),
        ("resolved", "critical", Priority.POST),
        ("info", "info", Priority.POST),
    ],
)
def test_how_long_a_post_may_wait(state: str, severity: str, urgent: Priority) -> None:
    assert priority(row_like(state=state, severity=severity)) is urgent


def test_slots_are_those_the_sender_is_told_of(engine: Engine) -> None:
    row = record(engine, news())
    assert card(row).slot == alerts.slot(row.id)
    with engine.begin() as connection:
        assert alerts.standing(connection, row.id) == ""
    draw(engine)
    with engine.begin() as connection:
        assert alerts.standing(connection, row.id) == "queued"
        assert outbox.slot_exists(connection, alerts.slot(row.id))
    post(engine)
    with engine.begin() as connection:
        assert alerts.standing(connection, row.id) == "posted"
