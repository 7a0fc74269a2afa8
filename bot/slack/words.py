"""Text parts in Slack's dialects: rich text elements, mrkdwn, plain words. Strings are shown, never obeyed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from bot.slack.limits import URL
from commands.reply import Channel, Code, Inline, Link, Mention, Moment, Strong, Text

DATE = "{date_short_pretty} {time}"
_INVISIBLE = "\u2060"  # word joiner: keeps a sign from meaning anything, without width and without a line break
_SIGN = re.compile(
    r"`|(?<![^\W_])[*_~]|[*_~](?![^\W_])"  # bold, italic, strike begin and end beside what is no letter or digit
    r"|(?m:^)>"  # a quoted line
    r"|(?<![^\W_]):(?=[a-z0-9_+'-]+:)",  # an emoji's name
    re.IGNORECASE,
)
_USER = re.compile(r"[UW][A-Z0-9]{2,20}\Z")
_GROUP = re.compile(r"S[A-Z0-9]{2,20}\Z")
_CHANNEL = re.compile(r"[CG][A-Z0-9]{2,20}\Z")


def parts(text: Text) -> Sequence[Inline]:
    """Every text as a sequence of parts."""
    return [text] if isinstance(text, str) else text


def plain(text: Text) -> str:
    """The words alone, as a terminal or a table shows them."""
    return "".join(_plain(part) for part in parts(text))


def mrkdwn(text: Text) -> str:
    """Slack's markup, with everything that could act in plain strings disarmed."""
    return "".join(_mrkdwn(part) for part in parts(text))


def elements(text: Text) -> list[dict[str, Any]]:
    """Rich text elements; Slack interprets nothing inside them, so nothing needs disarming."""
    made = (_element(part) for part in parts(text))
    return [element for element in made if element.get("text", "-") != ""]


def shorten(text: Text, limit: int) -> Text:
    """The parts that fit in `limit` characters of mrkdwn, the last string cut, `…` where something is missing."""
    if len(mrkdwn(text)) <= limit:
        return text
    kept: list[Inline] = []
    room = limit - 1
    for part in parts(text):
        size = len(_mrkdwn(part))
        if size > room:
            if isinstance(part, str):
                kept.append(_fitting(part, room))
            break
        kept.append(part)
        room -= size
    return [*kept, "…"] if limit > 0 else ""


def escape(text: str) -> str:
    """The three signs Slack's wire format reserves."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def utc(at: float) -> str:
    """A time for those whose client cannot show it in their own zone."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def is_web(url: str) -> bool:
    """Whether an address may become a link: http(s), and nothing that could end the markup around it."""
    return len(url) <= URL and re.fullmatch(r"https?://[^\s<>|]+", url) is not None


def _fitting(text: str, room: int) -> str:
    low, high = 0, len(text)
    while low < high:  # the escaped length grows with the prefix, so the longest that fits is found by halving
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(_mrkdwn(text[:middle])) <= room else (low, middle - 1)
    return text[:low]


def _plain(part: Inline) -> str:
    match part:
        case str():
            return part
        case Mention(user):
            return f"@{user}"
        case Channel(id):
            return f"#{id}" if _CHANNEL.match(id) else "this conversation" if id.startswith("D") else id
        case Code(words) | Strong(words):
            return words
        case Link(url, label):
            return f"{label} ({url})"
        case Moment(at):
            return utc(at)


def _mrkdwn(part: Inline) -> str:
    match part:
        case str():
            return _disarm(part)
        case Mention(user) if _GROUP.match(user):
            return f"<!subteam^{user}>"
        case Mention(user):
            return f"<@{user}>" if _USER.match(user) else _disarm(f"@{user}")
        case Channel(id):
            return f"<#{id}>" if _CHANNEL.match(id) else _disarm(_plain(part))
        case Code(words):
            return f"`{escape(_one_line(words).replace('`', 'ˋ'))}`" if words.strip() else ""
        case Strong(words):
            return f"*{_disarm(_one_line(words).strip())}*" if words.strip() else ""
        case Link(url, label):
            return f"<{escape(url)}|{_disarm(_one_line(label))}>" if is_web(url) else _disarm(f"{label} ({url})")
        case Moment(at):
            return f"<!date^{int(at)}^{DATE}|{utc(at)}>"


def _disarm(text: str) -> str:
    return escape(_SIGN.sub(lambda sign: f"{_INVISIBLE}{sign.group()}{_INVISIBLE}", text))


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


def _element(part: Inline) -> dict[str, Any]:
    match part:
        case str():
            return {"type": "text", "text": part}
        case Mention(user) if _USER.match(user):
            return {"type": "user", "user_id": user}
        case Mention(user) if _GROUP.match(user):
            return {"type": "usergroup", "usergroup_id": user}
        case Channel(id) if _CHANNEL.match(id):
            return {"type": "channel", "channel_id": id}
        case Code(words):
            return {"type": "text", "text": words, "style": {"code": True}}
        case Strong(words):
            return {"type": "text", "text": words, "style": {"bold": True}}
        case Link(url, label) if is_web(url):
            return {"type": "link", "url": url, "text": label} if label else {"type": "link", "url": url}
        case Moment(at):
            return {"type": "date", "timestamp": int(at), "format": DATE, "fallback": utc(at)}
        case _:
            return {"type": "text", "text": _plain(part)}


def bar(progress: float, width: int = 10) -> str:
    """A progress bar in words' own signs: `▰▰▰▱▱`."""
    filled = round(min(1.0, max(0.0, progress)) * width)
    return "▰" * filled + "▱" * (width - filled)


def sentence(words: Iterable[str]) -> str:
    """Non-empty pieces joined by a middle dot."""
    return " · ".join(word for word in words if word)


def plain_text(text: str, *, emoji: bool = True) -> dict[str, Any]:
    """A text object in which Slack reads no markup."""
    return {"type": "plain_text", "text": text, "emoji": emoji}
