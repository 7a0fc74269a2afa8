"""While there is no database: critical alerts are posted all the same, marked as not recorded.

Every worker stands by, from its start on. Messages stay in the queue, hidden, and are shown again when the database is
back; then the event is recorded as always, and the sender finds the post by the metadata it carries and edits it.
Nobody can be asked who leads without a database: SQS gives each message to one worker at a time, whoever has it looks
into the channel before it posts, and of two who posted copies of an event at once the later takes its post back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from alerts.events import Home, read
from alerts.happening import Severity, Unreadable
from alerts.routes import Routes, RoutesFile
from bot.alerts.drawing import DIRECT_AFTER
from bot.alerts.intake import placed
from bot.alerts.queue import FAULTS, Message, Queue
from bot.slack.delivery import ABSENT, EVENT_TYPE, metadata
from bot.slack.render import render
from commands.alert_card import card
from state import alerts, grouping, outbox
from state.alerts import AlertRow

log = logging.getLogger(__name__)

LOOK_S = 5.0
"""How often the database is looked for."""
MISSED_S = 1.0
"""After a look that found none, the next comes so soon."""
POLL_S = 2
HIDDEN_S = 600
"""A message is kept from other workers for so long at a time; each reception counts towards the undelivered ones."""
BETWEEN_POSTS_S = 1.0
"""Slack's pace for one channel."""
SETTLED_S = 60.0
"""So long after the database is back a post that became no alert's message says so itself."""
MARK = "Not recorded: the database does not answer. Buttons come when it does."
SINCE = (
    "Recorded since: the database answers again. By then this was over, is muted, or belongs to another alert. "
    "alerts list shows what is open."
)


@dataclass(frozen=True)
class Post:
    """A message in a channel, about an alert that is not recorded."""

    row: AlertRow
    channel: str
    ts: str


class Direct:
    """Stands by in every worker. `reachable` says whether the database answers now."""

    def __init__(
        self,
        reachable: Callable[[], bool],
        engine: Engine,
        queue: Queue,
        slack: WebClient,
        routes: RoutesFile,
        home: Callable[[], Home],
        stop: threading.Event,
    ) -> None:
        self._reachable = reachable
        self._engine = engine
        self._queue = queue
        self._slack = slack
        self._routes = routes
        self._home = home
        self._stop = stop
        self._posts: list[Post] = []

    def run(self) -> None:
        """Look for the database until stopped; stand in for it when it is not there at two looks in a row."""
        missed = 0
        while not self._stop.wait(MISSED_S if missed else LOOK_S):
            missed = 0 if self._reachable() else missed + 1
            if missed == 2:
                log.error("the database does not answer: critical alerts are posted directly")
                self._stand_in()
                self._settle()
                missed = 0

    def _stand_in(self) -> None:
        """Until the database is back. Everything received is hidden meanwhile, and shown again at the end."""
        held: list[Message] = []
        untold: list[AlertRow] = []
        renew_at = _now() + timedelta(seconds=HIDDEN_S / 2)
        while not self._stop.is_set():
            try:
                messages = self._queue.receive(POLL_S, VisibilityTimeout=HIDDEN_S)
                # How to hide them is all that is kept: however long the database is away, this stays small.
                held += [{"ReceiptHandle": message["ReceiptHandle"]} for message in messages]
                untold += [row for message in messages if (row := self._understood(message["Body"]))]
                if _now() > renew_at:
                    renew_at = _now() + timedelta(seconds=HIDDEN_S / 2)
                    self._queue.hide(held, HIDDEN_S)
            except FAULTS as error:
                log.error("critical events cannot be read: %s", error)
                self._stop.wait(LOOK_S)
            untold = [row for row in untold if not self._told(row)]
            if self._reachable():
                log.warning("the database answers again: %s events are taken in now", len(held))
                break
        try:
            self._queue.hide(held, 0)
        except FAULTS as error:
            log.warning("critical events come again in %s s only: %s", HIDDEN_S, error)

    def _understood(self, body: str) -> AlertRow | None:
        """The alert that an event would open, if it is one for people to see at once."""
        try:
            happening = read(body, self._home())
        except Unreadable as error:
            log.warning("a critical message is no event: %s", error)
            return None
        if happening.effect != "fires" or happening.severity is not Severity.CRITICAL:
            return None
        row = grouping.opened([placed(happening, self._routes.now())], "firing", _now())
        return row if row.channel else None

    def _told(self, row: AlertRow) -> bool:
        """Post an alert, unless somebody has. False to try again: its time has not come, or Slack did not take it."""
        if _now() - row.last_at <= DIRECT_AFTER + timedelta(seconds=1):
            return False  # after the same time the drawer looks for a direct post before it posts
        try:
            self._post(row, row.channel or "")
        except SlackApiError as error:
            if error.response.get("error") in ABSENT:
                return self._told_elsewhere(row, self._routes.now())
            log.error("Slack does not take alert %s: %s", row.id, error.response.get("error"))
            return False
        except (SlackClientError, OSError) as error:
            log.error("Slack does not answer: %s", type(error).__name__)
            return False
        return True

    def _told_elsewhere(self, row: AlertRow, routes: Routes) -> bool:
        """In the fallback channel; where that cannot be posted to either, nobody can be told."""
        if row.channel == routes.fallback:
            log.error("alert %s can be posted nowhere: the bot is not in %s", row.id, row.channel)
            return True
        return self._told(replace(row, channel=routes.fallback))

    def _post(self, row: AlertRow, channel: str) -> None:
        if self._standing(row, channel):
            return
        mark = metadata(alerts.slot(row.id))
        answer = self._slack.chat_postMessage(
            channel=channel, metadata=mark, unfurl_links=False, **_content(row, MARK, mention=True)
        )
        ts = str(answer["ts"])
        if min([ts, *self._standing(row, channel)], key=float) != ts:
            self._slack.chat_delete(channel=channel, ts=ts)
            return
        log.warning("alert %s was posted to %s and not recorded", row.id, channel)
        self._posts.append(Post(row, channel, ts))
        self._stop.wait(BETWEEN_POSTS_S)

    def _settle(self) -> None:
        """What was posted directly is edited by the sender once it is recorded; what is not is edited here."""
        deadline = time.monotonic() + SETTLED_S
        try:
            while self._posts and time.monotonic() < deadline and not self._stop.wait(LOOK_S):
                with self._engine.begin() as connection:
                    self._posts = [
                        post for post in self._posts if not outbox.slot_exists(connection, alerts.slot(post.row.id))
                    ]
            while self._posts and not self._stop.is_set():
                post = self._posts.pop()
                content = _content(post.row, SINCE, mention=False)
                self._slack.chat_update(channel=post.channel, ts=post.ts, **{"attachments": [], **content})
        except SQLAlchemyError as error:
            log.error("direct posts cannot be looked for: %s", type(error).__name__)
        except (SlackClientError, OSError) as error:
            log.error("a direct post cannot be edited: %s", error)

    def _standing(self, row: AlertRow, channel: str) -> Sequence[str]:
        """The posts about an alert that stand in a channel; looks no further back than its first event."""
        oldest = f"{min(row.first_at, _now()).timestamp() - 60:.6f}"
        mark, found = alerts.slot(row.id), []
        cursor: str | None = None
        while True:
            page: Any = self._slack.conversations_history(
                channel=channel, oldest=oldest, include_all_metadata=True, limit=200, cursor=cursor
            )
            for message in page["messages"]:
                told = message.get("metadata") or {}
                if told.get("event_type") == EVENT_TYPE and told["event_payload"].get("row") == mark:
                    found.append(str(message["ts"]))
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return found


def _content(row: AlertRow, said: str, *, mention: bool) -> dict[str, Any]:
    """The alert's message without buttons, which need the database, and with what must be known about it first."""
    reply = card(row, mention=mention)
    return render(replace(reply, text=f"{said}\n{row.text}".strip(), actions=[]))


def _now() -> datetime:
    return datetime.now(UTC)
