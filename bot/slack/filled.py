"""A form that was sent, as the line it means, or what is wrong with which field.

Read by the process that acknowledges, which knows no commands: everything it needs stands in the view itself, as
`bot.slack.forms` wrote it. A `block_id` is an argument's name, an `action_id` what stands before its value.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CALLBACK = "command_form"
VALUE, WORDS = "value", "words"
"""The `action_id` of what stands on the line without anything before it: one value, or as many as there are words."""


@dataclass(frozen=True)
class Filled:
    """What somebody sent: the line, or by field why it is not taken. `channel` and `thread_ts` are where to answer."""

    line: str
    errors: Mapping[str, str] = field(default_factory=dict)
    channel: str | None = None
    thread_ts: str | None = None


def read(view: Mapping[str, Any]) -> Filled:
    """The line of a sent form; Slack gives every field in `state`, empty ones as null."""
    about = json.loads(view.get("private_metadata") or "{}")
    pieces, errors = [about.get("line", "")], {}
    for block in view["blocks"]:
        if block["type"] != "input":
            continue
        name, element = block["block_id"], block["element"]
        state = view["state"]["values"].get(name, {}).get(element["action_id"]) or {}
        try:
            piece = _piece(block, element, state, (about.get("steps") or {}).get(name))
        except ValueError as wrong:
            errors[name] = str(wrong)
            continue
        if piece != (about.get("defaults") or {}).get(name):
            pieces.append(piece)
    line = " ".join(piece for piece in pieces if piece)
    return Filled(line, errors, about.get("channel"), about.get("thread_ts"))


def _piece(block: Mapping[str, Any], element: Mapping[str, Any], state: Mapping[str, Any], step: int | None) -> str:
    """What a field adds to the line. Raises ValueError with words for whoever filled it in."""
    if "options" in element:
        chosen = state.get("selected_options") or [state.get("selected_option")]
        values = [option["value"] for option in chosen if option]
        if not set(values) <= {option["value"] for option in element["options"]}:
            raise ValueError("This is not among the choices.")
    else:
        typed = " ".join(str(state.get("value") or "").split())
        values = [_written(element, typed, step)] if typed else []
    if not values and not block.get("optional"):
        raise ValueError("This is needed.")
    return " ".join(values)


def _written(element: Mapping[str, Any], typed: str, step: int | None) -> str:
    if element["type"] == "number_input":
        _check(element, typed, step)
    before = element["action_id"]
    if before not in (VALUE, WORDS):
        return f"{before} {shlex.quote(typed)}" if not typed.startswith("-") else f"{before}={shlex.quote(typed)}"
    if typed.startswith("-"):
        raise ValueError("This must not begin with a dash.")
    return shlex.join(typed.split()) if before == WORDS else shlex.quote(typed)


def _check(element: Mapping[str, Any], typed: str, step: int | None) -> None:
    """A number within its bounds. Raises ValueError."""
    whole = not element["is_decimal_allowed"]
    try:
        number = float(typed)
    except ValueError:
        number = math.nan
    if math.isnan(number) or (whole and not number.is_integer()):
        raise ValueError("This must be a whole number." if whole else "This must be a number.")
    low, high = element.get("min_value"), element.get("max_value")
    if (low is not None and number < float(low)) or (high is not None and number > float(high)):
        raise ValueError(f"This must be between {low} and {high}.")
    if step and number % step:
        near = step * max(1, round(number / step))
        raise ValueError(f"This must be a multiple of {step}, such as {near}.")
