"""From a `Reply` to a Slack message: blocks for the eye, `text` for notifications and screen readers, always both.

Order as a person reads it: what happened, who and which, state, evidence, next step. Nothing leaves this module over
Slack's limits: each part asks `Room` for characters and says what it had to leave out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from types import MappingProxyType
from typing import Any

from bot.slack import ladder, limits, pressing, words
from bot.slack.limits import Room
from bot.slack.pressing import note
from commands.reply import Fact, Reply, Step, Strong, Table, Text

PICTURE_BLOCK = "picture"
"""block_id of the image block that waits for the uploaded file's id; the sender fills it in."""

MARKS: Mapping[str, str] = MappingProxyType(
    {"waiting": "·", "running": "▶", "done": "✔", "failed": "✖", "stopped": "■", "skipped": "–"}
)
ENVIRONMENTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"staging": ("STAGING", "#d9a300"), "prod": ("PRODUCTION", "#b3261e")}
)
MOST_STEPS = 25
MOST_FACTS = 20
SLACK_TO_SPARE = 600
"""Characters kept back for alt texts and for saying how much is not shown."""
ENOUGH = 450
"""A part is begun only with this much room: its longest line and its note always fit."""

Block = dict[str, Any]


def render(reply: Reply) -> dict[str, Any]:
    """The message as `chat.postMessage` wants it: `text`, `blocks` and, for staging and prod, a coloured attachment."""
    reply = _storable(reply)
    room = Room(limits.BLOCK_TEXT_SUM - SLACK_TO_SPARE)
    header = _header(reply, room)
    # Buttons and state are worth more than long evidence, so they take their room first.
    actions = list(pressing.blocks(reply.actions, room))
    context = list(_context(reply, room))
    facts = list(_facts(reply, room))
    steps = list(_steps(reply, room))
    text = list(_text(reply, room))
    quote = list(_quote(reply, room))
    table = list(_table(reply, room)) if reply.table else []
    picture = [_picture(reply)] if reply.picture else []
    body = [*context, *text, *steps, *facts, *quote, *picture, *table, *actions]
    message: dict[str, Any] = {"text": fallback(reply)}
    if reply.environment is not None and reply.environment in ENVIRONMENTS:
        # The header stays outside: `text` must not be shown a second time, and is hidden only beside top-level blocks.
        message["blocks"] = [header]
        if body:
            message["attachments"] = [{"color": ENVIRONMENTS[reply.environment][1], "blocks": body}]
    else:
        message["blocks"] = [header, *body]
    return message


def blocks_of(content: Mapping[str, Any]) -> list[Block]:
    """All blocks of a rendered message, those in its attachments too."""
    inner = [block for attachment in content.get("attachments", []) for block in attachment.get("blocks", [])]
    return [*content.get("blocks", []), *inner]


def in_words(content: Mapping[str, Any]) -> dict[str, Any]:
    """The same message without blocks, for where Slack refuses them."""
    return {"text": content["text"], "blocks": [], "attachments": []}


def for_one_person(content: Mapping[str, Any]) -> dict[str, Any]:
    """A message that was meant for a channel the bot is not in: without the picture, and saying why it is private."""
    kept = [block for block in blocks_of(content) if block.get("block_id") != PICTURE_BLOCK]
    private = "Only you see this, and it stays as it is: Groundcrew is not in this channel. Invite it to follow along."
    return {"text": content["text"], "blocks": [*kept[: limits.BLOCKS - 1], note(private)]}


def title(reply: Reply) -> str:
    """The title, with the environment in words where it matters before anyone presses anything."""
    name = ENVIRONMENTS.get(reply.environment or "", ("",))[0]
    shown = " ".join(reply.title.replace("`", "").split()) or "Groundcrew"  # a header shows marks as they are
    return words.sentence([name, shown]) if name and name not in shown else shown


def fallback(reply: Reply) -> str:
    """The whole meaning in words: what a screen reader reads and a notification shows."""
    lines = [title(reply), words.plain(reply.context), words.plain(reply.text)]
    lines += [_step_in_words(step) for step in reply.steps]
    lines += [f"{fact.label}: {words.plain(fact.value)}" for fact in reply.facts]
    lines += [reply.quote, reply.picture.alt if reply.picture else ""]
    if reply.table:
        lines += [f"{reply.table.caption}: {len(reply.table.rows)} rows"]
    whole = "\n".join(line for line in lines if line.strip())
    return limits.cut(words.mrkdwn(words.shorten(whole, limits.MESSAGE_TEXT)), limits.MESSAGE_TEXT)


def _step_in_words(step: Step) -> str:
    detail = words.plain(step.detail)
    return f"{step.name}: {detail}" if detail.startswith(step.state) else f"{step.name}: {step.state} · {detail}"


def _header(reply: Reply, room: Room) -> Block:
    return {"type": "header", "text": words.plain_text(room.take(title(reply), limits.HEADER), emoji=False)}


def _context(reply: Reply, room: Room) -> Iterator[Block]:
    text = _mrkdwn(reply.context, room, 1_000)
    if text:
        yield {"type": "context", "elements": [text]}


def _text(reply: Reply, room: Room) -> Iterator[Block]:
    if not words.plain(reply.text).strip() or room.left < ENOUGH:
        return
    kept = words.shorten(reply.text, min(limits.SECTION_TEXT, room.left))
    room.left -= len(words.mrkdwn(kept))
    yield {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": words.elements(kept)}]}


def _steps(reply: Reply, room: Room) -> Iterator[Block]:
    lines: list[dict[str, Any]] = []
    shown = 0
    for step in reply.steps[:MOST_STEPS]:
        if room.left < ENOUGH:
            break
        line = _step(step)
        room.left -= 1 + sum(len(element.get("text", "")) for element in line)
        lines += [_words("\n"), *line] if lines else line
        shown += 1
    if not shown:
        return
    if len(reply.steps) > shown:
        lines.append(_words(f"\n… {len(reply.steps) - shown} more"))
    yield {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": lines}]}


def _step(step: Step) -> list[dict[str, Any]]:
    name = _words(limits.cut(" ".join(step.name.split()), 60) or "step")
    if step.state in ("running", "failed"):
        name["style"] = {"bold": True}
    drawn = [_words(f"{words.bar(step.progress)}  ")] if step.progress is not None else []
    detail = words.elements(words.shorten(step.detail, 250)) or [_words(step.state)]
    return [_words(f"{MARKS[step.state]}  "), name, _words("   "), *drawn, *detail]


def _facts(reply: Reply, room: Room) -> Iterator[Block]:
    fields: list[dict[str, Any]] = []
    for fact in reply.facts[:MOST_FACTS]:
        if room.left < ENOUGH:
            break
        field = _fact(fact)
        room.left -= len(field["text"])
        fields.append(field)
    for start in range(0, len(fields), limits.SECTION_FIELDS):
        yield {"type": "section", "fields": fields[start : start + limits.SECTION_FIELDS]}
    if len(reply.facts) > len(fields):
        yield note(f"… {len(reply.facts) - len(fields)} more")


def _fact(fact: Fact) -> dict[str, Any]:
    label = words.mrkdwn(words.shorten([Strong(limits.cut(fact.label, 60))], 90)) or "–"
    value = words.mrkdwn(words.shorten(fact.value, 300)) or "–"
    return {"type": "mrkdwn", "text": f"{label}\n{value}", "verbatim": True}


def _quote(reply: Reply, room: Room) -> Iterator[Block]:
    if not reply.quote.strip() or room.left < ENOUGH:
        return
    kept = limits.cut_counting(reply.quote.strip("\n"), min(limits.SECTION_TEXT, room.left))
    room.left -= len(kept)
    preformatted = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": kept}]}
    yield {"type": "rich_text", "elements": [preformatted]}


def _table(reply: Reply, room: Room) -> Iterator[Block]:
    table: Table = reply.table  # type: ignore[assignment]  # only called for replies that have one
    columns = min(len(table.columns), limits.TABLE_COLUMNS)
    if not columns or room.left < 200:
        return
    budget = min(limits.TABLE_TEXT, room.left) - 40
    rows: list[list[dict[str, str]]] = []
    for row in [table.columns, *table.rows][: limits.TABLE_ROWS]:
        cells = [limits.cut(" ".join(cell.split()), 120) or "–" for cell in row[:columns]]
        budget -= sum(map(len, cells))
        if budget < 0:
            break
        rows.append([{"type": "raw_text", "text": cell} for cell in cells])
    if not rows:
        return
    room.left -= sum(len(cell["text"]) for row in rows for cell in row)
    yield ladder.table(rows, table.caption)
    hidden = len(table.rows) - (len(rows) - 1)
    if hidden:
        yield note(f"… {hidden} more")
        room.left -= 40


def _picture(reply: Reply) -> Block:
    alt = reply.picture.alt if reply.picture else ""
    return {
        "type": "image",
        "block_id": PICTURE_BLOCK,
        "slack_file": {"id": ""},
        "alt_text": limits.cut(alt, 500) or "picture",
    }


def _storable(node: Any) -> Any:
    """`node` without the characters that neither JSON in PostgreSQL nor Slack can hold (log lines bring them along)."""
    if isinstance(node, str):
        return node if node.isprintable() else node.replace("\x00", "").encode("utf-8", "replace").decode()
    if isinstance(node, list | tuple):
        return [_storable(item) for item in node]
    if is_dataclass(node) and not isinstance(node, type):
        return replace(node, **{each.name: _storable(getattr(node, each.name)) for each in fields(node)})
    return node


def _words(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _mrkdwn(text: Text, room: Room, most: int) -> dict[str, Any] | None:
    kept = words.mrkdwn(words.shorten(text, min(most, room.left)))
    room.left -= len(kept)
    return {"type": "mrkdwn", "text": kept, "verbatim": True} if kept.strip() else None
