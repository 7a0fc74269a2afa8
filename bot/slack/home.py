"""A person's Home in Slack: sections one below the other, within what a view may hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bot.slack import limits
from bot.slack.render import render
from commands.reply import Reply


def view(parts: Sequence[Reply]) -> dict[str, Any]:
    """The view as `views.publish` wants it, a line between the sections."""
    blocks: list[dict[str, Any]] = []
    for part in parts:
        blocks += [{"type": "divider"}] * bool(blocks) + render(part)["blocks"]
    return {"type": "home", "blocks": blocks[: limits.VIEW_BLOCKS]}
