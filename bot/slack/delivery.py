"""One message to Slack: which calls it takes, and what Slack's answer means for the outbox row.

A post carries its mark in the metadata, so it is recognised if an answer is lost. A private answer carries none:
when only Slack's answer to it is lost it is sent again, because a person told twice is better off than one not told.
"""

from __future__ import annotations

import http.client
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackRequestError
from slack_sdk.webhook import WebhookClient

from bot.slack import ladder, limits
from bot.slack.render import PICTURE_BLOCK, blocks_of, in_words
from bot.slack.unreachable import noted
from state.outbox import OutboxRow, Priority

log = logging.getLogger(__name__)

EVENT_TYPE = "groundcrew_outbox"
ALERT = "alert-"
"""What the slots of alerts begin with. They are named after an event, so whoever posts one gives it the same mark."""
LOST_BEFORE = timedelta(minutes=1)
"""A post whose answer got lost is younger than its row, but for the clocks."""
TOLD_BEFORE = timedelta(days=1)
"""A critical alert may have been posted without its row while the database was away: so far back it is looked for."""
FILE_TRIES = 6
"""Slack processes an upload after it has answered: so many times the message waits a second for its picture."""
ABSENT = frozenset({"not_in_channel", "channel_not_found", "user_not_in_channel", "is_archived"})
BROKEN = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout", ""})
UNTRUSTED = frozenset({"invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"})


@dataclass(frozen=True)
class Sent:
    """It stands; `ts` names it where Slack gave one."""

    ts: str | None


@dataclass(frozen=True)
class Later:
    """Try again after `seconds`. `unsure`: this try may have worked. `limited`: the row's method is closed so long."""

    seconds: float
    reason: str
    unsure: bool = False
    limited: bool = False


@dataclass(frozen=True)
class Absent:
    """The bot cannot post in that channel."""

    reason: str


@dataclass(frozen=True)
class Simpler:
    """Slack refuses this form; `content` says the same in a simpler one."""

    content: Mapping[str, Any]
    reason: str


@dataclass(frozen=True)
class Lost:
    """It can never be sent."""

    reason: str


Result = Sent | Later | Absent | Simpler | Lost


def method(row: OutboxRow) -> str:
    """The call whose budget the row uses, as `bot.slack.pace` names it."""
    if row.kind == "message":
        return "chat.update" if row.ts else "chat.postMessage"
    return "chat.postEphemeral" if row.kind == "ephemeral" else "response_url"


def mark(row: OutboxRow) -> str:
    """What a message carries in its metadata: an alert's slot, else the row's id with the time it was made.

    The time keeps rows of a re-created database apart.
    """
    if row.slot and row.slot.startswith(ALERT):
        return row.slot
    return f"{row.id}-{int(row.created_at.timestamp())}"


def metadata(mark: str) -> dict[str, Any]:
    """The metadata of a message by which it is recognised when an answer was lost or the database was away."""
    return {"event_type": EVENT_TYPE, "event_payload": {"row": mark}}


class Delivery:
    """Speaks to Slack for the sender. `remember` stores an uploaded file's id before the message is posted."""

    def __init__(self, client: WebClient, remember: Callable[[OutboxRow, Mapping[str, Any]], None]) -> None:
        self._client = client
        self._remember = remember
        self._unknown: set[str] = set()
        """Kinds of blocks that this workspace has refused by name: not tried again while this process lives."""

    def send(self, row: OutboxRow) -> Result:
        """Try once. Every way this can end is a `Result`; nothing is raised for what Slack or the network does."""
        try:
            content = ladder.without(self._with_picture(row), self._unknown)
            if row.meant_for and not row.below:
                content = noted(content, row.meant_for)
            if row.kind == "respond":
                return self._respond(row, content)
            if row.kind == "ephemeral":
                answer = self._client.chat_postEphemeral(
                    channel=row.channel or "", user=row.user_id or "", thread_ts=row.thread_ts, **content
                )
                return Sent(answer.get("message_ts"))
            return self._message(row, content)
        except SlackApiError as error:
            return self._refused(row, error)
        except (OSError, http.client.HTTPException, SlackRequestError) as error:
            return Later(_backoff(row), f"Slack does not answer: {type(error).__name__}", unsure=True)

    def _message(self, row: OutboxRow, content: Mapping[str, Any]) -> Result:
        channel = self._channel(row)
        if row.picture is not None and not _pictures(content):
            # A file that is no picture cannot stand in a block: the words go with it.
            self._upload(row, "", channel, str(content["text"]))
            return Sent(None)
        ts = row.ts or (self._posted(row, channel) if row.unsure else None)
        if ts:
            self._client.chat_update(channel=channel, ts=ts, **{"attachments": [], **content})
            return Sent(ts)
        answer = self._client.chat_postMessage(
            channel=channel, thread_ts=row.thread_ts, metadata=metadata(mark(row)), unfurl_links=False, **content
        )
        return Sent(str(answer["ts"]))

    def _channel(self, row: OutboxRow) -> str:
        """A message to a person goes into the conversation with them."""
        name = row.channel or row.user_id or ""
        if name.startswith(("U", "W")):
            return str(self._client.conversations_open(users=name)["channel"]["id"])
        return name

    def _posted(self, row: OutboxRow, channel: str) -> str | None:
        """The `ts` of the row's message if an earlier try, perhaps of another leader, did post it."""
        critical_alert = mark(row) == row.slot and row.priority == Priority.CRITICAL
        since = row.created_at - (TOLD_BEFORE if critical_alert else LOST_BEFORE)
        cursor = None
        while True:
            if row.thread_ts:
                page = self._client.conversations_replies(
                    channel=channel, ts=row.thread_ts, include_all_metadata=True, limit=200, cursor=cursor
                )
            else:
                page = self._client.conversations_history(
                    channel=channel,
                    oldest=f"{since.timestamp():.6f}",
                    include_all_metadata=True,
                    limit=200,
                    cursor=cursor,
                )
            for message in page["messages"]:
                told = message.get("metadata") or {}
                if told.get("event_type") == EVENT_TYPE and told["event_payload"].get("row") == mark(row):
                    return str(message["ts"])
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return None

    def _respond(self, row: OutboxRow, content: Mapping[str, Any]) -> Result:
        if not row.response_url:
            return Lost("there is no response_url")
        body = {"response_type": "ephemeral", "replace_original": False, **content}
        answer = WebhookClient(row.response_url, timeout=10, retry_handlers=[]).send_dict(body)
        if answer.status_code == 200:
            return Sent(None)
        if answer.status_code == 429:
            return Later(float(answer.headers.get("Retry-After", 1)), "ratelimited", limited=True)
        if answer.status_code >= 500:
            return Later(_backoff(row), f"HTTP {answer.status_code}")
        if "invalid_blocks" in answer.body and blocks_of(content):
            kind = ladder.newest(content)
            return Simpler(self._lower(row, kind, answer.body) if kind else in_words(row.content), "invalid_blocks")
        return Lost(f"response_url answered {answer.status_code}: {answer.body[:80]}")

    def _with_picture(self, row: OutboxRow) -> Mapping[str, Any]:
        """The row's content with the uploaded picture in its image block; uploaded once, however often it is sent."""
        waiting = _pictures(row.content)
        if not waiting:
            return row.content
        if row.picture is None:
            return in_words(row.content)
        if not waiting[0]["slack_file"]["id"]:
            waiting[0]["slack_file"]["id"] = self._upload(row, waiting[0]["alt_text"])
            self._remember(row, row.content)
        return row.content

    def _upload(self, row: OutboxRow, alt: str, channel: str | None = None, comment: str | None = None) -> str:
        answer = self._client.files_upload_v2(
            file=row.picture,
            filename=row.picture_name or "picture.png",
            title=row.picture_name or "picture",
            alt_txt=limits.cut(alt, limits.UPLOAD_ALT_TEXT),
            channel=channel,
            initial_comment=comment,
            thread_ts=row.thread_ts if channel else None,
        )
        return str(answer["files"][0]["id"])

    def _refused(self, row: OutboxRow, error: SlackApiError) -> Result:
        code, status = _code(error), error.response.status_code
        if status == 429 or code == "ratelimited":
            called = str(error.response.api_url).rpartition("/")[2] or method(row)
            seconds = float(error.response.headers.get("Retry-After", 1))
            if called == method(row):
                return Later(seconds, "ratelimited", limited=True)
            # Looking through a long history needs several calls together: each time the wait leaves room for more.
            return Later(seconds + _backoff(row), f"ratelimited ({called})")
        if status >= 500 or code in BROKEN:
            return Later(_backoff(row), code or f"HTTP {status}", unsure=True)
        if code in UNTRUSTED:
            log.error("Slack refuses the bot token (%s): nothing can be sent until it is replaced", code)
            return Later(30.0, code)
        if code in ABSENT:
            return Absent(code)
        if code in ("invalid_blocks", "msg_blocks_too_long", "msg_too_long", "invalid_attachments"):
            return self._refused_form(row, error, code)
        return Lost(code)

    def _refused_form(self, row: OutboxRow, error: SlackApiError, code: str) -> Result:
        details = str(error.response.get("errors", "")) + str(error.response.get("response_metadata", ""))
        about_file = row.picture is not None and ("slack_file" in details or "slack file" in details)
        if about_file and row.attempts < FILE_TRIES:
            return Later(1.0, "the picture is still being processed")
        if code == "invalid_blocks" and (kind := ladder.newest(ladder.without(row.content, self._unknown))):
            return Simpler(self._lower(row, kind, details), code)
        log.error("Slack refuses the form of outbox row %s (%s %s); sending words instead", row.id, code, details)
        if row.picture is not None and row.kind == "message" and row.ts is None:
            # The words go with the file, and the file stands for the message.
            self._upload(row, "picture", self._channel(row), str(row.content["text"]))
            return Sent(None)
        return Simpler(in_words(row.content), code) if blocks_of(row.content) else Lost(code)

    def _lower(self, row: OutboxRow, kind: str, details: str) -> Mapping[str, Any]:
        """The row's content without its newest kind of block."""
        log.warning("Slack refuses outbox row %s (%s): drawing it without %s", row.id, details, kind)
        if re.search(rf"unsupported type[^:]*: {kind}\b", details):
            self._unknown.add(kind)
        return ladder.without(row.content, {kind, *self._unknown})


def _pictures(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [block for block in blocks_of(content) if block.get("block_id") == PICTURE_BLOCK]


def _code(error: SlackApiError) -> str:
    """Slack's error word; empty when the answer was not Slack's JSON."""
    data = error.response.data
    word = str(data.get("error", "")) if isinstance(data, dict) else ""
    return word if word.replace("_", "").isalnum() else ""


def _backoff(row: OutboxRow) -> float:
    return float(min(60, 2 ** min(row.attempts, 6) / 2))
