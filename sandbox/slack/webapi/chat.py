"""`chat.*`: posting, editing, deleting messages."""

from __future__ import annotations

from typing import Any

from sandbox.slack.errors import SlackError
from sandbox.slack.hooks import replace
from sandbox.slack.messages import Json, Message
from sandbox.slack.rates import TIER_3, TIER_4
from sandbox.slack.webapi.call import Call, Method
from sandbox.slack.workspace import Channel

LONGEST_EDIT = 4000
"""Characters of `text` in `chat.update` without blocks."""


def _thread(call: Call, channel: Channel) -> str | None:
    root = call.optional("thread_ts")
    if root and call.workspace.find(channel.id, root) is None:
        raise SlackError("thread_not_found")
    return root


def _metadata(value: Any) -> Json | None:
    if value is None or value == {}:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("event_type"), str):
        raise SlackError("invalid_metadata_format")
    if not isinstance(value.get("event_payload"), dict):
        raise SlackError("invalid_metadata_format")
    return value


def post_message(call: Call) -> Json:
    """`chat.postMessage`."""
    channel = call.writable()
    fields = call.content()
    message = call.workspace.post(
        channel.id,
        call.workspace.bot,
        thread_ts=_thread(call, channel),
        metadata=_metadata(call.arguments.get("metadata")),
        **fields,
    )
    answer: Json = {"channel": channel.id, "ts": message.ts, "message": message.json(metadata=True)}
    if not message.text:
        answer["response_metadata"] = {"warnings": ["missing_text_in_message"]}
    return answer


def post_ephemeral(call: Call) -> Json:
    """`chat.postEphemeral`."""
    channel = call.writable()
    user = call.text("user")
    if user not in channel.members:
        raise SlackError("user_not_in_channel")
    fields = call.content()
    thread = _thread(call, channel)
    message = call.workspace.post(channel.id, call.workspace.bot, thread_ts=thread, only_for=user, **fields)
    return {"message_ts": message.ts}


def _own(call: Call, wrong: str) -> Message:
    channel = call.channel()
    message = call.workspace.find(channel.id, call.text("ts"))
    if message is None:
        raise SlackError("message_not_found")
    if message.user != call.workspace.bot:
        raise SlackError(wrong)
    return message


def update(call: Call) -> Json:
    """`chat.update`: text without blocks removes the blocks; neither keeps them; metadata `{}` removes metadata."""
    message = _own(call, "cant_update_message")
    given = call.arguments
    if not any(given.get(name) is not None for name in ("text", "blocks", "attachments", "metadata")):
        raise SlackError("no_text")
    drops_blocks = given.get("text") is not None and given.get("blocks") is None
    if drops_blocks and len(str(given["text"])) > LONGEST_EDIT:
        raise SlackError("msg_too_long")
    kept = {"text": message.text, "blocks": message.blocks, "attachments": message.attachments}
    if drops_blocks:
        kept["blocks"] = []
    wanted = {name: kept[name] if given.get(name) is None else given[name] for name in kept}
    fields = Call(call.world, wanted).content()
    if given.get("metadata") is not None:
        message.metadata = _metadata(given["metadata"])
    if drops_blocks and given.get("attachments") is None:
        message.edited = {"user": call.workspace.bot, "ts": call.workspace.new_ts()}
    replace(call.workspace, message, fields)
    return {
        "channel": message.channel,
        "ts": message.ts,
        "text": message.text,
        "message": message.json(metadata=True),
    }


def delete(call: Call) -> Json:
    """`chat.delete`."""
    message = _own(call, "cant_delete_message")
    call.workspace.delete(message)
    return {"channel": message.channel, "ts": message.ts}


def get_permalink(call: Call) -> Json:
    """`chat.getPermalink`: an address of the page that opens at the message."""
    channel = call.channel()
    ts = call.text("message_ts")
    if call.workspace.find(channel.id, ts) is None:
        raise SlackError("message_not_found")
    link = f"{call.world.base_url}/archives/{channel.id}/p{ts.replace('.', '')}"
    return {"channel": channel.id, "permalink": link}


METHODS = {
    "chat.postMessage": Method(post_message, "chat:write", None, posts=True),
    "chat.postEphemeral": Method(post_ephemeral, "chat:write", TIER_4),
    "chat.update": Method(update, "chat:write", TIER_3),
    "chat.delete": Method(delete, "chat:write", TIER_3),
    "chat.getPermalink": Method(get_permalink, None, None),
}
