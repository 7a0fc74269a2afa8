"""A period is posted once: by one of several workers, across a kill, late after a gap, and not when it is of no use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

import bot.schedule
from bot.schedule import LOOK_AGAIN_S, Scheduler
from bot.worker import Bells
from commands.command import Context, Person
from commands.reply import Picture, Reply
from commands.timetable import Firing
from pipeline.errors import Unavailable
from pipeline.names import Names
from pipeline.tracking import Tracking
from state import database, outbox, schedules
from state.schedules import ScheduleRow
from tests.unit.fake_aws import refusal

NOW = datetime(2026, 5, 6, 12, 0, tzinfo=UTC)  # a Wednesday
ROOT = Path(__file__).resolve().parents[2]


class Reporter:
    """A report that remembers since when it was to tell, and may fail."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.since: list[datetime] = []

    def __call__(self, ctx: Context, since: datetime) -> Reply:
        self.since.append(since)
        if self.failure:
            raise self.failure
        return Reply(title="Summary: no runs", context="all environments")


def context_of(engine: Engine) -> Callable[[ScheduleRow, str], Context]:
    def context(row: ScheduleRow, period: str) -> Context:
        person = Person(row.team, "schedule", "Groundcrew", "observer")
        return Context(person, period, Names("1", "r"), lambda service: None, Tracking("http://127.0.0.1:9"), engine)

    return context


def scheduler(engine: Engine, report: Any, stop: threading.Event | None = None) -> Scheduler:
    bell, stop = threading.Event(), stop or threading.Event()
    return Scheduler(engine, {"summary": report}, context_of(engine), lambda: "C0FALL", bell, stop)


def put(engine: Engine, name: str = "summary", *, cron: str = "30 8 * * *", since: datetime = NOW, **more: Any) -> None:
    """A schedule in Zurich (08:30 there is 06:30 UTC in May) that was set a week before `since`."""
    given = {"report": "summary", "zone": "Europe/Zurich", "team": "T0GC", "channel": "C0DEV", "late_minutes": 720}
    schedules.put(engine, name=name, cron=cron, user="U0ML1", **(given | more))
    with engine.begin() as connection:
        change = text("UPDATE schedules SET created_at = :at WHERE name = :name")
        connection.execute(change, {"at": since - timedelta(days=7), "name": name})


def rows(engine: Engine, table: str) -> list[Any]:
    with engine.begin() as connection:
        order = "id" if table == "outbox" else "due_at"
        return list(connection.execute(text(f"SELECT * FROM {table} ORDER BY {order}")))


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


def test_a_period_is_posted_once_with_the_schedule_it_comes_from(engine: Engine) -> None:
    put(engine)
    report = Reporter()
    clock = scheduler(engine, report)
    for moment in (NOW.replace(hour=6, minute=30), NOW.replace(hour=6, minute=31), NOW):
        clock.fire("summary", moment)
    (run,) = rows(engine, "schedule_runs")
    (message,) = rows(engine, "outbox")
    assert (run.period, run.due_at) == ("2026-05-06 08:30 Europe/Zurich", NOW.replace(hour=6, minute=30))
    assert (run.outcome, message.channel, message.slot) == ("queued", "C0DEV", f"schedule-summary-{run.period}")
    assert "all environments · schedule summary" in message.content["text"]
    assert "late" not in message.content["text"]
    assert report.since == [run.due_at - timedelta(days=1)]


def test_a_report_with_a_picture_is_posted_with_it(engine: Engine) -> None:
    put(engine, report="digest-daily")
    bell, stop = threading.Event(), threading.Event()
    reply = Reply(title="Cost of Tuesday", picture=Picture(b"\x89PNG", "cost.png", "Bars"))
    reports = {"digest-daily": lambda ctx, since: reply}
    Scheduler(engine, reports, context_of(engine), lambda: None, bell, stop).fire("summary", NOW)
    (message,) = rows(engine, "outbox")
    assert (bytes(message.picture), message.picture_name) == (b"\x89PNG", "cost.png")


def test_the_next_report_tells_what_happened_since_the_last(engine: Engine) -> None:
    put(engine, cron="30 8 * * mon,wed")
    report = Reporter()
    clock = scheduler(engine, report)
    monday, wednesday = datetime(2026, 5, 4, 6, 30, tzinfo=UTC), datetime(2026, 5, 6, 6, 30, tzinfo=UTC)
    clock.fire("summary", monday)
    clock.fire("summary", wednesday)
    assert report.since == [monday - timedelta(days=1), monday]


def test_after_a_gap_only_the_latest_period_comes_and_says_that_it_is_late(engine: Engine) -> None:
    put(engine)
    clock = scheduler(engine, Reporter())
    clock.fire("summary", NOW - timedelta(days=3))
    clock.fire("summary", NOW)
    assert [run.period[:10] for run in rows(engine, "schedule_runs")] == ["2026-05-03", "2026-05-06"]
    assert "late: was due" in rows(engine, "outbox")[-1].content["text"]


def test_what_comes_too_late_is_left_out_and_written_down(engine: Engine) -> None:
    put(engine, late_minutes=60)
    report = Reporter()
    scheduler(engine, report).fire("summary", NOW)
    (run,) = rows(engine, "schedule_runs")
    assert (run.outcome, run.period[:10]) == (schedules.SKIPPED, "2026-05-06")
    assert not rows(engine, "outbox") and not report.since


def test_what_was_due_before_it_was_set_is_not_made_up_for(engine: Engine) -> None:
    put(engine, since=NOW + timedelta(days=7))
    clock = scheduler(engine, Reporter())
    clock.fire("summary", NOW)
    clock.fire("gone", NOW)
    assert not rows(engine, "schedule_runs")
    clock.fire("summary", NOW + timedelta(days=1))
    assert [run.period[:10] for run in rows(engine, "schedule_runs")] == ["2026-05-07"]


@pytest.mark.parametrize(
    ("zone", "cron", "days", "moments"),
    [
        ("Europe/Zurich", "30 2 * * *", "2026-03-28", ["28T01:30", "29T01:00", "30T00:30"]),
        ("Europe/Zurich", "30 2 * * *", "2026-10-24", ["24T00:30", "25T00:30", "26T01:30"]),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04", ["03T14:45", "04T14:45", "05T15:15"]),
    ],
)
def test_one_report_a_day_across_a_change_of_the_clocks(
    engine: Engine, zone: str, cron: str, days: str, moments: list[str]
) -> None:
    """Looked at every quarter of an hour for three local days."""
    start = datetime.fromisoformat(f"{days}T00:00:00Z") - timedelta(hours=12)
    put(engine, zone=zone, cron=cron, since=start, late_minutes=2880)
    clock = scheduler(engine, Reporter())
    for minutes in range(0, 84 * 60, 15):
        clock.fire("summary", start + timedelta(minutes=minutes))
    found = [f"{run.due_at.astimezone(UTC):%dT%H:%M}" for run in rows(engine, "schedule_runs")]
    assert [moment for moment in found if moment in moments] == moments
    assert len(found) == len(set(found)) <= 5
    assert len(rows(engine, "outbox")) == len(found)


def test_of_several_workers_one_posts(engine: Engine) -> None:
    put(engine)
    together = threading.Barrier(4)

    def report(ctx: Context, since: datetime) -> Reply:
        together.wait(10)
        return Reply(title="Summary")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: scheduler(engine, report).fire("summary", NOW), range(4)))
    assert len(rows(engine, "schedule_runs")) == len(rows(engine, "outbox")) == 1


def test_a_schedule_that_is_removed_while_its_report_is_drawn_posts_nothing(engine: Engine) -> None:
    put(engine)

    def report(ctx: Context, since: datetime) -> Reply:
        schedules.remove(engine, "summary")
        return Reply(title="Summary")

    scheduler(engine, report).fire("summary", NOW)
    assert not rows(engine, "schedule_runs") and not rows(engine, "outbox")


def test_a_database_that_fails_while_a_report_is_drawn_leaves_the_period_to_the_next_look(engine: Engine) -> None:
    put(engine)
    report = Reporter(OperationalError("SELECT", {}, Exception("server closed the connection")))
    clock = scheduler(engine, report)
    clock.fire("summary", NOW)
    assert not rows(engine, "schedule_runs") and not rows(engine, "outbox")
    report.failure = None
    clock.fire("summary", NOW + timedelta(minutes=1))
    assert [row.outcome for row in rows(engine, "schedule_runs")] == ["queued"]


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (Unavailable("STS cannot be asked.", "Try again."), "STS cannot be asked. Try again."),
        (refusal("AccessDenied", "not authorized"), "AWS said: not authorized"),
        (ZeroDivisionError(), "unforeseen way (ZeroDivisionError)"),
    ],
)
def test_a_report_that_fails_says_so_in_the_fallback_channel(engine: Engine, failure: Exception, says: str) -> None:
    put(engine)
    report = Reporter(failure)
    clock = scheduler(engine, report)
    clock.fire("summary", NOW)
    clock.fire("summary", NOW + timedelta(minutes=1))
    (run,) = rows(engine, "schedule_runs")
    (message,) = rows(engine, "outbox")
    assert run.outcome.startswith("failed: ") and says in run.outcome
    assert message.channel == "C0FALL"
    for words in ("could not be drawn", says, "#C0DEV", "Next"):
        assert words in message.content["text"]
    report.failure = None
    clock.fire("summary", NOW + timedelta(days=1))
    assert [row.outcome for row in rows(engine, "schedule_runs")][1:] == ["queued"]
    assert report.since[-1] == rows(engine, "schedule_runs")[1].due_at - timedelta(days=1)  # nothing was told yet


def test_what_became_of_the_messages_is_written_down(engine: Engine) -> None:
    names = ("stands", "waits", "elsewhere", "refused")
    for name in names:
        put(engine, name)
        scheduler(engine, Reporter()).fire(name, NOW)
    with engine.begin() as connection:
        for name, change in [
            ("stands", "state = 'sent'"),
            ("elsewhere", "state = 'sent', meant_for = channel, channel = 'C0FALL'"),
            ("refused", "state = 'failed', error = 'restricted_action'"),
        ]:
            connection.execute(text(f"UPDATE outbox SET {change} WHERE slot LIKE 'schedule-{name}-%'"))
    clock = scheduler(engine, Reporter())
    clock.settle()
    clock.settle()
    with engine.begin() as connection:
        outcomes = {name: run.outcome for name, run in schedules.last_runs(connection).items()}
    assert outcomes == {
        "stands": schedules.POSTED,
        "waits": schedules.QUEUED,
        "elsewhere": schedules.MOVED,
        "refused": "failed: restricted_action",
    }
    (complaint,) = [row for row in rows(engine, "outbox") if row.slot.endswith("-failed")]
    assert complaint.channel == "C0FALL" and "restricted_action" in complaint.content["text"]


# The duty itself


class EveryHalfSecond:
    """A timetable for people in a hurry."""

    step = 0.5

    def after(self, moment: datetime) -> Firing:
        return self.last(moment + timedelta(seconds=self.step))

    def last(self, moment: datetime) -> Firing:
        number = int(moment.timestamp() / self.step)
        return Firing(str(number), datetime.fromtimestamp(number * self.step, UTC))


@pytest.fixture
def running(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], threading.Event]]:
    """Runs the duty; gives its bell."""
    monkeypatch.setattr(bot.schedule, "table", lambda row: EveryHalfSecond())
    stop, threads, bells = threading.Event(), [], []

    def start(report: Any) -> threading.Event:
        bells.append(threading.Event())
        duty = Scheduler(engine, {"summary": report}, context_of(engine), lambda: "C0FALL", bells[-1], stop)
        threads.append(threading.Thread(target=duty.run))
        threads[-1].start()
        return bells[-1]

    yield start
    stop.set()
    for bell in bells:
        bell.set()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


def test_the_clock_fires_and_takes_up_what_changes(engine: Engine, running: Callable[[Any], threading.Event]) -> None:
    """Long before it would look again by itself."""
    began = time.monotonic()
    bell = running(Reporter())
    put(engine, "first")
    bell.set()
    until(lambda: len([run for run in rows(engine, "schedule_runs") if run.schedule == "first"]) >= 3)
    put(engine, "second")
    schedules.remove(engine, "first")
    bell.set()
    until(lambda: len([run for run in rows(engine, "schedule_runs") if run.schedule == "second"]) >= 2)
    assert time.monotonic() - began < LOOK_AGAIN_S / 2
    count = len([run for run in rows(engine, "schedule_runs") if run.schedule == "first"])
    until(lambda: len([run for run in rows(engine, "schedule_runs") if run.schedule == "second"]) >= 4)
    assert len([run for run in rows(engine, "schedule_runs") if run.schedule == "first"]) == count
    assert len(rows(engine, "outbox")) == len(rows(engine, "schedule_runs"))


def test_setting_a_schedule_is_heard(engine: Engine, database_url: str) -> None:
    with database.dedicated(database_url) as connection:
        database.listen(connection, [database.CHANNEL_SCHEDULES])
        put(engine)
        schedules.remove(engine, "summary")
        heard = [note.channel for note in connection.notifies(timeout=5, stop_after=2)]
    assert heard == [database.CHANNEL_SCHEDULES] * 2
    bells = Bells()
    bells.ring(heard[0])
    assert bells.schedules.is_set() and not bells.outbox.is_set()


CHILD = """
import sys
from datetime import datetime
from state import database
from tests.unit.test_schedule_fires import NOW, Reporter, scheduler
engine = database.engine(sys.argv[1])
clock = scheduler(engine, Reporter())
print("ready", flush=True)
for number in range(int(sys.argv[2])):
    clock.fire(f"s{number:03}", NOW)
"""


@pytest.mark.parametrize("after", [1, 12])
def test_a_worker_that_is_killed_loses_no_period_and_repeats_none(
    engine: Engine, database_url: str, after: int
) -> None:
    count = 60
    for number in range(count):
        put(engine, f"s{number:03}")
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, database_url, str(count)], cwd=ROOT, stdout=subprocess.PIPE, env=os.environ
    )
    assert child.stdout is not None and child.stdout.readline() == b"ready\n"
    until(lambda: len(rows(engine, "schedule_runs")) >= after)
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    child.stdout.close()
    left = len(rows(engine, "schedule_runs"))
    assert after <= left < count
    clock = scheduler(engine, Reporter())
    for number in range(count):
        clock.fire(f"s{number:03}", NOW)
    runs, messages = rows(engine, "schedule_runs"), rows(engine, "outbox")
    assert {run.schedule for run in runs} == {f"s{number:03}" for number in range(count)}
    assert sorted(row.slot for row in messages) == sorted(schedules.slot(run.schedule, run.period) for run in runs)
    assert all(row.kind == "message" and row.priority == outbox.Priority.POST for row in messages)
