"""What can be pressed in a message: buttons and menus. Pressing is typing: the value is the command line, never cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from bot.slack import limits, words
from bot.slack.limits import Room
from bot.surfaces import ACTION_PREFIX
from commands.reply import Action, Confirm, Menu

MOST_BUTTONS = 10
MOST_OPTIONS = 10


def blocks(actions: Sequence[Action | Menu], room: Room) -> Iterator[dict[str, Any]]:
    """The row of buttons and menus, and a line about what is too long to be pressed."""
    elements = [element for action in actions for element in _elements(action)]
    fitting = [each for each in elements if isinstance(each, Menu) or _presses(each)][:MOST_BUTTONS]
    if fitting:
        yield {"type": "actions", "elements": [_element(each, n, room) for n, each in enumerate(fitting)]}
    too_long = [each.label for each in elements if isinstance(each, Action) and not _presses(each)]
    if too_long:
        yield note(room.take(f"Too long for a button, type it instead: {', '.join(too_long)}", 300))


def _presses(action: Action) -> bool:
    """A command that does not fit is not cut: pressing would then type something else."""
    return words.is_web(action.url) if action.url else 0 < len(action.command) <= limits.BUTTON_VALUE


def _elements(action: Action | Menu) -> Iterator[Action | Menu]:
    """A menu with what Slack lets it hold, then a button for each of the others: nothing is dropped, cut or unasked."""
    if isinstance(action, Action):
        yield action
        return
    held = [option for option in action.options if _chooses(option)][:MOST_OPTIONS]
    if held:
        yield Menu(action.label, held)
    for option in action.options:
        if option not in held:
            yield replace(option, label=words.sentence([action.label, option.label]))


def _chooses(option: Action) -> bool:
    """Whether a menu can hold it: an option of Slack's has a short value, and neither a question nor a link."""
    return not option.url and not option.confirm and 0 < len(option.command) <= limits.OPTION_VALUE


def _element(action: Action | Menu, number: int, room: Room) -> dict[str, Any]:
    return _menu(action, number, room) if isinstance(action, Menu) else _button(action, number, room)


def _menu(menu: Menu, number: int, room: Room) -> dict[str, Any]:
    """A select and not an overflow: that one shows three dots where this one shows its words."""
    return {
        "type": "static_select",
        "action_id": f"{ACTION_PREFIX}{number}",
        "placeholder": words.plain_text(_label(menu.label, limits.PLACEHOLDER, room) or "Choose…", emoji=False),
        "options": [
            {
                "text": words.plain_text(_label(option.label, limits.OPTION_LABEL, room) or "Go", emoji=False),
                "value": option.command,
            }
            for option in menu.options
        ],
    }


def _label(text: str, most: int, room: Room) -> str:
    return room.take(" ".join(text.split()), most)


def _button(action: Action, number: int, room: Room) -> dict[str, Any]:
    label = _label(action.label, limits.BUTTON_LABEL, room) or "Go"
    button: dict[str, Any] = {"type": "button", "text": words.plain_text(label, emoji=False)}
    if action.url:
        button |= {"action_id": f"link:{number}", "url": action.url}
    else:
        button |= {"action_id": f"{ACTION_PREFIX}{number}", "value": action.command}
    if action.style:
        button["style"] = action.style
    if action.confirm:
        button["confirm"] = _confirm(action.confirm, room)
    return button


def _confirm(confirm: Confirm, room: Room) -> dict[str, Any]:
    return {
        "title": words.plain_text(room.take(confirm.title, limits.CONFIRM_TITLE) or "Sure?"),
        "text": words.plain_text(room.take(confirm.text, limits.CONFIRM_TEXT) or "This cannot be taken back."),
        "confirm": words.plain_text(room.take(confirm.yes, limits.CONFIRM_BUTTON) or "Yes"),
        "deny": words.plain_text(room.take(confirm.no, limits.CONFIRM_BUTTON) or "Cancel"),
    }


def note(text: str) -> dict[str, Any]:
    """A small line of its own."""
    return {"type": "context", "elements": [words.plain_text(text)]}
