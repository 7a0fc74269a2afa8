"""The state of the workspace: channels, messages, who has read what. In memory; every change goes to the feed."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field, replace
from typing import Any

from sandbox.slack.config import Config, User
from sandbox.slack.errors import NoSuchThing
from sandbox.slack.feed import Change, Feed
from sandbox.slack.messages import Json, Message, fill_ids


@dataclass
class Channel:
    """A channel or a direct conversation (`with_user` is the person at the other end from the app)."""

    id: str
    name: str
    purpose: str = ""
    members: set[str] = field(default_factory=set)
    is_private: bool = False
    is_archived: bool = False
    with_user: str | None = None
    messages: dict[str, Message] = field(default_factory=dict)

    def json(self, bot: str) -> Json:
        """The channel as Slack's API shows it to the app."""
        if self.with_user:
            return {"id": self.id, "is_im": True, "user": self.with_user, "is_archived": False}
        return {
            "id": self.id,
            "name": self.name,
            "is_channel": not self.is_private,
            "is_private": self.is_private,
            "is_im": False,
            "is_archived": self.is_archived,
            "is_member": bot in self.members,
            "num_members": len(self.members),
            "purpose": {"value": self.purpose},
            "topic": {"value": ""},
        }


class Workspace:
    """Everything people and the app have said, and the rules of who sees what."""

    def __init__(self, config: Config, feed: Feed) -> None:
        self.config = config
        self.feed = feed
        self.channels = {
            seed.id: Channel(
                seed.id,
                seed.name,
                seed.purpose,
                set(config.users if seed.members is None else seed.members),
                seed.is_private,
                seed.is_archived,
            )
            for seed in config.channels
        }
        for user in config.people:
            self.direct(user.id)
        self._read: dict[tuple[str, str], str] = {}
        self._last_micros = 0
        self._ids = itertools.count(1)

    @property
    def bot(self) -> str:
        """The app's own user id."""
        return self.config.app.user

    def user(self, user: str) -> User:
        """A member by id. Raises `NoSuchThing`."""
        if user not in self.config.users:
            raise NoSuchThing(f"there is no user {user!r}; there are {', '.join(self.config.users)}")
        return self.config.users[user]

    def member(self, id: str, **facts: Any) -> User:
        """Change what is known of a member; somebody new joins every channel that is not private."""
        known = self.config.users.get(id) or User(id, name=id.lower(), display=id, initials="?", color="#6b7280")
        self.config.users[id] = replace(known, **facts)
        for channel in self.channels.values():
            if not channel.is_private and not channel.with_user:
                channel.members.add(id)
        return self.config.users[id]

    def channel(self, channel: str) -> Channel:
        """A channel by id or name. Raises `NoSuchThing`."""
        for known in self.channels.values():
            if channel == known.id or channel.lstrip("#") == known.name:
                return known
        raise NoSuchThing(f"there is no channel {channel!r}; there are {', '.join(self.channels)}")

    def direct(self, user: str) -> Channel:
        """The direct conversation between the app and a person, opened when needed."""
        name = "D" + user[1:]
        if name not in self.channels:
            self.channels[name] = Channel(name, user, members={user, self.bot}, with_user=user)
        return self.channels[name]

    def channels_of(self, user: str) -> list[Channel]:
        """What stands in a person's left bar: channels they are in, then their conversation with the app."""
        return [channel for channel in self.channels.values() if user in channel.members]

    def new_id(self, prefix: str) -> str:
        """A fresh id such as `F0000001`."""
        return f"{prefix}{next(self._ids):07d}"

    def new_ts(self) -> str:
        """A message timestamp: unix seconds with six digits, unique and increasing."""
        self._last_micros = max(time.time_ns() // 1000, self._last_micros + 1)
        seconds, micros = divmod(self._last_micros, 1_000_000)
        return f"{seconds}.{micros:06d}"

    def post(self, channel: str, user: str, text: str = "", **fields: Any) -> Message:
        """Add a message. `fields` are further fields of `Message`."""
        message = Message(channel, self.new_ts(), user, text, **fields)
        fill_ids(message.all_blocks(), self.new_id)
        if user == self.bot:
            app = self.config.app
            message.extra = {"bot_id": app.bot, "app_id": app.id, "team": self.config.team["id"]} | message.extra
        place = self.channels[channel]
        place.messages[message.ts] = message
        if message.is_reply and message.only_for is None and message.root in place.messages:
            place.messages[message.root].replies.append(message.ts)
        self.feed.publish(Change("posted", channel, message.ts, message.only_for))
        return message

    def changed(self, message: Message) -> None:
        """Say that a message was edited in place."""
        message.changes += 1
        fill_ids(message.all_blocks(), self.new_id)
        self.feed.publish(Change("edited", message.channel, message.ts, message.only_for))

    def delete(self, message: Message) -> None:
        """Take a message away; its thread, if any, stays readable."""
        place = self.channels[message.channel]
        place.messages.pop(message.ts, None)
        parent = place.messages.get(message.root)
        if parent and message.ts in parent.replies:
            parent.replies.remove(message.ts)
        self.feed.publish(Change("deleted", message.channel, message.ts, message.only_for))

    def find(self, channel: str, ts: str) -> Message | None:
        """A message everybody in the channel can see; ephemeral ones are not found."""
        message = self.channels[channel].messages.get(ts)
        return message if message and message.only_for is None else None

    def seen_by(self, user: str, channel: str) -> list[Message]:
        """What a person sees in a channel, oldest first, thread replies and their own ephemerals included."""
        place = self.channels[channel]
        if user not in place.members:
            return []
        return [message for message in place.messages.values() if message.only_for in (None, user)]

    def read(self, user: str, channel: str) -> None:
        """The person has the channel before their eyes: nothing in it is unread any more."""
        messages = self.channels[channel].messages
        newest = max(messages, default="")
        if newest > self._read.get((user, channel), ""):
            self._read[user, channel] = newest
            self.feed.publish(Change("read", channel, newest, user))

    def unread(self, user: str, channel: str) -> int:
        """How many messages of others the person has not seen there."""
        mark = self._read.get((user, channel), "")
        return sum(1 for message in self.seen_by(user, channel) if message.ts > mark and message.user != user)
