"""The processes behind the runner: quick to wake, one leader, live messages that change only when something changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from bot import leader, watcher
from bot.watcher import Watcher, pause
from bot.worker import Bells, Worker
from commands.command import Context, Person
from commands.reply import Outcome, Reply, Step
from pipeline.errors import NotFound, Unavailable
from pipeline.names import Names
from pipeline.tracking import Run, Tracking
from state import approvals, database, invocations, live, outbox
from state.invocations import Arrival, Invocation
from state.outbox import Priority


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


class Recorder:
    """A runner that remembers when it was asked."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.seen: list[tuple[str, float]] = []
        self.abandoned: list[str] = []

    def run(self, asked: Invocation) -> None:
        self.seen.append((asked.text, time.monotonic()))
        with self.engine.begin() as connection:
            invocations.finish(connection, asked.id, "ok")

    def abandon(self, asked: Invocation) -> None:
        self.abandoned.append(asked.text)


def store(engine: Engine, words: str) -> float:
    with engine.begin() as connection:
        invocations.accept(connection, Arrival("command", words, "T0GC", "U0DS1", words))
    return time.monotonic()


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


def started(engine: Engine, url: str, runner: Any, stop: threading.Event) -> threading.Thread:
    worker = Worker(engine, url, runner, "me", 2, Bells(), stop)
    thread = threading.Thread(target=worker.run, args=(lambda: None,))
    thread.start()
    return thread


def test_a_notification_wakes_a_command_thread_at_once(
    engine: Engine, database_url: str, stop: threading.Event
) -> None:
    runner = Recorder(engine)
    store(engine, "before the start")
    thread = started(engine, database_url, runner, stop)
    try:
        until(lambda: len(runner.seen) == 1)
        at = store(engine, "after it")
        until(lambda: len(runner.seen) == 2)
        assert runner.seen[1][1] - at < 2  # far below the five seconds after which it would look anyway
    finally:
        stop.set()
        thread.join(10)
    assert [words for words, _ in runner.seen] == ["before the start", "after it"]
    assert not thread.is_alive()


def test_what_a_dead_worker_left_is_given_back(
    engine: Engine, database_url: str, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invocations, "LEASE", timedelta(seconds=0.6))
    runner = Recorder(engine)
    store(engine, "left behind")
    invocations.claim(engine, "dead")
    thread = started(engine, database_url, runner, stop)
    try:
        until(lambda: len(runner.seen) == 1)
    finally:
        stop.set()
        thread.join(10)
    assert runner.abandoned == ["left behind"]


def test_one_leads_and_another_follows_when_it_stops(database_url: str) -> None:
    leading: list[str] = []
    stops = {name: threading.Event() for name in ("a", "b")}

    def duty(name: str) -> None:
        leading.append(name)
        stops[name].wait()

    def stand(name: str) -> threading.Thread:
        thread = threading.Thread(target=leader.lead, args=(database_url, [lambda: duty(name)], stops[name]))
        thread.start()
        return thread

    first = stand("a")
    until(lambda: leading == ["a"])
    second = stand("b")
    assert leading == ["a"]
    stops["a"].set()
    until(lambda: leading == ["a", "b"])
    stops["b"].set()
    first.join(10)
    second.join(10)


def test_a_leader_that_loses_its_lock_ends_its_process(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    stop = threading.Event()

    def end(status: int) -> None:
        ended.append(status)
        stop.set()

    monkeypatch.setattr(leader.os, "_exit", end)
    monkeypatch.setattr(leader.logging, "shutdown", lambda: None)
    thread = threading.Thread(target=leader.lead, args=(database_url, [stop.wait], stop))
    thread.start()
    with database.dedicated(database_url) as connection:
        query = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = %s"
        until(lambda: connection.execute(query, (database.LOCK_LEADER,)).fetchone() is not None)
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE objid = %s", (database.LOCK_LEADER,))
    thread.join(10)
    assert ended[:1] == [1]


class Mlflow(Tracking):
    """An MLflow with one open run; may be away."""

    def __init__(self, *, away: bool = False) -> None:
        super().__init__("http://nowhere.invalid")
        self.away = away
        self.closed: list[tuple[str, str]] = []

    def run_for_execution(self, arn: str) -> Run | None:
        if self.away:
            raise Unavailable("MLflow does not answer.")
        return Run("r1", "e", "n", "RUNNING", "s3://x", 0.0, None)

    def finish(self, run_id: str, status: Any = "FINISHED") -> None:
        self.closed.append((run_id, status))


class Watched:
    """A followed execution, what it looks like now, and the watcher's work on it."""

    def __init__(self, engine: Engine, tracking: Mlflow) -> None:
        self.engine = engine
        self.stop = threading.Event()
        self.now: tuple[Reply, bool] | Exception = (Reply(title="at 1"), False)
        self.looks = 0
        self.context = Context(
            Person("system", "w", "w", "observer"), "i", Names("1", "r"), lambda name: None, tracking, engine
        )
        with engine.begin() as connection:
            outbox.put(connection, "message", {"text": "posted"}, priority=Priority.POST, channel="C", slot="s")
            live.follow(connection, kind="execution", arn="arn", slot="s", invocation="i")
        self.watcher = Watcher(engine, {"execution": self.look}, lambda row: self.context, threading.Event(), self.stop)

    def look(self, ctx: Context, arn: str) -> tuple[Reply, bool]:
        self.looks += 1
        if isinstance(self.now, Exception):
            raise self.now
        return self.now

    def once(self) -> None:
        """Let the watcher look once."""
        with self.engine.begin() as connection:
            connection.execute(text("UPDATE live SET next_look = now()"))
            rows = live.due(connection)
        for row in rows:
            self.watcher._look(row)

    def row(self, table: str) -> Any:
        with self.engine.begin() as connection:
            return connection.execute(text(f"SELECT * FROM {table}")).one()


@pytest.fixture
def watched(engine: Engine) -> Watched:
    return Watched(engine, Mlflow())


def test_a_message_is_edited_only_when_it_looks_different(watched: Watched) -> None:
    watched.once()
    watched.once()
    assert (watched.looks, watched.row("outbox").revision) == (2, 2)
    watched.now = (Reply(title="at 2"), False)
    watched.once()
    assert watched.row("outbox").revision == 3
    assert watched.row("outbox").content["text"] == "at 2"


def test_the_last_state_is_written_and_then_it_is_left_alone(watched: Watched) -> None:
    watched.now = (Reply(title="done", steps=[Step("Train", "done")]), True)
    watched.once()
    watched.once()
    assert (watched.looks, watched.row("outbox").content["text"].startswith("done")) == (1, True)
    assert watched.row("live").ended
    assert watched.context.tracking.closed == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(title="failed", outcome=Outcome.ERROR, steps=[Step("Train", "failed")]),
        Reply(title="stopped", steps=[Step("Preprocess", "done"), Step("Train", "skipped")]),
    ],
)
def test_an_execution_that_ended_badly_closes_its_mlflow_run(watched: Watched, reply: Reply) -> None:
    watched.now = (reply, True)
    watched.once()
    assert watched.context.tracking.closed == [("r1", "FAILED")]  # type: ignore[attr-defined]


def test_mlflow_away_does_not_keep_a_message_open(engine: Engine) -> None:
    watched = Watched(engine, Mlflow(away=True))
    watched.now = (Reply(title="failed", outcome=Outcome.ERROR), True)
    watched.once()
    assert watched.row("live").ended


def test_a_failed_look_keeps_the_message_and_waits_longer(watched: Watched) -> None:
    watched.now = RuntimeError("throttled")
    watched.once()
    watched.once()
    assert (watched.row("live").errors, watched.row("live").ended, watched.row("outbox").revision) == (2, False, 1)
    watched.now = (Reply(title="at 2"), False)
    watched.once()
    assert watched.row("live").errors == 0


def test_what_is_gone_is_followed_no_more(watched: Watched) -> None:
    watched.now = NotFound("execution", "arn")
    watched.once()
    assert watched.row("live").ended


def test_looks_get_rarer_with_age_and_errors() -> None:
    now = datetime.now(UTC)

    def row(age_s: float, errors: int = 0) -> live.LiveRow:
        return live.LiveRow(1, "execution", "arn", "s", "i", None, False, errors, now - timedelta(seconds=age_s), now)

    assert [pause(row(age), now).total_seconds() for age in (5, 1000, 9000)] == [1, 3, 10]
    assert pause(row(5, errors=3), now).total_seconds() == 8
    assert pause(row(5, errors=30), now).total_seconds() == 60


def test_a_request_nobody_decided_in_time_says_so_on_its_card(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    row = approvals.open(
        engine, team="T0GC", requester="U0DS1", command="x", role="ml-engineer", title="promote v3", facts=[],
        bound={}, invocation="i", lifetime=timedelta(seconds=-1),
    )  # fmt: skip
    with engine.begin() as connection:
        slot = f"approval-{row.id}"
        outbox.put(connection, "message", {"text": "card"}, priority=Priority.POST, channel="C", slot=slot)
    monkeypatch.setattr(watcher, "EXPIRY_S", 0.01)
    stop = threading.Event()
    thread = threading.Thread(target=watcher.expire_approvals, args=(engine, stop))
    thread.start()

    def card() -> str:
        with engine.begin() as connection:
            return str(connection.scalar(text("SELECT content FROM outbox")))

    try:
        until(lambda: "Expired without a decision: promote v3" in card())
    finally:
        stop.set()
        thread.join(10)
    assert "approvals approve" not in card()
