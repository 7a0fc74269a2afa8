"""Live messages: look at what is followed with the bot's own read-only eyes, and queue an edit when it changed."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from bot.deliver import redraw
from bot.slack.pace import EDITS, Bucket
from bot.slack.render import render
from commands.approvals import card
from commands.command import Context
from commands.reply import Outcome, Reply
from pipeline.errors import NotFound, Unavailable
from state import approvals, live, outbox
from state.live import LiveRow
from state.outbox import Priority

log = logging.getLogger(__name__)

EXPIRY_S = 15.0

Look = Callable[[Context, str], tuple[Reply, bool]]

IDLE_S = 5.0
SHOWN_EVERY_S = 60 / EDITS.per_minute
"""All live messages together are edited this often; one of n is looked at every n times as long, not in vain."""
LONGEST_PAUSE_S = 60.0
"""After failed looks."""
GIVE_UP_AFTER = 200
"""Failed looks in a row, about three hours with these pauses."""


class Watcher:
    """Runs in the leader. `looks` maps a kind of followed thing to the function that shows it now."""

    def __init__(
        self,
        engine: Engine,
        looks: Mapping[str, Look],
        context: Callable[[LiveRow], Context],
        bell: threading.Event,
        stop: threading.Event,
    ) -> None:
        self._engine = engine
        self._looks = looks
        self._context = context
        self._bell = bell
        self._stop = stop
        self._looks_left = Bucket(EDITS)

    def run(self) -> None:
        """Look until stopped; asleep while nothing is followed."""
        while not self._stop.is_set():
            self._bell.clear()
            try:
                pause = self._looks_left.wait() or self._next()
            except SQLAlchemyError as error:
                log.error("live messages cannot be read: %s", type(error).__name__)
                pause = 1.0
            self._bell.wait(pause)

    def _next(self) -> float:
        """Look at what is due longest. Returns the seconds after which another look is worth it."""
        with self._engine.begin() as connection:
            rows = live.due(connection, limit=1)
            if not rows:
                pause = live.seconds_to_next(connection)
                return IDLE_S if pause is None else min(IDLE_S, pause)
        self._looks_left.spend()
        self._look(rows[0])
        return 0.0

    def _look(self, row: LiveRow) -> None:
        ctx = self._context(row)
        try:
            reply, done = self._looks[row.kind](ctx, row.arn)
        except NotFound as error:
            log.warning("%s is gone: %s", row.arn, error)
            return self._note(row, None, ended=True)
        except Exception:
            # Whatever broke this look, the message keeps its last state and the next look may work.
            log.warning("looking at %s failed", row.arn, exc_info=True)
            if row.errors + 1 >= GIVE_UP_AFTER:
                return self._give_up(row)
            return self._note(row, None, ended=False, errors=row.errors + 1)
        if done and row.kind == "execution" and not went_well(reply):
            close_tracking(ctx, row.arn)
        return self._note(row, reply, ended=done)

    def _note(self, row: LiveRow, reply: Reply | None, *, ended: bool, errors: int = 0) -> None:
        content = render(reply) if reply else None
        digest = fingerprint(content) if content else row.digest
        with self._engine.begin() as connection:
            wait = pause(live.following(connection), errors)
            still = live.looked(connection, row, digest=digest, pause=wait, ended=ended, errors=errors)
            if still and content and digest != row.digest:
                priority = Priority.POST if ended else Priority.LIVE
                outbox.put(
                    connection,
                    "message",
                    content,
                    priority=priority,
                    slot=row.slot,
                    picture=reply.picture.data if reply and reply.picture else None,
                    picture_name=reply.picture.name if reply and reply.picture else None,
                    invocation=row.invocation,
                )
            for message in reply.also if still and reply and ended else ():
                outbox.put(
                    connection,
                    "message",
                    render(message),
                    priority=Priority.POST,
                    below=row.slot,
                    picture=message.picture.data if message.picture else None,
                    picture_name=message.picture.name if message.picture else None,
                    invocation=row.invocation,
                )

    def _give_up(self, row: LiveRow) -> None:
        """Leave the message as it is; what becomes of the thing is said by an alert, if its event comes."""
        log.error("%s cannot be looked at and is followed no more", row.arn)
        with self._engine.begin() as connection:
            live.unfollow(connection, row.slot)


def expire_approvals(engine: Engine, stop: threading.Event) -> None:
    """Runs in the leader: the card of a request that nobody decided in time says so and loses its buttons."""
    while not stop.wait(EXPIRY_S):
        try:
            for row in approvals.expire(engine):
                with engine.begin() as connection:
                    redraw(connection, card(row))
        except SQLAlchemyError as error:
            log.error("approvals cannot be looked through: %s", type(error).__name__)


def pause(following: int, errors: int) -> timedelta:
    """How long until the next look at one of so many, longer after looks that failed."""
    seconds = SHOWN_EVERY_S * max(1, following)
    return timedelta(seconds=max(seconds, min(LONGEST_PAUSE_S, seconds * 2 ** min(errors, 6))))


def fingerprint(content: Mapping[str, Any]) -> str:
    """What tells two rendered messages apart."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def went_well(reply: Reply) -> bool:
    """Whether all that was to be done was done: not failed, not stopped half-way."""
    return reply.outcome is Outcome.OK and all(step.state == "done" for step in reply.steps)


def close_tracking(ctx: Context, arn: str) -> None:
    """Close the MLflow run of an execution that did not end well, if a step left it open."""
    try:
        run = ctx.tracking.run_for_execution(arn)
        if run is not None and run.status == "RUNNING":
            ctx.tracking.finish(run.id, "FAILED")
    except Unavailable as error:
        log.warning("the MLflow run of %s stays open: %s", arn, error)
