"""One call of a Web API method: its arguments, and the rules about channels every method shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.slack.blocks import invalid
from sandbox.slack.errors import NoSuchThing, SlackError
from sandbox.slack.files import Files
from sandbox.slack.hooks import content
from sandbox.slack.messages import Json
from sandbox.slack.rates import Rates
from sandbox.slack.schema import Problem
from sandbox.slack.sockets import Sockets
from sandbox.slack.views import Views
from sandbox.slack.workspace import Channel, Workspace


@dataclass(frozen=True)
class World:
    """What methods act on."""

    workspace: Workspace
    files: Files
    views: Views
    rates: Rates
    base_url: str
    sockets: Sockets | None = None


@dataclass(frozen=True)
class Call:
    """The arguments as merged from query, form and JSON. All accessors raise `SlackError`."""

    world: World
    arguments: Mapping[str, Any]

    @property
    def workspace(self) -> Workspace:
        """The workspace acted on."""
        return self.world.workspace

    def text(self, name: str, default: str | None = None) -> str:
        """A string argument; without a default it is required."""
        value = self.arguments.get(name)
        if value is None or value == "":
            if default is None:
                raise SlackError(
                    "invalid_arguments", response_metadata={"messages": [f"[ERROR] missing required field: {name}"]}
                )
            return default
        return str(value)

    def optional(self, name: str) -> str | None:
        """A string argument that may be missing."""
        value = self.arguments.get(name)
        return None if value in (None, "") else str(value)

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean argument: JSON or the words forms use."""
        value = self.arguments.get(name)
        return default if value is None else str(value).lower() in ("true", "1")

    def number(self, name: str, default: int) -> int:
        """A whole number."""
        try:
            return int(self.text(name, str(default)))
        except ValueError:
            raise SlackError("invalid_arguments") from None

    def content(self) -> Json:
        """Text, blocks and attachments to show, checked; pictures must be files of this workspace."""
        fields = content(dict(self.arguments))
        self.check_files(fields["blocks"] + [b for a in fields["attachments"] for b in a.get("blocks", [])])
        return fields

    def check_files(self, blocks: Sequence[Json]) -> None:
        """Refuse blocks that point at a file which is not there or no picture."""
        for index, block in enumerate(blocks):
            for holder in (block, block.get("accessory") or {}, *(block.get("elements") or [])):
                wanted = holder.get("slack_file") if isinstance(holder, dict) else None
                if wanted:
                    files = self.world.files
                    file = files.find(wanted.get("id")) or files.by_url(wanted.get("url", ""))
                    if file is None or not file.complete or not file.is_image:
                        raise invalid([Problem("invalid slack file", f"/blocks/{index}/slack_file")])

    def channel(self, name: str = "channel") -> Channel:
        """The channel meant, by id or `#name`; a private one the app is not in is not found."""
        wanted = self.optional(name)
        if wanted is None:
            raise SlackError("channel_not_found")
        if wanted in self.workspace.config.users and wanted != self.workspace.bot:
            return self.workspace.direct(wanted)
        try:
            channel = self.workspace.channel(wanted)
        except NoSuchThing:
            raise SlackError("channel_not_found") from None
        if self.workspace.bot not in channel.members and channel.is_private:
            raise SlackError("channel_not_found")
        return channel

    def joined(self, name: str = "channel") -> Channel:
        """The channel meant, which the app must be in."""
        channel = self.channel(name)
        if self.workspace.bot not in channel.members:
            raise SlackError("not_in_channel")
        return channel

    def writable(self, name: str = "channel") -> Channel:
        """The channel meant, which the app must be in and which is not archived."""
        channel = self.joined(name)
        if channel.is_archived:
            raise SlackError("is_archived")
        return channel

    def page(self, key: str, rows: Sequence[Any], *, default: int = 100) -> Json:
        """One page of a list. Pages are smaller than asked for, so that who forgets the cursor notices."""
        limit = min(max(self.number("limit", default), 1), 999, self.workspace.config.rules.page_size)
        start = self.number("cursor", 0)
        more = start + limit < len(rows)
        cursor = {"next_cursor": str(start + limit) if more else ""}
        return {key: rows[start : start + limit], "has_more": more, "response_metadata": cursor}


@dataclass(frozen=True)
class Method:
    """A Web API method: its function, the scope it needs, its budget in calls a minute (None: no limit)."""

    run: Callable[[Call], Json]
    scope: str | None
    per_minute: int | None
    posts: bool = False
    """It posts into `channel` and so spends that channel's budget too."""
