"""Runs in the leader: asks again where nobody has acknowledged, tells others, ends mutes, keeps reviews in mind."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from alerts.routes import Route, Routes
from bot.alerts.drawing import priority, quiet_until
from bot.slack.render import render
from commands.alert_card import environment
from commands.reply import Action, Audience, Channel, Code, Inline, Mention, Moment, Reply
from commands.wording import duration, shorten
from state import alerts, grants, outbox, reminders
from state.alerts import AlertRow
from state.grants import Grant
from state.outbox import Priority

log = logging.getLogger(__name__)

LOOK_S = 5.0
LONGEST_PAUSE = timedelta(days=1)
REVIEW_EVERY = timedelta(days=1)


def keep_reminding(engine: Engine, routes: Callable[[], Routes], stop: threading.Event) -> None:
    """Look through what is due until stopped."""
    while not stop.wait(LOOK_S):
        try:
            look(engine, routes(), datetime.now(UTC))
        except SQLAlchemyError as error:
            log.error("reminders cannot be looked through: %s", type(error).__name__)


def look(engine: Engine, routes: Routes, now: datetime) -> None:
    """Do all that is due at `now`. Raises only what the database raises."""
    with engine.begin() as connection:
        if reminders.end_mutes(connection) + reminders.release_held(connection):
            alerts.wake(connection)
    with engine.begin() as connection:
        for row in reminders.due_escalations(connection):
            _escalate(connection, row, routes.named(row.route), now)
    with engine.begin() as connection:
        for row in reminders.due_reminders(connection):
            _remind(connection, row, routes.named(row.route), now)
    for grant in grants.unreviewed(engine):
        with engine.begin() as connection:
            _review(connection, grant, routes.fallback, now)


def next_reminder(remind: timedelta, reminded: int, now: datetime) -> datetime:
    """When to ask again after the `reminded`-th time: the pause doubles each time, up to a day or `remind`."""
    return now + min(remind * (1 << min(reminded, 20)), max(LONGEST_PAUSE, remind))


def _remind(connection: Connection, row: AlertRow, route: Route | None, now: datetime) -> None:
    if quiet := quiet_until(row, route, now):
        return reminders.postpone(connection, row, quiet)
    again = next_reminder(route.remind, row.reminded + 1, now) if route and route.remind else None
    if not reminders.reminded(connection, row, again) or again is None:
        return None  # done by another leader; or the route does not remind any more
    reply = _unanswered(row, row.mention, f"{alerts.slot(row.id)}-remind-{_stamp(row.remind_at)}", now)
    _put(connection, row, reply, below=alerts.slot(row.id))
    return None


def _escalate(connection: Connection, row: AlertRow, route: Route | None, now: datetime) -> None:
    if quiet := quiet_until(row, route, now):
        return reminders.postpone(connection, row, quiet)
    escalation = route.escalate if route else None
    if not reminders.escalated(connection, row) or escalation is None:
        return None
    slot = f"{alerts.slot(row.id)}-escalation-{_stamp(row.escalate_at)}"
    _put(connection, row, _unanswered(row, escalation.mention, slot, now), channel=escalation.channel)
    return None


def _unanswered(row: AlertRow, mention: str, slot: str, now: datetime) -> Reply:
    """What is said of an alert that nobody has acknowledged: to whom, since when, and where its message stands."""
    called: list[Inline] = [Mention(mention), " · "] if mention else []
    where: list[Inline] = [" in ", Channel(row.channel)] if row.channel else []
    waited = duration(60 * round((now - row.first_at).total_seconds() / 60))
    return Reply(
        title=f"Nobody has acknowledged: {shorten(' '.join(row.title.split()), 110)}",
        context=[*called, "alert ", Code(row.id[:8]), *where],
        text=["Firing since ", Moment(row.first_at.timestamp()), f", {waited} ago."],
        actions=[
            Action("Acknowledge", f"alerts ack {row.id}", "primary"),
            Action("Assign to me", f"alerts assign {row.id}"),
            Action("Show", f"alerts show {row.id}"),
        ],
        environment=environment(row),
        audience=Audience.CHANNEL,
        slot=slot,
    )


def _put(
    connection: Connection, row: AlertRow, reply: Reply, *, channel: str | None = None, below: str | None = None
) -> None:
    outbox.put(
        connection, "message", render(reply), priority=priority(row), channel=channel, below=below, slot=reply.slot
    )


def _review(connection: Connection, grant: Grant, channel: str, now: datetime) -> None:
    """Once a day after the glass was broken: a slot of its own for every day, so it is posted once whoever leads."""
    days = (now - grant.created_at) // REVIEW_EVERY
    slot = f"break-glass-{grant.id}-day-{days}"
    if days < 1 or outbox.slot_exists(connection, slot):
        return
    reply = Reply(
        title=f"Break-glass on {grant.resource} still waits for a review",
        context=[Code(grant.id), " · by ", Mention(grant.user_id), " · ", Moment(grant.created_at.timestamp())],
        text=[
            "Somebody else closes it with ",
            Code(f'access review {grant.id} --finding "…"'),
            f". Why: {grant.reason}",
        ],
        audience=Audience.CHANNEL,
        slot=slot,
    )
    outbox.put(connection, "message", render(reply), priority=Priority.POST, channel=channel, slot=slot)


def _stamp(at: datetime | None) -> int:
    """What tells one reminder of an alert from the next, whoever posts it."""
    return int(at.timestamp()) if at else 0
