"""A message and what can be asked of it: the JSON Slack shows of it, its words, its buttons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from html import unescape
from typing import Any, Literal

Json = dict[str, Any]


@dataclass
class Message:
    """One message. `only_for` makes it ephemeral.

    `kind` tells Slack's own lines about a failed app (`failure`) and the page's echo of a typed command (`echo`) from
    real messages; both are seen by one person only and never by the app.
    """

    channel: str
    ts: str
    user: str
    text: str = ""
    blocks: list[Json] = field(default_factory=list)
    attachments: list[Json] = field(default_factory=list)
    files: list[Json] = field(default_factory=list)
    thread_ts: str | None = None
    metadata: Json | None = None
    edited: Json | None = None
    reactions: list[Json] = field(default_factory=list)
    only_for: str | None = None
    kind: Literal["message", "failure", "echo"] = "message"
    extra: Json = field(default_factory=dict)
    replies: list[str] = field(default_factory=list)
    changes: int = 0

    @property
    def root(self) -> str:
        """The `ts` of the thread this message is in or would start."""
        return self.thread_ts or self.ts

    @property
    def is_reply(self) -> bool:
        """Whether it stands in a thread and not in the channel."""
        return self.thread_ts is not None and self.thread_ts != self.ts

    def json(self, *, metadata: bool = False) -> Json:
        """The message as Slack's API and payloads show it."""
        body: Json = {"type": "message", "ts": self.ts, "user": self.user, "text": self.text, **self.extra}
        for name in ("blocks", "attachments", "files", "thread_ts", "edited", "reactions"):
            value = getattr(self, name)
            if value:
                body[name] = value
        if metadata and self.metadata:
            body["metadata"] = self.metadata
        if self.replies:
            body |= {"reply_count": len(self.replies), "latest_reply": self.replies[-1], "thread_ts": self.ts}
        return body

    def seen(self) -> Json:
        """The message as a person sees it, for the control API."""
        return self.json(metadata=True) | {
            "channel": self.channel,
            "ephemeral": self.only_for is not None,
            "kind": self.kind,
            "words": self.words(),
            "changes": self.changes,
        }

    def words(self) -> str:
        """Everything readable in it, unescaped, a line per piece."""
        if not self.blocks and not self.attachments:
            return unescape(self.text)
        pieces: list[str] = [] if self.blocks else [self.text]
        pieces += strings_of(self.blocks)
        pieces += strings_of(self.attachments)
        return unescape("\n".join(piece for piece in pieces if piece))

    def all_blocks(self) -> list[Json]:
        """Its blocks and those of its attachments."""
        return self.blocks + [block for attachment in self.attachments for block in attachment.get("blocks", [])]

    def elements(self) -> Iterator[tuple[Json, Json, int | None]]:
        """Every interactive element as (block, element, number of its attachment or None)."""
        for block in self.blocks:
            yield from ((block, element, None) for element in elements_of(block))
        for number, attachment in enumerate(self.attachments, 1):
            for block in attachment.get("blocks", []):
                yield from ((block, element, number) for element in elements_of(block))


def labels_of(element: Mapping[str, Any]) -> dict[str, str | None]:
    """What can be pressed or chosen by its label: a button's words; a menu's, and its options with values."""
    own = element.get("text") or element.get("placeholder") or {}
    options = {option["text"]["text"]: option["value"] for option in element.get("options", [])}
    return {own.get("text", ""): None, **options}


def fill_ids(blocks: list[Json], new_id: Callable[[str], str]) -> None:
    """Give every block and interactive element without an id one, as Slack does."""
    for block in blocks:
        block.setdefault("block_id", new_id("b"))
        held = [*block.get("elements", [])] if block.get("type") == "actions" else []
        held += [block[name] for name in ("accessory", "element") if isinstance(block.get(name), dict)]
        for element in held:
            if element.get("type") != "image":
                element.setdefault("action_id", new_id("a"))


def elements_of(block: Mapping[str, Any]) -> list[Json]:
    """The interactive elements of one block."""
    found = [*block.get("elements", [])] if block.get("type") == "actions" else []
    found += [block[name] for name in ("accessory", "element") if isinstance(block.get(name), dict)]
    return [element for element in found if "action_id" in element]


_READABLE = ("text", "alt_text", "title", "pretext", "fallback", "footer", "value")


def strings_of(node: Any) -> list[str]:
    """All readable strings inside blocks or attachments, in reading order."""
    if isinstance(node, str):
        return [node]
    if isinstance(node, list):
        return [piece for item in node for piece in strings_of(item)]
    if not isinstance(node, dict):
        return []
    if node.get("type") == "button":
        return strings_of(node.get("text"))
    pieces: list[str] = []
    for name, value in node.items():
        if isinstance(value, dict | list) and name not in ("confirm", "style", "options"):
            pieces += strings_of(value)
        elif isinstance(value, str) and name in _READABLE:
            pieces.append(value)
    return pieces
