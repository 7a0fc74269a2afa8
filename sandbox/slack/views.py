"""Modals a person has before them, and the app's Home for each person."""

from __future__ import annotations

import uuid

from sandbox.slack.blocks import check_view
from sandbox.slack.errors import SlackError
from sandbox.slack.feed import Change
from sandbox.slack.messages import Json, elements_of, fill_ids
from sandbox.slack.triggers import Triggers
from sandbox.slack.workspace import Workspace


class Views:
    """One open modal a person, no stack: `views.push` is not offered."""

    def __init__(self, workspace: Workspace, triggers: Triggers) -> None:
        self._workspace = workspace
        self._triggers = triggers
        self._open: dict[str, Json] = {}
        self._home: dict[str, Json] = {}

    def open(self, trigger: str, view: Json) -> Json:
        """Show a modal to the person behind the trigger. Raises `SlackError`."""
        check_view(view)
        if view["type"] != "modal":
            raise SlackError("invalid_arguments")
        self._check_external_id(view, None)
        user = self._triggers.exchange(trigger)
        self._open[user] = self._complete(view, "V" + uuid.uuid4().hex[:10].upper())
        self._tell(user)
        return self._open[user]

    def update(self, view_id: str | None, external_id: str | None, known_hash: str | None, view: Json) -> Json:
        """Replace an open modal. Raises `SlackError` `not_found`, `hash_conflict`."""
        check_view(view)
        for user, shown in self._open.items():
            if shown["id"] == view_id or (external_id and shown["external_id"] == external_id):
                if known_hash and known_hash != shown["hash"]:
                    raise SlackError("hash_conflict")
                self._check_external_id(view, user)
                return self.put(user, view)
        raise SlackError("not_found")

    def put(self, user: str, view: Json) -> Json:
        """Replace the modal a person has open (also: `response_action: update`)."""
        check_view(view)
        self._open[user] = self._complete(view, self._open[user]["id"])
        self._tell(user)
        return self._open[user]

    def publish(self, user: str, view: Json, known_hash: str | None) -> Json:
        """Set the app's Home of a person."""
        check_view(view)
        if view["type"] != "home":
            raise SlackError("invalid_arguments")
        current = self._home.get(user)
        if known_hash and current and known_hash != current["hash"]:
            raise SlackError("hash_conflict")
        self._home[user] = self._complete(view, current["id"] if current else "V" + uuid.uuid4().hex[:10].upper())
        self._workspace.feed.publish(Change("home", only_for=user))
        return self._home[user]

    def of(self, user: str) -> Json | None:
        """The modal a person has open."""
        return self._open.get(user)

    def home(self, user: str) -> Json | None:
        """The app's Home as published for a person."""
        return self._home.get(user)

    def close(self, user: str) -> Json | None:
        """Take the modal away; returns what was closed."""
        view = self._open.pop(user, None)
        self._tell(user)
        return view

    def _tell(self, user: str) -> None:
        self._workspace.feed.publish(Change("view", only_for=user))

    def _check_external_id(self, view: Json, but: str | None) -> None:
        wanted = view.get("external_id")
        if wanted and any(user != but and shown["external_id"] == wanted for user, shown in self._open.items()):
            raise SlackError("duplicate_external_id")

    def _complete(self, view: Json, view_id: str) -> Json:
        fill_ids(view["blocks"], self._workspace.new_id)
        app = self._workspace.config.app
        defaults = {"private_metadata": "", "callback_id": "", "external_id": "", "submit": None, "close": None}
        return {
            **defaults,
            "clear_on_close": False,
            "notify_on_close": False,
            **view,
            "id": view_id,
            "team_id": self._workspace.config.team["id"],
            "app_id": app.id,
            "bot_id": app.bot,
            "hash": self._workspace.new_ts(),
            "root_view_id": view_id,
            "previous_view_id": None,
            "state": {"values": {}},
        }


def state_values(view: Json, given: Json) -> Json:
    """`view.state.values` for every input, empty ones present as null. `given` maps block id to action id to value."""
    values: Json = {}
    for block in view["blocks"]:
        if block["type"] != "input":
            continue
        for element in elements_of(block):
            value = given.get(block["block_id"], {}).get(element["action_id"])
            values.setdefault(block["block_id"], {})[element["action_id"]] = input_state(element, value)
    return values


def refused_by_client(view: Json, given: Json) -> dict[str, str]:
    """What Slack's own client finds wrong before it sends a form, by block: needed fields, and numbers."""
    wrong: dict[str, str] = {}
    for block in view["blocks"]:
        if block["type"] != "input":
            continue
        value, element = given.get(block["block_id"], {}).get(block["element"]["action_id"]), block["element"]
        if not value and not block.get("optional"):
            wrong[block["block_id"]] = "Please complete this required field."
        elif value and element["type"] == "number_input" and (problem := _number_problem(element, str(value))):
            wrong[block["block_id"]] = problem
    return wrong


def _number_problem(element: Json, value: str) -> str | None:
    kind = float if element["is_decimal_allowed"] else int
    try:
        number = kind(value)
    except ValueError:
        return "Please enter a number." if kind is float else "Please enter a whole number."
    low, high = element.get("min_value"), element.get("max_value")
    if low is not None and number < float(low):
        return f"Please enter a number that is {low} or more."
    if high is not None and number > float(high):
        return f"Please enter a number that is {high} or less."
    return None


def input_state(element: Json, value: str | list[str] | None) -> Json:
    """The state of one input in Slack's own field (contract: section 2.4)."""
    kind = element["type"]
    options = element.get("options", [])
    if kind == "checkboxes":
        chosen = [option for option in options if option.get("value") in (value or [])]
        return {"type": kind, "selected_options": chosen}
    if kind in ("static_select", "radio_buttons", "overflow"):
        found = next((option for option in options if value is not None and option.get("value") == value), None)
        return {"type": kind, "selected_option": found}
    name = {"users_select": "selected_user", "datepicker": "selected_date", "timepicker": "selected_time"}.get(
        kind, "value"
    )
    return {"type": kind, name: value or None}
