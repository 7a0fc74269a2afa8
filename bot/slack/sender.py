"""The sender: the only one who posts to Slack. Most urgent first, at the pace Slack allows."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from slack_sdk import WebClient
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from bot.slack import unreachable
from bot.slack.delivery import Absent, Delivery, Later, Lost, Result, Sent, Simpler, method
from bot.slack.pace import KEPT_FROM_LIVE, LANE_S, Pace
from bot.slack.render import for_one_person
from state import live, outbox, sending
from state.outbox import OutboxRow, Priority

log = logging.getLogger(__name__)

THREADS = 4
URGENT = Priority.CRITICAL
"""From here on a thread is always free: calls that hang for others do not keep a person or a critical alert waiting."""
LOOK_AGAIN_S = 5.0
"""How long to trust that a notification comes; a look costs one small query."""
PRIVATE_ANSWER_LIFETIME = timedelta(minutes=30)
"""A response_url lives this long; an ephemeral that comes later answers nobody."""


class Sender:
    """Runs in the leader. `bell` is rung when something was queued; `stop` ends `run`.

    `fallback` names the channel for what is meant for one that cannot be reached; None where there is no such channel.
    """

    def __init__(
        self,
        engine: Engine,
        client: WebClient,
        fallback: Callable[[], str | None],
        bell: threading.Event,
        stop: threading.Event,
    ) -> None:
        self._engine = engine
        self._fallback = fallback
        self._bell = bell
        self._stop = stop
        self._pace = Pace()
        self._delivery = Delivery(client, self._remember)
        self._busy: set[str] = set()

    def run(self) -> None:
        """Send until stopped. What a former leader left half sent is looked for first."""
        with self._engine.begin() as connection:
            recent = sending.posted_within(connection, timedelta(seconds=LANE_S))
            doubtful = sending.take_over(connection)
        if doubtful:
            log.warning("%s messages were being sent when the last leader stopped", doubtful)
        if recent:
            self._stop.wait(LANE_S)
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
        with self._engine.begin() as connection:
            rows = sending.waiting(connection)
            pause = min(LOOK_AGAIN_S, sending.seconds_to_next(connection) or LOOK_AGAIN_S)
        for row in rows:
            # A busy lane's turn, and a thread's, comes when the bell rings after the message before.
            if row.lane in self._busy or len(self._busy) >= (THREADS if row.priority <= URGENT else THREADS - 1):
                continue
            wait = self._pace.wait(method(row), row.lane, keep=KEPT_FROM_LIVE if row.priority == Priority.LIVE else 0.0)
            if wait > 0:
                pause = min(pause, wait)
            else:
                self._start(pool, row)
        return pause

    def _start(self, pool: ThreadPoolExecutor, row: OutboxRow) -> None:
        with self._engine.begin() as connection:
            taken = sending.take(connection, row)
        if taken is not None:
            self._pace.spend(method(taken))
            self._busy.add(taken.lane)
            pool.submit(self._send, taken)

    def _send(self, row: OutboxRow) -> None:
        try:
            self._record(row, self._result(row))
        finally:
            self._busy.discard(row.lane)
            self._bell.set()

    def _result(self, row: OutboxRow) -> Result:
        try:
            stale = row.kind != "message" and datetime.now(UTC) - row.created_at > PRIVATE_ANSWER_LIFETIME
            return Lost("too late for a private answer") if stale else self._delivery.send(row)
        except Exception:
            log.exception("sending outbox row %s failed in an unforeseen way", row.id)
            return Later(30.0, "unforeseen", unsure=True)
        finally:
            if row.kind == "message":
                self._pace.done(row.lane)

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
                sending.sent(connection, row, ts)
                self._reached(connection, row)
            case Later(seconds, reason, unsure, limited):
                if limited:
                    # The row keeps its turn: nothing goes by this method until then.
                    self._pace.close(method(row), seconds)
                pause = timedelta(seconds=0 if limited else seconds)
                sending.again(connection, row.id, pause=pause, unsure=unsure, error=reason)
            case Simpler(content, reason):
                sending.replace_content(connection, row, content)
            case Absent(reason) if row.kind != "respond" and row.response_url:
                sending.redirect(connection, row.id, for_one_person(row.content))
                self._unfollow(connection, row)
            case Absent(reason) if _asked_there(row):
                # By words or a form, which bring no response_url; the bot has left since.
                log.warning("outbox row %s goes to the person it is for: %s", row.id, reason)
                sending.to_person(connection, row)
            case Absent(reason) if fallback := self._elsewhere(row):
                self._moved(connection, row, fallback, reason)
            case Absent(reason) | Lost(reason):
                log.error("outbox row %s (%s) cannot be sent: %s", row.id, row.kind, reason)
                sending.failed(connection, row.id, reason)
                self._unfollow(connection, row)
                if row.slot and row.slot.startswith(unreachable.SLOT):
                    outbox.detach(connection, row.slot)  # nobody was told, so the next time is the first

    def _elsewhere(self, row: OutboxRow) -> str | None:
        """Where a channel's message goes that the bot cannot post there; what is for one person goes nowhere else."""
        if row.kind != "message" or not (row.channel or "").startswith(("C", "G")):
            return None
        fallback = self._fallback()
        return fallback if fallback != row.channel else None

    def _moved(self, connection: Connection, row: OutboxRow, fallback: str, reason: str) -> None:
        """Post it in the fallback channel, which is told once what is the matter with the other."""
        channel = row.channel or ""
        log.warning("outbox row %s goes to %s: %s cannot be reached (%s)", row.id, fallback, channel, reason)
        slot = unreachable.slot(channel)
        if not outbox.slot_exists(connection, slot):
            report = unreachable.report(channel, reason)
            outbox.put(connection, "message", report, priority=Priority.FIRING, channel=fallback, slot=slot)
        sending.move(connection, row, fallback)

    def _reached(self, connection: Connection, row: OutboxRow) -> None:
        """After a post: if the channel was reported, the report says that it is over, and the next one is new."""
        slot = unreachable.slot(row.channel or "")
        if row.kind == "message" and row.ts is None and outbox.slot_exists(connection, slot):
            outbox.put(connection, "message", unreachable.back(row.channel or ""), priority=Priority.POST, slot=slot)
            outbox.detach(connection, slot)

    def _unfollow(self, connection: Connection, row: OutboxRow) -> None:
        if row.slot:
            live.unfollow(connection, row.slot)

    def _remember(self, row: OutboxRow, content: Mapping[str, Any]) -> None:
        with self._engine.begin() as connection:
            sending.store_content(connection, row, content)


def _asked_there(row: OutboxRow) -> bool:
    """Whether it is a person's answer that was to stand in a channel and does not yet."""
    return bool(row.invocation and row.user_id) and row.ts is None and (row.channel or "").startswith(("C", "G"))
