"""Live messages: edited when something changed, as often as Slack allows them all together, and to the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from bot import watcher
from bot.watcher import Look, Watcher, pause
from commands.command import Context, Person
from commands.reply import Outcome, Picture, Reply, Step
from pipeline.errors import NotFound, Unavailable
from pipeline.names import Names
from pipeline.tracking import Run, Tracking
from state import approvals, live, outbox
from state.live import LiveRow
from state.outbox import Priority


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


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
        self.looks_by: dict[str, Look] = {"execution": self.look}
        self.watcher = Watcher(engine, self.looks_by, lambda row: self.context, threading.Event(), self.stop)

    def look(self, ctx: Context, arn: str) -> tuple[Reply, bool]:
        self.looks += 1
        if isinstance(self.now, Exception):
            raise self.now
        return self.now

    def once(self) -> None:
        """Let the watcher look once, if there is something to look at."""
        hurry(self.engine)
        with self.engine.begin() as connection:
            rows = live.due(connection)
        for row in rows:
            self.watcher._look(row)

    def due(self) -> LiveRow:
        """What is to be looked at."""
        hurry(self.engine)
        with self.engine.begin() as connection:
            (row,) = live.due(connection)
        return row

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


def test_a_picture_of_the_last_state_goes_with_the_message(watched: Watched) -> None:
    watched.once()
    assert watched.row("outbox").picture is None
    watched.now = (Reply(title="done", picture=Picture(b"heat maps", "h.jpg", "what carried it")), True)
    watched.once()
    assert (watched.row("outbox").picture, watched.row("outbox").picture_name) == (b"heat maps", "h.jpg")


def test_further_messages_of_the_last_state_hang_below_it_once(watched: Watched) -> None:
    photos = Reply(title="photos", picture=Picture(b"jpeg", "photos.jpg", "photos"))
    watched.now = (Reply(title="at 2", also=[photos]), False)
    watched.once()
    watched.now = (Reply(title="done", also=[photos]), True)
    watched.once()
    watched.once()
    with watched.engine.begin() as connection:
        below = connection.execute(text("SELECT picture, picture_name, state FROM outbox WHERE below = 's'")).all()
    assert [(bytes(row.picture), row.picture_name, row.state) for row in below] == [(b"jpeg", "photos.jpg", "held")]


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


def test_what_cannot_be_looked_at_for_hours_is_left_to_its_event(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.watcher.GIVE_UP_AFTER", 3)
    watched.now = RuntimeError("throttled")
    for _ in range(2):
        watched.once()
    assert not watched.row("live").ended
    watched.once()
    with watched.engine.begin() as connection:
        assert live.following(connection) == 0
        assert not live.shows(connection, "arn", "")


def test_what_is_gone_is_followed_no_more(watched: Watched) -> None:
    watched.now = NotFound("execution", "arn")
    watched.once()
    assert watched.row("live").ended


def test_looks_share_what_slack_lets_all_live_messages_show() -> None:
    assert pause(1, 0).total_seconds() == pytest.approx(60 / 45)
    assert pause(30, 0).total_seconds() == pytest.approx(40)
    assert pause(1, 3).total_seconds() == pytest.approx(8 * 60 / 45)
    assert pause(1, 30).total_seconds() == 60
    assert pause(300, 30).total_seconds() == pytest.approx(400)


def test_a_burst_of_events_is_not_looked_at_faster_than_it_may_be_shown(watched: Watched) -> None:
    def many(ctx: Context, arn: str) -> tuple[Reply, bool]:
        hurry(watched.engine)  # the next event is there before this look is over
        return watched.look(ctx, arn)

    bell = threading.Event()
    eager = Watcher(watched.engine, {"execution": many}, lambda row: watched.context, bell, watched.stop)
    thread = threading.Thread(target=eager.run)
    thread.start()
    until(lambda: watched.looks >= 5)
    began = time.monotonic()
    until(lambda: watched.looks >= 6)
    watched.stop.set()
    bell.set()
    thread.join(10)
    assert time.monotonic() - began > 1.0


def hurry(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE live SET next_look = now()"))


def test_what_happens_during_a_look_is_looked_at_at_once(watched: Watched) -> None:
    def look(ctx: Context, arn: str) -> tuple[Reply, bool]:
        hurry(watched.engine)
        return Reply(title="before it happened"), False

    watched.looks_by["execution"] = look
    watched.once()
    with watched.engine.begin() as connection:
        assert [row.digest is not None for row in live.due(connection)] == [True]


def test_a_watcher_that_dies_between_look_and_send_loses_no_final_state(watched: Watched) -> None:
    watched.once()
    watched.now = (Reply(title="done"), True)

    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    event.listen(watched.engine, "commit", die)
    with pytest.raises(Killed):
        watched.watcher._look(watched.due())
    event.remove(watched.engine, "commit", die)
    assert (watched.row("live").ended, watched.row("outbox").content["text"]) == (False, "at 1")
    later = Watcher(watched.engine, watched.looks_by, lambda row: watched.context, threading.Event(), threading.Event())
    later._look(watched.due())
    assert (watched.row("live").ended, watched.row("outbox").content["text"]) == (True, "done")
    assert watched.row("outbox").priority == Priority.POST


def test_a_slot_that_follows_something_new_is_not_overwritten_by_a_look_at_the_old(watched: Watched) -> None:
    def look(ctx: Context, arn: str) -> tuple[Reply, bool]:
        with watched.engine.begin() as connection:
            live.follow(connection, kind="execution", arn="new", slot="s", invocation="j")
        return Reply(title="the old one is done"), True

    watched.looks_by["execution"] = look
    watched.once()
    row = watched.row("live")
    assert (row.arn, row.ended, row.digest) == ("new", False, None)
    assert watched.row("outbox").content["text"] == "posted"


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
