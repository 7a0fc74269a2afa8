"""The scheduler: posts what is due, once, also when the leader dies over it or was away at the time.

APScheduler holds the schedules in memory and wakes at their times; what is true stands in the database. Every time it
is (re)built from the table, and every LOOK_AGAIN_S, each schedule is looked at: has its latest period been dealt with?
So a period that fell into a gap is caught up with, late but once; only the latest one, as older reports are of no use.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from bot.slack.render import render
from commands.command import Context
from commands.reply import Action, Channel, Code, Inline, Mention, Moment, Outcome, Reply, Strong
from commands.schedule import ON_TIME, Report, table
from commands.timetable import Firing, Timetable
from pipeline.errors import GroundcrewError
from state import outbox, schedules
from state.outbox import Priority
from state.schedules import ScheduleRow

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 20.0
AT_ONCE = 2
"""Reports drawn at the same time."""
FIRST = timedelta(days=1)
"""What the first report of a schedule goes back."""


class ByTheClock(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """A timetable as APScheduler asks for it."""

    def __init__(self, timetable: Timetable) -> None:
        self._timetable = timetable

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The firing after the previous one, or after now."""
        return self._timetable.after(previous_fire_time or now).at


class Scheduler:
    """Runs in the leader. `bell` is rung when a schedule was set or removed; `stop` ends `run`.

    `context` makes what a period's report is drawn with. `fallback` is the channel that hears of a report that could
    not be drawn or posted; of a channel that cannot be reached it hears by the sender.
    """

    def __init__(
        self,
        engine: Engine,
        reports: Mapping[str, Report],
        context: Callable[[ScheduleRow, str], Context],
        fallback: Callable[[], str | None],
        bell: threading.Event,
        stop: threading.Event,
    ) -> None:
        self._engine = engine
        self._reports = reports
        self._context = context
        self._fallback = fallback
        self._bell = bell
        self._stop = stop

    def run(self) -> None:
        """Fire until stopped."""
        clock: Any = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(AT_ONCE)},
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )
        clock.start()
        try:
            while not self._stop.is_set():
                self._bell.clear()
                self._tend(clock)
                self._bell.wait(LOOK_AGAIN_S)
        finally:
            clock.shutdown(wait=False)

    def fire(self, name: str, now: datetime) -> None:
        """Post a schedule's report if its latest period is due and nobody has dealt with it. Raises nothing."""
        try:
            self._fire(name, now)
        except SQLAlchemyError as error:
            log.error("schedule %s cannot be dealt with now: %s", name, type(error).__name__)

    def settle(self) -> None:
        """Write down which reports were posted, and say which could not be. Raises SQLAlchemyError."""
        with self._engine.begin() as connection:
            for run in schedules.settle(connection):
                row = schedules.find(connection, run.schedule)
                if row is not None:
                    self._complain(connection, row, run.period, "could not be posted", run.outcome)

    def _tend(self, clock: Any) -> None:
        """Hold in memory what the table says now, each to be looked at right away."""
        try:
            self.settle()
            with self._engine.begin() as connection:
                rows = schedules.every(connection)
        except SQLAlchemyError as error:
            log.error("schedules cannot be read: %s", type(error).__name__)
            return
        for gone in {job.id for job in clock.get_jobs()} - {row.name for row in rows}:
            clock.remove_job(gone)
        now = datetime.now(UTC)
        for row in rows:
            trigger = ByTheClock(table(row))
            clock.add_job(self._wake, trigger, [row.name], id=row.name, replace_existing=True, next_run_time=now)

    def _wake(self, name: str) -> None:
        self.fire(name, datetime.now(UTC))

    def _fire(self, name: str, now: datetime) -> None:
        with self._engine.begin() as connection:
            row = schedules.find(connection, name)
            if row is None:
                return
            due = table(row).last(now)
            if due.at < row.created_at or schedules.dealt_with(connection, name, due.period):
                return
            since = schedules.last_told(connection, name) or due.at - FIRST
        if now - due.at > timedelta(minutes=row.late_minutes):
            log.warning("schedule %s: %s is left out, it is too late for it", name, due.period)
            with self._engine.begin() as connection:
                schedules.claim(connection, row, due.period, due.at, schedules.SKIPPED)
            return
        try:
            reply = self._reports[row.report](self._context(row, due.period), since)
        except SQLAlchemyError:
            raise  # the period is not dealt with: it is looked at again
        except Exception as error:
            log.warning("schedule %s: the report cannot be drawn", name, exc_info=True)
            self._failed(row, due, error)
            return
        self._post(row, due, _signed(reply, row, due, now))

    def _post(self, row: ScheduleRow, due: Firing, reply: Reply) -> None:
        """Deal with the period and queue its message: both, or neither because somebody else did."""
        with self._engine.begin() as connection:
            if schedules.claim(connection, row, due.period, due.at, schedules.QUEUED):
                outbox.put(
                    connection,
                    "message",
                    render(reply),
                    priority=Priority.POST,
                    channel=row.channel,
                    slot=schedules.slot(row.name, due.period),
                    picture=reply.picture.data if reply.picture else None,
                    picture_name=reply.picture.name if reply.picture else None,
                )

    def _failed(self, row: ScheduleRow, due: Firing, error: Exception) -> None:
        why = _why(error)
        with self._engine.begin() as connection:
            if schedules.claim(connection, row, due.period, due.at, f"{schedules.FAILED}: {why}"):
                self._complain(connection, row, due.period, "could not be drawn", why)

    def _complain(self, connection: Connection, row: ScheduleRow, period: str, what: str, why: str) -> None:
        following = table(row).after(datetime.now(UTC))
        context: list[Inline] = [Code(row.name), f" · {period} · into ", Channel(row.channel), " · set by "]
        reply = Reply(
            title=f"The report {row.report} {what}",
            outcome=Outcome.ERROR,
            context=[*context, Mention(row.user_id)],
            text=[f"{why}\nNext: ", Moment(following.at.timestamp())],
            actions=[Action("All schedules", "schedule list")],
        )
        slot, channel = f"{schedules.slot(row.name, period)}-failed", self._fallback() or row.channel
        outbox.put(connection, "message", render(reply), priority=Priority.POST, channel=channel, slot=slot)


def _signed(reply: Reply, row: ScheduleRow, due: Firing, now: datetime) -> Reply:
    """With the schedule it comes from, and with a word about it when it is late."""
    said: list[Inline] = [reply.context] if isinstance(reply.context, str) else [*reply.context]
    late: list[Inline] = []
    if now - due.at > ON_TIME:
        late = [" · ", Strong("late"), ": was due ", Moment(due.at.timestamp())]
    return replace(reply, context=[*said, " · schedule ", Code(row.name), *late])


def _why(error: Exception) -> str:
    """In a sentence, for people and for the table; what nobody foresaw is only named, the log has the rest."""
    if isinstance(error, GroundcrewError):
        return " ".join(part for part in (error.message, error.advice) if part)
    if isinstance(error, ClientError):
        return f"AWS said: {error.response['Error'].get('Message', error)}"
    if isinstance(error, BotoCoreError):
        return f"AWS cannot be reached: {error}"
    return f"It failed in an unforeseen way ({type(error).__name__}); the worker's log says more."
