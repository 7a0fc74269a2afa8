"""What a message becomes where Slack does not know one of its blocks yet: the same, drawn with an older one.

Slack brings new blocks to workspaces in phases. Only the block that carries data is replaced; words, state and buttons
stay. Below the last rung there are words alone (`render.in_words`).

    data_table (pages, since 2026) → table (since 2025) → preformatted text
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

from bot.slack import limits

Block = dict[str, Any]
Content = dict[str, Any]
PAGE = 10
"""Rows of a table on a page; a table with more of them has pages."""
GAP = "  "


def table(rows: list[list[dict[str, str]]], caption: str) -> Block:
    """Rows of cells, the heading first, as the newest block that helps: with pages where there is more than one."""
    if len(rows) <= PAGE + 1:
        return {"type": "table", "rows": rows}
    said = limits.cut(caption, limits.TABLE_CAPTION) or "Table"
    return {"type": "data_table", "caption": said, "rows": rows, "page_size": PAGE}


def newest(content: Mapping[str, Any]) -> str | None:
    """The kind of block in a message that a workspace is least likely to know; None where every block is an old one."""
    kinds = {block["type"] for part in _parts(content) for block in part}
    return next((kind for kind in DOWN if kind in kinds), None)


def without(content: Mapping[str, Any], kinds: Collection[str]) -> Content:
    """The message with every block of these kinds drawn a rung lower, until none of them is left."""
    lower = dict(content)
    for kind in DOWN:
        if kind in kinds:
            lower = _lowered(lower, kind)
    return lower


def _parts(content: Mapping[str, Any]) -> list[list[Block]]:
    return [content.get("blocks", []), *(each.get("blocks", []) for each in content.get("attachments", []))]


def _lowered(content: Content, kind: str) -> Content:
    def drawn(blocks: list[Block]) -> list[Block]:
        return [DOWN[kind](block) if block["type"] == kind else block for block in blocks]

    lower = {**content, "blocks": drawn(content.get("blocks", []))}
    if content.get("attachments"):
        attached = [{**each, "blocks": drawn(each.get("blocks", []))} for each in content["attachments"]]
        lower["attachments"] = attached
    return lower


def _as_table(block: Block) -> Block:
    return {"type": "table", "rows": block["rows"]}


def _as_text(block: Block) -> Block:
    cells = [[str(cell["text"]) for cell in row] for row in block["rows"]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [GAP.join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    shown: list[str] = []
    room = limits.SECTION_TEXT - 40
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            shown.append(f"… {len(lines) - len(shown)} more")
            break
        shown.append(line)
    preformatted = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "\n".join(shown)}]}
    return {"type": "rich_text", "elements": [preformatted]}


DOWN: Mapping[str, Callable[[Block], Block]] = MappingProxyType({"data_table": _as_table, "table": _as_text})
"""One rung down from each kind, the newest kind first."""
