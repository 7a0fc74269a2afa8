"""A reply in a terminal: as lines for a person, as JSON for a program, as an exit status for a script."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bot.slack.render import MARKS, title
from bot.slack.words import bar, plain, sentence
from commands.reply import Action, Menu, Outcome, Reply

EXIT: Mapping[Outcome, int] = MappingProxyType(
    {
        Outcome.OK: 0,
        Outcome.ERROR: 1,
        Outcome.EXPIRED: 1,
        Outcome.INTERRUPTED: 1,
        Outcome.DENIED: 3,
        Outcome.PENDING_APPROVAL: 4,
        Outcome.NEEDS_CONFIRMATION: 5,
    }
)


def lines(reply: Reply) -> str:
    """The reply as text, in the order a person reads it; buttons become commands to type."""
    out = [title(reply), "=" * len(title(reply)), plain(reply.context), plain(reply.text).strip()]
    for step in reply.steps:
        drawn = bar(step.progress) if step.progress is not None else ""
        out.append(sentence([f"{MARKS[step.state]} {step.name}", drawn, plain(step.detail) or step.state]))
    wide = max((len(fact.label) for fact in reply.facts), default=0)
    out += [f"{fact.label:<{wide}}  {plain(fact.value)}" for fact in reply.facts]
    if reply.table:
        out += _columns([reply.table.columns, *reply.table.rows])
    out += [f"  | {line}" for line in reply.quote.splitlines()]
    if reply.picture:
        out.append(f"[picture {reply.picture.name}: {reply.picture.alt}]")
    if reply.document:
        out.append(f"[file {reply.document.name}, {len(reply.document.text):,} characters: --json prints it]")
    out += [line for action in reply.actions for line in _to_type(action)]
    whole = "\n".join(line for line in out if line)
    return "\n\n".join([whole, *(lines(message) for message in reply.also)])


def as_json(reply: Reply, invocation: str) -> str:
    """The reply as one JSON object; `outcome` and `title` come first."""
    return json.dumps(_object(reply) | {"invocation": invocation}, ensure_ascii=False)


def _object(reply: Reply) -> dict[str, Any]:
    return {
        "outcome": reply.outcome,
        "title": title(reply),
        "context": plain(reply.context),
        "text": plain(reply.text),
        "environment": reply.environment,
        "steps": [{"name": step.name, "state": step.state, "detail": plain(step.detail)} for step in reply.steps],
        "facts": {fact.label: plain(fact.value) for fact in reply.facts},
        "table": {"columns": list(reply.table.columns), "rows": [list(row) for row in reply.table.rows]}
        if reply.table
        else None,
        "quote": reply.quote,
        "picture": reply.picture.name if reply.picture else None,
        "document": {"name": reply.document.name, "text": reply.document.text} if reply.document else None,
        "actions": [_choice(action) for action in reply.actions],
        "approval": reply.approval,
        "follow": reply.follow.arn if reply.follow else None,
        "also": [_object(message) for message in reply.also],
    }


def _to_type(action: Action | Menu) -> list[str]:
    if isinstance(action, Menu):
        return [f"  > {action.label}", *(f"    > {each.label}: {each.command or each.url}" for each in action.options)]
    return [f"  > {action.label}: {action.command or action.url}"]


def _choice(action: Action | Menu) -> dict[str, Any]:
    if isinstance(action, Menu):
        return {"label": action.label, "options": [_choice(option) for option in action.options]}
    return {"label": action.label, "command": action.command, "url": action.url}


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
