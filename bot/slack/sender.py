"""The sender: the only one who posts to Slack. Most urgent first, at the pace Slack allows."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from slack_sdk import WebClient
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from bot.slack.delivery import Absent, Delivery, Later, Lost, Result, Sent, Simpler, method
from bot.slack.pace import Pace
from bot.slack.render import for_one_person
from state import live, outbox
from state.outbox import OutboxRow, Priority

log = logging.getLogger(__name__)

THREADS = 4
LOOK_AGAIN_S = 5.0
"""How long to trust that a notification comes; a look costs one small query."""
PRIVATE_ANSWER_LIFETIME = timedelta(minutes=30)
"""A response_url lives this long; an ephemeral that comes later answers nobody."""


class Sender:
    """Runs in the leader. `bell` is rung when something was queued; `stop` ends `run`."""

    def __init__(self, engine: Engine, client: WebClient, bell: threading.Event, stop: threading.Event) -> None:
        self._engine = engine
        self._bell = bell
        self._stop = stop
        self._pace = Pace()
        self._delivery = Delivery(client, self._remember)
        self._busy: set[str] = set()
        self._slots = threading.Semaphore(THREADS)

    def run(self) -> None:
        """Send until stopped. What a former leader left half sent is looked for first."""
        with self._engine.begin() as connection:
            doubtful = outbox.take_over(connection)
        if doubtful:
            log.warning("%s messages were being sent when the last leader stopped", doubtful)
        with ThreadPoolExecutor(THREADS, thread_name_prefix="sender") as pool:
            while not self._stop.is_set():
                self._bell.clear()
                try:
                    pause = self._round(pool)
                except SQLAlchemyError as error:
                    log.error("the outbox cannot be read: %s", type(error).__name__)
                    pause = 1.0
                self._bell.wait(pause)

    def _round(self, pool: ThreadPoolExecutor) -> float:
        """Start whatever may be sent now. Returns the seconds after which another look is worth it."""
        pause = LOOK_AGAIN_S
        with self._engine.begin() as connection:
            rows = outbox.waiting(connection)
            next_due = outbox.seconds_to_next(connection) if not rows else None
        for row in rows:
            lane = _lane(row)
            if lane in self._busy:
                continue  # its turn comes when the bell rings after the one before it
            wait = self._pace.wait(method(row), lane, keep=1.0 if row.priority == Priority.LIVE else 0.0)
            if wait > 0:
                pause = min(pause, wait)
            elif not self._slots.acquire(blocking=False):
                return pause  # all threads send; the bell rings when one is free
            else:
                self._start(pool, row, lane)
        return min(pause, next_due) if next_due else pause

    def _start(self, pool: ThreadPoolExecutor, row: OutboxRow, lane: str | None) -> None:
        with self._engine.begin() as connection:
            taken = outbox.take(connection, row.id)
        if taken is None:
            self._slots.release()
            return
        self._pace.spend(method(taken), lane)
        if lane:
            self._busy.add(lane)
        pool.submit(self._send, taken, lane)

    def _send(self, row: OutboxRow, lane: str | None) -> None:
        try:
            stale = row.kind != "message" and datetime.now(UTC) - row.created_at > PRIVATE_ANSWER_LIFETIME
            self._record(row, Lost("too late for a private answer") if stale else self._delivery.send(row))
        except Exception:
            log.exception("sending outbox row %s failed in an unforeseen way", row.id)
            self._record(row, Later(30.0, "unforeseen", unsure=True))
        finally:
            if lane:
                self._busy.discard(lane)
            self._slots.release()
            self._bell.set()

    def _record(self, row: OutboxRow, result: Result) -> None:
        """Write down what happened, as often as it takes: the row must not stay in doubt while this process lives."""
        while True:
            try:
                with self._engine.begin() as connection:
                    self._apply(connection, row, result)
                return
            except SQLAlchemyError as error:
                log.error("cannot record that outbox row %s ended as %s: %s", row.id, result, type(error).__name__)
                if self._stop.wait(1.0):
                    return

    def _apply(self, connection: Connection, row: OutboxRow, result: Result) -> None:
        match result:
            case Sent(ts):
                outbox.sent(connection, row, ts)
            case Later(seconds, reason, unsure, limited):
                if limited:
                    self._pace.close(method(row), seconds)
                outbox.again(connection, row.id, pause=timedelta(seconds=seconds), unsure=unsure, error=reason)
            case Simpler(content, reason):
                outbox.replace_content(connection, row, content)
            case Absent(reason) if row.kind != "respond" and row.response_url:
                outbox.redirect(connection, row.id, for_one_person(row.content))
                self._unfollow(connection, row)
            case Absent(reason) | Lost(reason):
                log.error("outbox row %s (%s) cannot be sent: %s", row.id, row.kind, reason)
                outbox.failed(connection, row.id, reason)
                self._unfollow(connection, row)

    def _unfollow(self, connection: Connection, row: OutboxRow) -> None:
        if row.slot:
            live.end_slot(connection, row.slot)

    def _remember(self, row: OutboxRow, content: Mapping[str, Any]) -> None:
        with self._engine.begin() as connection:
            outbox.store_content(connection, row, content)


def _lane(row: OutboxRow) -> str | None:
    """What is posted into one channel goes one after the other; private answers stand in nobody's way."""
    return row.channel or row.user_id if row.kind == "message" else None
