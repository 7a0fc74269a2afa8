"""No database: critical alerts are said all the same, once, and are recorded when there is one again."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse
from sqlalchemy import Engine, text

from alerts.events import Home
from alerts.routes import RoutesFile
from bot import app
from bot.alerts import direct as direct_module
from bot.alerts.direct import Direct
from bot.alerts.drawing import Drawer
from bot.alerts.intake import Intake
from bot.alerts.queue import CRITICAL, Queue
from bot.slack.sender import Sender
from state import database
from tests.unit.fake_sqs import FakeSqs

HOME = Home("123456789012", "us-east-1")
ROUTES = """
fallback: C0ALERTS
routes:
  - {name: production, match: {environment: prod}, channel: C0PROD, mention: U0ML1}
"""


def alarm(name: str, value: str = "ALARM", seconds_ago: float = 60) -> str:
    """What EventBridge sends about an alarm of a production endpoint."""
    at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    arn = f"arn:aws:cloudwatch:{HOME.region}:{HOME.account}:alarm:{name}"
    state = {"value": value, "reason": "Threshold Crossed", "timestamp": at.isoformat()}
    return json.dumps(
        {
            "version": "0", "id": name, "detail-type": "CloudWatch Alarm State Change", "source": "aws.cloudwatch",
            "account": HOME.account, "region": HOME.region, "time": at.isoformat(), "resources": [arn],
            "detail": {"alarmName": name, "state": state, "previousState": {"value": "OK"}, "configuration": {}},
        }
    )  # fmt: skip


class Channels:
    """Slack's channels: posts with their metadata. `refuse` names an error for a channel."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.refuse: dict[str, str] = {}
        self._lock = threading.Lock()

    def chat_postMessage(self, channel: str, **message: Any) -> dict[str, Any]:
        if error := self.refuse.get(channel):
            data = {"ok": False, "error": error}
            how: Any = {"client": None, "http_verb": "POST", "api_url": "", "req_args": {}, "headers": {}}
            raise SlackApiError(error, SlackResponse(data=data, status_code=200, **how))
        with self._lock:
            ts = f"{len(self.posts) + time.time():.6f}"
            self.posts.append({"channel": channel, "ts": ts, **message})
        return {"ts": ts}

    def chat_update(self, channel: str, ts: str, **message: Any) -> dict[str, Any]:
        next(post for post in self.posts if post["ts"] == ts).update(message)
        return {"ts": ts}

    def chat_delete(self, channel: str, ts: str) -> None:
        with self._lock:
            self.posts = [post for post in self.posts if post["ts"] != ts]

    def conversations_history(self, channel: str, oldest: str, **_: Any) -> dict[str, Any]:
        return {"messages": [post for post in self.posts if post["channel"] == channel and post["ts"] >= oldest]}

    def texts(self) -> list[str]:
        return [post["text"] for post in self.posts]


class Outage:
    """Workers without a database."""

    def __init__(self, tmp_path: Path, engine: Engine) -> None:
        self.engine = engine
        (tmp_path / "routes.yaml").write_text(ROUTES)
        self.routes = RoutesFile(tmp_path / "routes.yaml")
        self.sqs, self.slack, self.stop = FakeSqs(), Channels(), threading.Event()
        self.reachable = False
        self._threads: list[threading.Thread] = []

    def worker(self) -> None:
        queue = Queue(CRITICAL, lambda: self.sqs)
        slack: Any = self.slack
        made = Direct(lambda: self.reachable, self.engine, queue, slack, self.routes, lambda: HOME, self.stop)
        self._threads.append(threading.Thread(target=made.run))
        self._threads[-1].start()

    def end(self) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def hidden(self) -> bool:
        return all(kept.hidden_until > self.sqs.now for kept in self.sqs.queues[CRITICAL].values())


@pytest.fixture
def outage(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outage]:
    monkeypatch.setattr(direct_module, "LOOK_S", 0.02)
    monkeypatch.setattr(direct_module, "MISSED_S", 0.02)
    monkeypatch.setattr(direct_module, "BETWEEN_POSTS_S", 0.0)
    monkeypatch.setattr(direct_module, "SETTLED_S", 0.1)
    made = Outage(tmp_path, engine)
    yield made
    made.end()


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


def test_a_critical_alert_is_posted_marked_and_its_message_stays_in_the_queue(outage: Outage) -> None:
    outage.sqs.send(CRITICAL, alarm("groundcrew-prod-p-5xx"))
    outage.worker()
    until(lambda: outage.slack.posts)
    (post,) = outage.slack.posts
    assert "Not recorded: the database does not answer" in post["text"]
    assert (post["channel"], "U0ML1" in post["text"]) == ("C0PROD", True)
    assert len(outage.sqs.left(CRITICAL)) == 1
    assert outage.hidden()
    outage.reachable = True
    until(lambda: not outage.hidden())  # whoever leads now receives it at once


def test_several_workers_and_copies_of_the_event_make_one_post(outage: Outage) -> None:
    one = alarm("groundcrew-prod-p-5xx")
    outage.sqs.send(CRITICAL, one, one, one)
    outage.worker()
    until(lambda: len(outage.slack.posts) == 1)
    outage.worker()
    outage.sqs.now += direct_module.HIDDEN_S  # the first worker died, say, and its messages are shown again
    until(lambda: outage.hidden())
    outage.sqs.send(CRITICAL, alarm("groundcrew-prod-q-5xx"))
    until(lambda: len(outage.slack.posts) == 2)
    assert len({post["metadata"]["event_payload"]["row"] for post in outage.slack.posts}) == 2


def test_of_two_workers_who_post_copies_at_once_the_later_takes_its_post_back(outage: Outage) -> None:
    together, history = threading.Barrier(2), outage.slack.conversations_history
    looks: dict[int, int] = {}

    def slowly(**asked: Any) -> dict[str, Any]:
        found, me = history(**asked), threading.get_ident()
        looks[me] = looks.get(me, 0) + 1
        if looks[me] <= 2:
            together.wait(10)  # both have looked before either posts, and both have posted before either looks again
        return history(**asked) if looks[me] == 2 else found

    outage.slack.conversations_history = slowly  # type: ignore[method-assign]
    one = alarm("groundcrew-prod-p")
    give = outage.sqs.receive_message
    outage.sqs.receive_message = lambda **asked: give(**asked | {"MaxNumberOfMessages": 1})  # type: ignore[method-assign]
    outage.sqs.send(CRITICAL, one, one)
    outage.worker()
    outage.worker()
    until(lambda: sorted(looks.values()) == [2, 2] and len(outage.slack.posts) == 1)


def test_what_was_over_when_the_database_came_back_says_so(outage: Outage) -> None:
    outage.sqs.send(CRITICAL, alarm("groundcrew-prod-p"))
    outage.worker()
    until(lambda: outage.slack.posts)
    outage.reachable = True
    until(lambda: "Recorded since" in outage.slack.texts()[0])
    assert "Not recorded" not in outage.slack.texts()[0]


def test_what_is_not_critical_or_no_event_is_not_posted_and_not_lost(outage: Outage) -> None:
    outage.sqs.send(CRITICAL, alarm("groundcrew-dev-a-5xx"), alarm("groundcrew-prod-b-5xx", "OK"), "not json")
    outage.sqs.send(CRITICAL, alarm("groundcrew-prod-c-5xx"))
    outage.worker()
    until(lambda: outage.slack.posts)
    assert ["groundcrew-prod-c-5xx" in text for text in outage.slack.texts()] == [True]
    assert len(outage.sqs.left(CRITICAL)) == 4


def test_an_event_waits_until_whoever_draws_would_look_for_its_post(outage: Outage) -> None:
    outage.sqs.send(CRITICAL, alarm("groundcrew-prod-young", seconds_ago=0), alarm("groundcrew-prod-old"))
    outage.worker()
    until(lambda: outage.slack.posts)
    assert "groundcrew-prod-old" in outage.slack.texts()[0]
    outage.reachable = True
    until(lambda: not outage.hidden())
    assert len(outage.slack.posts) == 1


def test_a_channel_that_cannot_be_posted_to_is_replaced_by_the_fallback(outage: Outage) -> None:
    outage.slack.refuse["C0PROD"] = "is_archived"
    outage.sqs.send(CRITICAL, alarm("groundcrew-prod-p-5xx"))
    outage.worker()
    until(lambda: outage.slack.posts)
    assert outage.slack.posts[0]["channel"] == "C0ALERTS"


def test_slack_being_away_too_is_waited_for(outage: Outage) -> None:
    outage.slack.refuse["C0PROD"] = "internal_error"
    outage.sqs.send(CRITICAL, alarm("groundcrew-prod-p-5xx"))
    outage.worker()
    until(lambda: outage.sqs.queues[CRITICAL] and outage.hidden())
    outage.slack.refuse.clear()
    until(lambda: outage.slack.posts)


def test_when_the_database_is_back_the_post_becomes_the_alert_s_message(engine: Engine, outage: Outage) -> None:
    outage.sqs.send(CRITICAL, alarm("groundcrew-prod-p-5xx"))
    outage.worker()
    until(lambda: outage.slack.posts)
    outage.reachable = True
    until(lambda: not outage.hidden())
    intake = Intake(engine, outage.routes, lambda: HOME, lambda arns: {})
    assert intake.take(outage.sqs.left(CRITICAL)) == [True]
    Drawer(engine, outage.routes.now, threading.Event(), threading.Event(), outage.stop).draw()
    bell = threading.Event()
    sender = Sender(engine, outage.slack, lambda: "C0ALERTS", bell, outage.stop)  # type: ignore[arg-type]
    thread = threading.Thread(target=sender.run)
    thread.start()
    with engine.begin() as connection:
        slots = list(connection.scalars(text("SELECT slot FROM outbox")))
    assert slots == [outage.slack.posts[0]["metadata"]["event_payload"]["row"]]
    until(lambda: "Not recorded" not in outage.slack.texts()[0])
    assert len(outage.slack.posts) == 1
    outage.stop.set()
    bell.set()
    thread.join(10)


def test_nothing_is_read_while_the_database_answers(outage: Outage) -> None:
    looks: list[int] = []
    outage.sqs.send(CRITICAL, alarm("groundcrew-prod-p-5xx"))
    outage.sqs.before["receive"] = lambda: looks.append(1)
    outage.reachable = True
    outage.worker()
    outage.stop.wait(0.2)
    assert looks == []


def test_whether_the_database_answers(database_url: str) -> None:
    assert database.answers(database_url)
    assert not database.answers("postgresql+psycopg://postgres@127.0.0.1:9/nowhere")


def test_a_worker_that_starts_without_a_database_waits_for_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app, "MIGRATE_AGAIN_S", 0.01)
    there, stop, migrated = threading.Event(), threading.Event(), threading.Event()
    migrate, tries = database.migrate, []

    def maybe(target: Engine) -> None:
        tries.append(1)
        if there.is_set():
            migrate(target)
            migrated.set()
        else:
            away.connect()

    away = database.engine("postgresql+psycopg://postgres@127.0.0.1:9/nowhere")
    monkeypatch.setattr(app.database, "migrate", maybe)
    thread = threading.Thread(target=app._migrate, args=(engine, stop))
    thread.start()
    until(lambda: len(tries) > 3)
    assert thread.is_alive()
    there.set()
    thread.join(10)
    assert migrated.is_set()
    assert sum("waiting for it" in line for line in caplog.messages) == 1
