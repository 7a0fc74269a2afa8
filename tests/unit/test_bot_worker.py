"""The processes behind the runner: quick to wake, one leader."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from bot import leader
from bot.worker import Bells, Worker
from state import database, invocations
from state.invocations import Arrival, Invocation


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
