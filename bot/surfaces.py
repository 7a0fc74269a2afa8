"""From what Slack delivers to what the database stores: one function for each surface."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bot.slack.filled import Filled
from state.invocations import Arrival

SLASH_COMMAND = "/mlops"
ACTION_PREFIX = "command:"
_MENTION = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")
# Message shortcut (callback id) -> the words it stands for; the message's files come along.
SHORTCUTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"detect_objects": ("Detect objects", "deployment predict")}
)
# Global shortcut (callback id) -> the same; nothing comes along, and the answer goes to the person.
GLOBAL_SHORTCUTS: Mapping[str, tuple[str, str]] = MappingProxyType({"run_command": ("Run a command", "form")})


def from_command(body: Mapping[str, Any]) -> Arrival:
    """A slash command. Slack's trigger id is different for every time somebody presses return."""
    return Arrival(
        surface="command",
        delivery=f"command:{body['trigger_id']}",
        team=body["team_id"],
        user=body["user_id"],
        user_name=body.get("user_name", ""),
        channel=body.get("channel_id"),
        text=_storable(body.get("text", "")),
        response_url=body.get("response_url"),
        trigger_id=body["trigger_id"],
    )


def from_action(body: Mapping[str, Any]) -> Arrival:
    """A pressed button or a chosen option: its value is the command line.

    One press of one person on one message is one delivery. What is pressed in a Home is answered in the person's chat.
    """
    action, user, container = body["actions"][0], body["user"], body.get("container", {})
    message_ts = container.get("message_ts")
    return Arrival(
        surface="action",
        delivery=f"action:{message_ts}:{action['action_ts']}:{user['id']}",
        team=_team(body),
        user=user["id"],
        user_name=user.get("username") or user.get("name", ""),
        channel=(body.get("channel") or {}).get("id") or container.get("channel_id") or user["id"],
        text=_storable((action.get("selected_option") or action)["value"]),
        message_ts=message_ts,
        thread_ts=container.get("thread_ts") or (body.get("message") or {}).get("thread_ts"),
        response_url=body.get("response_url"),
        trigger_id=body.get("trigger_id"),
    )


def from_shortcut(body: Mapping[str, Any]) -> Arrival:
    """A message shortcut: the words it stands for, and the files of the message it was used on."""
    user, message = body["user"], body.get("message", {})
    return Arrival(
        surface="shortcut",
        delivery=f"shortcut:{body['trigger_id']}",
        team=_team(body),
        user=user["id"],
        user_name=user.get("username") or user.get("name", ""),
        channel=(body.get("channel") or {}).get("id"),
        text=SHORTCUTS[body["callback_id"]][1],
        message_ts=body.get("message_ts") or message.get("ts"),
        thread_ts=message.get("thread_ts"),
        response_url=body.get("response_url"),
        files=tuple(file["id"] for file in message.get("files", [])),
    )


def from_global_shortcut(body: Mapping[str, Any]) -> Arrival:
    """A shortcut chosen anywhere in Slack: the words it stands for, answered in the person's own chat."""
    user = body["user"]
    return Arrival(
        surface="global",
        delivery=f"shortcut:{body['trigger_id']}",
        team=_team(body),
        user=user["id"],
        user_name=user.get("username") or user.get("name", ""),
        channel=user["id"],
        text=GLOBAL_SHORTCUTS[body["callback_id"]][1],
        trigger_id=body["trigger_id"],
    )


def from_form(body: Mapping[str, Any], filled: Filled) -> Arrival:
    """A form that was sent: the line it means, once for each form that was opened."""
    user = body["user"]
    return Arrival(
        surface="form",
        delivery=f"form:{body['view']['id']}",
        team=_team(body),
        user=user["id"],
        user_name=user.get("username") or user.get("name", ""),
        channel=filled.channel or user["id"],
        text=_storable(filled.line),
        thread_ts=filled.thread_ts,
        trigger_id=body.get("trigger_id"),
    )


def from_event(body: Mapping[str, Any]) -> Arrival | None:
    """What somebody said to the bot: in a channel by a mention, in its own chat by anything. None for all else.

    One message is one invocation, however often Slack brings it and whatever becomes of it afterwards. In a channel
    the answer hangs in the thread of the message.
    """
    event = body["event"]
    subtype = event.get("subtype", "file_share")
    if event.get("bot_id") or subtype != "file_share" or not event.get("user"):
        return None
    own_chat = event.get("channel_type") == "im"
    if event["type"] == "message" and not own_chat:
        return None  # what people say to each other
    me = {each.get("user_id") for each in body.get("authorizations", [])}
    return Arrival(
        surface="mention",
        delivery=f"mention:{event['channel']}:{event['ts']}",
        team=event.get("user_team") or event.get("team") or body["team_id"],
        user=event["user"],
        channel=event["channel"],
        text=_storable(_MENTION.sub(lambda found: "" if found[1] in me else found[0], event.get("text", ""))),
        message_ts=event["ts"],
        thread_ts=event.get("thread_ts") or (None if own_chat else event["ts"]),
        files=tuple(file["id"] for file in event.get("files", [])),
    )


def _team(body: Mapping[str, Any]) -> str:
    """The person's own workspace: in a shared channel it is not the one the message stands in."""
    return str(body["user"].get("team_id") or body["team"]["id"])


def _storable(text: str) -> str:
    """PostgreSQL's text holds every character but one."""
    return text.replace("\x00", "")
