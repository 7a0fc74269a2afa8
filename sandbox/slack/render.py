"""Messages, forms and the page as HTML, through the templates beside this module."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from sandbox.slack.files import Files
from sandbox.slack.messages import Json, Message
from sandbox.slack.mrkdwn import Renderer, is_safe_link, moment
from sandbox.slack.workspace import Workspace

_FOLDER = Path(__file__).parent / "templates"
_COLORS = {"good": "#2eb67d", "warning": "#daa038", "danger": "#b3261e"}
WIDEST, TALLEST = 560, 420
"""Pixels a picture takes at most in the message list."""


class Pages:
    """Renders for one workspace. Values are always escaped; only `Renderer` makes markup out of messages."""

    def __init__(self, workspace: Workspace, files: Files) -> None:
        self._workspace = workspace
        self._files = files
        users = {user.id: user.display for user in workspace.config.users.values()}
        self._renderer = Renderer(users, {channel.id: channel.name for channel in workspace.channels.values()})
        self._templates = Environment(
            loader=FileSystemLoader(_FOLDER),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            mrkdwn=self._renderer.mrkdwn,
            plain=self._renderer.plain,
            markdown=self._renderer.markdown,
            mention=self._renderer.mention,
            color=color,
            picture=self.picture,
            pretty=pretty,
            kilobytes=lambda size: f"{size / 1024:,.0f} kB" if size >= 1024 else f"{size} bytes",
            safe_link=lambda url: url if is_safe_link(url) else "",
            local_time=lambda ts, layout="{time}": Markup(moment(str(int(float(ts))), layout, "")),  # noqa: S704
        )
        self._templates.globals.update(
            config=workspace.config, user_of=self._author, channel_name=self._channel_name, is_message=is_message
        )

    def page(self, name: str, **values: Any) -> str:
        """A template by name."""
        return self._templates.get_template(name).render(**values)

    def message(self, message: Message, viewer: str, since: str = "") -> str:
        """One message as `viewer` sees it, its thread included, but no ephemeral reply older than `since`."""
        replies = [
            reply
            for reply in self._workspace.seen_by(viewer, message.channel)
            if reply.is_reply and reply.root == message.ts and (reply.only_for is None or reply.ts > since)
        ]
        return self.page("message.html", message=message, viewer=viewer, replies=replies)

    def history(self, viewer: str, channel: str, since: str) -> str:
        """The channel as `viewer` sees it; ephemerals older than `since` are gone, as after a reload of Slack."""
        rows = [
            self.message(message, viewer, since)
            for message in self._workspace.seen_by(viewer, channel)
            if not message.is_reply and (message.only_for is None or message.ts > since)
        ]
        return "".join(rows)

    def picture(self, holder: Json) -> Json | None:
        """Address and size of an image block or element: one of our files, or an http(s) address."""
        wanted = holder.get("slack_file") or {}
        url = str(wanted.get("url") or holder.get("image_url") or "")
        found = self._files.find(wanted.get("id")) or self._files.by_url(url)
        if found:
            scale = min(1, WIDEST / max(found.width, 1), TALLEST / max(found.height, 1))
            size = {"width": round(found.width * scale), "height": round(found.height * scale)}
            return {"src": f"/files/{found.id}/{found.name}", **size} if found.is_image else None
        return {"src": url, "width": None, "height": None} if re.match(r"https?://", url) else None

    def _author(self, message: Message) -> Json:
        user = self._workspace.config.users.get(message.user)
        if user is None:
            return {"id": message.user, "name": "Slack", "initials": "!", "color": "#611f69", "is_bot": False}
        return {
            "id": user.id,
            "name": user.display,
            "initials": user.initials,
            "color": user.color,
            "is_bot": user.is_bot,
        }

    def _channel_name(self, channel: str) -> str:
        return self._workspace.channels[channel].name if channel in self._workspace.channels else channel


def color(value: str | None) -> str:
    """A colour for the bar beside an attachment: `#rrggbb` or Slack's three words; anything else is grey."""
    if value in _COLORS:
        return _COLORS[value]
    digits = (value or "").lstrip("#")
    return f"#{digits}" if re.fullmatch(r"[0-9a-fA-F]{6}|[0-9a-fA-F]{3}", digits) else "#d5d8db"


def pretty(value: Any) -> str:
    """JSON for reading."""
    return json.dumps(value, indent=1, ensure_ascii=False)


def is_message(message: Message) -> bool:
    """Whether it is a message the app can know of (not an echo, a failure line or an ephemeral)."""
    return message.kind == "message" and message.only_for is None
