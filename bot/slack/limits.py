"""Slack's limits on a message, in characters and pieces (Block Kit reference, or the safe value)."""

from __future__ import annotations

from dataclasses import dataclass

BLOCKS = 50
MESSAGE_TEXT = 3_900
"""`text` beside blocks; Slack asks for 4,000 or less."""
BLOCK_TEXT_SUM = 12_000
"""All text in all blocks of one message; `msg_blocks_too_long` was seen near 13,200."""

HEADER = 150
SECTION_TEXT = 3_000
SECTION_FIELDS = 10

BUTTON_LABEL = 75
BUTTON_VALUE = 2_000
URL = 3_000
OPTION_LABEL = 75
OPTION_VALUE = 150
PLACEHOLDER = 150
CONFIRM_TITLE = 100
CONFIRM_TEXT = 300
CONFIRM_BUTTON = 30

VIEW_TITLE = 24
"""Also of the buttons that send and close a modal."""
VIEW_BLOCKS = 100
LABEL = 2_000
HINT = 2_000

UPLOAD_ALT_TEXT = 1_000

TABLE_ROWS = 100
TABLE_COLUMNS = 20
TABLE_TEXT = 10_000
TABLE_CAPTION = 150
"""Slack names no limit for a data table's caption; it is read aloud."""


def cut(text: str, limit: int) -> str:
    """`text` in at most `limit` characters; an ellipsis shows that something is missing."""
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "…"[:limit]


def cut_counting(text: str, limit: int) -> str:
    """`text` in at most `limit` characters, ending in how many are not shown."""
    if len(text) <= limit:
        return text
    note = f"\n… {len(text):,} characters in all, the rest is not shown"
    return text[: limit - len(note)] + note if limit > len(note) else cut(text, limit)


@dataclass
class Room:
    """Characters left in one message."""

    left: int

    def take(self, text: str, most: int) -> str:
        """`text`, cut to `most` and to what is left."""
        kept = cut(text, min(most, self.left))
        self.left -= len(kept)
        return kept
