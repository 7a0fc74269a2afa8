"""Slack's limits on blocks, as one table, and the checks of a whole message or view (contract: sections 1.2 and 2.9).

Only block types that the page can draw are accepted; the rest is refused like a type that Slack does not know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from sandbox.slack.errors import SlackError
from sandbox.slack.messages import Json, elements_of
from sandbox.slack.richtext import RICH_TEXT
from sandbox.slack.schema import (
    Check,
    Problem,
    anything,
    boolean,
    items,
    number,
    one_of,
    record,
    string,
    tagged,
)

MESSAGE_BLOCKS, VIEW_BLOCKS = 50, 100
ALL_TEXT = 12_000
"""Characters of all block text in a message. Slack refuses somewhere above; this is the value that is safe."""
TABLE_TEXT = 10_000
MARKDOWN_TEXT = 12_000
_URL, _ID = 3000, 255


def plain(longest: int) -> Check:
    """A `plain_text` object."""
    return record({"type": one_of("plain_text"), "text": string(longest)}, {"emoji": boolean})


def text(longest: int) -> Check:
    """A `plain_text` or `mrkdwn` object."""
    mrkdwn = record({"type": one_of("mrkdwn"), "text": string(longest)}, {"verbatim": boolean})
    return tagged({"plain_text": plain(longest), "mrkdwn": mrkdwn}, "text")


_CONFIRM = record(
    {"title": plain(100), "text": text(300), "confirm": plain(30), "deny": plain(30)},
    {"style": one_of("primary", "danger")},
)
_OPTION = record({"text": text(75), "value": string(150)}, {"description": text(75)})
_CHOICE = record({"text": plain(75), "value": string(150)}, {"description": plain(75)})
_LINE = record({"text": plain(75), "value": string(150)}, {"description": plain(75), "url": string(_URL)})
_FILE = record({}, {"id": string(_ID), "url": string(_URL)}, any_of=("id", "url"))
_TYPE = {"type": anything}
_ACTION = {"action_id": string(_ID)}
_PICK = _ACTION | {"confirm": _CONFIRM, "focus_on_load": boolean}
_MENU = _PICK | {"placeholder": plain(150)}
_INPUT = _ACTION | {"placeholder": plain(150), "focus_on_load": boolean, "dispatch_action_config": anything}
_IMAGE = {"image_url": string(_URL), "slack_file": _FILE}
_TYPED_TEXT = record(_TYPE, _INPUT | {"initial_value": string(3000, 0)})

IMAGE_ELEMENT = record(_TYPE | {"alt_text": string(2000)}, _IMAGE, any_of=("image_url", "slack_file"))
INTERACTIVE: dict[str, Check] = {
    "button": record(
        _TYPE | {"text": plain(75)},
        _ACTION
        | {"value": string(2000), "url": string(_URL), "style": one_of("primary", "danger")}
        | {"confirm": _CONFIRM, "accessibility_label": string(75)},
    ),
    "overflow": record(_TYPE | {"options": items(_LINE, 1, 5)}, _ACTION | {"confirm": _CONFIRM}),
    "static_select": record(_TYPE | {"options": items(_CHOICE, 1, 100)}, _MENU | {"initial_option": _CHOICE}),
    "users_select": record(_TYPE, _MENU | {"initial_user": string(_ID)}),
    "checkboxes": record(
        _TYPE | {"options": items(_OPTION, 1, 10)}, _PICK | {"initial_options": items(_OPTION, 1, 10)}
    ),
    "radio_buttons": record(_TYPE | {"options": items(_OPTION, 1, 10)}, _PICK | {"initial_option": _OPTION}),
    "datepicker": record(_TYPE, _MENU | {"initial_date": string(10)}),
    "timepicker": record(_TYPE, _MENU | {"initial_time": string(5), "timezone": string(_ID)}),
}
INPUTS: dict[str, Check] = {
    name: check for name, check in INTERACTIVE.items() if name not in ("button", "overflow")
} | {
    "plain_text_input": record(
        _TYPE,
        _INPUT
        | {"initial_value": string(3000, 0), "multiline": boolean}
        | {"min_length": number(0, 3000), "max_length": number(1, 3000)},
    ),
    "number_input": record(
        _TYPE | {"is_decimal_allowed": boolean},
        _INPUT | {"initial_value": string(40), "min_value": string(40), "max_value": string(40)},
    ),
    "email_text_input": _TYPED_TEXT,
    "url_text_input": _TYPED_TEXT,
}

_CELL = tagged(
    {
        "raw_text": record(_TYPE | {"text": string(TABLE_TEXT)}),
        "raw_number": record(_TYPE | {"value": number(-1e18, 1e18)}, {"text": string(100)}),
        "rich_text": RICH_TEXT,
    },
    "table cell",
)
_COLUMN = record({}, {"align": one_of("left", "center", "right"), "is_wrapped": boolean})
_BLOCK = _TYPE | {}
_BLOCK_ID = {"block_id": string(_ID)}
MESSAGE: dict[str, Check] = {
    "section": record(
        _BLOCK,
        _BLOCK_ID
        | {"text": text(3000), "fields": items(text(2000), 1, 10), "expand": boolean}
        | {"accessory": tagged(INTERACTIVE | {"image": IMAGE_ELEMENT}, "accessory")},
        any_of=("text", "fields"),
    ),
    "header": record(_BLOCK | {"text": plain(150)}, _BLOCK_ID),
    "divider": record(_BLOCK, _BLOCK_ID),
    "context": record(
        _BLOCK
        | {
            "elements": items(
                tagged({"image": IMAGE_ELEMENT, "plain_text": text(3000), "mrkdwn": text(3000)}, "element"), 1, 10
            )
        },
        _BLOCK_ID,
    ),
    "actions": record(_BLOCK | {"elements": items(tagged(INTERACTIVE, "element"), 1, 25)}, _BLOCK_ID),
    "image": record(
        _BLOCK | {"alt_text": string(2000)},
        _BLOCK_ID | _IMAGE | {"title": plain(2000)},
        any_of=("image_url", "slack_file"),
    ),
    "input": record(
        _BLOCK | {"label": plain(2000), "element": tagged(INPUTS, "element")},
        _BLOCK_ID | {"hint": plain(2000), "optional": boolean, "dispatch_action": boolean},
    ),
    "rich_text": RICH_TEXT,
    "markdown": record(_BLOCK | {"text": string(MARKDOWN_TEXT)}, _BLOCK_ID),
    "table": record(
        _BLOCK | {"rows": items(items(_CELL, 1, 20), 1, 100)}, _BLOCK_ID | {"column_settings": items(_COLUMN, 0, 20)}
    ),
    "data_table": record(
        _BLOCK | {"caption": string(2000), "rows": items(items(_CELL, 1, 20), 2, 101)},
        _BLOCK_ID | {"page_size": number(1, 100), "row_header_column_index": number(0, 19)},
    ),
}
TABLES = ("table", "data_table")
VIEW: dict[str, Check] = {name: check for name, check in MESSAGE.items() if name not in ("markdown", *TABLES)}


def check_message(blocks: list[Json], attachments: list[Json]) -> None:
    """Refuse what Slack would: raises `SlackError` (`invalid_blocks` with pointers, `msg_blocks_too_long`, ...)."""
    if len(attachments) > 100:
        raise SlackError("too_many_attachments")
    check = items(tagged(MESSAGE, "block"), 0, MESSAGE_BLOCKS)
    problems = list(check(blocks, "/blocks"))
    every = list(blocks) if isinstance(blocks, list) else []
    for index, attachment in enumerate(attachments):
        problems += _ATTACHMENT(attachment, f"/attachments/{index}")
        if not isinstance(attachment, dict):
            continue
        inner = attachment.get("blocks", [])
        problems += check(inner, f"/attachments/{index}/blocks")
        every += inner if isinstance(inner, list) else []
    _refuse(problems)
    if len(every) > MESSAGE_BLOCKS:
        raise invalid([Problem(f"no more than {MESSAGE_BLOCKS} items allowed", "/blocks")])
    _refuse(list(duplicates(every)))
    if sum(block["type"] in TABLES for block in every) > 1:
        raise SlackError("invalid_blocks", errors=["only_one_table_allowed"])
    for place, block in enumerate(every):
        if block["type"] == "data_table" and len({len(row) for row in block["rows"]}) > 1:
            raise invalid([Problem("all rows must have as many cells as the first", f"/blocks/{place}/rows")])
    if text_length([block for block in every if block["type"] in TABLES]) > TABLE_TEXT:
        raise invalid([Problem(f"a table holds no more than {TABLE_TEXT} characters", "/blocks")])
    if sum(len(block["text"]) for block in every if block["type"] == "markdown") > MARKDOWN_TEXT:
        raise SlackError("msg_blocks_too_long")
    if text_length([block for block in every if block["type"] not in TABLES]) > ALL_TEXT:
        raise SlackError("msg_blocks_too_long")


def check_view(view: Any) -> None:
    """Refuse a modal or Home view that Slack would refuse. Raises `SlackError`."""
    _refuse(list(tagged({"modal": _MODAL, "home": _HOME}, "view")(view, "/view")))
    if len(repr(view)) > 250_000:
        raise SlackError("view_too_large")
    _refuse(list(duplicates(view["blocks"])))
    if view["type"] == "modal" and "submit" not in view and any(block["type"] == "input" for block in view["blocks"]):
        raise invalid([Problem("a view with input blocks must have submit", "/view/submit")])


def invalid(problems: list[Problem]) -> SlackError:
    """The `invalid_blocks` error with its two lists of words."""
    words = [str(problem) for problem in problems]
    messages = [f"[ERROR] {line}" for line in words]
    return SlackError("invalid_blocks", errors=words, response_metadata={"messages": messages})


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise invalid(problems)


def duplicates(blocks: list[Json]) -> Iterator[Problem]:
    """`block_id` must be unique in the message, `action_id` inside its block."""
    seen: set[str] = set()
    for index, block in enumerate(blocks):
        name = block.get("block_id")
        if name and name in seen:
            yield Problem(f"duplicate block_id: {name}", f"/blocks/{index}/block_id")
        seen.add(name or "")
        for action, count in Counter(element["action_id"] for element in elements_of(block)).items():
            if count > 1:
                yield Problem(f"duplicate action_id: {action}", f"/blocks/{index}/elements")


def text_length(node: Any) -> int:
    """Characters of all text in blocks (`text` and `alt_text` strings, however deep)."""
    if isinstance(node, list):
        return sum(text_length(item) for item in node)
    if not isinstance(node, dict):
        return 0
    own = sum(len(value) for name, value in node.items() if name in ("text", "alt_text") and isinstance(value, str))
    return own + sum(text_length(value) for value in node.values() if isinstance(value, dict | list))


_SHORT = string(3000, 0)
_ATTACHMENT = record(
    {},
    {"blocks": anything, "color": string(20), "fallback": _SHORT, "text": string(40_000, 0), "pretext": _SHORT}
    | {"title": _SHORT, "title_link": string(_URL), "footer": string(300, 0), "ts": anything, "mrkdwn_in": anything}
    | {"fields": items(record({"title": _SHORT, "value": _SHORT}, {"short": boolean}), 0, 100)},
)
_VIEW_FIELDS = {"private_metadata": string(3000, 0), "callback_id": string(_ID, 0), "external_id": string(_ID, 0)}
_BLOCKS = items(tagged(VIEW, "block"), 0, VIEW_BLOCKS)
_HOME = record(_TYPE | {"blocks": _BLOCKS}, _VIEW_FIELDS)
_MODAL = record(
    _TYPE | {"title": plain(24), "blocks": _BLOCKS},
    _VIEW_FIELDS
    | {"submit": plain(24), "close": plain(24)}
    | {"clear_on_close": boolean, "notify_on_close": boolean, "submit_disabled": boolean},
)
