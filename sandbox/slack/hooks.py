"""What the app answers outside the Web API: acknowledgement bodies and posts to a `response_url`."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

from sandbox.slack.blocks import check_message
from sandbox.slack.errors import SlackError
from sandbox.slack.messages import Json, Message
from sandbox.slack.workspace import Workspace

USES, SECONDS = 5, 30 * 60
LONGEST_TEXT = 40_000


@dataclass
class Hook:
    """A `response_url`: for whom it answers, where, and about which message."""

    id: str
    user: str
    channel: str
    source: str | None
    born: float
    uses: int = 0


class Hooks:
    """Issues response_urls and does what is posted to them."""

    def __init__(self, workspace: Workspace, base_url: str) -> None:
        self._workspace = workspace
        self._base_url = base_url
        self._hooks: dict[str, Hook] = {}

    def issue(self, user: str, channel: str, source: str | None = None) -> str:
        """A new response_url; `source` is the `ts` of the message the person acted on."""
        hook = Hook(uuid.uuid4().hex, user, channel, source, time.monotonic())
        self._hooks[hook.id] = hook
        return f"{self._base_url}/hooks/{hook.id}"

    def use(self, hook_id: str, body: Json) -> None:
        """Do what the app posted. Raises `SlackError`: `used_url`, `expired_url` or what is wrong with the message."""
        hook = self._hooks.get(hook_id)
        if hook is None or time.monotonic() - hook.born > SECONDS:
            raise SlackError("expired_url")
        if hook.uses >= USES:
            raise SlackError("used_url")
        hook.uses += 1
        self._answer(hook, body)

    def acknowledge(self, user: str, channel: str, body: Json) -> None:
        """Show what a command's acknowledgement carried; an empty one shows nothing."""
        if body:
            self._answer(Hook("", user, channel, None, 0), body)

    def _answer(self, hook: Hook, body: Json) -> None:
        place = self._workspace.channels[hook.channel]
        source = place.messages.get(hook.source or "")
        if body.get("delete_original"):
            if source is None:
                raise SlackError("message_not_found")
            self._workspace.delete(source)
            return
        fields = content(body)
        if body.get("replace_original"):
            if source is None:
                raise SlackError("message_not_found")
            replace(self._workspace, source, fields)
            return
        public = body.get("response_type") == "in_channel"
        self._workspace.post(
            hook.channel,
            self._workspace.bot,
            fields["text"],
            blocks=fields["blocks"],
            attachments=fields["attachments"],
            thread_ts=body.get("thread_ts"),
            only_for=None if public else hook.user,
        )


def content(body: Json) -> Json:
    """Text, blocks and attachments of a message the app wants shown, checked. Raises `SlackError`."""
    text, blocks, attachments = body.get("text") or "", body.get("blocks") or [], body.get("attachments") or []
    if not (text or blocks or attachments):
        raise SlackError("no_text")
    if not isinstance(text, str) or not isinstance(blocks, list) or not isinstance(attachments, list):
        raise SlackError("invalid_arguments")
    if len(text) > LONGEST_TEXT:
        raise SlackError("msg_too_long")
    check_message(blocks, attachments)
    return {"text": text, "blocks": blocks, "attachments": attachments}


def replace(workspace: Workspace, message: Message, fields: Json) -> None:
    """Put new content in a message's place."""
    message.text, message.blocks, message.attachments = fields["text"], fields["blocks"], fields["attachments"]
    workspace.changed(message)
