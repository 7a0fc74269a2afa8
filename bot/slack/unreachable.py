"""A channel that cannot be reached: what stands in the fallback channel about it, and on what was meant for it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bot.slack import limits
from bot.slack.words import escape

_WHY: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "is_archived": ("it is archived", "Unarchive it, or name another channel in the routes file"),
        "not_in_channel": ("Groundcrew is not a member", "Type `/invite @groundcrew` there"),
        "channel_not_found": (
            "it does not exist, or it is private and Groundcrew is not a member",
            "Type `/invite @groundcrew` there, or name another channel in the routes file",
        ),
    }
)


SLOT = "unreachable-"


def slot(channel: str) -> str:
    """The slot of the message that reports a channel; it stands as long as the channel cannot be reached."""
    return SLOT + channel


def report(channel: str, code: str) -> dict[str, Any]:
    """Why nothing can be posted there, in Slack's word `code`, and what to do about it."""
    why, advice = _WHY.get(code, (f"Slack says {code}", "Look at the channel's settings"))
    return _line(
        f"Nothing can be posted in {_name(channel)}: {why}. {advice}. Until then what is meant for it comes here."
    )


def back(channel: str) -> dict[str, Any]:
    """What the report says once the channel can be reached again."""
    return _line(f"{_name(channel)} can be reached again: what is meant for it goes there.")


def noted(content: Mapping[str, Any], channel: str) -> dict[str, Any]:
    """A message with a line that says for which channel it was meant."""
    line = f"Meant for {_name(channel)}, where nothing can be posted."
    kept = content.get("blocks", [])[: limits.BLOCKS - 1]
    blocks = [*kept, *_line(line)["blocks"]] if kept else []
    return {**content, "text": limits.cut(f"{line}\n{content['text']}", limits.MESSAGE_TEXT), "blocks": blocks}


def _name(channel: str) -> str:
    return f"<#{escape(channel)}>"


def _line(text: str) -> dict[str, Any]:
    return {"text": text, "blocks": [{"type": "context", "elements": [{"type": "mrkdwn", "text": text}]}]}
