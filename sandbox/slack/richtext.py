"""What a `rich_text` block may hold."""

from __future__ import annotations

from sandbox.slack.schema import anything, boolean, items, number, one_of, record, string, tagged

_TYPE = {"type": anything}
_STYLE = record({}, dict.fromkeys(("bold", "italic", "strike", "code", "underline", "highlight"), boolean))
_STYLED = {"style": _STYLE}
_INLINE = tagged(
    {
        "text": record(_TYPE | {"text": string(12_000)}, _STYLED),
        "link": record(_TYPE | {"url": string(3000)}, _STYLED | {"text": string(3000), "unsafe": boolean}),
        "user": record(_TYPE | {"user_id": string(255)}, _STYLED),
        "usergroup": record(_TYPE | {"usergroup_id": string(255)}, _STYLED),
        "channel": record(_TYPE | {"channel_id": string(255)}, _STYLED),
        "emoji": record(_TYPE | {"name": string(100)}, _STYLED | {"unicode": string(100)}),
        "broadcast": record(_TYPE | {"range": one_of("here", "channel", "everyone")}, _STYLED),
        "date": record(
            _TYPE | {"timestamp": number(0, 1e11), "format": string(255)},
            _STYLED | {"url": string(3000), "fallback": string(255)},
        ),
    },
    "rich text element",
)
_SECTION = record(_TYPE | {"elements": items(_INLINE, 0, 1000)})
_BORDERED = record(_TYPE | {"elements": items(_INLINE, 0, 1000)}, {"border": number(0, 1)})
_PREFORMATTED = record(_TYPE | {"elements": items(_INLINE, 0, 1000)}, {"border": number(0, 1), "language": string(50)})
_LIST = record(
    _TYPE
    | {
        "style": one_of("bullet", "ordered"),
        "elements": items(tagged({"rich_text_section": _SECTION}, "item"), 1, 1000),
    },
    {"indent": number(0, 8), "offset": number(0, 10_000), "border": number(0, 1)},
)
RICH_TEXT = record(
    _TYPE
    | {
        "elements": items(
            tagged(
                {
                    "rich_text_section": _SECTION,
                    "rich_text_list": _LIST,
                    "rich_text_preformatted": _PREFORMATTED,
                    "rich_text_quote": _BORDERED,
                },
                "rich text",
            ),
            1,
            1000,
        )
    },
    {"block_id": string(255)},
)
