"""A form as a Slack modal, and opening it: at once, by the trigger of what the person just did."""

from __future__ import annotations

import http.client
import json
import logging
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from bot.slack import limits, words
from bot.slack.filled import CALLBACK, VALUE, WORDS
from commands.reply import Choice, Field, Form
from state.invocations import Invocation

log = logging.getLogger(__name__)

OPEN_WITHIN_S = 5
Block = dict[str, Any]


def show(slack: WebClient, asked: Invocation, form: Form) -> bool:
    """Open the form for whoever asked; False when Slack does not take it: no trigger, or three seconds are over."""
    if not asked.trigger_id:
        return False
    try:
        slack.views_open(trigger_id=asked.trigger_id, view=modal(form, asked.channel, asked.thread_ts))
    except SlackApiError as error:
        said = error.response.get("error") if isinstance(error.response.data, dict) else error.response.status_code
        details = error.response.get("response_metadata") if isinstance(error.response.data, dict) else ""
        log.warning("the form of %r was not opened: %s %s", form.line, said, details or "")
        return False
    except (SlackClientError, OSError, http.client.HTTPException) as error:
        log.warning("the form of %r was not opened: %s", form.line, type(error).__name__)
        return False
    return True


def modal(form: Form, channel: str | None = None, thread_ts: str | None = None) -> dict[str, Any]:
    """The modal. What reading it back needs stands in `private_metadata`: the line, its defaults, where to answer."""
    about = {
        "line": form.line,
        "channel": channel,
        "thread_ts": thread_ts,
        "defaults": {each.name: _default(each) for each in form.fields if each.default},
        "steps": {each.name: each.step for each in form.fields if each.step},
    }
    intro = limits.cut(words.mrkdwn(form.intro), limits.SECTION_TEXT)
    opening = [{"type": "context", "elements": [{"type": "mrkdwn", "text": intro, "verbatim": True}]}] if intro else []
    return {
        "type": "modal",
        "callback_id": CALLBACK,
        "title": _plain(form.title, limits.VIEW_TITLE),
        "submit": _plain(form.send, limits.VIEW_TITLE),
        "close": _plain("Cancel", limits.VIEW_TITLE),
        "private_metadata": json.dumps(about),
        "blocks": [*opening, *(_input(each) for each in form.fields)],
    }


def _default(each: Field) -> str:
    """The piece of line that says nothing new, as the form would send it."""
    if each.choices or not each.typed:
        return each.default
    return f"{each.typed} {each.default}"


def _input(each: Field) -> Block:
    block: Block = {
        "type": "input",
        "block_id": each.name,
        "label": _plain(each.label, limits.LABEL),
        "element": _element(each),
    }
    if not each.required:
        block["optional"] = True
    if each.hint and not each.several:
        block["hint"] = _plain(each.hint, limits.HINT)
    return block


def _element(each: Field) -> Block:
    action = {"action_id": each.typed or (WORDS if each.words else VALUE)}
    if each.choices:
        return action | _choosing(each)
    initial = {"initial_value": each.value} if each.value else {}
    if not each.number:
        return {"type": "plain_text_input", **action, **initial}
    bounds = {"min_value": each.low, "max_value": each.high}
    given = {name: _number(value) for name, value in bounds.items() if value is not None}
    return {"type": "number_input", "is_decimal_allowed": not each.whole, **action, **initial, **given}


def _choosing(each: Field) -> Block:
    options = [_option(choice) for choice in each.choices if len(choice.typed) <= limits.OPTION_VALUE]
    chosen = next((option for option in options if option["value"] == each.value), None)
    if each.several:
        return {"type": "checkboxes", "options": options, **({"initial_options": [chosen]} if chosen else {})}
    initial = {"initial_option": chosen} if chosen else {}
    placeholder = _plain("Choose…", limits.PLACEHOLDER)
    return {"type": "static_select", "options": options, "placeholder": placeholder, **initial}


def _option(choice: Choice) -> Block:
    return {"text": _plain(choice.label, limits.OPTION_LABEL), "value": choice.typed}


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.9f}".rstrip("0").rstrip(".")


def _plain(text: str, most: int) -> Block:
    return words.plain_text(limits.cut(" ".join(text.split()), most) or "–", emoji=False)
