"""`conversations.*`, `users.*`, `auth.test`: who and what is there."""

from __future__ import annotations

from sandbox.slack.config import User
from sandbox.slack.errors import SlackError
from sandbox.slack.messages import Json
from sandbox.slack.rates import TIER_2, TIER_3, TIER_4
from sandbox.slack.webapi.call import Call, Method


def api_test(call: Call) -> Json:
    """`api.test`: gives the arguments back; `error` is answered as an error."""
    if wanted := call.optional("error"):
        raise SlackError(wanted)
    return {"args": dict(call.arguments)}


def auth_test(call: Call) -> Json:
    """`auth.test`."""
    config = call.workspace.config
    return {
        "url": f"{call.world.base_url}/",
        "team": config.team["name"],
        "team_id": config.team["id"],
        "user": config.app.name,
        "user_id": config.app.user,
        "bot_id": config.app.bot,
        "is_enterprise_install": False,
    }


def open_connection(call: Call) -> Json:
    """`apps.connections.open`: the address of a Socket Mode connection."""
    if call.world.sockets is None:
        raise SlackError("socket_mode_not_enabled")
    return {"url": call.world.sockets.open()}


def list_conversations(call: Call) -> Json:
    """`conversations.list`: what the app may know of, by `types`."""
    types = set(call.text("types", "public_channel").split(","))
    bot = call.workspace.bot
    rows = []
    for channel in call.workspace.channels.values():
        kind = "im" if channel.with_user else "private_channel" if channel.is_private else "public_channel"
        hidden = bot not in channel.members and kind != "public_channel"
        if kind in types and not hidden and not (call.flag("exclude_archived") and channel.is_archived):
            rows.append(channel.json(bot))
    return call.page("channels", rows)


def info(call: Call) -> Json:
    """`conversations.info`."""
    return {"channel": call.channel().json(call.workspace.bot)}


def open_direct(call: Call) -> Json:
    """`conversations.open` with one person."""
    users = call.text("users").split(",")
    if len(users) != 1 or users[0] not in call.workspace.config.users or users[0] == call.workspace.bot:
        raise SlackError("user_not_found" if len(users) == 1 else "invalid_arguments")
    return {"channel": {"id": call.workspace.direct(users[0]).id}}


def join(call: Call) -> Json:
    """`conversations.join` a public channel."""
    channel = call.channel()
    if channel.is_archived:
        raise SlackError("is_archived")
    if channel.with_user:
        raise SlackError("method_not_supported_for_channel_type")
    channel.members.add(call.workspace.bot)
    return {"channel": channel.json(call.workspace.bot)}


def members(call: Call) -> Json:
    """`conversations.members`."""
    return call.page("members", sorted(call.channel().members))


def history(call: Call) -> Json:
    """`conversations.history`: newest first, without thread replies and what only one person sees."""
    channel = call.joined()
    low, high, inclusive = call.text("oldest", "0"), call.text("latest", "9" * 20), call.flag("inclusive")
    rows = [
        message.json(metadata=call.flag("include_all_metadata"))
        for message in reversed(channel.messages.values())
        if message.only_for is None and not message.is_reply and _between(message.ts, low, high, inclusive)
    ]
    return call.page("messages", rows)


def replies(call: Call) -> Json:
    """`conversations.replies`: the first message of the thread and its answers, oldest first."""
    channel = call.joined()
    root = call.text("ts")
    if call.workspace.find(channel.id, root) is None:
        raise SlackError("thread_not_found")
    low, high, inclusive = call.text("oldest", "0"), call.text("latest", "9" * 20), call.flag("inclusive")
    rows = [
        message.json(metadata=call.flag("include_all_metadata"))
        for message in channel.messages.values()
        if message.only_for is None and message.root == root
        if message.ts == root or _between(message.ts, low, high, inclusive)
    ]
    return call.page("messages", rows)


def _between(ts: str, low: str, high: str, inclusive: bool) -> bool:
    try:
        at, first, last = float(ts), float(low), float(high)
    except ValueError:
        raise SlackError("invalid_ts_latest") from None
    return first <= at <= last if inclusive else first < at < last


def user_info(call: Call) -> Json:
    """`users.info`."""
    user = call.workspace.config.users.get(call.text("user"))
    if user is None:
        raise SlackError("user_not_found")
    return {"user": user_json(call, user)}


def list_users(call: Call) -> Json:
    """`users.list`."""
    return call.page("members", [user_json(call, user) for user in call.workspace.config.users.values()])


def user_json(call: Call, user: User) -> Json:
    """A member as Slack's API shows it."""
    return {
        "id": user.id,
        "team_id": call.workspace.config.team["id"],
        "name": user.name,
        "real_name": user.display,
        "deleted": user.deleted,
        "is_bot": user.is_bot,
        "is_restricted": user.is_restricted,
        "is_ultra_restricted": False,
        "is_app_user": False,
        "tz": user.tz,
        "profile": {"display_name": user.name, "real_name": user.display, "title": user.about},
    }


METHODS = {
    "api.test": Method(api_test, None, None),
    "apps.connections.open": Method(open_connection, None, TIER_2),
    "auth.test": Method(auth_test, None, None),
    "conversations.list": Method(list_conversations, "channels:read", TIER_2),
    "conversations.info": Method(info, "channels:read", TIER_3),
    "conversations.open": Method(open_direct, "im:write", TIER_3),
    "conversations.join": Method(join, "channels:join", TIER_3),
    "conversations.members": Method(members, "channels:read", TIER_4),
    "conversations.history": Method(history, "channels:history", TIER_3),
    "conversations.replies": Method(replies, "channels:history", TIER_3),
    "users.info": Method(user_info, "users:read", TIER_4),
    "users.list": Method(list_users, "users:read", TIER_2),
}
