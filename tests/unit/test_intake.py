"""From the queue to what is durable: nothing lost, nothing twice, nobody held up by somebody else's trouble."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from alerts.events import Home
from alerts.routes import RoutesFile
from bot.alerts import intake as intake_module
from bot.alerts.intake import Intake
from bot.alerts.notices import Notice
from bot.alerts.queue import EVENTS, UNDELIVERED, Queue, Reader, unless_stopped
from bot.alerts.tags import KEPT, TagReader
from bot.alerts.undelivered import announce
from state import happenings, outbox, tables
from state.outbox import Priority
from tests.unit.fake_sqs import MOST_RECEPTIONS, VISIBILITY_S, FakeSqs

HOME = Home("123456789012", "us-east-1")
START = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
ROUTES = """
fallback: C0ALERTS
routes:
  - {name: nowhere, match: {topic: queue}, channel: none}
  - {name: dev, match: {source: aws.sagemaker}, channel: C0DEV}
"""


def job_event(name: str, state: str, minute: float = 1) -> str:
    """What EventBridge puts into the queue about a training job."""
    at = START + timedelta(minutes=minute)
    arn = f"arn:aws:sagemaker:{HOME.region}:{HOME.account}:training-job/{name}"
    return json.dumps(
        {
            "version": "0", "id": f"{name}-{minute}", "detail-type": "SageMaker Training Job State Change",
            "source": "aws.sagemaker", "account": HOME.account, "region": HOME.region,
            "time": at.strftime("%Y-%m-%dT%H:%M:%SZ"), "resources": [arn],
            "detail": {
                "TrainingJobName": name, "TrainingJobArn": arn, "TrainingJobStatus": state,
                "LastModifiedTime": int(at.timestamp() * 1000), "FailureReason": "" if state != "Failed" else "no luck",
            },
        }
    )  # fmt: skip


@pytest.fixture
def routes(tmp_path: Path) -> RoutesFile:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    return RoutesFile(tmp_path / "routes.yaml")


@pytest.fixture
def intake(engine: Engine, routes: RoutesFile) -> Intake:
    return Intake(engine, routes, lambda: HOME, lambda arns: {})


@pytest.fixture
def sqs() -> FakeSqs:
    return FakeSqs()


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def notice(engine: Engine, intake: Intake) -> Notice:
    return Notice(engine, intake, EVENTS, "reading")


@pytest.fixture
def reading(
    sqs: FakeSqs, intake: Intake, notice: Notice, stop: threading.Event
) -> Iterator[Callable[[], threading.Thread]]:
    """Starts a reader when called; it is stopped at the end."""
    threads: list[threading.Thread] = []

    def start() -> threading.Thread:
        reader = Reader(Queue(EVENTS, lambda: sqs), intake, notice, stop)
        threads.append(threading.Thread(target=reader.run))
        threads[-1].start()
        return threads[-1]

    yield start
    stop.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def rows(engine: Engine, query: str) -> list[Any]:
    with engine.begin() as connection:
        return list(connection.execute(text(query)))


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


def test_an_event_is_deleted_when_it_is_durable(engine: Engine, sqs: FakeSqs, reading: Any) -> None:
    sqs.send(EVENTS, *(job_event(f"night-{number}", "Failed") for number in range(25)))
    at_deletion: list[int] = []
    sqs.before["delete"] = lambda: at_deletion.append(len(rows(engine, "SELECT * FROM events")))
    reading()
    until(lambda: not sqs.left(EVENTS))
    assert set(at_deletion) == {25}
    assert rows(engine, "SELECT family, count, route, channel FROM alerts") == [
        (f"arn:aws:sagemaker:{HOME.region}:{HOME.account}:training-job/night", 25, "dev", "C0DEV")
    ]


def test_a_deletion_that_fails_is_harmless(engine: Engine, sqs: FakeSqs, reading: Any) -> None:
    def fail() -> None:
        sqs.before.clear()
        raise ClientError({"Error": {"Code": "InternalError", "Message": "x"}}, "DeleteMessageBatch")

    sqs.before["delete"] = fail
    sqs.send(EVENTS, job_event("a-1", "Failed"))
    reading()
    until(lambda: rows(engine, "SELECT * FROM alerts") and "delete" not in sqs.before)
    before = rows(engine, "SELECT * FROM alerts")
    sqs.now += VISIBILITY_S
    until(lambda: not sqs.left(EVENTS))
    assert rows(engine, "SELECT * FROM alerts") == before


def test_what_is_no_event_stays_for_the_undelivered_and_holds_nobody_up(
    engine: Engine, sqs: FakeSqs, reading: Any
) -> None:
    sqs.send(EVENTS, "not json", job_event("a-1", "Failed"), "[]", "x" * 300_000)
    reading()
    until(lambda: len(sqs.left(EVENTS)) == 3 and rows(engine, "SELECT * FROM alerts"))
    for _ in range(MOST_RECEPTIONS):
        sqs.now += VISIBILITY_S
        until(lambda: all(kept.hidden_until > sqs.now for kept in sqs.queues[EVENTS].values()))
    until(lambda: len(sqs.undelivered) == 3)


@pytest.mark.parametrize("fault", [RuntimeError("a bug"), ValueError("of this event only")])
def test_an_event_that_cannot_be_recorded_does_not_block_the_others(
    engine: Engine, intake: Intake, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    record = happenings.record

    def failing(connection: Any, batch: Sequence[Any]) -> Sequence[str]:
        done = record(connection, batch)
        if any("bad" in news.subject for news in batch):
            raise fault
        return done

    monkeypatch.setattr(happenings, "record", failing)
    bodies = [job_event("a-1", "Failed"), job_event("bad-1", "Failed"), job_event("c-1", "Failed")]
    assert intake.take(bodies) == [True, False, True]
    assert len(rows(engine, "SELECT * FROM alerts")) == 2


def test_a_database_that_is_away_is_nobody_s_own_fault(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def away(connection: Any, batch: Sequence[Any]) -> Sequence[str]:
        tries.append(len(batch))
        raise OperationalError("INSERT", {}, Exception("server closed the connection"))

    monkeypatch.setattr(happenings, "record", away)
    with pytest.raises(OperationalError):
        intake.take([job_event("a-1", "Failed"), job_event("b-1", "Failed")])
    assert tries == [2]


def test_hostile_text_is_recorded_and_changes_nothing_else(engine: Engine, intake: Intake) -> None:
    body = json.loads(job_event("a-1", "Failed"))
    body["detail"]["FailureReason"] = "<!channel> *x* \u0000 \ud800 '; DROP TABLE alerts; --"
    assert intake.take([json.dumps(body)]) == [True]
    assert "<!channel>" in rows(engine, "SELECT text FROM alerts")[0].text


# SQS does not answer; undelivered messages


def test_silence_of_sqs_is_said_once_in_the_fallback_channel_and_cleared(
    engine: Engine, sqs: FakeSqs, reading: Any, stop: threading.Event, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr("bot.alerts.queue.SLOWEST_S", 0.02)
    tries: list[str] = []

    def down() -> None:
        tries.append("")
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ReceiveMessage")

    sqs.before["receive"] = down
    reading()
    until(lambda: len(tries) > 4)
    found = rows(engine, "SELECT topic, state, channel, count FROM alerts")
    assert found == [("queue", "firing", "C0ALERTS", 1)]
    assert sum("cannot be read" in line for line in caplog.messages) == 1
    sqs.before.clear()
    until(lambda: rows(engine, "SELECT state FROM alerts") == [("resolved",)])


def test_what_was_received_before_sqs_fell_silent_is_taken_in_at_once(
    engine: Engine, sqs: FakeSqs, intake: Intake, notice: Notice, stop: threading.Event
) -> None:
    polls: list[str] = []

    def second_fails() -> None:
        polls.append("")
        if len(polls) == 2:
            stop.set()  # the reader ends after this batch
            raise ClientError({"Error": {"Code": "ServiceUnavailable", "Message": "no"}}, "ReceiveMessage")

    sqs.before["receive"] = second_fails
    sqs.send(EVENTS, job_event("a-1", "Failed"))
    assert len(Reader(Queue(EVENTS, lambda: sqs), intake, notice, stop)._gather()) == 1
    assert len(polls) == 2


def test_a_later_leader_clears_what_an_earlier_one_said(engine: Engine, intake: Intake) -> None:
    Notice(engine, intake, EVENTS, "reading").say("does not answer", "Events cannot be read", "x")
    later = Notice(engine, intake, EVENTS, "reading")
    later.say("does not answer", "Events cannot be read", "x")
    assert rows(engine, "SELECT state, count FROM alerts") == [("firing", 1)]
    later.over("Events are read again")
    assert rows(engine, "SELECT state, count FROM alerts") == [("resolved", 1)]


def test_undelivered_messages_are_one_alert_with_their_number(engine: Engine, sqs: FakeSqs, intake: Intake) -> None:
    notice, queue = Notice(engine, intake, UNDELIVERED, "undelivered"), Queue(UNDELIVERED, lambda: sqs)
    announce(queue, notice)
    assert rows(engine, "SELECT * FROM alerts") == []
    sqs.undelivered = ["x"]
    announce(queue, notice)
    announce(queue, notice)
    sqs.undelivered = ["x", "y"]
    announce(queue, notice)
    (row,) = rows(engine, "SELECT * FROM alerts")
    assert (row.state, row.channel, row.last_state, row.count) == ("firing", "C0ALERTS", "2 undelivered", 2)
    assert "2 events were not" in row.title
    assert "aws sqs receive-message" in row.text
    sqs.undelivered = []
    announce(queue, notice)
    assert rows(engine, "SELECT state FROM alerts") == [("resolved",)]


def test_a_stop_does_not_wait_for_a_long_poll(stop: threading.Event) -> None:
    left = threading.Event()
    threading.Timer(0.05, stop.set).start()
    began = time.monotonic()
    assert unless_stopped(lambda: [{}] * left.wait(20), stop) == []
    assert time.monotonic() - began < 2
    left.set()


# Tags


class Sagemaker:
    """ListTags, which can fail."""

    def __init__(self, tags: Mapping[str, str]) -> None:
        self.tags = tags
        self.asked: list[str] = []
        self.denied = False

    def list_tags(self, ResourceArn: str) -> dict[str, Any]:
        self.asked.append(ResourceArn)
        if self.denied:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ListTags")
        return {"Tags": [{"Key": key, "Value": value} for key, value in self.tags.items()]}


@pytest.fixture
def by_tags(tmp_path: Path) -> RoutesFile:
    tagged = "  - {name: birds, match: {tags: {Owner: birds}}, channel: C0BIRDS}\n"
    (tmp_path / "tags.yaml").write_text(ROUTES.replace("routes:\n", f"routes:\n{tagged}"))
    return RoutesFile(tmp_path / "tags.yaml")


def test_tags_decide_where_a_new_alert_goes_and_are_asked_for_it_alone(engine: Engine, by_tags: RoutesFile) -> None:
    aws = Sagemaker({"Owner": "birds"})
    intake = Intake(engine, by_tags, lambda: HOME, TagReader(lambda: aws).of)
    intake.take([job_event("a-1", "InProgress"), job_event("a-1", "Failed", 2)])
    assert rows(engine, "SELECT route, channel FROM alerts") == [("birds", "C0BIRDS")]
    intake.take([job_event("a-2", "Failed", 3), job_event("a-1", "Failed", 2)])
    assert aws.asked == [f"arn:aws:sagemaker:{HOME.region}:{HOME.account}:training-job/a-1"]


def test_tags_that_cannot_be_read_lose_no_event(engine: Engine, by_tags: RoutesFile) -> None:
    aws = Sagemaker({})
    aws.denied = True
    intake = Intake(engine, by_tags, lambda: HOME, TagReader(lambda: aws).of)
    assert intake.take([job_event("a-1", "Failed")]) == [True]
    assert rows(engine, "SELECT route FROM alerts") == [("dev",)]


def test_tags_are_remembered_for_a_while_and_not_without_end() -> None:
    now = [0.0]
    aws = Sagemaker({"Owner": "birds"})
    reader = TagReader(lambda: aws, lambda: now[0])
    names = [f"arn:{number}" for number in range(KEPT + 10)]
    reader.of(names)
    reader.of(names[-3:])
    assert len(aws.asked) == len(names)
    assert len(reader._kept) == KEPT
    now[0] += 601
    reader.of(names[-3:])
    assert len(aws.asked) == len(names) + 3


def test_a_slow_aws_holds_a_batch_up_for_a_second_only() -> None:
    now = [0.0]

    class Slow(Sagemaker):
        def list_tags(self, ResourceArn: str) -> dict[str, Any]:
            now[0] += 0.7
            return super().list_tags(ResourceArn)

    aws = Slow({})
    assert len(TagReader(lambda: aws, lambda: now[0]).of([f"arn:{number}" for number in range(9)])) == 2


# Laws


class Died(BaseException):
    """The process is gone, in the middle of whatever it did."""


STATES = st.sampled_from(["InProgress", "Failed", "Completed"])
BODIES = st.builds(job_event, st.sampled_from(["a-1", "a-2", "b-1"]), STATES, st.integers(1, 5))


@given(st.lists(BODIES, min_size=1, max_size=12, unique=True), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_death_at_any_moment_changes_nothing(
    engine: Engine, routes: RoutesFile, bodies: list[str], chance: random.Random
) -> None:
    """Readers die one after another, before, between and after commit and deletion; each message is in thrice."""
    calm = left_by(engine, routes, bodies, None)
    assert left_by(engine, routes, bodies, chance) == calm


def left_by(engine: Engine, routes: RoutesFile, bodies: Sequence[str], chance: random.Random | None) -> Any:
    with engine.begin() as connection:
        for table in (tables.events, tables.subjects, tables.alerts):
            connection.execute(table.delete())
    sqs, stop = FakeSqs(), threading.Event()
    sent = list(bodies) * (3 if chance else 1)
    if chance:
        chance.shuffle(sent)
    sqs.send(EVENTS, *sent)
    intake = Dying(engine, routes, lambda: HOME, lambda arns: {})
    while sqs.left(EVENTS):
        if chance and sqs.now < 3 * VISIBILITY_S:  # three deaths at most: after five receptions SQS gives up
            intake.dies = chance.choice(["before", "after", ""])
            deaths = iter([chance.random() < 0.5 for _ in range(9)])
            sqs.before["delete"] = lambda deaths=deaths: die(next(deaths, False))  # type: ignore[misc]
        reader = Reader(Queue(EVENTS, lambda: sqs), intake, Notice(engine, intake, EVENTS, "reading"), stop)
        try:
            reader._handle(reader._gather())
        except Died:
            sqs.now += VISIBILITY_S
        intake.dies = ""
        sqs.before.clear()
        sqs.now += 1
    on = (
        "SELECT s.arn, s.state, s.ended, s.at, a.family FROM subjects s LEFT JOIN alerts a ON a.id = s.alert ORDER BY 1"
    )
    firing = "SELECT family FROM alerts WHERE state = 'firing' ORDER BY 1"
    return rows(engine, on), rows(engine, firing), len(rows(engine, "SELECT * FROM events"))


class Dying(Intake):
    """Dies as told: before the transaction or right after it."""

    dies = ""

    def _commit(self, batch: Any) -> None:
        die(self.dies == "before")
        super()._commit(batch)
        die(self.dies == "after")


def die(now: bool) -> None:
    if now:
        raise Died


def test_old_events_and_messages_are_forgotten_by_a_duty_of_their_own(
    engine: Engine, intake: Intake, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake.take([job_event("a-1", "Failed")])
    with engine.begin() as connection:
        connection.execute(text("UPDATE events SET received_at = now() - interval '16 days'"))
        for words, slot in (("said", None), ("waits", None), ("edited", "alert-1")):
            outbox.put(connection, "message", {"text": words}, priority=Priority.POST, channel="C", slot=slot)
        old = "UPDATE outbox SET created_at = now() - interval '16 days', state = "
        connection.execute(text(f"{old} CASE WHEN content ->> 'text' = 'waits' THEN 'queued' ELSE 'sent' END"))
    thread = threading.Thread(target=intake_module.keep_forgetting, args=(engine, stop))
    thread.start()
    until(lambda: not rows(engine, "SELECT * FROM events"))
    until(lambda: len(rows(engine, "SELECT * FROM outbox")) == 2)
    stop.set()
    thread.join(10)
    kept = rows(engine, "SELECT content ->> 'text' FROM outbox ORDER BY id")
    assert kept == [("waits",), ("edited",)]
    assert len(rows(engine, "SELECT * FROM alerts")) == 1
