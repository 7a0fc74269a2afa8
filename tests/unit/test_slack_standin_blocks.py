"""The limits the Slack stand-in enforces on blocks."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.slack.blocks import check_message, check_view
from sandbox.slack.errors import SlackError


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def section(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


def button(action: str = "a", **more: Any) -> dict[str, Any]:
    return {"type": "button", "action_id": action, "text": plain("Go"), **more}


def actions(*elements: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "actions", "elements": list(elements), **more}


def refused(blocks: list[Any], attachments: list[Any] | None = None) -> SlackError:
    with pytest.raises(SlackError) as caught:
        check_message(blocks, attachments or [])
    return caught.value


CELLS = [[{"type": "raw_text", "text": "x"}]]
"""One row of a table."""


def test_a_whole_message_at_its_limits_passes() -> None:
    confirm = {"title": plain("t" * 100), "text": plain("x" * 300), "confirm": plain("y" * 30), "deny": plain("n" * 30)}
    check_message(
        [
            {"type": "header", "text": plain("h" * 150)},
            section("s" * 3000),
            {"type": "section", "fields": [{"type": "mrkdwn", "text": "f"}] * 10},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": "c"}] * 10},
            actions(*[button(f"a{n}", confirm=confirm, style="danger", value="v" * 2000) for n in range(5)]),
            {"type": "table", "rows": [[{"type": "raw_text", "text": "x"}] * 20] * 100},
            {"type": "divider"},
        ],
        [{"color": "#b3261e", "blocks": [section("in an attachment")]}],
    )


@pytest.mark.parametrize(
    ("block", "pointer", "says"),
    [
        (section("s" * 3001), "/blocks/0/text/text", "3001"),
        ({"type": "header", "text": plain("h" * 151)}, "/blocks/0/text/text", "151"),
        ({"type": "header", "text": {"type": "mrkdwn", "text": "h"}}, "/blocks/0/text/type", "plain_text"),
        ({"type": "section"}, "/blocks/0", "text or fields"),
        (section("x", colour="red"), "/blocks/0/colour", "no more properties"),
        ({"type": "data_visualization", "title": "t"}, "/blocks/0/type", "unsupported type"),
        ({"type": "data_table", "rows": CELLS * 2}, "/blocks/0", "caption"),
        ({"type": "data_table", "caption": "c", "rows": CELLS}, "/blocks/0/rows", "2 items"),
        ({"type": "data_table", "caption": "c", "rows": CELLS * 102}, "/blocks/0/rows", "101"),
        ({"type": "data_table", "caption": "c", "rows": [*CELLS, CELLS[0] * 2]}, "/blocks/0/rows", "as many cells"),
        ({"type": {"a": 1}}, "/blocks/0/type", "unsupported type"),
        (actions(button(style="green")), "/blocks/0/elements/0/style", "primary, danger"),
        (actions(button(text=plain("b" * 76))), "/blocks/0/elements/0/text/text", "76"),
        (actions(*[button(f"a{n}") for n in range(26)]), "/blocks/0/elements", "25"),
        (actions(button(), button()), "/blocks/0/elements", "duplicate action_id"),
        ({"type": "context", "elements": [{"type": "mrkdwn", "text": "c"}] * 11}, "/blocks/0/elements", "10"),
        ({"type": "image", "image_url": "https://x.test/a.png"}, "/blocks/0", "alt_text"),
        (actions({"type": "overflow", "action_id": "o", "options": []}), "/blocks/0/elements/0/options", "1 items"),
        ({"type": "table", "rows": [[{"type": "raw_text", "text": ""}]]}, "/blocks/0/rows/0/0/text", "more than 0"),
    ],
)
def test_a_limit_is_refused_with_a_pointer(block: dict[str, Any], pointer: str, says: str) -> None:
    error = refused([block])
    assert error.code == "invalid_blocks"
    assert any(says in line and f"json-pointer:{pointer}]" in line for line in error.extra["errors"]), error.extra


def option(label: str = "1 hour", value: str = "v", **more: Any) -> dict[str, Any]:
    return {"text": plain(label), "value": value, **more}


def select(*options: dict[str, Any], **more: Any) -> dict[str, Any]:
    return actions({"type": "static_select", "action_id": "s", "options": list(options), **more})


def test_a_menu_at_its_limits_passes() -> None:
    check_message([select(*[option("t" * 75, "v" * 150)] * 100, placeholder=plain("p" * 150))], [])


@pytest.mark.parametrize(
    ("block", "pointer", "says"),
    [
        (select(), "/options", "1 items"),
        (select(*[option()] * 101), "/options", "100"),
        (select(option("t" * 76)), "/options/0/text/text", "76"),
        (select(option(value="v" * 151)), "/options/0/value", "151"),
        (select(option(text={"type": "mrkdwn", "text": "t"})), "/options/0/text/type", "plain_text"),
        (select(option(url="https://a.test")), "/options/0/url", "no more properties"),
        (select(option(), placeholder=plain("p" * 151)), "/placeholder/text", "151"),
    ],
)
def test_a_menus_limits_are_refused_with_a_pointer(block: dict[str, Any], pointer: str, says: str) -> None:
    lines = refused([block]).extra["errors"]
    assert any(says in line and f"json-pointer:/blocks/0/elements/0{pointer}]" in line for line in lines), lines


def test_attachments_are_checked_like_blocks() -> None:
    error = refused([], [{"blocks": [section("s" * 3001)]}])
    assert "json-pointer:/attachments/0/blocks/0/text/text" in error.extra["errors"][0]
    assert refused([], [{}] * 101).code == "too_many_attachments"


def test_counts_over_the_whole_message() -> None:
    assert "50" in refused([{"type": "divider"}] * 51).extra["errors"][0]
    spread = refused([{"type": "divider"}] * 30, [{"blocks": [{"type": "divider"}] * 21}])
    assert "50" in spread.extra["errors"][0]
    assert refused([section("x" * 2999, block_id=str(n)) for n in range(5)]).code == "msg_blocks_too_long"
    table = {"type": "table", "rows": [[{"type": "raw_text", "text": "x"}]]}
    assert refused([table, dict(table)]).extra["errors"] == ["only_one_table_allowed"]
    paged = {"type": "data_table", "caption": "c", "rows": CELLS * 101, "page_size": 100}
    check_message([paged], [])
    assert refused([paged, table]).extra["errors"] == ["only_one_table_allowed"]
    assert "duplicate block_id" in refused([section("a", block_id="b"), section("c", block_id="b")]).extra["errors"][0]


def test_views() -> None:
    ask = {"type": "input", "label": plain("Epochs"), "element": {"type": "number_input", "is_decimal_allowed": False}}
    view = {"type": "modal", "title": plain("Run"), "submit": plain("Go"), "blocks": [ask]}
    check_view(view)
    for broken, says in [
        (view | {"title": plain("t" * 25)}, "25"),
        ({name: value for name, value in view.items() if name != "submit"}, "submit"),
        (view | {"private_metadata": "m" * 3001}, "3001"),
        ({"type": "home", "blocks": [], "submit": plain("Go")}, "no more properties"),
        ({"type": "page"}, "unsupported type"),
    ]:
        with pytest.raises(SlackError) as caught:
            check_view(broken)
        assert any(says in line for line in caught.value.extra["errors"]), (says, caught.value.extra)
