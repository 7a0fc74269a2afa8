"""From what Slack delivers to what the database stores: one function for each surface."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from state.invocations import Arrival

SLASH_COMMAND = "/mlops"
ACTION_PREFIX = "command:"
# Message shortcut (callback id) -> the words it stands for; the message's files come along.
SHORTCUTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"detect_objects": ("Detect objects", "deployment predict")}
)


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
    )


def from_action(body: Mapping[str, Any]) -> Arrival:
    """A pressed button or a chosen option: its value is the command line.

    One press of one person on one message is one delivery.
    """
    action, user, container = body["actions"][0], body["user"], body.get("container", {})
    message_ts = container.get("message_ts")
    return Arrival(
        surface="action",
        delivery=f"action:{message_ts}:{action['action_ts']}:{user['id']}",
        team=_team(body),
        user=user["id"],
        user_name=user.get("username") or user.get("name", ""),
        channel=(body.get("channel") or {}).get("id") or container.get("channel_id"),
        text=_storable((action.get("selected_option") or action)["value"]),
        message_ts=message_ts,
        thread_ts=container.get("thread_ts") or (body.get("message") or {}).get("thread_ts"),
        response_url=body.get("response_url"),
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


def _team(body: Mapping[str, Any]) -> str:
    """The person's own workspace: in a shared channel it is not the one the message stands in."""
    return str(body["user"].get("team_id") or body["team"]["id"])


def _storable(text: str) -> str:
    """PostgreSQL's text holds every character but one."""
    return text.replace("\x00", "")
