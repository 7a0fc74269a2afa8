"""`views.*` and `reactions.*`."""

from __future__ import annotations

from sandbox.slack.errors import SlackError
from sandbox.slack.messages import Json, Message
from sandbox.slack.rates import TIER_3, TIER_4
from sandbox.slack.webapi.call import Call, Method


def open_view(call: Call) -> Json:
    """`views.open`."""
    return {"view": call.world.views.open(call.text("trigger_id"), call.arguments.get("view") or {})}


def update_view(call: Call) -> Json:
    """`views.update`."""
    view_id, external, known = call.optional("view_id"), call.optional("external_id"), call.optional("hash")
    return {"view": call.world.views.update(view_id, external, known, call.arguments.get("view") or {})}


def publish(call: Call) -> Json:
    """`views.publish`: the app's Home of one person."""
    user = call.text("user_id")
    if user not in call.workspace.config.users:
        raise SlackError("user_not_found")
    return {"view": call.world.views.publish(user, call.arguments.get("view") or {}, call.optional("hash"))}


def _reacted(call: Call) -> tuple[Message, str, Json | None]:
    message = call.workspace.find(call.joined().id, call.text("timestamp"))
    if message is None:
        raise SlackError("message_not_found")
    name = call.text("name").strip(":")
    return message, name, next((entry for entry in message.reactions if entry["name"] == name), None)


def add_reaction(call: Call) -> Json:
    """`reactions.add`."""
    message, name, entry = _reacted(call)
    bot = call.workspace.bot
    if entry and bot in entry["users"]:
        raise SlackError("already_reacted")
    if entry is None:
        entry = {"name": name, "users": [], "count": 0}
        message.reactions.append(entry)
    entry["users"].append(bot)
    entry["count"] = len(entry["users"])
    call.workspace.changed(message)
    return {}


def remove_reaction(call: Call) -> Json:
    """`reactions.remove`."""
    message, _, entry = _reacted(call)
    if entry is None or call.workspace.bot not in entry["users"]:
        raise SlackError("no_reaction")
    entry["users"].remove(call.workspace.bot)
    entry["count"] = len(entry["users"])
    if not entry["users"]:
        message.reactions.remove(entry)
    call.workspace.changed(message)
    return {}


METHODS = {
    "views.open": Method(open_view, None, TIER_4),
    "views.update": Method(update_view, None, TIER_4),
    "views.publish": Method(publish, None, TIER_4),
    "reactions.add": Method(add_reaction, "reactions:write", TIER_3),
    "reactions.remove": Method(remove_reaction, "reactions:write", TIER_3),
}
