"""Slack's text to HTML. What a message says is shown, never obeyed: it is escaped before markup is added."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

from markdown_it import MarkdownIt
from markupsafe import Markup

EMOJI = {
    "white_check_mark": "✅", "heavy_check_mark": "✔️", "x": "❌", "warning": "⚠️", "no_entry": "⛔", "lock": "🔒",
    "rocket": "🚀", "hourglass": "⌛", "hourglass_flowing_sand": "⏳", "bulb": "💡", "eyes": "👀", "tada": "🎉",
    "rotating_light": "🚨", "information_source": "ℹ️", "question": "❓", "package": "📦", "mag": "🔍", "camera": "📷",
    "bar_chart": "📊", "chart_with_upwards_trend": "📈", "moneybag": "💰",
    "red_circle": "🔴",
    "large_green_circle": "🟢", "large_yellow_circle": "🟡", "large_blue_circle": "🔵",
    "thumbsup": "👍", "+1": "👍", "-1": "👎", "wave": "👋",
    "arrow_right": "➡️", "stopwatch": "⏱️", "gear": "⚙️", "helicopter": "🚁", "airplane": "✈️", "memo": "📝",
}  # fmt: skip
_OPEN, _CLOSE = "\ue000", "\ue001"
_HELD = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
_PIECES = re.compile(
    r"```(?P<pre>.+?)```|`(?P<code>[^`\n]+)`|<(?P<control>[^<>\n]+)>|(?P<url>https?://[^\s<>|]+[\w/#=])", re.S
)
_MARKS = re.compile(r"(?<![\w*_~])([*_~])(?=\S)((?:(?!\1).)+?)(?<=\S)\1(?![\w*_~])")
_TAGS = {"*": "b", "_": "i", "~": "s"}
_SAFE = re.compile(r"(?:https?://|mailto:)[^\s\"'<>]+\Z", re.I)


def is_safe_link(url: str) -> bool:
    """Whether a link may be offered: http, https and mailto only."""
    return _SAFE.match(url) is not None


def shown(text: str) -> str:
    """Slack's three entities undone, then escaped once for HTML."""
    return escape(unescape_slack(text), quote=True)


def unescape_slack(text: str) -> str:
    """Undo Slack's own escaping (`&amp; &lt; &gt;` and nothing else), once."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def emoji(text: str) -> str:
    """Replace the shortcodes we know; the rest stays as typed."""
    return re.sub(r":([a-z0-9_+-]+):", lambda match: EMOJI.get(match[1], match[0]), text)


def link(url: str, label: str) -> str:
    """An anchor, or only the words when the address is not one we offer. Both arguments are plain text."""
    if not is_safe_link(url):
        return escape(f"{label} ({url})" if label != url else url)
    return f'<a href="{escape(url)}" target="_blank" rel="noopener noreferrer">{escape(label)}</a>'


def moment(seconds: str, layout: str, fallback: str, url: str | None = None) -> str:
    """A time the page's script writes in the reader's zone; `fallback` is what shows without script."""
    mark = f'<time data-epoch="{escape(seconds)}" data-format="{escape(layout)}">{escape(fallback)}</time>'
    if url and is_safe_link(url):
        return f'<a href="{escape(url)}" target="_blank" rel="noopener noreferrer">{mark}</a>'
    return mark


class Renderer:
    """Renders mrkdwn with the names of one workspace."""

    def __init__(self, users: Mapping[str, str], channels: Mapping[str, str]) -> None:
        self._users = users
        self._channels = channels
        self._markdown = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])
        self._markdown.disable("image")
        self._markdown.validateLink = is_safe_link  # type: ignore[method-assign]

    def mrkdwn(self, text: str | None) -> Markup:
        """A mrkdwn string as HTML."""
        held: list[str] = []

        def hold(html: str) -> str:
            held.append(html)
            return f"{_OPEN}{len(held) - 1}{_CLOSE}"

        def piece(match: re.Match[str]) -> str:
            if match["pre"] is not None:
                return hold(f"<pre>{self._flat(match['pre']).strip(chr(10))}</pre>")
            if match["code"] is not None:
                return hold(f"<code>{self._flat(match['code'])}</code>")
            if match["url"] is not None:
                return hold(link(unescape_slack(match["url"]), unescape_slack(match["url"])))
            return hold(self._control(match["control"]))

        clean = (text or "").replace(_OPEN, "").replace(_CLOSE, "")
        escaped = emoji(shown(_PIECES.sub(piece, clean)))
        lines = self._quotes(escaped.split("\n"))
        return Markup(_HELD.sub(lambda match: held[int(match[1])], lines))  # noqa: S704  escaped above

    def plain(self, text: str | None) -> Markup:
        """A plain_text string: emoji, nothing else."""
        return Markup(emoji(shown(text or "")).replace("\n", "<br>"))  # noqa: S704  escaped above

    def markdown(self, text: str | None) -> Markup:
        """A `markdown` block: standard Markdown without HTML and pictures."""
        return Markup(self._markdown.render(emoji(text or "")))  # noqa: S704  raw HTML is off

    def mention(self, user: str) -> Markup:
        """A person's name as a mention."""
        return Markup('<span class="mention">@{}</span>').format(self._users.get(user, user))

    def _quotes(self, lines: list[str]) -> str:
        html: list[str] = []
        quoted: list[str] = []

        def flush() -> None:
            if quoted:
                html.append(f"<blockquote>{'<br>'.join(quoted)}</blockquote>")
                quoted.clear()

        for line in lines:
            if line.startswith("&gt;"):
                quoted.append(marks(line[4:].removeprefix(" ")))
                continue
            flush()
            html.append(marks(line) + "<br>")
        flush()
        return re.sub(r"(<br>)+\Z", "", "".join(html))

    def _control(self, inside: str) -> str:
        """What stands between `<` and `>`: a mention, a channel, a date, a link; anything else is shown as typed."""
        head, _, label = inside.partition("|")
        if head[:1] == "@":
            return str(self.mention(head[1:]))
        if head[:1] == "#":
            return f'<span class="mention">#{escape(self._channels.get(head[1:], label or head[1:]))}</span>'
        if head in ("!here", "!channel", "!everyone"):
            return f'<span class="mention">@{escape(head[1:])}</span>'
        if head.startswith("!subteam^"):
            return f'<span class="mention">@{escape(label or head.removeprefix("!subteam^"))}</span>'
        if match := re.fullmatch(r"!date\^(\d+)\^([^^]+)(?:\^(.+))?", head):
            return moment(match[1], unescape_slack(match[2]), unescape_slack(label or match[1]), match[3])
        url = unescape_slack(head)
        if is_safe_link(url):
            return link(url, unescape_slack(label or head))
        return escape(unescape_slack(f"<{inside}>"))

    def _flat(self, code: str) -> str:
        """Inside code only mentions and links are resolved, to their words."""

        def words(match: re.Match[str]) -> str:
            head, _, label = match[1].partition("|")
            if head[:1] == "@":
                return "@" + self._users.get(head[1:], head[1:])
            return label or head if is_safe_link(unescape_slack(head)) else match[0]

        return shown(re.sub(r"<([^<>\n]+)>", words, code))


def marks(line: str) -> str:
    """Bold, italic and strike in an already escaped line; nested marks nest."""
    return _MARKS.sub(lambda match: f"<{_TAGS[match[1]]}>{marks(match[2])}</{_TAGS[match[1]]}>", line)
