"""The bodies Slack sends to an app (contract: section 2.3)."""

from __future__ import annotations

from typing import Any

from sandbox.slack.config import Config
from sandbox.slack.messages import Json, Message
from sandbox.slack.workspace import Channel

LEGACY_TOKEN = "verification-token-of-the-sandbox"  # noqa: S105  deprecated by Slack; sent because it still is


def channel_json(channel: Channel) -> Json:
    """The channel as payloads name it."""
    return {"id": channel.id, "name": "directmessage" if channel.with_user else channel.name}


def common(config: Config, kind: str, user: str, trigger: str) -> Json:
    """What every interactive payload carries."""
    person = config.users[user]
    return {
        "type": kind,
        "token": LEGACY_TOKEN,
        "team": {"id": config.team["id"], "domain": config.team["domain"]},
        "enterprise": None,
        "is_enterprise_install": False,
        "api_app_id": config.app.id,
        "user": {"id": user, "username": person.name, "name": person.name, "team_id": config.team["id"]},
        "trigger_id": trigger,
    }


def command(
    config: Config, word: str, text: str, user: str, channel: Channel, *, trigger: str, response_url: str
) -> Json:
    """The form fields of a slash command. `text` is already escaped."""
    named = channel_json(channel)
    return {
        "token": LEGACY_TOKEN,
        "team_id": config.team["id"],
        "team_domain": config.team["domain"],
        "channel_id": named["id"],
        "channel_name": named["name"],
        "user_id": user,
        "user_name": config.users[user].name,
        "command": word,
        "text": text,
        "api_app_id": config.app.id,
        "is_enterprise_install": "false",
        "response_url": response_url,
        "trigger_id": trigger,
    }


def block_actions(base: Json, message: Message, channel: Channel, attachment: int | None, response_url: str) -> Json:
    """A press in a message. Slack leaves `message` out when the message was ephemeral."""
    container: Json = {
        "type": "message" if attachment is None else "message_attachment",
        "message_ts": message.ts,
        "channel_id": message.channel,
        "is_ephemeral": message.only_for is not None,
    }
    if attachment is not None:
        container |= {"attachment_id": attachment, "is_app_unfurl": False}
    if message.is_reply:
        container["thread_ts"] = message.thread_ts
    body = base | {
        "container": container,
        "channel": channel_json(channel),
        "state": {"values": {}},
        "response_url": response_url,
    }
    if message.only_for is None:
        body["message"] = message.json(metadata=True)
    return body


def view_actions(base: Json, view: Json) -> Json:
    """A press in a view: it comes from no channel and no message, and brings no response_url."""
    return base | {"container": {"type": "view", "view_id": view["id"]}, "view": view}


def global_shortcut(base: Json, callback: str, at: str) -> Json:
    """A shortcut chosen anywhere: no channel, no message, no response_url."""
    return base | {"callback_id": callback, "action_ts": at}


def message_action(
    base: Json, callback: str, message: Message, channel: Channel, *, at: str, response_url: str
) -> Json:
    """A message shortcut, chosen from a message's menu."""
    return base | {
        "callback_id": callback,
        "action_ts": at,
        "message_ts": message.ts,
        "message": message.json(),
        "channel": channel_json(channel),
        "response_url": response_url,
    }


def event(config: Config, event_id: str, at: int, body: dict[str, Any]) -> Json:
    """An Events API callback around `body`."""
    team = config.team["id"]
    return {
        "token": LEGACY_TOKEN,
        "team_id": team,
        "api_app_id": config.app.id,
        "type": "event_callback",
        "event": body,
        "event_id": event_id,
        "event_time": at,
        "authorizations": [
            {"team_id": team, "user_id": config.app.user, "is_bot": True, "is_enterprise_install": False}
        ],
    }
