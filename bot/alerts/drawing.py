"""Runs in the leader: what changed about alerts becomes messages. One message an alert, its history in the thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from alerts.happening import Severity
from alerts.routes import Route, Routes
from bot.slack.render import render
from commands.alert_card import card, history_card
from state import alerts, outbox
from state.alerts import AlertRow, Mute
from state.outbox import Priority

log = logging.getLogger(__name__)

BATCH = 20
IDLE_S = 5.0
DIRECT_AFTER = timedelta(seconds=10)
"""An event that waited longer than this for the database may have been posted directly by a worker without one."""


class Drawer:
    """Draws dirty alerts. `drawn` is rung after each batch, for who looks further into what was posted."""

    def __init__(
        self,
        engine: Engine,
        routes: Callable[[], Routes],
        bell: threading.Event,
        drawn: threading.Event,
        stop: threading.Event,
    ) -> None:
        self._engine = engine
        self._routes = routes
        self._bell = bell
        self._drawn = drawn
        self._stop = stop

    def run(self) -> None:
        """Draw until stopped."""
        while not self._stop.is_set():
            self._bell.clear()
            try:
                while not self._stop.is_set() and self.draw():
                    self._drawn.set()
            except SQLAlchemyError as error:
                log.error("alerts cannot be drawn: %s", type(error).__name__)
            self._bell.wait(IDLE_S)
        self._drawn.set()  # whoever waits for drawings waits no longer

    def draw(self) -> int:
        """Draw one batch, critical alerts first; returns how many there were."""
        routes, now = self._routes(), datetime.now(UTC)
        with self._engine.begin() as connection:
            rows = alerts.dirty(connection, BATCH)
            for row in rows:
                _draw(connection, row, routes.named(row.route), now)
        return len(rows)


def _draw(connection: Connection, row: AlertRow, route: Route | None, now: datetime) -> None:
    stands, mute = alerts.standing(connection, row.id), alerts.muted(connection, row.family)
    if row.channel is None or (not stands and not worth_posting(row, mute)):
        return alerts.drawn(connection, row.id)
    if not stands and (until := hold_until(row, mute, route, now)):
        return alerts.drawn(connection, row.id, hold_until=until)
    reply = card(
        row,
        mute=mute,
        runbook=route.runbook if route else None,
        mention=stands != "posted",
    )
    outbox.put(
        connection,
        "message",
        render(reply),
        priority=Priority.POST if stands == "posted" else priority(row),
        channel=row.channel,
        slot=reply.slot,
        unsure=not stands and row.severity == "critical" and row.opened_at - row.first_at > DIRECT_AFTER,
    )
    past = alerts.history(connection, row.id)
    if len(past.entries) > 1:
        story = history_card(row, past)
        outbox.put(
            connection, "message", render(story), priority=Priority.LIVE, slot=story.slot, below=alerts.slot(row.id)
        )
    remind, escalate = (route.remind, route.escalate) if route else (None, None)
    return alerts.drawn(connection, row.id, remind=remind, escalate=escalate.after if escalate else None)


def worth_posting(row: AlertRow, mute: Mute | None) -> bool:
    """What ended before it was ever posted is not posted any more, nor is news of what somebody muted."""
    return row.state == "firing" or (row.state == "info" and mute is None)


def hold_until(row: AlertRow, mute: Mute | None, route: Route | None, now: datetime) -> datetime | None:
    """Until when a first post waits: for the end of a mute, and of quiet hours unless it is critical. None: not."""
    quiet = quiet_until(row, route, now)
    ends = [mute.until] if mute else []
    return max([*ends, *([quiet] if quiet else [])], default=None)


def quiet_until(row: AlertRow, route: Route | None, at: datetime) -> datetime | None:
    """When the quiet hours end in which `at` lies, None outside of them; what is critical knows none."""
    return route.quiet_until(Severity(row.severity), at) if route else None


def priority(row: AlertRow) -> Priority:
    """How long a first post may wait in the outbox."""
    if row.state != "firing":
        return Priority.POST
    return Priority.CRITICAL if row.severity == "critical" else Priority.FIRING
